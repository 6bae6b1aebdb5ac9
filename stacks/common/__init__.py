"""Constructs and functions that several stacks use."""
