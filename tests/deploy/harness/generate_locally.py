"""Generate with the four handler functions alone: `python -m tests.deploy.harness.generate_locally MODEL [FOLDER]`.

Reads a request from standard input. Prints two lines of JSON: for the catalogue's model, and for the weights in FOLDER.
"""

import os
import sys

from contract import render_profile
from easel.laptop.catalogue import find


def main(model: str, *folders: str) -> None:
    entry, request = find(model), sys.stdin.read()
    os.environ["EASEL_MODEL_PROFILE"] = render_profile(entry.profile)
    import inference

    for folder in (str(entry.folder), *folders):
        loaded = inference.model_fn(folder)
        data = inference.input_fn(request, "application/json")
        print("\n" + inference.output_fn(inference.predict_fn(data, loaded), "application/json"))


if __name__ == "__main__":
    main(*sys.argv[1:])
