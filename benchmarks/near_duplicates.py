"""Whether planted near-duplicates of real images are found, and what else is taken for one.

    python benchmarks/near_duplicates.py                                   aquarium if it is at hand, else demo images
    python benchmarks/near_duplicates.py --data aquarium cub_x20 --sample 200

For each kind of change 200 drawn images get one changed copy each, written as a file and decoded as the audit decodes
it. The copies are put among all images of the set, as many kinds at a time as leave no image changed twice,
and `find_near_duplicates` looks at the lot. A shift changes both: they become two windows of one picture, as of a
camera that moved, so that each shows what the other does not.

A planted pair counts as found where it is itself among the pairs; a chain of links over a third image does not count.
`others` are pairs that were not planted and do not follow from a pair that the set has without planting; some are true
(frames of one scene), all count against precision. The row `none` has the pairs of the set as it is. Three columns of
`ways`: the hash alone; hash and colors, which make the links of a set; and embeddings of MobileNet 0.25 as well, where
its ImageNet weights are at hand, which the audit's page shows besides. Every row is at the library's similarity of 0.8;
those of `all` and `none` at others too. Intervals are Wilson's.

The table goes to benchmarks/results/near_duplicates.csv.
"""

import argparse
import io
import os
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import pandas as pd
from machine import machine
from PIL import Image, ImageEnhance, ImageOps

import marinecv as mcv
from marinecv.audit import near_duplicates
from marinecv.audit.near_duplicates import ALPHA, BACKBONE, find_near_duplicates
from marinecv.audit.thumbnails import SMALL, load_thumbs
from marinecv.data.cache_dir import cache_path
from marinecv.data.user_tables import usable
from marinecv.evaluation.intervals import wilson
from marinecv.features.embeddings import embed
from marinecv.files.csv_tables import write_table
from marinecv.inputs.pixel_cache import read_pixels
from marinecv.inputs.to_rgb import open_rgb
from marinecv.models.backbones import backbone_features, weights_file

RESULTS = Path(__file__).parent / "results" / "near_duplicates.csv"
LIBRARY = near_duplicates.MIN_SIMILARITY
SIMILARITIES = (0.6, 0.7, 0.75, LIBRARY, 0.85, 0.9)
WAYS = {
    "hash": ["hash"],
    "hash and colors": ["hash", "colors"],
    "with embeddings": ["hash", "colors", "embedding"],
}
CHANGES = {
    "JPEG quality 30": lambda image, rng: coded(image, 30),
    "JPEG quality 10": lambda image, rng: coded(image, 10),
    "half the size": lambda image, rng: image.reduce(2),
    "200 by 150 pixels": lambda image, rng: image.resize((200, 150)),
    "gray": lambda image, rng: ImageOps.grayscale(image),
    "30% brighter": lambda image, rng: ImageEnhance.Brightness(image).enhance(1.3),
    "40% darker": lambda image, rng: ImageEnhance.Brightness(image).enhance(0.6),
    "40% more contrast": lambda image, rng: ImageEnhance.Contrast(image).enhance(1.4),
    "mirrored": lambda image, rng: ImageOps.mirror(image),
    "5% cropped": lambda image, rng: cropped(image, 0.05, rng),
    "10% cropped": lambda image, rng: cropped(image, 0.10, rng),
    "20% cropped": lambda image, rng: cropped(image, 0.20, rng),
    "30% cropped": lambda image, rng: cropped(image, 0.30, rng),
    "15% cropped, 30% brighter": lambda image, rng: ImageEnhance.Brightness(cropped(image, 0.15, rng)).enhance(1.3),
    "15% cropped, mirrored": lambda image, rng: ImageOps.mirror(cropped(image, 0.15, rng)),
    "shifted by 3%": lambda image, rng: two_windows(image, 0.03, rng),
    "shifted by 6%": lambda image, rng: two_windows(image, 0.06, rng),
    "shifted by 10%": lambda image, rng: two_windows(image, 0.10, rng),
    "turned by 5 degrees": lambda image, rng: image.rotate(5, Image.Resampling.BICUBIC),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", help="names of data sets")
    parser.add_argument("--sample", type=int, default=200, help="images of a set that get a copy of each kind")
    parser.add_argument("--output", type=Path, default=RESULTS)
    args = parser.parse_args()
    near_duplicates.MIN_SIMILARITY = min(
        SIMILARITIES
    )  # pairs are sorted out by likeness afterwards, which comes to the same
    tables = []
    for data in args.data or ["aquarium" if cache_path("data", "aquarium").exists() else "reef"]:
        thumbs, catalog = load_thumbs(mcv.read_catalog(mcv.find_data(data)))
        rows = usable(catalog)
        sample = min(args.sample, len(rows))
        table = pd.DataFrame(counted(search(rows, thumbs, sample), sample))
        shown = table.pivot(index=["similarity", "change", "planted"], columns="ways", values=["found", "others"])
        print(f"{data}, {len(rows)} images\n{shown.to_string()}", flush=True)
        tables.append(table.assign(data=data, images=len(rows), machine=machine()))
    write_table(args.output, pd.concat(tables))


def search(rows: pd.DataFrame, thumbs: np.ndarray, sample: int, seed: int = 0) -> pd.DataFrame:
    """Look for near-duplicates in a set as it is, and with changed copies planted in it, some kinds of
    change at a time.

    Returns:
        `PAIR_COLUMNS` of the pairs, positions in the set with those of the planted behind; their
        `change` ("none": nothing was planted; "": both are images of the set); whether a pair is `planted`; and
        `known`, the similarity of the pair of the set that it follows from, else 0.
    """
    rng = np.random.default_rng(seed)
    model = None
    if weights_file(BACKBONE, ALPHA).is_file():
        model = backbone_features(SMALL.shape, backbone=BACKBONE, alpha=ALPHA, trainable_layers=0)
    alone = pairs_among(model, rows, thumbs)
    similarity = {(row.image_a, row.image_b): row.similarity for row in alone.itertuples(index=False)}
    found = [alone.assign(change="none", planted=False, known=0.0)]
    a_round = len(rows) // sample
    for start in range(0, len(CHANGES), a_round):
        changes = list(CHANGES)[start : start + a_round]
        places = rng.permutation(len(rows))[: len(changes) * sample]
        kinds = np.repeat(changes, sample)
        scene = planted(rows["path"].to_numpy(), thumbs, places, kinds, rng)
        origins = np.r_[np.arange(len(rows)), places]
        pairs = pairs_among(model, rows.iloc[origins], scene)
        ends = np.sort(origins[pairs[["image_a", "image_b"]]], axis=1)
        about = {
            "change": np.r_[np.repeat("", len(rows)), kinds][pairs["image_b"]],  # what is planted lies behind
            "planted": ends[:, 0] == ends[:, 1],
            "known": [similarity.get((first, second), 0.0) for first, second in ends],
        }
        found.append(pairs.assign(**about))
        print(f"{', '.join(changes)}: {len(pairs)} pairs", flush=True)
    return pd.concat(found, ignore_index=True)


def pairs_among(model, rows: pd.DataFrame, thumbs: np.ndarray) -> pd.DataFrame:
    embeddings = None if model is None else embed(model, rows, SMALL, thumbs, keep=False)
    return find_near_duplicates(thumbs, embeddings)


def planted(paths: np.ndarray, thumbs: np.ndarray, places: np.ndarray, kinds: np.ndarray, rng) -> np.ndarray:
    """The thumbs of a set with those of changed copies behind, of what lies in some places."""
    with tempfile.TemporaryDirectory() as folder:
        at, files = [], []
        for number, (place, kind) in enumerate(zip(places, kinds, strict=True), start=len(thumbs)):
            changed = CHANGES[kind](open_rgb(paths[place]), rng)
            both = {place: changed[0], number: changed[1]} if isinstance(changed, tuple) else {number: changed}
            for position, image in both.items():
                at.append(position)
                files.append(f"{folder}/{position}.jpg")
                image.save(files[-1], quality=90)
        scene = np.concatenate([thumbs, np.empty((len(places), *thumbs.shape[1:]), np.uint8)])
        scene[at], reasons = read_pixels(files, SMALL)
    assert not reasons, reasons
    return scene


def counted(pairs: pd.DataFrame, sample: int) -> list[dict]:
    """One row a change and way at the library's similarity, and of all and none at the others too."""
    table = []
    for near in SIMILARITIES:
        good = pairs[pairs["similarity"] > near]
        others = good[~good["planted"] & (good["known"] <= near)]
        for change in ("none", "all", *(CHANGES if near == LIBRARY else ())):
            for way, ways in WAYS.items():
                if way == "with embeddings" and "embedding" not in set(pairs["method"]):
                    continue
                mine, unplanted = (
                    part[part["method"].isin(ways) & among(part["change"], change)] for part in (good, others)
                )
                n = 0 if change == "none" else sample * (len(CHANGES) if change == "all" else 1)
                found = int(mine["planted"].sum())
                table.append(
                    {"change": change, "ways": way, "similarity": near, "planted": n, "found": found}
                    | proportion("recall", found, n)
                    | {"others": len(unplanted)}
                    | proportion("precision", found, found + len(unplanted) if n else 0)
                )
    return table


def among(changes: pd.Series, change: str) -> pd.Series:
    return changes != "none" if change == "all" else changes == change


def proportion(name: str, k: int, n: int) -> dict:
    """k of n with its interval; blank where n is none."""
    values = (k / n, *wilson(k, n)) if n else (np.nan,) * 3
    return {f"{name}{end}": round(value, 3) for end, value in zip(("", "_low", "_high"), values, strict=True)}


def coded(image: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file)


def cropped(image: Image.Image, share: float, rng: np.random.Generator) -> Image.Image:
    """Cut a share of each side away, at a drawn place."""
    width, height = (round(side * (1 - share)) for side in image.size)
    left, top = rng.integers(image.width - width + 1), rng.integers(image.height - height + 1)
    return image.crop((left, top, left + width, top + height))


def two_windows(image: Image.Image, share: float, rng: np.random.Generator) -> tuple[Image.Image, Image.Image]:
    """Two windows of one size, a share of their sides apart along both, in a drawn direction."""
    width, height = (round(side / (1 + share)) for side in image.size)
    left, top = (side * int(rng.integers(2)) for side in (image.width - width, image.height - height))
    other_left, other_top = image.width - width - left, image.height - height - top
    return (
        image.crop((left, top, left + width, top + height)),
        image.crop((other_left, other_top, other_left + width, other_top + height)),
    )


if __name__ == "__main__":
    main()
