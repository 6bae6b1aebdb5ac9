"""Constructs: nouns that the stacks put together."""
