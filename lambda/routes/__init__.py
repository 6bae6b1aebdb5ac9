"""One file a dialect: parse, one call, render."""
