"""The composition root of the functions: variables in, adapters of `aws.py` made, handlers out."""
