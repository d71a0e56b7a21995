"""Compare the files of a data set with its manifest: SHA-256 of the images, and counts of images and boxes."""

import re
from pathlib import Path

import pandas as pd

from marinecv.data.catalog import read_images_and_boxes
from marinecv.data.layouts import SPLIT_NAMES
from marinecv.data.manifests import Manifest
from marinecv.hashes import sha256

_LISTED = re.compile(r"([0-9a-f]{64})  (.+)")
MEND = "Fetch it again, or give the folder as data_dir."


def verify(manifest: Manifest) -> None:
    """Raise ValueError where the files at `root` do not have the hashes and counts that their manifest states.

    Images are matched by split and file name, so any layout of the same images passes.
    """
    images, boxes = read_images_and_boxes(manifest)
    if manifest.hashes:
        _verify_hashes(images, manifest.toml.parent / manifest.hashes)
    boxes = boxes.assign(split=boxes["image_id"].map(images.set_index("image_id")["split"]))
    found = {
        "images": images["split"].value_counts().to_dict(),
        "boxes": {split: rows["class_name"].value_counts().to_dict() for split, rows in boxes.groupby("split")},
    }
    for kind, splits in manifest.expected.items():
        for split, count in splits.items():
            if (number := found[kind].get(split, 0)) != count:
                where = f" in {split}" if split else ""
                raise ValueError(f"{manifest.name} has {number} {kind}{where}. Expected {count}. {MEND}")


def _verify_hashes(images: pd.DataFrame, listing: Path) -> None:
    lines = listing.read_text(encoding="utf-8", errors="replace").splitlines() if listing.is_file() else [""]
    matches = [_LISTED.fullmatch(line) for line in lines]
    if None in matches:
        number = matches.index(None)
        raise ValueError(
            f"Line {number + 1} of {listing} is {lines[number]!r:.80}. Expected the file that the manifest beside it "
            "names, with a SHA-256, two spaces and a path on each line."
        )
    expected = {(_split_of(match[2]), Path(match[2]).name): match[1] for match in matches}
    found = {(split, Path(path).name): Path(path) for split, path in zip(images["split"], images["path"], strict=True)}
    wrong = {key: "is missing" for key in expected if key not in found or not found[key].is_file()}
    wrong |= {key: "differs" for key in expected if key not in wrong and sha256(found[key]) != expected[key]}
    if wrong:
        key, state = next(iter(wrong.items()))
        raise ValueError(
            f"{len(wrong)} of {len(expected)} images are not those of {listing.name}; the first is {'/'.join(key)}, "
            f"which {state}. {MEND}"
        )


def _split_of(name: str) -> str:
    return next((SPLIT_NAMES[part] for part in Path(name).parts[:-1] if part in SPLIT_NAMES), "")
