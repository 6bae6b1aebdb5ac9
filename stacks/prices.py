"""What an instance costs. Second-hand numbers with a date, for an estimate and not for a bill."""

from __future__ import annotations

SEEN = "2026-11"
REGION = "us-east-1"
PAGE = "https://aws.amazon.com/sagemaker/ai/pricing/"

USD_PER_HOUR = {
    # SageMaker hosting on demand in us-east-1, from public repositories that quote AWS's price list.
    "ml.g4dn.xlarge": 0.7364,
    "ml.g5.xlarge": 1.408,
    "ml.g5.2xlarge": 1.515,
    "ml.g6e.2xlarge": 2.8026,
    # The EC2 price x 1.4, as in the rows above, or x 1.2 for m5.
    "ml.g6.xlarge": 1.1267,
    "ml.g6e.xlarge": 2.605,
    "ml.m5.large": 0.115,
    "ml.m5.xlarge": 0.23,
    "ml.m5.2xlarge": 0.461,
}


def price(instance_type: str, instances: int) -> str:
    """USD per hour of so many instances, as a sentence for the outputs of a deploy."""
    if instances == 0:
        return "0 USD per hour: no instance runs (storage and requests cost extra)"
    if instance_type not in USD_PER_HOUR:
        return f"not in our table; see {PAGE}"
    total = USD_PER_HOUR[instance_type] * instances
    return f"about {total:.4g} USD per hour for {instances} x {instance_type} ({REGION}, {SEEN}; see {PAGE})"
