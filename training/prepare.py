"""Download two npm packages, check them and write the training data: `python prepare.py`."""

import base64
import collections
import hashlib
import json
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from cutouts.whole_images import whole_images
from dataset import HERE, SITTING, SIZE, USUAL, WORK
from PIL import Image

PACKAGES = {
    "@lobehub/fluent-emoji-3d@1.1.0": "sha512-Wlq2lVStTnr8BDpIJ0pEnTKO4LuDxxqTEhTvRtD1DLRF0me7ogeRQ"
    "jKoehDHXuVJ2Qaecgl5wRBv60lUAG3h7g==",
    "emojibase-data@17.0.0": "sha512-Yvgb5AWoHViHV/gq1qr5ZAarcBip+B27/ZLRsUJkbgAEaLlZ/fof9"
    "g882LTpmEpyhBNEC0m2SEmItljHsTygjA==",
}


def fetch(package: str, integrity: str) -> Path:
    """Download a package by `npm pack` unless it is there. Return its folder. Exits if the digest is wrong."""
    folder = WORK / package.replace("/", "-")
    if not folder.exists():
        folder.mkdir(parents=True)
        command = ["npm", "pack", "--silent", "--pack-destination", str(folder), package]
        subprocess.run(command, check=True)
        archive = next(folder.glob("*.tgz"))
        digest = hashlib.sha512(archive.read_bytes()).digest()
        if "sha512-" + base64.b64encode(digest).decode() != integrity:
            raise SystemExit(f"{package} does not have the expected digest")
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
    return folder / "package"


def read_subjects() -> Iterator[tuple[str, list[str], list[str]]]:
    """Yield emoji, English names and Chinese names of each line of subjects.txt."""
    for line in (HERE / "subjects.txt").read_text().splitlines():
        if not line.startswith("#"):
            emoji, english, chinese = line.split("|")
            yield emoji, english.split(", "), chinese.split(", ")


def hexcode(emoji: str, assets: Path) -> str:
    """Return the name of an emoji's file without suffix. Packages write the variation selector in different places."""
    code = "-".join(f"{ord(c):04x}" for c in emoji)
    stems = (code, code.replace("-fe0f", ""), code + "-fe0f")
    return next(s for s in stems if (assets / f"{s}.webp").exists())


def keywords(emojibase: Path, language: str) -> dict[str, list[str]]:
    """Return hexcode to keywords."""
    rows: list[dict[str, Any]] = json.loads((emojibase / language / "compact.json").read_text())
    return {r["hexcode"].lower(): [t.lower() for t in r.get("tags", [])] for r in rows}


def load_image(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGBA")


def cutout(image: Image.Image) -> Image.Image:
    return image.resize((SIZE, SIZE), Image.Resampling.LANCZOS)


def unique(tags: dict[str, list[str]], codes: list[str], names: set[str]) -> dict[str, list[str]]:
    """Return, for each code, the keywords that no other of the codes has and that are no name."""
    plain = {c: tags.get(c) or tags.get(c.replace("-fe0f", ""), []) for c in codes}
    count = collections.Counter(t for c in codes for t in plain[c])
    return {c: [t for t in plain[c] if count[t] == 1 and t not in names] for c in codes}


def main() -> None:
    fluent, emojibase = (fetch(p, i) for p, i in PACKAGES.items())
    assets = fluent / "assets"
    rows = [(hexcode(e, assets), e, en, zh) for e, en, zh in read_subjects()]
    codes = [r[0] for r in rows]
    names = {n.lower() for _, _, en, zh in rows for n in en + zh}
    english, chinese = (unique(keywords(emojibase, x), codes, names) for x in ("en", "zh"))
    table = [
        {"code": c, "emoji": e, "en": en, "zh": zh, "keywords_en": english[c], "keywords_zh": chinese[c]}
        for c, e, en, zh in rows
    ]
    (WORK / "subjects.json").write_text(json.dumps(table, ensure_ascii=False, indent=1))
    images = {english[0]: load_image(assets / f"{c}.webp") for c, _, english, _ in rows}
    for file, group in zip((USUAL, SITTING), whole_images(images), strict=True):
        np.save(file, np.stack([np.asarray(cutout(image)) for image in group.values()]))
    print(f"{len(rows)} subjects")


if __name__ == "__main__":
    main()
