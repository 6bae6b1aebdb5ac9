"""`python -m tests.deploy.alone MODEL` draws the request on standard input with the four functions and nothing else."""

import os
import sys

from contract import render_profile
from easel.catalogue import find


def main(model: str) -> None:
    entry = find(model)
    os.environ["EASEL_MODEL_PROFILE"] = render_profile(entry.profile)
    import inference

    loaded = inference.model_fn(str(entry.folder))
    data = inference.input_fn(sys.stdin.read(), "application/json")
    print("\n" + inference.output_fn(inference.predict_fn(data, loaded), "application/json"))


if __name__ == "__main__":
    main(sys.argv[1])
