"""What exists in the cloud: one file a stack, one construct a logical unit in `parts/`."""
