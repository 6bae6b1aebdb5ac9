"""The classifier's features of the comics: `python -m lora.references`.

The network stays as it is and has never seen this style in its training.
"""

from classifier import FOLDER, load_classifier, reference_views
from image_pool import load_all_cutouts
from lora.comics import SITTING, USUAL
from safetensors.torch import save_file


def main() -> None:
    """Write (views, 96), in the order of `view_codes.json`."""
    views = [view for _, view in reference_views(load_all_cutouts(USUAL, SITTING))]
    features = load_classifier().extract_features(views).half()
    save_file({"features": features}, FOLDER / "comic.safetensors")
    print(f"{len(features)} views")


if __name__ == "__main__":
    main()
