"""The images of a run where they lie now, with their boxes; and images from elsewhere for the same model."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from marinecv.audit.pairs import find_pairs
from marinecv.console import Log, silent
from marinecv.data.accounting import reading_lines
from marinecv.data.catalog import read_catalog_and_boxes, read_images_and_boxes
from marinecv.data.find_data import find_data
from marinecv.data.groups import first_level
from marinecv.data.manifests import Manifest
from marinecv.data.photos import crop_paths, is_of_crops, photos_of
from marinecv.data.splits.split_catalog import is_grouped, split_catalog
from marinecv.data.stamps import IMAGES, compare_images, stamp_images
from marinecv.data.user_tables import is_usable, usable
from marinecv.experiments import Experiment
from marinecv.files.csv_tables import read_table, write_table
from marinecv.inputs.pixel_cache import load_pixels
from marinecv.inputs.spec import ImageSpec
from marinecv.inputs.streamed_pixels import Stream
from marinecv.review.folder import ANSWERS
from marinecv.runs import ACCEPTED, CORRECTIONS, RESUMED, Run
from marinecv.search.folder import Search
from marinecv.training.recipe import DataConfig
from marinecv.workflows.crops import cropped
from marinecv.workflows.prepare import limit_images
from marinecv.workflows.sources import CATALOG, Data, Source, names_data_set, source_of

NAMED = 5  # images of each kind of change
FIX = "Bring back those of the training, or train again"
ACCEPT = "; accept_changes=True takes them as they are and records it"


def chosen_images(catalog: pd.DataFrame, splits: Iterable[str], limit: int | None, seed: int, log: Log) -> pd.DataFrame:
    """Return the images of some splits, at most `limit` of each; ValueError where one has no usable image."""
    if limit:
        catalog = limit_images(catalog, limit, seed, log)
    for split in splits:
        if split not in set(usable(catalog)["split"]):
            raise ValueError(f"The split {split} has no usable image. Expected one of {sorted(set(catalog['split']))}.")
    return catalog[catalog["split"].isin(splits)]


def readable_images(catalog: pd.DataFrame, spec: ImageSpec, log: Log) -> tuple[np.ndarray | Stream, pd.DataFrame]:
    """Return pixels and catalog of `load_pixels`; log unreadable images, raise ValueError where all are unreadable."""
    pixels, catalog = load_pixels(catalog, spec, log=log)
    bad = catalog[~is_usable(catalog)]
    if len(bad):
        first = bad.iloc[0]
        log(f"{len(bad)} of {len(catalog)} images left out; the first, {first['image_id']}: {first['problem']}")
    if len(bad) == len(catalog):
        raise ValueError("None of these images can be read. If they have moved, name their folder with data=.")
    return pixels, catalog


def moved_images(run: Run, data: Data, log: Log) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """Return the usable images of a run with their paths in other data, and its boxes; ValueError without any."""
    source = source_of(data, DataConfig.of(run), log)
    images, boxes = (source.catalog, None) if source.catalog is not None else read_images_and_boxes(source.manifest)
    paths, catalog = images.set_index("image_id")["path"], usable(run.catalog)
    photo = "photo" if is_of_crops(catalog) else "image_id"
    catalog = catalog[catalog[photo].isin(paths.index)]
    if catalog.empty:
        place = source.manifest.root or "this catalog"
        raise ValueError(f"None of the images of {run.folder} lies in {place}. Expected those that it was trained on.")
    path = catalog[photo].map(paths)
    if is_of_crops(catalog):
        path = crop_paths(path, catalog["box"])
    return catalog.assign(path=path), boxes


def check_images(
    run: Run, use: str, rows: pd.DataFrame, log: Log, *, accept: bool | None = False, moved: pd.DataFrame | None = None
) -> int:
    """Log how the images of a run, perhaps `moved`, and their labels differ from those of its training.

    Returns how many images of `rows` have changed; where any has, `accept` records the `use`, else ValueError, which
    recommends it unless it is None.
    """
    changed, missing = compare_images(run.stamps, run.catalog, moved)
    relabeled, new = changes_of_data(run, log) if moved is None else ([], [])
    kinds = {"with other bytes": changed, "without a file": missing, "that are new": new}
    kinds["with another label, in place of which that of catalog.csv is taken"] = relabeled
    named = {kind: ", ".join(ids[:NAMED]) + " and others" * (len(ids) > NAMED) for kind, ids in kinds.items()}
    counts = "; ".join(f"{len(ids)} {kind} ({named[kind]})" for kind, ids in kinds.items() if ids)
    sentence, used = f"Images have changed since the training: {counts}", {*photos_of(rows)["image_id"]} & {*changed}
    if used and not accept:
        fix = FIX if accept is None else FIX + ACCEPT
        raise ValueError(f"{sentence}. The {use} would take {len(used)} of them for the same. {fix}.")
    if used:
        run.note(f"{ACCEPTED}{len(used)} in the {use}. {sentence}.")
    if counts:
        log(f"WARNING: {sentence}.")
    return len(used)


def check_unfinished(work: Run | Experiment | Search, log: Log, accept: bool) -> None:
    """Check the images of all runs of a folder that are not finished, as `check_images` does."""
    cells = [work.cell_folder(cell) for cell in work.cells] if isinstance(work, Experiment) else [work.folder]
    if isinstance(work, Search):  # trials and winner start from its base
        cells = [work.folder / ("best" if (work.folder / "best" / "metrics.json").is_file() else "base")]
    for number, run in enumerate(run for run in map(Run, cells) if not run.finished):
        moved = run.catalog if number else None  # the labels are read once
        if check_images(run, RESUMED, run.catalog, log, accept=accept, moved=moved):
            write_table(run.path(IMAGES), stamp_images(run.catalog))


def changes_of_data(run: Run, log: Log) -> tuple[list[str], list[str]]:
    """Return the ids of a run's images that its data label otherwise now, and of the images that are new in there."""
    known = run.catalog
    try:
        choice = DataConfig.of(run)
        has_own_labels = run.is_external or choice.name == CATALOG or choice.pseudo_labels  # of no file
        if has_own_labels or (manifest := data_of(run, silent)) is None:
            return [], []
        catalog, boxes = read_catalog_and_boxes(manifest, choice.label_rule, choice.images_without_boxes)
        now = usable(cropped(catalog, manifest, choice, silent, boxes)).set_index("image_id")
    except (OSError, ValueError) as error:
        log(f"WARNING: The labels of these images cannot be read now: {error}")
        return [], []
    before = usable(known).set_index("image_id")
    shared = before.index.intersection(now.index)
    if run.path(CORRECTIONS).is_file():
        shared = shared.difference(read_table(run.path(ANSWERS))["image_id"])
    labels = [table["class_name"] + table.get("box", "") for table in (before.loc[shared], now.loc[shared])]
    new = [] if choice.limit else sorted(set(catalog["image_id"]) - set(photos_of(known)["image_id"]))
    return list(shared[labels[0] != labels[1]]), new


def data_of(run: Run, log: Log) -> Manifest | None:
    """Return the manifest of a run's data where its catalog says that they lay; None where the folder is gone."""
    catalog, choice = usable(photos_of(run.catalog)), DataConfig.of(run)
    paths = catalog["path"].map(lambda path: Path(path).as_posix())
    # Synthetic images lie in the run itself: the folder of most images is the data's.
    roots = [path.removesuffix(f"/{image_id}") for path, image_id in zip(paths, catalog["image_id"], strict=True)]
    root = max(set(roots), key=roots.count)
    if not Path(root).is_dir():
        return None
    return find_data(choice.name if names_data_set(choice.name) else None, root, log=log, **choice.reading)


def boxes_of(run: Run, log: Log) -> pd.DataFrame | None:
    """Return the boxes of a run's data; None where they are gone or broken."""
    try:
        return None if (manifest := data_of(run, log)) is None else read_images_and_boxes(manifest)[1]
    except ValueError as error:
        log(f"The boxes of these images cannot be read: {error}")
        return None


def other_images(
    source: Source, choice: DataConfig, class_names: Sequence[str], split: str, seed: int, log: Log, drawn: bool = False
) -> pd.DataFrame:
    """Return the catalog of images from elsewhere, all in `split` if unsplit; ValueError for a class the run lacks."""
    manifest = source.manifest
    if manifest.demonstration != drawn:
        raise ValueError("A demonstration model and real photographs say nothing of each other. Train on real images.")
    catalog, boxes = source.read_with_boxes(choice, log)
    for line in reading_lines(manifest, catalog):
        log(line)
    catalog = cropped(catalog, manifest, choice, log, boxes)
    if manifest.merge_case:
        spellings = {name.casefold(): name for name in class_names}
        for column in catalog.columns.intersection(["class_name", "photo_class"]):
            catalog[column] = [spellings.get(name.casefold(), name) for name in catalog[column]]
    if choice.split_by:
        pairs = find_pairs(catalog, choice.frame_order, log=log) if is_grouped(choice.split_by) else None
        catalog = split_catalog(catalog, choice.split_by, seed=seed, pairs=pairs, log=log)
    else:
        catalog = first_level(catalog)
        if not catalog["split"].any():
            catalog = catalog.assign(split=split)
    unknown = sorted(set(usable(catalog)["class_name"]) - set(class_names))
    if unknown:
        known = ", ".join(class_names)
        raise ValueError(
            f"Classes that the run does not know, the first: {unknown[0]!r}. Expected some of {known}. Leave images of "
            "others out, or use estimate, which counts them as errors."
        )
    return catalog
