"""What the parts of the deploy test agree on."""

MODEL = "emoji"
"""The model of the catalogue that is released."""
OTHER = "other"
"""Another entry of a catalogue, of a model on the hub that draws otherwise."""
REQUEST = {"prompt": "red apple", "seed": 7, "num_inference_steps": 4}
MARK = "drawn by the second release"
"""A warning that only the second release gives."""
NETWORK = {
    "vpc_id": "vpc-00000001", "vpc_subnet_ids": "subnet-00000001,subnet-00000002",
    "vpc_security_group_ids": "sg-00000001",
}  # fmt: skip
"""Of the VPC that MiniStack's accounts have by default."""
