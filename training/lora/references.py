"""The classifier's features of the comics: `python -m lora.references`.

The network stays as it is and has never seen this style in its training.
"""

from classifier import FOLDER, load_classifier, plain_views
from lora.comics import load_comics
from PIL import Image
from safetensors.torch import save_file


def main() -> None:
    """Write (subjects × 4, 96), in the order of `view_codes.json`."""
    views = [view for comic in load_comics() for view in plain_views(Image.fromarray(comic))]
    features = load_classifier().extract_features(views).half()
    save_file({"features": features}, FOLDER / "comic.safetensors")
    print(f"{len(features)} views")


if __name__ == "__main__":
    main()
