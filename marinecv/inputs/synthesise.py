"""The report's synthetic images: erase the dominant animals, and the class that came second becomes the label."""

from math import ceil, floor
from pathlib import Path

import pandas as pd
from PIL import Image, ImageChops, ImageDraw, ImageOps, ImageStat

from marinecv.data.boxes import as_boxes
from marinecv.data.labels import ranked_classes
from marinecv.data.user_tables import usable
from marinecv.inputs.rgb import open_rgb

PREFIX = "synthetic"
THUMBNAIL_PX = 200


def candidates(catalog: pd.DataFrame, boxes: pd.DataFrame, exclude: tuple[str, ...] = ("fish",)) -> pd.DataFrame:
    """Find the train images that can give a synthetic one: two or more classes, the second not excluded.

    The report leaves out fish, of which there are enough. Returns `image_id`, `dominant`, `class_name` (the second),
    `share` (the second's part of the scores once the dominant class is gone, 0 to 1), `num_classes`.
    """
    train, boxes = _train(catalog)["image_id"], as_boxes(boxes)
    ranked = ranked_classes(boxes[boxes["image_id"].isin(train)])
    rows = []
    for image_id, classes in ranked.groupby("image_id", sort=True):
        if len(classes) > 1 and (second := classes.iloc[1])["class_name"] not in exclude:
            share = second["score"] / classes["score"].iloc[1:].sum()
            rows.append((image_id, classes["class_name"].iloc[0], second["class_name"], share, len(classes)))
    return pd.DataFrame(rows, columns=["image_id", "dominant", "class_name", "share", "num_classes"])


def synthesise(
    catalog: pd.DataFrame, boxes: pd.DataFrame, folder: str | Path, exclude: tuple[str, ...] = ("fish",)
) -> pd.DataFrame:
    """Write a synthetic image for each of the `candidates` into the run's own folder, and return their catalog rows.

    The dominant class's boxes are filled with the median colour outside all boxes; where a box of the second class
    overlaps, its pixels stay. Classes to `exclude` do not become labels. `image_id` is "synthetic/" before the
    original's; split, group and columns of your own are the original's too.
    """
    folder = Path(folder)
    chosen = candidates(catalog, boxes, exclude)
    boxes, originals = as_boxes(boxes), _train(catalog).drop_duplicates("image_id").set_index("image_id")
    originals = originals.loc[chosen["image_id"]]
    inside = [path for path in originals["path"] if Path(path).resolve().is_relative_to(folder.resolve())]
    if inside:
        raise ValueError(
            f"{len(inside)} originals lie in {folder}; the first is {inside[0]}. Expected a folder of the run's own: "
            "synthetic images are never written beside originals. Name another folder."
        )
    good = usable(boxes)
    rows = []
    for row, original in zip(chosen.itertuples(), originals.to_dict("records"), strict=True):
        of_image = good[good["image_id"] == row.image_id]
        erased = erase(open_rgb(original["path"]), of_image, row.dominant, row.class_name)
        name = row.image_id if row.image_id.lower().endswith((".jpg", ".jpeg")) else f"{row.image_id}.jpg"
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        erased.save(path, "JPEG", quality=95)
        new = {"image_id": f"{PREFIX}/{name}", "path": str(path.absolute()), "class_name": row.class_name}
        size = {"width": erased.width, "height": erased.height, "share": row.share}
        rows.append(original | new | size)
    return pd.DataFrame(rows, columns=catalog.columns)


def _train(catalog: pd.DataFrame) -> pd.DataFrame:
    return usable(catalog, ("image_id",)).query("split == 'train'")


def erase(image: Image.Image, boxes: pd.DataFrame, dominant: str, keep: str) -> Image.Image:
    """Fill the boxes of one class with the background colour, except where boxes of another lie, which `keep` names.

    Corners are in pixels of this RGB image, which stays as it is. If boxes cover all of it, all of it is background.
    """
    outside = ImageChops.invert(covered(boxes, image.size))
    background = tuple(ImageStat.Stat(image, outside if outside.getbbox() else None).median)
    gone = covered(boxes[boxes["class_name"] == dominant], image.size)
    gone = ImageChops.subtract(gone, covered(boxes[boxes["class_name"] == keep], image.size))
    return Image.composite(Image.new("RGB", image.size, background), image, gone)


def covered(boxes: pd.DataFrame, size: tuple[int, int]) -> Image.Image:
    """Return a mask (mode L, 255 where some box touches the pixel) of the size (width, height)."""
    mask = Image.new("L", size)
    for box in boxes.itertuples():
        mask.paste(255, (floor(box.xmin), floor(box.ymin), ceil(box.xmax), ceil(box.ymax)))
    return mask


def contact_sheet(synthetic: pd.DataFrame, columns: int = 8) -> Image.Image:
    """Draw all images that `synthesise` returned small, so many in a row, each with its label: RGB, to save as PNG.

    Raises ValueError where there is none.
    """
    if synthetic.empty:
        raise ValueError(
            "There is no synthetic image to draw. Expected train images with boxes of two or more classes, the second "
            "not excluded. Leave synthetic images out for this data set."
        )
    rows, cell = -(-len(synthetic) // columns), (THUMBNAIL_PX, THUMBNAIL_PX + 16)
    sheet = Image.new("RGB", (min(columns, len(synthetic)) * cell[0], rows * cell[1]), "white")
    pen = ImageDraw.Draw(sheet)
    for number, row in enumerate(synthetic.itertuples()):
        left, top = number % columns * cell[0], number // columns * cell[1]
        picture = ImageOps.contain(open_rgb(row.path), (THUMBNAIL_PX - 6, THUMBNAIL_PX - 6))
        sheet.paste(picture, (left + (cell[0] - picture.width) // 2, top + 3))
        pen.text((left + 6, top + THUMBNAIL_PX), f"{row.class_name} ({row.share:.2f})", fill="black")
    return sheet
