"""Functions that the stacks ship to AWS: custom resources and the idle guard. Standard library and boto3 only."""
