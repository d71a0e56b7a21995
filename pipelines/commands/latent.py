"""What a run's inner space looks like: a map of its images, clusters, nearest neighbours; one page and its tables."""

import argparse
from dataclasses import replace
from pathlib import Path

from marinecv import console
from marinecv.recipes.butterflies import DENOISE
from marinecv.schema import did_you_mean
from marinecv.workflows.localization import chosen_images, moved

from .. import options

HELP = (
    "Show what the space looks like in which a run tells images apart: t-SNE without and with labels, K-means, a "
    "linear classifier, and each image's nearest neighbours."
)
EXAMPLE = "latent runs/birds_mobilenet-1 --on train validation --clusters 20"
NOISE = {"salt": DENOISE.model.salt, "pepper": DENOISE.model.pepper}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A run, splits, and how many clusters."""
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of a finished run")
    parser.add_argument(
        "--on",
        nargs="+",
        choices=("train", "validation", "test"),
        default=["train", "validation"],
        help="one split or several (default: train validation)",
    )
    parser.add_argument(
        "--clusters", type=options.several, metavar="K", help="of K-means (default: as many as there are classes)"
    )
    parser.add_argument(
        "--neighbours", nargs="+", metavar="IMAGE_ID", help="images to show beside their nearest (default: some drawn)"
    )
    parser.add_argument(
        "--noise",
        action="store_true",
        help="lay salt and pepper on the images first, a tenth of the pixels each; the page is in latent-noisy",
    )
    options.add_data(parser)
    options.add_subset(parser)


def run(args: argparse.Namespace) -> int:
    """Compute the codes of the images, lay them out, and write page and tables in place of earlier ones."""
    import marinecv as mcv
    from marinecv.atomic import replaced
    from marinecv.evaluation.latent import ALL
    from marinecv.hold import hold

    trained = mcv.Run(args.run)
    catalog = images_of(args, trained)
    console.import_tensorflow()
    from marinecv.models.load import load_model

    encoder = trained.path("encoder.keras")
    model = load_model(encoder) if encoder.is_file() else trained.load_model()
    pixels, catalog = mcv.load_pixels(catalog, trained.spec)
    rows = mcv.usable(catalog)
    if len(rows) < len(catalog):
        first = catalog[catalog["problem"] != ""].iloc[0]
        print(f"{len(catalog) - len(rows)} images left out; the first, {first['image_id']}: {first['problem']}")
    if rows.empty:
        raise ValueError("None of these images can be read. If they have moved, name their folder with --data-dir.")
    check_asked(args.neighbours or [], rows)
    if args.noise:
        pixels = mcv.noisy_pixels(rows, pixels, **NOISE, seed=args.seed)
    codes = mcv.embed(model, catalog, trained.spec, pixels, keep=not args.noise)
    place = trained.path("latent-noisy" if args.noise else "latent")
    for split in dict.fromkeys(args.on):
        trained.note(f"looked at {split}: {place.name}")
    with hold(trained.folder), replaced(place, print) as folder:
        measures = write_all(args, trained, rows, codes, folder)
    for row in measures.itertuples():
        bounds = f", {row.low:.3f} to {row.high:.3f}" if row.low == row.low else ""
        chance = f", by chance {row.chance:.3f}" if row.chance == row.chance else ""
        what = f"clusters of the {row.of}" if row.split == ALL else row.split
        print(f"  {row.measure:<10}  {what:<22}  {row.value:.3f}  (n={row.n}{bounds}{chance})")
    print(place / "latent.html")
    return 0


def images_of(args: argparse.Namespace, trained):
    """The usable images of the splits, where they lie now."""
    import marinecv as mcv
    from marinecv.training.recipe import DataChoice

    catalog = mcv.usable(trained.catalog)
    if args.data or args.data_dir:
        # only the paths are of interest
        choice = replace(DataChoice.of(trained), merge_case=True)
        manifest = options.located(args, choice=choice)
        catalog = moved(catalog, mcv.read_catalog(manifest), args.run, manifest.root)
    return chosen_images(args, catalog, args.on)


def check_asked(asked: list[str], rows) -> None:
    """Refuse images that are not among the chosen ones."""
    known = set(rows["image_id"])
    for image in asked:
        if image not in known:
            raise ValueError(
                f"{image!r} is not among the {len(rows)} images of these splits.{did_you_mean(image, known)} "
                "Expected an image_id of the run's catalog.csv."
            )


def write_all(args: argparse.Namespace, trained, rows, codes, folder: Path):
    """Write the tables and the page; return the measures."""
    import pandas as pd

    import marinecv as mcv
    from marinecv.evaluation.latent import some_images
    from marinecv.tables import write_table

    points = mcv.latent_points(rows, codes, args.clusters, args.seed)
    nearest = mcv.nearest_images(rows, codes)
    groups = rows.set_index("image_id")["group"]
    measures = [
        mcv.latent_measures(points, codes, args.seed, groups),
        mcv.linear_probe(rows, codes, args.seed, groups),
        mcv.neighbour_measures(rows, nearest, groups),
    ]
    tables = {
        "points": points,
        "clusters": mcv.cluster_table(points),
        "measures": pd.concat(filter(len, measures), ignore_index=True),  # an empty one knows no types
        "neighbours": nearest,
    }
    for name, table in tables.items():
        write_table(folder / f"{name}.csv", table, float_format="%.6f")
    title = f"The inner space of {trained.folder.resolve().name}" + ", under noise" * args.noise
    shown = list(dict.fromkeys(args.neighbours or some_images(nearest, seed=args.seed)))
    measured = points, tables["measures"], tables["clusters"], nearest
    noise = NOISE if args.noise else {}
    mcv.write_latent_report(folder, title, rows, codes.shape[1], *measured, shown, trained.demonstration, **noise)
    return tables["measures"]
