"""Are the fetched files the ones that were measured? Hashes of images, and counts of images and boxes."""

import hashlib
from pathlib import Path

from marinecv.data.catalog import read_images_and_boxes
from marinecv.data.layouts import image_files
from marinecv.data.manifests import Manifest
from marinecv.data.splits import SPLIT_NAMES

MEND = "Fetch it again, or use the folder as it is with --data-dir."


def verify(manifest: Manifest) -> None:
    """Compare the files at `root` with the hashes and counts their manifest states.

    Images are matched by split and file name, so any layout of the same pictures passes.

    Raises:
        ValueError: an image is missing or another, or a count differs.
    """
    if manifest.hashes:
        _verify_hashes(manifest.root, manifest.toml.parent / manifest.hashes)
    if manifest.expected:
        _verify_counts(manifest)


def _verify_hashes(root: Path, listing: Path) -> None:
    lines = [line.split("  ", 1) for line in listing.read_text(encoding="utf-8").splitlines() if line]
    expected = {_key(Path(name)): digest for digest, name in lines}
    found = {_key(path.relative_to(root)): path for path in image_files(root, deep=True)}
    wrong = [key for key, digest in expected.items() if key not in found or _sha256(found[key]) != digest]
    if wrong:
        state = "differs" if wrong[0] in found else "is missing"
        raise ValueError(
            f"{len(wrong)} of {len(expected)} images are not the ones {listing.name} lists; the first is "
            f"{'/'.join(wrong[0])}, which {state}. {MEND}"
        )


def _key(path: Path) -> tuple[str, str]:
    split = next((SPLIT_NAMES[part] for part in path.parts[:-1] if part in SPLIT_NAMES), "")
    return split, path.name


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _verify_counts(manifest: Manifest) -> None:
    images, boxes = read_images_and_boxes(manifest)
    split_of = images.set_index("image_id")["split"]
    found = {
        "images": images["split"].value_counts().to_dict(),
        "boxes": {
            split: rows["class_name"].value_counts().to_dict()
            for split, rows in boxes.groupby(boxes["image_id"].map(split_of))
        },
    }
    for kind, splits in manifest.expected.items():
        for split, count in splits.items():
            if (there := found[kind].get(split, 0)) != count:
                raise ValueError(
                    f"{manifest.name} has {there} {kind} in {split}. Expected {count}, as measured. {MEND}"
                )
