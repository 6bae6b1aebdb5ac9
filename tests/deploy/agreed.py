"""What the parts of the deploy test agree on."""

MODEL = "emoji"
"""The model of the catalogue that is released."""
OTHER = "other"
"""Another entry of a catalogue, of a model on the hub that draws otherwise."""
REQUEST = {"prompt": "red apple", "seed": 7, "num_inference_steps": 4}
MARK = "drawn by the second release"
"""A warning that only the second release gives."""
