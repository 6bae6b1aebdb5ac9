"""What looks after a deployed Easel: `easel doctor`, `outputs`, `leftovers`, `pause` and `resume`.

boto3 is imported where a command needs it. Of stacks/ it reads what needs no CDK: settings, catalogue and prices.
"""
