"""Show where a run looks: heat maps of its images or yours, and how much of the heat falls on the animals."""

import argparse
import os
import random
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from . import options, quiet
from .predict import find_images

HELP = (
    "Show where a run looks. Without IMAGES: right and wrong cases of each class and, by Grad-CAM, how much of the "
    "heat falls into the boxes of the animals."
)
EXAMPLE = "explain runs/aquarium_mobilenet_p2-1 holiday_photos --method gradcam++"
METHODS = ("gradcam", "gradcam++", "scorecam", "saliency", "lime")
CHUNK = 8
NO_BOXES = "No boxes are known of these images, so how much heat falls on the animals is left out."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A run, what to look at, and by which method."""
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of a finished run")
    parser.add_argument(
        "images", nargs="*", type=Path, metavar="IMAGES", help="your own files or folders, right after RUN"
    )
    parser.add_argument("--method", choices=METHODS, default=METHODS[0], help="(default: %(default)s)")
    parser.add_argument("--layer", metavar="NAME", help="whose maps (default: the final convolution)")
    options.add_split(parser, default="validation")
    options.add_data(parser)
    options.add_subset(parser)


def run(args: argparse.Namespace) -> int:
    """Draw each case beside its heat, hold heat against boxes, and write one page in place of an earlier one."""
    import marinecv as mcv
    from marinecv.hold import hold
    from marinecv.tables import write_table

    trained, part, boxes = mcv.Run(args.run), None, None
    if args.images:
        cases = cases_of_files(args, trained)
    else:
        part, boxes = images_and_boxes(args, trained)
        cases = cases_of_run(args, trained, part)
    quiet.import_tensorflow()
    from marinecv.explain.heatmaps import layer_of
    from marinecv.report.explain_page import write_explanation

    model = trained.load_model()
    if len(model.inputs) > 1:
        raise ValueError(
            f"The model of {trained.folder} takes attributes beside the image, which this command does not have. From "
            "Python: marinecv.heatmaps(run.load_model(), (pixels, attributes), classes)."
        )
    layer = layer_of(model, args.method, args.layer)
    if part is not None:
        trained.note(f"looked at {args.on}: explain")
    place = trained.path("explanations", args.method)
    place.parent.mkdir(exist_ok=True)
    with hold(place.parent), replaced(place) as folder:
        cases = draw_cases(args, trained, model, layer, cases, boxes, folder)
        write_table(folder / "explanations.csv", cases.drop(columns=["path", "source"]), float_format="%.6f")
        figures = None
        if args.method == "gradcam" and boxes is not None:
            figures = measure(args, trained, model, layer, part, boxes, folder)
        title = f"Where {trained.folder.resolve().name} looks" + ("" if args.images else f": {args.on}")
        page = write_explanation(folder, title, args.method, layer, cases, figures, trained.demonstration)
    if figures is not None and not args.limit and trained.path("report.html").is_file():
        mcv.write_run_report(trained.folder)
    failed = (cases["problem"] != "").sum()
    print(f"{len(cases) - failed} explained" + (f", {failed} not (column problem)" if failed else ""))
    print(place / page.name)
    return 0 if failed < len(cases) else 1


def cases_of_files(args: argparse.Namespace, trained):
    """A row a file of the user's."""
    import pandas as pd

    from marinecv.data.layouts import printable

    if trained.demonstration:
        raise ValueError(
            f"{args.run} was trained on drawn pictures, so what it sees in photographs means nothing. Leave out IMAGES "
            "to look at its own pictures, or train on real images."
        )
    if args.data or args.data_dir:
        raise ValueError("IMAGES are explained as they are. Leave them out, or --data and --data-dir.")
    files = find_images(args.images)
    if args.limit and args.limit < len(files):
        files = sorted(random.Random(args.seed).sample(files, args.limit))
    names = [printable(file.as_posix()) for file in files]
    return pd.DataFrame({"image_id": names, "path": [str(file) for file in files], "split": "", "true_class": ""})


def cases_of_run(args: argparse.Namespace, trained, part):
    """A row an image of the gallery."""
    import marinecv as mcv
    from marinecv.explain.gallery import choose_cases

    file = trained.path("predictions.csv")
    if not file.is_file():
        raise ValueError(
            f"{trained.folder} has no predictions.csv to choose images from: it is not finished. Go on with --resume "
            f"{trained.folder}, or name IMAGES."
        )
    predictions = mcv.read_predictions(file, trained.class_names).query("split == @args.on")
    cases = choose_cases(predictions.merge(part[["image_id", "path"]]), trained.class_names, args.seed)
    if cases.empty:
        raise ValueError(f"{file} knows none of the {len(part)} images of the split {args.on}. Name IMAGES.")
    return cases


def images_and_boxes(args: argparse.Namespace, trained):
    """The usable images of the split, and the boxes of the run's data: None where there are none to be found."""
    import marinecv as mcv
    from marinecv.data.catalog import read_images_and_boxes

    catalog = mcv.usable(trained.catalog)
    named, boxes = bool(args.data or args.data_dir), None
    try:
        if (manifest := find_data(args, trained, catalog)) is not None:
            images, boxes = read_images_and_boxes(manifest)
    except ValueError as error:
        if named:
            raise
        print(f"The boxes of these images cannot be read: {error}")
    if named:
        here = images.set_index("image_id")["path"]
        catalog = catalog[catalog["image_id"].isin(here.index)]
        if catalog.empty:
            raise ValueError(
                f"None of the images of {args.run} lies in {manifest.root}. Expected those that it was trained on."
            )
        catalog = catalog.assign(path=catalog["image_id"].map(here))
    if args.limit:
        catalog = mcv.limit_catalog(catalog, args.limit, seed=args.seed)
    part = catalog[catalog["split"] == args.on]
    if part.empty:
        raise ValueError(f"The split {args.on} has no usable image. Expected one of {sorted(set(catalog['split']))}.")
    if boxes is not None and not boxes["image_id"].isin(part["image_id"]).any():
        boxes = None
    if boxes is None and args.method == "gradcam":
        print(NO_BOXES)
    return part, boxes


def find_data(args: argparse.Namespace, trained, catalog):
    """The manifest of the run's data, as the flags name it or as its catalog says where it lay; None if it is gone."""
    import marinecv as mcv
    from marinecv.training.recipe import Recipe

    if args.data or args.data_dir:
        return mcv.locate(args.data, args.data_dir)
    paths = catalog["path"].map(lambda path: Path(path).as_posix())
    # Synthetic images lie in the run itself: the folder of most images is the data's.
    roots = [path.removesuffix(f"/{image_id}") for path, image_id in zip(paths, catalog["image_id"], strict=True)]
    root, name = max(set(roots), key=roots.count), Recipe.of(trained).data.name
    if not Path(root).is_dir():
        return None
    known = name in {manifest.name for manifest in mcv.list_manifests()}
    return mcv.locate(name if known else None, root)


def draw_cases(args: argparse.Namespace, trained, model, layer, cases, boxes, folder: Path):
    """Explain the cases some at a time, and save a PNG of each: the table with `picture` and `source`."""
    import pandas as pd

    from marinecv.explain.cases import explain_cases
    from marinecv.report.explain_page import save_overlay

    done = []
    for start in range(0, len(cases), CHUNK):
        chunk = cases[["image_id", "path", "split", "true_class"]].iloc[start : start + CHUNK].reset_index(drop=True)
        said, heats = explain_cases(
            model, chunk["path"], trained.spec, trained.class_names, args.method, layer, args.seed
        )
        chunk = pd.concat([chunk, said], axis=1).assign(picture="", source="")
        for place in chunk.index[chunk["problem"] == ""]:
            row = chunk.loc[place]
            stem = re.sub(r"[^\w.-]", "_", Path(row["image_id"]).stem)[:60]
            chunk.loc[place, "picture"] = f"{start + place + 1:03d}-{stem}.png"
            own = None if boxes is None else boxes[(boxes["image_id"] == row["image_id"]) & (boxes["problem"] == "")]
            chunk.loc[place, "source"] = save_overlay(
                folder / chunk.loc[place, "picture"], row, heats[place], trained.spec, own, trained.demonstration
            )
        done.append(chunk)
        print(f"  {start + len(chunk)}/{len(cases)} images explained")
    return pd.concat(done, ignore_index=True)


def measure(args: argparse.Namespace, trained, model, layer: str, part, boxes, folder: Path):
    """Hold the heat of the whole split against its boxes, print the figures, and keep them in the run."""
    import marinecv as mcv
    from marinecv.explain.figures import ALL, box_figures, keep_figures
    from marinecv.explain.in_box import measure_boxes, neutral_colour
    from marinecv.report.heat_tables import MEASURE_NAMES
    from marinecv.tables import write_table

    pixels, part = mcv.load_pixels(part, trained.spec)
    if not len(pixels):
        return None
    neutral = neutral_colour(pixels, part, trained.spec)
    measured = measure_boxes(model, pixels, part, boxes, trained.spec, trained.class_names, neutral, layer, said)
    write_table(folder / "boxes.csv", measured, float_format="%.6f")
    figures = box_figures(measured, trained.class_names)
    print(f"Grad-CAM at {layer} on {args.on}, with 95% intervals")
    for row in figures[figures["class_name"] == ALL].itertuples():
        print(f"  {MEASURE_NAMES[row.measure]:<28} {row.value:.3f}  ({row.low:.3f} to {row.high:.3f}, n={row.n})")
    colour = "#" + "".join(f"{int(level):02x}" for level in neutral)
    if args.limit:
        return figures.assign(split=args.on, layer=layer, neutral=colour)
    kept = keep_figures(trained, args.on, layer, colour, figures)
    return kept[kept["split"] == args.on]


def said(done: int, total: int) -> None:
    """A line now and then."""
    print(f"  {done}/{total} images held against their boxes")


@contextmanager
def replaced(place: Path) -> Iterator[Path]:
    """Give a new folder that takes the place of an older one when the block ends well; the caller holds its parent."""
    new, old = (place.with_name(f".{place.name}.{word}") for word in ("new", "old"))
    for left in (new, old):
        shutil.rmtree(left, ignore_errors=True)
    new.mkdir()
    try:
        yield new
        if place.exists():
            print(f"What lay in {place} is replaced.")
            os.replace(place, old)
        os.replace(new, place)
    finally:
        for left in (new, old):
            shutil.rmtree(left, ignore_errors=True)
