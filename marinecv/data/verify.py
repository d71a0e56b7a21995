"""Are the fetched files the ones that were measured? Hashes of images, and counts of images and boxes."""

import re
from pathlib import Path

import pandas as pd

from marinecv.data.catalog import read_images_and_boxes
from marinecv.data.layouts import SPLIT_NAMES
from marinecv.data.manifests import Manifest
from marinecv.hashes import sha256

_LISTED = re.compile(r"([0-9a-f]{64})  (.+)")
MEND = "Fetch it again, or use the folder as it is with --data-dir."


def verify(manifest: Manifest) -> None:
    """Compare the files at `root` with the hashes and counts their manifest states; ValueError where one differs.

    Images are matched by split and file name, so any layout of the same pictures passes.
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
            if (there := found[kind].get(split, 0)) != count:
                where = f" in {split}" if split else ""
                raise ValueError(f"{manifest.name} has {there} {kind}{where}. Expected {count}. {MEND}")


def _verify_hashes(images: pd.DataFrame, listing: Path) -> None:
    expected = {(_split_of(name), Path(name).name): digest for digest, name in _read_listing(listing)}
    found = {(split, Path(path).name): Path(path) for split, path in zip(images["split"], images["path"], strict=True)}
    wrong = {key: "is missing" for key in expected if key not in found or not found[key].is_file()}
    wrong |= {key: "differs" for key in expected if key not in wrong and sha256(found[key]) != expected[key]}
    if wrong:
        key, state = next(iter(wrong.items()))
        raise ValueError(
            f"{len(wrong)} of {len(expected)} images are not the ones {listing.name} lists; the first is "
            f"{'/'.join(key)}, which {state}. {MEND}"
        )


def _read_listing(listing: Path) -> list[tuple[str, str]]:
    if not listing.is_file():
        raise ValueError(f"There is no {listing}, which the manifest beside it names. Put it there, or name no hashes.")
    lines = listing.read_bytes().decode("utf-8", errors="replace").splitlines()
    found = [_LISTED.fullmatch(line) for line in lines]
    if None in found:
        place = found.index(None)
        raise ValueError(
            f"Line {place + 1} of {listing} is {lines[place]!r:.80}. Expected a SHA-256, two spaces and a path."
        )
    return [match.groups() for match in found]


def _split_of(name: str) -> str:
    return next((SPLIT_NAMES[part] for part in Path(name).parts[:-1] if part in SPLIT_NAMES), "")
