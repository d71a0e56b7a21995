"""The catalog: one row an image, with its split, class, size, and the reason why it cannot be used, if any."""

import numpy as np
import pandas as pd

from marinecv.choices import IMAGES_WITHOUT_BOXES
from marinecv.console import Log
from marinecv.data.boxes import boxes_of, clean_boxes, describe_bad_rows
from marinecv.data.labels import dominant_class
from marinecv.data.manifests import Manifest
from marinecv.data.names import EMPTY_CLASS
from marinecv.data.photos import by_photo
from marinecv.data.places import with_places
from marinecv.data.readers import reader_of
from marinecv.data.splits.partition import allocate
from marinecv.data.splits.split_catalog import sort_by_split
from marinecv.data.user_tables import PLACE_COLUMNS, as_catalog, is_usable, usable
from marinecv.schema import check_choice, check_integer

CATALOG_COLUMNS = ["image_id", "path", "split", "class_name", "group", "width", "height", "dominance", "problem"]


def read_layout(manifest: Manifest) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the images of a data set of any layout, as `with_places` does, and its boxes as the reader does."""
    if not isinstance(manifest, Manifest) or manifest.root is None:
        received = getattr(manifest, "name", manifest)
        raise ValueError(f"Expected the manifest of located files that find_data(...) returns. Received: {received!r}.")
    reader = reader_of(manifest.layout)
    if manifest.columns and not reader.takes_columns:
        raise ValueError(
            f"columns={manifest.columns} name columns of a table, but {manifest.root} is read as {reader.holds}. Name "
            "them in find_data(data_dir=..., columns=...), or leave them out."
        )
    images, boxes = reader.read(manifest)
    return with_places(images), boxes


def read_images_and_boxes(manifest: Manifest, flat_boxes: str = "keep") -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the images as `read_layout` does, and the boxes as `read_boxes` does."""
    images, boxes = read_layout(manifest)
    boxes = clean_boxes(boxes, images, flat_boxes)
    images, boxes = merge_spellings(images, boxes, manifest.class_names, manifest.merge_case)
    known = boxes[boxes["class_name"] != ""]
    _refuse_unknown(known, known["source"], manifest.class_names, manifest)
    return images, boxes


def read_boxes(
    manifest: Manifest | pd.DataFrame, flat_boxes: str = "keep", sizes: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Return the boxes of a data set or a DataFrame, checked and clipped; an empty table where the layout has none.

        >>> import marinecv as mcv
        >>> mcv.read_boxes(mcv.demo_images()).columns[:6].tolist()
        ['image_id', 'class_name', 'xmin', 'ymin', 'xmax', 'ymax']

    Args:
        manifest: of located files; or a DataFrame, one row a box: `image_id` of the catalog, `class_name` and corners.
        flat_boxes: "keep" boxes without area as unusable rows, or raise an "error".
        sizes: the catalog of a DataFrame's images, to clip boxes; else its own columns `width` and `height`, if any.
    Returns:
        DataFrame with `BOX_COLUMNS`, `clipped` and a DataFrame's other columns; corners float64, in pixels as
        displayed. A row that cannot be used has its reason in `problem`.
    Raises:
        ValueError: the files cannot be read, a column is missing, class names differ only in case, the manifest does
            not name a class, or no box is of an image of the catalog.
    """
    if isinstance(manifest, pd.DataFrame):
        return boxes_of(manifest, sizes, flat_boxes)
    return read_images_and_boxes(manifest, flat_boxes)[1]


def read_catalog(
    manifest: Manifest,
    label_rule: str = "dominant",
    images_without_boxes: str = "skip",
    flat_boxes: str = "keep",
    log: Log | None = None,
) -> pd.DataFrame:
    """Return every image of a data set as a row, sorted by split and image id.

        >>> import marinecv as mcv
        >>> mcv.read_catalog(mcv.demo_images())["split"].unique().tolist()
        ['train', 'validation', 'test']

    Args:
        manifest: of located files.
        label_rule: how boxes become one class, see `dominant_class`.
        images_without_boxes: images without a box have the problem "no box" ("skip") or the class "empty" ("empty"). An
            image whose boxes are all unusable is never of class "empty".
        flat_boxes: "keep" boxes without area as unusable rows, or raise an "error".
        log: called with a sentence where annotation rows cannot be read.
    Returns:
        DataFrame with `CATALOG_COLUMNS` and `PLACE_COLUMNS`, see `with_places`; `dominance` is the fraction of the
        image's scores that its class has, 0 to 1 (1.0 where no boxes decide), `problem` is "" for a usable image.
    Raises:
        ValueError: as `read_boxes`.
    """
    return read_catalog_and_boxes(manifest, label_rule, images_without_boxes, flat_boxes, log)[0]


def read_catalog_and_boxes(
    manifest: Manifest,
    label_rule: str = "dominant",
    images_without_boxes: str = "skip",
    flat_boxes: str = "keep",
    log: Log | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return what `read_catalog` and `read_boxes` do, with one reading of the files."""
    check_choice(IMAGES_WITHOUT_BOXES, images_without_boxes=images_without_boxes)
    images, boxes = read_images_and_boxes(manifest, flat_boxes)
    if log and (sentence := describe_bad_rows(boxes)):
        log(sentence)
    catalog = images.assign(dominance=1.0)
    if reader_of(source_layout(manifest)).class_from_boxes:
        catalog = _label_images(catalog, boxes, label_rule, images_without_boxes)
        catalog, _ = merge_spellings(catalog, boxes.iloc[:0], manifest.class_names, manifest.merge_case)
    return sort_by_split(catalog[CATALOG_COLUMNS + PLACE_COLUMNS]), boxes


def class_names_of(catalog: pd.DataFrame, manifest: Manifest | None = None) -> tuple[str, ...]:
    """Return the class names in order: the manifest's (and "empty" if used), else those of any split.

        >>> import marinecv as mcv
        >>> mcv.class_names_of(mcv.read_catalog(mcv.demo_images()))[:3]
        ('fish', 'jellyfish', 'penguin')

    Without a manifest's they are sorted by name, of the layout `cub` (and a pack of it) by number. Raises ValueError
    where the catalog has a class that the manifest does not name.
    """
    usable_rows = usable(catalog)
    present = {*usable_rows["class_name"].unique()} - {""}
    if manifest is None or not manifest.class_names:
        order = reader_of(manifest.layout).class_order(manifest) if manifest else []
        return tuple(name for name in order or sorted(present) if name in present)
    names = manifest.class_names + ((EMPTY_CLASS,) if EMPTY_CLASS in present - set(manifest.class_names) else ())
    _refuse_unknown(usable_rows, usable_rows["image_id"], names, manifest)
    return names


def source_layout(manifest: Manifest) -> str:
    """Return the layout of a data set; of a pack, that of the files it was made of."""
    return reader_of(manifest.layout).source(manifest.root) or manifest.layout


def merge_spellings(
    images: pd.DataFrame, boxes: pd.DataFrame, class_names: tuple[str, ...], merge_case: bool
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return both tables with one spelling of classes that differ only in case: of `class_names`, else of most images.

    Raises ValueError for such names without `merge_case`.
    """
    labels = pd.concat([table[["image_id", "class_name"]] for table in (images, boxes)]).drop_duplicates()["class_name"]
    counts = dict.fromkeys(class_names, 0) | labels[labels != ""].value_counts().to_dict()
    spellings: dict[str, list[str]] = {}
    for name in sorted(counts, key=lambda name: (name not in class_names, -counts[name], name)):
        spellings.setdefault(name.casefold(), []).append(name)
    others = {other: first for first, *variants in spellings.values() for other in variants}
    if others and not merge_case:
        pairs = [f'"{name}" ({counts[name]} images) and "{other}" ({counts[other]})' for other, name in others.items()]
        raise ValueError(
            f"Class names differ only in case: {', '.join(pairs[:5])}. Expected one spelling of each class. Correct "
            "the labels, or take each pair as one class with merge_case=True."
        )
    return tuple(table.assign(class_name=table["class_name"].replace(others)) for table in (images, boxes))


def check_trainable(catalog: pd.DataFrame) -> None:
    """Raise ValueError where nothing can be trained: no usable train image, or one class only."""
    train = usable(catalog).query("split == 'train'")
    if train.empty:
        counts, bad, reason = usable(catalog)["split"].value_counts().to_dict(), catalog[~is_usable(catalog)], ""
        if len(bad):
            first = bad.iloc[0]
            reason = f" {len(bad)} images have a problem, the first: {first['problem']} ({first['image_id']})."
        hint = 'Expected images in train/. Check the folder, or name another split, such as split_by="grouped".'
        raise ValueError(
            f"The train split has no usable image; usable images by split: {counts or 'none'}."
            f"{reason} {hint if counts else '`marinecv audit` shows the reasons.'}"
        )
    if train["class_name"].nunique() == 1:
        name = train["class_name"].iloc[0]
        hint = "Check the labels and the folder of images." if name else "Call the column of classes class_name."
        if usable(catalog)["class_name"].nunique() > 1:
            hint = 'The split has the others in validation and test alone. Name another, such as split_by="stratified".'
        raise ValueError(
            f'All {len(train)} images to train on are of one class, "{name}". Expected at least two classes. {hint}'
        )


@by_photo
def limit_catalog(catalog: pd.DataFrame, limit: int, seed: int) -> pd.DataFrame:
    """Return at most `limit` usable images a split, drawn by `seed`, each class in its proportion and at least one.

    With more classes than `limit`, those with the most images are kept, the same in every split.
    """
    check_integer(limit, "limit", 1)
    catalog = as_catalog(catalog).reset_index(drop=True)
    rng, indices, usable_rows = np.random.default_rng(seed), [], usable(catalog)
    classes = usable_rows["class_name"].value_counts()  # of equals that of the name that sorts first goes first
    kept = classes.sort_index().sort_values(ascending=False, kind="stable").index[:limit]
    for _, split in usable_rows[usable_rows["class_name"].isin(kept)].groupby("split"):
        by_class = [rows.index for _, rows in split.groupby("class_name")]
        counts = allocate(min(limit, len(split)), [len(rows) for rows in by_class])
        indices += [rng.permutation(rows)[:share] for rows, share in zip(by_class, counts, strict=True)]
    return catalog.loc[np.sort(np.concatenate([*indices, []])).astype(int)].reset_index(drop=True)


def _label_images(catalog: pd.DataFrame, boxes: pd.DataFrame, rule: str, images_without_boxes: str) -> pd.DataFrame:
    """Give each image the class that the reader stated of the whole image, else that of its boxes."""
    labels = dominant_class(boxes, rule).set_index("image_id").reindex(catalog["image_id"]).set_axis(catalog.index)
    stated = catalog["class_name"] != ""
    boxed = catalog["image_id"].isin(boxes["image_id"])
    unlabeled = labels["class_name"].isna() & is_usable(catalog) & ~stated
    catalog = catalog.assign(
        class_name=catalog["class_name"].where(stated, labels["class_name"].fillna("")),
        dominance=catalog["dominance"].where(stated, labels["dominance"]),
    )
    first_box = boxes.drop_duplicates("image_id").set_index("image_id")[["problem", "source"]].astype(str)
    reasons = catalog["image_id"].map("no usable box: " + first_box["problem"] + " (" + first_box["source"] + ")")
    catalog["problem"] = catalog["problem"].mask(unlabeled & boxed, reasons)
    empty = unlabeled & ~boxed
    if images_without_boxes == "skip":
        return catalog.assign(problem=catalog["problem"].mask(empty, "no box"))
    class_names, dominance = catalog["class_name"].mask(empty, EMPTY_CLASS), catalog["dominance"].mask(empty, 1.0)
    return catalog.assign(class_name=class_names, dominance=dominance)


def _refuse_unknown(rows: pd.DataFrame, where: pd.Series, names: tuple[str, ...], manifest: Manifest) -> None:
    unknown = ~rows["class_name"].isin(names)
    if names and unknown.any():
        raise ValueError(
            f'{unknown.sum()} of {len(rows)} rows are of a class that the manifest "{manifest.name}" does not name; '
            f'the first is {where[unknown].iloc[0]}, "{rows["class_name"][unknown].iloc[0]}". Expected one of '
            f"{', '.join(names)}. Fix the labels, or the manifest's class_names."
        )
