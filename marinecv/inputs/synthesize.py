"""The report's synthetic images: erase the dominant class, so that the second class becomes the label."""

from math import ceil, floor
from pathlib import Path

import pandas as pd
from PIL import Image, ImageChops, ImageDraw, ImageOps, ImageStat

from marinecv.data.boxes import as_boxes
from marinecv.data.labels import ranked_classes
from marinecv.data.user_tables import usable
from marinecv.inputs.to_rgb import open_rgb

PREFIX = "synthetic"
EXCLUDED_CLASS = "fish"  # the report excludes this class as a second one: there are enough of it
THUMBNAIL_PX, COLUMNS = 200, 8  # of the contact sheet


def candidates(catalog: pd.DataFrame, boxes: pd.DataFrame) -> pd.DataFrame:
    """Find the train images with two or more classes, the second other than fish.

    Returns `image_id`, `dominant`, `class_name` (the second), `num_classes`, `score` (of the second, as of
    `dominant_class`), and `dominance`: its fraction in the scores without the dominant class, 0 to 1.
    """
    train, boxes = _train(catalog)["image_id"], as_boxes(boxes)
    ranked = ranked_classes(boxes[boxes["image_id"].isin(train)])
    rows = []
    for image_id, classes in ranked.groupby("image_id", sort=True):
        if len(classes) > 1 and (second := classes.iloc[1])["class_name"] != EXCLUDED_CLASS:
            dominance = second["score"] / classes["score"].iloc[1:].sum()
            rows.append((image_id, *classes["class_name"].iloc[:2], dominance, len(classes), second["score"]))
    return pd.DataFrame(rows, columns=["image_id", "dominant", "class_name", "dominance", "num_classes", "score"])


def synthesize(catalog: pd.DataFrame, boxes: pd.DataFrame, folder: str | Path, limit: int = True) -> pd.DataFrame:
    """Write a synthetic image for each of the `candidates` into a folder of the run, and return their catalog rows.

    At most `limit` of them, those with the largest `score`; True takes all. The boxes of the dominant class are filled
    with the median color outside all boxes, except where a box of the second class overlaps. `image_id` is "synthetic/"
    before the original's; split, group and your own columns are its too.
    """
    folder = Path(folder)
    chosen = candidates(catalog, boxes).sort_values("score", ascending=False, kind="stable")
    chosen = chosen[: None if limit is True else limit].sort_index()
    boxes, originals = as_boxes(boxes), _train(catalog).drop_duplicates("image_id").set_index("image_id")
    originals = originals.loc[chosen["image_id"]]
    if inside := [path for path in originals["path"] if Path(path).resolve().is_relative_to(folder.resolve())]:
        raise ValueError(
            f"{len(inside)} originals lie in {folder}; the first is {inside[0]}. Synthetic images are never written "
            "beside originals. Name another folder."
        )
    usable_boxes, rows = usable(boxes), []
    for row, original in zip(chosen.itertuples(), originals.to_dict("records"), strict=True):
        of_image = usable_boxes[usable_boxes["image_id"] == row.image_id]
        erased = erase(open_rgb(original["path"]), of_image, row.dominant, row.class_name)
        name = row.image_id if row.image_id.lower().endswith((".jpg", ".jpeg")) else f"{row.image_id}.jpg"
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        erased.save(path, "JPEG", quality=95)
        new = {"image_id": f"{PREFIX}/{name}", "path": str(path.absolute()), "class_name": row.class_name}
        rows.append(original | new | {"width": erased.width, "height": erased.height, "dominance": row.dominance})
    return pd.DataFrame(rows, columns=catalog.columns)


def _train(catalog: pd.DataFrame) -> pd.DataFrame:
    return usable(catalog, ("image_id",)).query("split == 'train'")


def erase(image: Image.Image, boxes: pd.DataFrame, dominant: str, keep: str) -> Image.Image:
    """Return a copy in which the boxes of a class have the background color, except where boxes of class `keep` lie.

    Corners are in pixels of this RGB image. If boxes cover all of it, the background is the median of all of it.
    """
    outside = ImageChops.invert(box_mask(boxes, image.size))
    background = tuple(ImageStat.Stat(image, outside if outside.getbbox() else None).median)
    erased_mask = box_mask(boxes[boxes["class_name"] == dominant], image.size)
    erased_mask = ImageChops.subtract(erased_mask, box_mask(boxes[boxes["class_name"] == keep], image.size))
    return Image.composite(Image.new("RGB", image.size, background), image, erased_mask)


def box_mask(boxes: pd.DataFrame, size: tuple[int, int]) -> Image.Image:
    """Return a mask (mode L, 255 where a box touches the pixel) of the size (width, height)."""
    mask = Image.new("L", size)
    for box in boxes.itertuples():
        mask.paste(255, (floor(box.xmin), floor(box.ymin), ceil(box.xmax), ceil(box.ymax)))
    return mask


def contact_sheet(synthetic: pd.DataFrame) -> Image.Image:
    """Draw thumbnails of the images that `synthesize` returned, one or more, each with its label: RGB."""
    rows, cell = -(-len(synthetic) // COLUMNS), (THUMBNAIL_PX, THUMBNAIL_PX + 16)
    sheet = Image.new("RGB", (min(COLUMNS, len(synthetic)) * cell[0], rows * cell[1]), "white")
    pen = ImageDraw.Draw(sheet)
    for number, row in enumerate(synthetic.itertuples()):
        left, top = number % COLUMNS * cell[0], number // COLUMNS * cell[1]
        picture = ImageOps.contain(open_rgb(row.path), (THUMBNAIL_PX - 6, THUMBNAIL_PX - 6))
        sheet.paste(picture, (left + (cell[0] - picture.width) // 2, top + 3))
        pen.text((left + 6, top + THUMBNAIL_PX), f"{row.class_name} ({row.dominance:.2f})", fill="black")
    return sheet
