"""What a run's inner space looks like: a map of its images, clusters, nearest neighbours; one page and its tables."""

import argparse
import difflib
from pathlib import Path

from . import options, quiet
from .boxes import moved

HELP = (
    "Show what the space looks like in which a run tells images apart: t-SNE without and with labels, K-means, and "
    "each image's nearest neighbours."
)
EXAMPLE = "latent runs/birds_mobilenet-1 --on train validation --clusters 20"


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
    options.add_data(parser)
    options.add_subset(parser)


def run(args: argparse.Namespace) -> int:
    """Compute the codes of the images, lay them out, and write page and tables in place of earlier ones."""
    import marinecv as mcv
    from marinecv.atomic import replaced
    from marinecv.hold import hold

    trained = mcv.Run(args.run)
    catalog = images_of(args, trained)
    quiet.import_tensorflow()
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
    codes = mcv.embed(model, catalog, trained.spec, pixels)
    for split in dict.fromkeys(args.on):
        trained.note(f"looked at {split}: latent")
    place = trained.path("latent")
    with hold(trained.folder), replaced(place) as folder:
        measures = write_all(args, trained, rows, codes, folder)
    for row in measures.itertuples():
        bounds = f", {row.low:.3f} to {row.high:.3f}" if row.low == row.low else ""
        chance = f", by chance {row.chance:.3f}" if row.chance == row.chance else ""
        what = row.split if row.measure == "nearest" else f"clusters of the {row.of}"
        print(f"  {row.measure:<10}  {what:<22}  {row.value:.3f}  (n={row.n}{bounds}{chance})")
    print(place / "latent.html")
    return 0


def images_of(args: argparse.Namespace, trained):
    """The usable images of the splits, where they lie now."""
    import marinecv as mcv

    catalog = mcv.usable(trained.catalog)
    if args.data or args.data_dir:
        manifest = mcv.locate(args.data, args.data_dir)
        catalog = moved(catalog, mcv.read_catalog(manifest), args.run, manifest.root)
    if args.limit:
        catalog = mcv.limit_catalog(catalog, args.limit, seed=args.seed)
    part = catalog[catalog["split"].isin(args.on)]
    for split in args.on:
        if split not in set(part["split"]):
            raise ValueError(
                f"The split {split} has no usable image. Expected some of {sorted(set(catalog['split']))}."
            )
    return part


def check_asked(asked: list[str], rows) -> None:
    """Refuse images that are not among the chosen ones."""
    known = set(rows["image_id"])
    for image in asked:
        if image not in known:
            close = difflib.get_close_matches(image, known, n=1)
            raise ValueError(
                f"{image!r} is not among the {len(rows)} images of these splits."
                + (f" Did you mean {close[0]!r}?" if close else "")
                + " Expected an image_id of the run's catalog.csv."
            )


def write_all(args: argparse.Namespace, trained, rows, codes, folder: Path):
    """Write the tables and the page; return the measures."""
    import pandas as pd

    import marinecv as mcv
    from marinecv.evaluation.latent import some_images
    from marinecv.tables import write_table

    points = mcv.latent_points(rows, codes, args.clusters, args.seed)
    nearest = mcv.nearest_images(rows, codes)
    tables = {
        "points": points,
        "clusters": mcv.cluster_table(points),
        "measures": pd.concat(
            [mcv.latent_measures(points, codes, args.seed), mcv.neighbour_measures(rows, nearest)], ignore_index=True
        ),
        "neighbours": nearest,
    }
    for name, table in tables.items():
        write_table(folder / f"{name}.csv", table, float_format="%.6f")
    title = f"The inner space of {trained.folder.resolve().name}"
    shown = list(dict.fromkeys(args.neighbours or some_images(nearest, seed=args.seed)))
    measured = points, tables["measures"], tables["clusters"], nearest
    mcv.write_latent_report(folder, title, rows, codes.shape[1], *measured, shown, trained.demonstration)
    return tables["measures"]
