"""The embedding space of a run: a map of its images, clusters and nearest neighbors, on one page with its tables."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from marinecv.choices import FITTED_SPLITS
from marinecv.console import Log, silent
from marinecv.data.user_tables import usable
from marinecv.evaluation import latent as space
from marinecv.evaluation.linear_probe import linear_probe
from marinecv.features.embeddings import embed
from marinecv.files.atomic import replaced_folder
from marinecv.files.csv_tables import write_table
from marinecv.files.lock import lock_folder
from marinecv.inputs.augment import noisy_pixels
from marinecv.models.safe_load import load_model
from marinecv.recipes.butterflies import DENOISE
from marinecv.report.latent_page import write_latent_report
from marinecv.runs import Run
from marinecv.schema import did_you_mean
from marinecv.workflows.run_images import check_images, chosen_images, moved_images, readable_images
from marinecv.workflows.sources import Data, open_run

NOISE = {"salt": DENOISE.model.salt, "pepper": DENOISE.model.pepper}


@dataclass(frozen=True, repr=False)
class LatentSpace:
    """The embedding space of a run; printed, it is the metrics and the path of the page.

    Attributes:
        points: one row an image, as of `latent_points`: its position in the plane and its clusters.
        clusters: one row a cluster, as of `cluster_table`.
        measures: metrics of clusters, linear classifier and neighbors, each with its interval and n.
        neighbors: the nearest of each image, as of `nearest_images`.
        report: the page; the tables are beside it.
    """

    points: pd.DataFrame
    clusters: pd.DataFrame
    measures: pd.DataFrame
    neighbors: pd.DataFrame
    report: Path

    def __repr__(self) -> str:
        lines = []
        for row in self.measures.itertuples():
            bounds = f", {row.low:.3f} to {row.high:.3f}" if row.low == row.low else ""
            chance = f", by chance {row.chance:.3f}" if row.chance == row.chance else ""
            what = f"clusters of the {row.space}" if row.split == space.ALL else row.split
            lines.append(f"  {row.measure:<10}  {what:<22}  {row.value:.3f}  (n={row.n}{bounds}{chance})")
        return "\n".join([*lines, str(self.report)])


def latent(
    run: str | os.PathLike | Run,
    splits: str | Sequence[str] = FITTED_SPLITS,
    *,
    clusters: int | None = None,
    neighbors: Sequence[str] | None = None,
    noise: bool = False,
    data: Data = None,
    limit: int | None = None,
    accept_changes: bool = False,
    seed: int = 0,
    log: Log | None = print,
) -> LatentSpace:
    """Map the embeddings of a run's images by t-SNE, cluster them by K-means, and find each image's nearest neighbors.

        >>> import marinecv as mcv
        >>> run = mcv.train(mcv.demo_images(), "aquarium_four_conv", epochs=1, limit=24, size=32, log=None)
        >>> mcv.latent(run, limit=8, log=None).report.name
        'latent.html'

    Args:
        run: a run, also of an autoencoder, or its folder. Page and tables are written into it and replace earlier ones.
        splits: one split or several.
        clusters: of K-means, at least 2; None takes as many as there are classes.
        neighbors: `image_id` of the images to show beside their nearest; None samples some.
        noise: add salt-and-pepper noise first, to a tenth of the pixels each; the page is in `latent-noisy`.
        data: the data set where the images of the run are now, as in `train`; None takes the recorded paths.
        limit: at most so many images a split, stratified.
        accept_changes: take images of the run that have changed since its training; the run and its page say so.
        seed: of everything random.
        log: called with each line of text; None prints nothing.
    Returns:
        The embedding space.
    Raises:
        ValueError: the model takes more than an image, an image does not exist, or the images are too few or changed.
    """
    log, run = log or silent, open_run(run)
    splits = [splits] if isinstance(splits, str) else list(dict.fromkeys(splits))
    catalog = usable(run.catalog) if data is None else moved_images(run, data, log)[0]
    moved, catalog = None if data is None else catalog, chosen_images(catalog, splits, limit, seed, log)
    check_images(run, "embedding space", catalog, log, accept=accept_changes, moved=moved)
    encoder = run.path("encoder.keras")
    model = load_model(encoder) if encoder.is_file() else run.load_model()
    pixels, catalog = readable_images(catalog, run.spec, log)
    rows = usable(catalog)
    known = set(rows["image_id"])
    if unknown := [image for image in neighbors or [] if image not in known]:
        raise ValueError(
            f"{unknown[0]!r} is not among the {len(known)} images of these splits.{did_you_mean(unknown[0], known)} "
            "Expected an image_id of the run's catalog.csv."
        )
    if noise:
        pixels = noisy_pixels(rows, pixels, **NOISE, seed=seed)
    embeddings = embed(model, catalog, run.spec, pixels, keep=not noise)
    target = run.path("latent-noisy" if noise else "latent")
    for split in splits:
        run.note(f"{split} evaluation: {target.name}")
    with lock_folder(run.folder), replaced_folder(target, log) as folder:
        points, nearest = space.latent_points(rows, embeddings, clusters, seed), space.nearest_images(rows, embeddings)
        groups, table = rows.set_index("image_id")["group"], space.cluster_table(points)
        measures = [
            space.latent_measures(points, embeddings, seed, groups),
            linear_probe(rows, embeddings, seed, groups),
            space.neighbor_measures(rows, nearest, groups),
        ]
        measures = pd.concat(filter(len, measures), ignore_index=True)  # an empty one has no column types
        tables = {"points": points, "clusters": table, "measures": measures, "neighbors": nearest}
        for name, each in tables.items():
            write_table(folder / f"{name}.csv", each, float_format="%.6f")
        title = f"Embedding space of {run.folder.resolve().name}" + ", with noise" * noise
        shown = list(dict.fromkeys(neighbors or space.example_images(nearest, seed=seed)))
        about = (title, rows, embeddings.shape[1], points, measures, table, nearest, shown, run.demonstration)
        page = write_latent_report(folder, *about, **(NOISE if noise else {}))
    return LatentSpace(points, table, measures, nearest, target / page.name)
