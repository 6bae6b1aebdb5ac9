"""What the parts of the deploy test agree on."""

MODEL = "emoji"
"""The model of the catalogue that is released."""
REQUEST = {"prompt": "red apple", "seed": 7, "num_inference_steps": 4}
MARK = "drawn by the second release"
"""A warning that only the second release gives."""
