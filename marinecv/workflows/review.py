"""Look at images in a page: those of a run, or those of a folder that it predicts."""

import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
from scipy.stats import entropy
from sklearn.decomposition import PCA

from marinecv.audit.pairs import find_pairs
from marinecv.choices import SCORED_SPLITS
from marinecv.console import Log, silent
from marinecv.data.crops import MIN_CONFIDENCE
from marinecv.data.groups import group_catalog, groups_of
from marinecv.data.images import image_table
from marinecv.data.photos import photos_of
from marinecv.data.places import with_places
from marinecv.data.shards.records import photo_and_box
from marinecv.data.user_tables import usable, with_place_columns
from marinecv.evaluation.calibration import calibrated
from marinecv.evaluation.events import event_names
from marinecv.evaluation.latent import nearest_images
from marinecv.evaluation.predict import predict_table
from marinecv.evaluation.predictions import probabilities_of_table, read_predictions
from marinecv.features.embeddings import embed
from marinecv.files.lock import lock_folder
from marinecv.review.folder import ABOUT, ITEM_COLUMNS, NEIGHBOR_COLUMNS, REVIEW, ReviewFolder
from marinecv.review.order import informative, review_order
from marinecv.review.server import serve
from marinecv.runs import Run
from marinecv.workflows.crops import crops_of_files
from marinecv.workflows.label_errors import label_errors_of_run
from marinecv.workflows.leakage import related
from marinecv.workflows.run_images import check_images, readable_images
from marinecv.workflows.sources import find_images, open_classifier

REVIEWS = Path("reviews")  # folders for images that are not the run's own
OF_TRAIN = "train: "  # before ids of train images, since a folder may use the same ones


def review(
    run: str | os.PathLike | Run,
    images: str | os.PathLike | None = None,
    *,
    boxes: str | os.PathLike | None = None,
    min_confidence: float = MIN_CONFIDENCE,
    event_gap: str = "30m",
    hide_predictions: bool = False,
    page: bool = True,
    folder: str | os.PathLike | None = None,
    seed: int = 0,
    log: Log | None = print,
) -> ReviewFolder:
    """Look at images in a page of the browser, the most informative first, and keep what you say of each.

        >>> import marinecv as mcv
        >>> run = mcv.train(mcv.demo_images(), "aquarium_four_conv", epochs=1, limit=24, size=32, log=None)
        >>> sorted(mcv.review(run, page=False, log=None).items["split"].unique())
        ['test', 'train', 'validation']

    A fifth of the images is drawn at random, before the others are ranked: of the run's own images from validation and
    test. `train(corrections=...)` takes the answers as labels, and measures on the random images what they change.

    Args:
        run: of a classifier, or its folder.
        images: a folder of images to predict and to look at; None takes the run's own.
        boxes, min_confidence: detections in this folder, for a run of crops, see `predict`.
        event_gap: images of one camera without a longer pause are one event, see `events_of`.
        hide_predictions: do not show what the run predicts.
        page: open the page, until it is finished there or Ctrl-C; False only makes the list.
        folder: for list and answers; one that is there is continued. None: `review` in the run, for its own images,
            else one below `reviews`.
        seed: of the random images.
        log: called with each line of text; None logs nothing.
    Raises:
        ValueError: there are no such images, or those of the run have changed; or another process has the review open.
    """
    log, run = log or silent, open_classifier(run)
    place = review_place(run, images) if folder is None else Path(folder)
    opened = begun_review(run, images, place)
    if opened is None:
        place.mkdir(parents=True, exist_ok=True)
        with lock_folder(place):
            is_within = place.resolve().parent == run.folder.resolve()  # and moves with it
            about = {"kind": REVIEW, "run": ".." if is_within else str(run.folder.absolute()), "seed": seed}
            about["class_names"] = run.class_names
            if images is None:
                items, neighbors = own_items(run, seed, log)
            else:
                files = new_files(run, images)
                about |= {"images": str(Path(images).absolute()), "files": len(files)}
                how = SimpleNamespace(paths=images, boxes=boxes, min_confidence=min_confidence, crops=None)
                items, neighbors = folder_items(run, files, how, event_gap, seed, log)
            opened = ReviewFolder.create(place, items, neighbors, **about)
    elif images is not None and Path(images).is_dir() and (now := len(new_files(run, images))) != opened.about.files:
        log(
            f"WARNING: {images} had {opened.about.files} images when this review began and has {now} now. Name another "
            "folder with folder= for a new list."
        )
    log(f"{len(opened.items)} images to look at, {len(opened.answered())} have an answer: {opened.folder}")
    if page:
        serve(opened, run, hide_predictions=hide_predictions, log=log)
        if len(answers := opened.answered()):
            log(f'{len(answers)} answers; train with corrections="{opened.corrections}" to use them')
    return opened


def review_place(run: Run, images: str | os.PathLike | None, parent: Path = REVIEWS) -> Path:
    """Return the folder of a review where none is named: in the run for its own images, else below a parent."""
    if images is None:
        return run.path("review")
    return parent / f"{run.folder.resolve().name}-{Path(images).resolve().name}"


def begun_review(run: Run, images: str | os.PathLike | None, place: Path) -> ReviewFolder | None:
    """Return the review that is there already; ValueError where it is of another run or other images."""
    if not (place / ABOUT).is_file():
        return None
    opened = ReviewFolder(place)
    of = "" if images is None else str(Path(images).absolute())
    if opened.about.images != of or opened.run != run.folder.resolve():
        raise ValueError(f"{place} is a review of other images or of another run. Name another folder with folder=.")
    return opened


def own_items(run: Run, seed: int, log: Log) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the images of a run in the order to look at them, and their nearest train images."""
    catalog = usable(run.catalog)
    catalog = with_place_columns(catalog[catalog["split"] != ""])
    check_images(run, "review", catalog, log)
    pixels, catalog = readable_images(catalog, run.spec, log)
    rows, embeddings = usable(catalog), embed(run.load_model(), catalog, run.spec, pixels)
    predictions = read_predictions(run.path("predictions.csv"), run.class_names).set_index("image_id")
    probabilities = probabilities_of(run, predictions.loc[rows["image_id"]].reset_index())
    try:
        likely = label_errors_of_run(run, log=log)["image_id"]
    except ValueError as error:
        log(f"Label errors are not searched: {error}")
        likely = pd.Series(dtype=str)
    ranks = pd.Series(-np.arange(len(likely), dtype=float), likely).reindex(rows["image_id"]).fillna(-np.inf)
    groups = groups_of(rows.assign(group=rows["image_id"].map(related(run, log)[0]).fillna("")))
    scores = {"label error": ranks.to_numpy(), "uncertain": entropy(probabilities, axis=1)}
    is_held_out = rows["split"].isin(SCORED_SPLITS).to_numpy()
    order = review_order(np.arange(len(rows)), scores, similarity(probabilities, embeddings), is_held_out, seed)
    items = items_of(run, rows, order, groups, probabilities)
    return items, nearest_train_images(rows, embeddings)


def new_files(run: Run, folder: str | os.PathLike) -> list[Path]:
    """Return the images of a folder that are not those of a run."""
    known = {*photos_of(run.catalog)["path"]}
    return [path for path in find_images(folder) if str(path.absolute()) not in known]


def folder_items(
    run: Run, files: list[Path], how: SimpleNamespace, event_gap: str, seed: int, log: Log
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the images of a folder, or its crops, in the order to look at them, and their nearest train images."""
    root, of_run = Path(how.paths), run.catalog
    if not files:
        raise ValueError(f"{run.folder} was trained on all images of {root}. Leave the folder out to look at those.")
    catalog = crops_of_files(run, files, how, log)
    if catalog is None:
        catalog = with_places(image_table(root, [(file, "") for file in files]))
    catalog["group"] = event_names(catalog, event_gap)
    catalog = usable(group_catalog(catalog, find_pairs(catalog, log=log)))
    pixels, catalog = readable_images(catalog.reset_index(drop=True), run.spec, log)
    rows, model = usable(catalog), run.load_model()
    embeddings = embed(model, catalog, run.spec, pixels)
    predictions = predict_table(model, catalog, run.spec, run.class_names, pixels=pixels)
    probabilities = probabilities_of(run, predictions)
    train_pixels, train = readable_images(usable(of_run).query("split == 'train'"), run.spec, log)
    known = embed(model, train, run.spec, train_pixels)
    scores, groups = {"informative": informative(probabilities, embeddings, known)}, groups_of(rows)
    order = review_order(groups.to_numpy(str), scores, similarity(probabilities, embeddings), seed=seed)
    items = items_of(run, rows, order, groups, probabilities)
    train = usable(train)
    both = pd.concat([train.assign(image_id=OF_TRAIN + train["image_id"]), rows], ignore_index=True)
    neighbors = nearest_train_images(both, np.concatenate([known, embeddings]))
    return items, neighbors[neighbors["image_id"].isin(items["image_id"])]


def probabilities_of(run: Run, predictions: pd.DataFrame) -> np.ndarray:
    """Return the probabilities of a predictions table, calibrated where the run is: (n, classes)."""
    probabilities = probabilities_of_table(predictions)
    has_calibration = not run.is_external and run.path("calibration.json").is_file()
    return calibrated(probabilities, run.calibration.temperature) if has_calibration else probabilities


def similarity(probabilities: np.ndarray, embeddings: np.ndarray) -> np.ndarray:
    """Return keys that sort similar images together: the predicted class and a principal component, (n, 2)."""
    several = len(embeddings) > 1
    component = PCA(1, random_state=0).fit_transform(embeddings)[:, 0] if several else np.zeros(len(embeddings))
    return np.column_stack([probabilities.argmax(axis=1), component])


def items_of(
    run: Run, rows: pd.DataFrame, order: pd.DataFrame, groups: pd.Series, probabilities: np.ndarray
) -> pd.DataFrame:
    """Return the items of a review, see `ReviewFolder.create`; an event is a group of several images."""
    at, names = order["row"].to_numpy(), np.array(run.class_names, object)
    events = groups.where(groups.duplicated(keep=False).to_numpy(), "")
    items = rows.iloc[at].assign(
        path=[photo_and_box(path)[0] for path in rows["path"].iloc[at]],
        box=rows["box"].iloc[at] if "box" in rows else "",
        given_class=rows["class_name"].iloc[at],
        predicted_class=names[probabilities.argmax(axis=1)[at]],
        probability=probabilities.max(axis=1)[at].round(6),
        event=events.to_numpy()[at],
        drawn=order["drawn"].to_numpy(),
    )
    return items[ITEM_COLUMNS].reset_index(drop=True)


def nearest_train_images(rows: pd.DataFrame, embeddings: np.ndarray) -> pd.DataFrame:
    """Return the nearest train images of each image, `NEIGHBOR_COLUMNS`."""
    nearest, paths = nearest_images(rows, embeddings), rows.set_index("image_id")["path"]
    of_neighbor = {"path": nearest["neighbor_id"].map(paths), "class_name": nearest["neighbor_class"]}
    nearest = nearest.assign(**of_neighbor, neighbor_id=nearest["neighbor_id"].str.removeprefix(OF_TRAIN))
    return nearest[NEIGHBOR_COLUMNS]
