"""IAM policies for a deploy without an administrator's rights, generated from the templates of `cdk synth`.

`deployer` is for the person, `execution` for CloudFormation's role, `boundary` for the roles that the stacks create.
"""
