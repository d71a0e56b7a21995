"""Whether planted near-duplicates of real images are found, and what else is taken for one.

    python benchmarks/near_duplicates.py                                   aquarium if it is at hand, else demo images
    python benchmarks/near_duplicates.py --data aquarium cub_x20 --sample 200

For each kind of change 200 drawn images get one changed copy each, written as a file and decoded as the audit decodes
it. The copies are put among all images of the set, as many kinds at a time as leave no image changed twice,
and `find_near_duplicates` searches all of them. A shift changes both: they become two windows of one picture, as of a
camera that moved, so that each shows what the other does not.

A planted pair counts as found where it is itself among the pairs; a chain of links over a third image does not count.
`others` are pairs that were not planted and do not follow from a pair that the set has without planting; some are true
(frames of one scene), all count against precision. The row `none` has the pairs of the set as it is. `ways`: the hash
alone; hash and colors, which make the links of a set; embeddings of MobileNet 0.25 as well, where its ImageNet weights
are at hand, which the audit's page shows besides; and `imagehash.phash`, which pairs images up to 8 of 64 bits apart.
Intervals are Wilson's.

Two more parts: images of the sets but aquarium that have no pair, all in one kind of rim (`distinct, ...`; pairs
that they have without it, cut in the same way, do not count, any other is false); and 8 still
cameras of 40 frames (two days each, by day and by night), of which `others` are the pairs of copies, and `found` the
groups that are a camera's day.

The table goes to benchmarks/results/near_duplicates.csv.
"""

import argparse
import io
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import imagehash
import numpy as np
import pandas as pd
from machine import machine
from PIL import Image, ImageDraw, ImageEnhance, ImageFont, ImageOps

import marinecv as mcv
from marinecv.audit.near_duplicates import ALPHA, BACKBONE, find_near_duplicates
from marinecv.audit.pairs import find_pairs
from marinecv.audit.thumbnails import SMALL, aspect_ratios, load_thumbs
from marinecv.data.cache_dir import cache_path
from marinecv.data.groups import COPY, NEAR_COPY, group_catalog
from marinecv.data.manifests import manifest_of_folder
from marinecv.data.user_tables import usable
from marinecv.evaluation.intervals import wilson
from marinecv.features.embeddings import embed
from marinecv.files.csv_tables import write_table
from marinecv.inputs.pixel_cache import read_pixels
from marinecv.inputs.to_rgb import open_rgb
from marinecv.models.backbones import backbone_features, weights_file

RESULTS = Path(__file__).parent / "results" / "near_duplicates.csv"
MAX_BITS = 8  # of 64, of imagehash
WAYS = {
    "hash": ["hash"],
    "hash and colors": ["hash", "colors"],
    "with embeddings": ["hash", "colors", "embedding"],
    "imagehash.phash": ["phash"],
}
DISTINCT = 1000
CAMERAS, FRAMES = 8, 40
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
    "watermark": lambda image, rng: watermarked(image, rng),
    "frame of 5%": lambda image, rng: ImageOps.expand(image, round(0.05 * max(image.size)), drawn_color(rng)),
    "information bar": lambda image, rng: barred(image, rng),
    "padded to a square, black": lambda image, rng: padded(image, "black"),
    "padded to a square, white": lambda image, rng: padded(image, "white"),
    "turned by 90 degrees": lambda image, rng: image.transpose(Image.Transpose.ROTATE_90),
    "turned by 180 degrees": lambda image, rng: image.transpose(Image.Transpose.ROTATE_180),
    "turned by 270 degrees": lambda image, rng: image.transpose(Image.Transpose.ROTATE_270),
    "turned by 90 degrees, mirrored": lambda image, rng: image.transpose(Image.Transpose.TRANSPOSE),
    "turned by 5 degrees": lambda image, rng: image.rotate(5, Image.Resampling.BICUBIC),
    "turned up to 15, black corners": lambda image, rng: image.rotate(angle(rng), Image.Resampling.BICUBIC),
    "turned up to 15, enlarged": lambda image, rng: image.rotate(angle(rng), Image.Resampling.BICUBIC, expand=True),
    "turned up to 15, reflected": lambda image, rng: turned_reflected(image, rng),
    "turned up to 15, cropped": lambda image, rng: turned_cropped(image, rng),
    "turned up to 15, mirrored": lambda image, rng: ImageOps.mirror(image.rotate(angle(rng), Image.Resampling.BICUBIC)),
    "square, turned up to 15": lambda image, rng: image.resize((416, 416)).rotate(angle(rng), Image.Resampling.BICUBIC),
}
RIMS = {  # width to height that images are cut to, and their rim
    "16:9 in a black square": (16 / 9, lambda image, rng: padded(image, "black")),
    "8:3 in a black square": (8 / 3, lambda image, rng: padded(image, "black")),
    "9:16 in a white square": (9 / 16, lambda image, rng: padded(image, "white")),
    "information bars": (4 / 3, lambda image, rng: barred(image, rng)),
    "white frames": (4 / 3, lambda image, rng: ImageOps.expand(image, round(0.06 * max(image.size)), "white")),
    "bars in 16:9 in a black square": (16 / 9, lambda image, rng: padded(barred(image, rng), "black")),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", help="names of data sets")
    parser.add_argument("--sample", type=int, default=200, help="images of a set that get a copy of each kind")
    parser.add_argument("--output", type=Path, default=RESULTS)
    args = parser.parse_args()
    tables, places = [], []
    for data in args.data or ["aquarium" if cache_path("data", "aquarium").exists() else "reef"]:
        thumbs, catalog = load_thumbs(mcv.read_catalog(mcv.find_data(data)))
        rows = usable(catalog).reset_index(drop=True)
        sample = min(args.sample, len(rows))
        pairs, seconds = search(rows, thumbs, sample)
        table = pd.DataFrame(counted(pairs, sample))
        shown = table.pivot(index=["change", "planted"], columns="ways", values=["found", "others"])
        print(f"{data}, {len(rows)} images, {seconds:.1f} processor seconds\n{shown.to_string()}", flush=True)
        tables.append(table.assign(data=data, images=len(rows), seconds=round(seconds, 1)))
        alone = pairs[(pairs["change"] == "none") & pairs["method"].isin(WAYS["hash and colors"])]
        rows = rows.drop(index=alone[["image_a", "image_b"]].to_numpy().ravel())
        places.append(rows.head(0 if data == "aquarium" else None))  # which are frames of some scenes
    images = pd.concat(places)
    images = images.sample(min(DISTINCT, len(images)), random_state=0)
    others = [distinct(change, images["path"]) for change in RIMS] + [cameras(images["path"])]
    print(pd.DataFrame(others).to_string(), flush=True)
    table = pd.concat([*tables, pd.DataFrame(others)]).assign(machine=machine())
    write_table(args.output, table.astype(dict.fromkeys(["planted", "found", "others", "images"], "Int64")))


def search(rows: pd.DataFrame, thumbs: np.ndarray, sample: int, seed: int = 0) -> tuple[pd.DataFrame, float]:
    """Look for near-duplicates in a set as it is, and with changed copies planted in it, some kinds at a time.

    Returns:
        `PAIR_COLUMNS` of the pairs, positions in the set with those of the planted behind; their
        `change` ("none": nothing was planted; "": both are images of the set); whether a pair is `planted`; and
        `known`, whether it follows from a pair of the set. And the processor seconds of the search of the set alone.
    """
    rng = np.random.default_rng(seed)
    model = None
    if weights_file(BACKBONE, ALPHA).is_file():
        model = backbone_features(SMALL.shape, backbone=BACKBONE, alpha=ALPHA, trainable_layers=0)
    hashes = [hash_of(open_rgb(path)) for path in rows["path"]]
    find_near_duplicates(thumbs[:8])
    start = time.process_time()
    find_near_duplicates(thumbs, None, aspect_ratios(rows))
    seconds = time.process_time() - start
    alone = pairs_among(model, rows, thumbs, aspect_ratios(rows), hashes)
    known = set(zip(alone["method"], alone["image_a"], alone["image_b"], strict=True))
    found = [alone.assign(change="none", planted=False, known=False)]
    a_round = len(rows) // sample
    for start in range(0, len(CHANGES), a_round):
        changes = list(CHANGES)[start : start + a_round]
        places = rng.permutation(len(rows))[: len(changes) * sample]
        kinds = np.repeat(changes, sample)
        origins = np.r_[np.arange(len(rows)), places]
        pairs = pairs_among(model, rows.iloc[origins], *planted(rows, thumbs, hashes, places, kinds, rng))
        ends = np.sort(origins[pairs[["image_a", "image_b"]]], axis=1)
        about = {
            "change": np.r_[np.repeat("", len(rows)), kinds][pairs["image_b"]],  # what is planted lies behind
            "planted": ends[:, 0] == ends[:, 1],
            "known": [(way, *pair) in known for way, pair in zip(pairs["method"], ends.tolist(), strict=True)],
        }
        found.append(pairs.assign(**about))
        print(f"{', '.join(changes)}: {len(pairs)} pairs", flush=True)
    return pd.concat(found, ignore_index=True), seconds


def pairs_among(model, rows: pd.DataFrame, thumbs: np.ndarray, ratios: np.ndarray, hashes: list) -> pd.DataFrame:
    """The pairs that the library finds, and beside them those of imagehash."""
    embeddings = None if model is None else embed(model, rows, SMALL, thumbs, keep=False)
    tables = [find_near_duplicates(thumbs, embeddings, ratios)]
    packed = np.packbits(np.array(hashes), axis=1).view(np.uint64)[:, 0]
    first, second = np.nonzero(np.triu(np.bitwise_count(packed[:, None] ^ packed) <= MAX_BITS, 1))
    tables.append(pd.DataFrame({"image_a": first, "image_b": second, "method": "phash"}))
    return pd.concat(tables, ignore_index=True)


def hash_of(image: Image.Image) -> np.ndarray:
    return imagehash.phash(image.convert("RGB")).hash.ravel()


def planted(rows, thumbs, hashes, places: np.ndarray, kinds: np.ndarray, rng) -> tuple:
    """The thumbs, aspect ratios and hashes of a set with those of changed copies behind, of what lies in places."""
    with tempfile.TemporaryDirectory() as folder:
        at, files, ratios = [], [], np.r_[aspect_ratios(rows), np.ones(len(places))]
        hashes = [*hashes, *[None] * len(places)]
        for number, (place, kind) in enumerate(zip(places, kinds, strict=True), start=len(thumbs)):
            changed = CHANGES[kind](open_rgb(rows["path"].iloc[place]).convert("RGB"), rng)
            both = {place: changed[0], number: changed[1]} if isinstance(changed, tuple) else {number: changed}
            for position, image in both.items():
                at.append(position)
                files.append(f"{folder}/{position}.jpg")
                image.save(files[-1], quality=90)
                ratios[position], hashes[position] = image.width / image.height, hash_of(Image.open(files[-1]))
        scene = np.concatenate([thumbs, np.empty((len(places), *thumbs.shape[1:]), np.uint8)])
        scene[at], reasons = read_pixels(files, SMALL)
    assert not reasons, reasons
    return scene, ratios, hashes


def counted(pairs: pd.DataFrame, sample: int) -> list[dict]:
    """One row a change and way."""
    table = []
    others = pairs[~pairs["planted"] & ~pairs["known"]]
    for change in ("none", "all", *CHANGES):
        for way, ways in WAYS.items():
            if way == "with embeddings" and "embedding" not in set(pairs["method"]):
                continue
            mine, unplanted = (
                part[part["method"].isin(ways) & among(part["change"], change)] for part in (pairs, others)
            )
            n = 0 if change == "none" else sample * (len(CHANGES) if change == "all" else 1)
            found = int(mine["planted"].sum())
            table.append(
                {"change": change, "ways": way, "planted": n, "found": found}
                | proportion("recall", found, n)
                | {"others": len(unplanted)}
                | proportion("precision", found, found + len(unplanted) if n else 0)
            )
    return table


def distinct(rim: str, paths: pd.Series) -> dict:
    """The false pairs among distinct images that all have one kind of rim."""
    rng, (ratio, add_rim) = np.random.default_rng(0), RIMS[rim]
    without, with_rim = [], []
    for path in paths:
        photograph = open_rgb(path).convert("RGB")
        photograph.thumbnail((480, 480))
        without.append(cut_to(photograph, ratio))
        with_rim.append(add_rim(without[-1], rng))
    before, after = (pairs_of_images(images) for images in (without, with_rim))
    return {
        "change": f"distinct, {rim}",
        "ways": "hash and colors",
        "images": len(paths),
        "others": len(after - before),
    }


def pairs_of_images(images: list[Image.Image]) -> set[tuple[int, int]]:
    with tempfile.TemporaryDirectory() as folder:
        files = [f"{folder}/{number}.jpg" for number in range(len(images))]
        for image, file in zip(images, files, strict=True):
            image.save(file, quality=90)
        thumbs, _ = read_pixels(files, SMALL)
    pairs = find_near_duplicates(thumbs, None, np.array([image.width / image.height for image in images]))
    return set(zip(pairs["image_a"], pairs["image_b"], strict=True))


def cameras(paths: pd.Series) -> dict:
    """Still cameras, two days each of 16 frames by day and 4 by night: their groups, and pairs of copies."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        for camera, path in enumerate(paths[:CAMERAS]):
            scene = np.asarray(open_rgb(path).convert("RGB").resize((640, 480)), float)
            for frame in range(FRAMES):
                light, is_night = rng.uniform(0.8, 1.1), frame % 20 >= 16
                pixels = (scene.mean(axis=2, keepdims=True) * 0.3 if is_night else scene) * light
                pixels = (pixels + rng.normal(0, 4, scene.shape)).clip(0, 255).astype(np.uint8)
                file = Path(folder, "empty", f"cam{camera}", f"IMG_{frame:04d}.jpg")
                file.parent.mkdir(parents=True, exist_ok=True)
                exif = Image.Exif()
                exif.get_ifd(0x8769)[0x9003] = f"2024:05:{1 + frame // 20:02d} {frame % 20 + 4:02d}:{frame:02d}:00"
                Image.fromarray(pixels).convert("RGB").save(file, quality=90, exif=exif)
        catalog = mcv.read_catalog(replace(manifest_of_folder(Path(folder)), class_level="first"))
        pairs = find_pairs(catalog)
        groups = group_catalog(catalog.assign(group=""), pairs)["group"]
    sizes, copies = groups.value_counts(), pairs["kind"].isin([COPY, NEAR_COPY]).sum()
    days = int((sizes == FRAMES // 2).sum())
    row = {"change": "still cameras", "ways": "hash and colors", "images": len(catalog), "others": int(copies)}
    return row | {"planted": 2 * CAMERAS, "found": days}


def among(changes: pd.Series, change: str) -> pd.Series:
    return changes != "none" if change == "all" else changes == change


def proportion(name: str, k: int, n: int) -> dict:
    """k of n with its interval; blank where n is none."""
    values = (k / n, *wilson(k, n)) if n else (np.nan,) * 3
    return {f"{name}{end}": round(value, 3) for end, value in zip(("", "_low", "_high"), values, strict=True)}


def angle(rng: np.random.Generator) -> float:
    """Degrees between 2 and 15, to either side."""
    return float(rng.uniform(2, 15) * rng.choice([-1, 1]))


def turned_reflected(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Turn an image whose corners are filled by reflection."""
    w, h = image.size
    wider = np.pad(np.asarray(image), ((h // 2, h // 2), (w // 2, w // 2), (0, 0)), mode="reflect")
    turned = Image.fromarray(wider).rotate(angle(rng), Image.Resampling.BICUBIC)
    return turned.crop((w // 2, h // 2, w // 2 + w, h // 2 + h))


def turned_cropped(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Turn an image and cut out the largest part of its form that has no corner of it."""
    degrees, (w, h) = angle(rng), image.size
    cos, sin = np.cos(np.deg2rad(abs(degrees))), np.sin(np.deg2rad(abs(degrees)))
    left, top = (side * (1 - 1 / (cos + max(w / h, h / w) * sin)) / 2 for side in (w, h))
    turned = image.rotate(degrees, Image.Resampling.BICUBIC)
    return turned.crop((round(left), round(top), round(w - left), round(h - top)))


def drawn_color(rng: np.random.Generator) -> tuple[int, ...]:
    return tuple(rng.integers(0, 256, 3).tolist())


def watermarked(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Write across an image, half transparent."""
    layer, (w, h) = Image.new("RGBA", image.size), image.size
    at = (w * rng.uniform(0.05, 0.3), h * rng.uniform(0.2, 0.7))
    ImageDraw.Draw(layer).text(at, "(c) stock photo", (255, 255, 255, 110), ImageFont.load_default(0.09 * w))
    return Image.alpha_composite(image.convert("RGBA"), layer).convert("RGB")


def barred(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Add the bar of a camera trap, above or below: camera, date, time and temperature."""
    w, h = image.size
    height, is_above = max(12, round(0.07 * h)), bool(rng.integers(2))
    ground, ink = [("black", "white"), ("black", "gold"), ("gainsboro", "black")][rng.integers(3)]
    result = Image.new("RGB", (w, h + height), ground)
    result.paste(image, (0, height if is_above else 0))
    camera, month, day, hour, minute, degrees = rng.integers((1, 1, 1, 0, 0, -5), (99, 13, 29, 24, 60, 30))
    text = f"CAM{camera:02d}   2023-{month:02d}-{day:02d}  {hour:02d}:{minute:02d}   {degrees}C"
    at = (0.02 * w, (0 if is_above else h) + 0.12 * height)
    ImageDraw.Draw(result).text(at, text, ink, ImageFont.load_default(0.62 * height))
    return result


def padded(image: Image.Image, color: str) -> Image.Image:
    """Put an image into the middle of a square."""
    result = Image.new("RGB", [max(image.size)] * 2, color)
    result.paste(image, tuple((max(image.size) - side) // 2 for side in image.size))
    return result


def cut_to(image: Image.Image, ratio: float) -> Image.Image:
    """Cut the middle of an image out, of a width to height."""
    w, h = image.size
    return ImageOps.fit(image, (round(min(w, h * ratio)), round(min(h, w / ratio))))


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
