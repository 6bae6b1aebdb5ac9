"""The CDK stacks: one folder a stack, `config/` for what needs no CDK, `common/` for constructs that several use."""
