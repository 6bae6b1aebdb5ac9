"""Values that the assemblies and the tests share."""

from easel.cloud.prove.releases import MARK as MARK
from easel.cloud.prove.service import REQUEST as REQUEST

MODEL = "emoji"
"""The catalogue's model that is deployed."""
OTHER_MODEL = "other"
"""An entry of another catalogue. Its model is on the hub and generates other images."""
NETWORK = {
    "vpc_id": "vpc-00000001", "vpc_subnet_ids": "subnet-00000001,subnet-00000002",
    "vpc_security_group_ids": "sg-00000001",
}  # fmt: skip
"""The default VPC of an account of MiniStack."""
BOUNDARY = "easel-boundary"
"""The policy that limits the stacks' roles."""
SECOND = "easel-2"
"""Name of a second Easel in one of the accounts."""
SETTINGS = {
    "model": MODEL, "instance_type": "ml.m5.large", "budget_action": "stop", "permissions_boundary": BOUNDARY,
}  # fmt: skip
"""Settings of every assembly, beside the mode and the site."""
