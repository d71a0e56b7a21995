"""The images of a run with the boxes of its data, and how much of the heat falls on the animals."""

import argparse
from pathlib import Path

from marinecv.pipelines import options

NO_BOXES = "No boxes are known of these images, so how much heat falls on the animals is left out."


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
        catalog = moved(catalog, images, args.run, manifest.root)
    part = chosen_images(args, catalog, [args.on])
    if boxes is not None and not boxes["image_id"].isin(part["image_id"]).any():
        boxes = None
    if boxes is None and args.method == "gradcam":
        print(NO_BOXES)
    return part, boxes


def chosen_images(args: argparse.Namespace, catalog, splits: list[str]):
    """The images of some splits, each of which must have a usable one; as many of each as --limit says."""
    import marinecv as mcv

    if args.limit:
        catalog = options.limited(catalog, args.limit, args.seed)
    for split in splits:
        if split not in set(mcv.usable(catalog)["split"]):
            raise ValueError(f"The split {split} has no usable image. Expected one of {sorted(set(catalog['split']))}.")
    return catalog[catalog["split"].isin(splits)]


def moved(catalog, images, run: Path, root: Path):
    """The rows of a run's catalog whose images are among those of a data set, where they lie there."""
    here = images.set_index("image_id")["path"]
    catalog = catalog[catalog["image_id"].isin(here.index)]
    if catalog.empty:
        raise ValueError(f"None of the images of {run} lies in {root}. Expected those that it was trained on.")
    return catalog.assign(path=catalog["image_id"].map(here))


def find_data(args: argparse.Namespace, trained, catalog):
    """The manifest of the run's data, as the flags name it or as its catalog says where it lay; None if it is gone."""
    import marinecv as mcv
    from marinecv.training.recipe import DataChoice

    choice = DataChoice.of(trained)
    if args.data or args.data_dir:
        return options.located(args, choice=choice)
    paths = catalog["path"].map(lambda path: Path(path).as_posix())
    # Synthetic images lie in the run itself: the folder of most images is the data's.
    roots = [path.removesuffix(f"/{image_id}") for path, image_id in zip(paths, catalog["image_id"], strict=True)]
    root, name = max(set(roots), key=roots.count), choice.name
    if not Path(root).is_dir():
        return None
    known = name in {manifest.name for manifest in mcv.list_manifests()}
    place = {"data": name if known else None, "data_dir": root}
    return options.located(argparse.Namespace(**vars(args) | place), choice=choice)


def measure(args: argparse.Namespace, trained, model, layer: str, part, boxes, folder: Path):
    """Hold the heat of the whole split against its boxes, print the figures, and keep them in the run.

    Returns:
        The figures, None where no image can be read; and `chance_sentence`.
    """
    import marinecv as mcv
    from marinecv.evaluation.figures import interval_words
    from marinecv.explain.figures import ALL, box_figures, chance_sentence, keep_figures
    from marinecv.explain.in_box import measure_boxes, neutral_colour
    from marinecv.report.heat_tables import MEASURE_NAMES
    from marinecv.tables import write_table

    pixels, part = mcv.load_pixels(part, trained.spec)
    if not len(pixels):
        return None, ""
    neutral = neutral_colour(pixels, part, trained.spec)
    measured = measure_boxes(model, pixels, part, boxes, trained.spec, trained.class_names, neutral, layer, said)
    write_table(folder / "boxes.csv", measured, float_format="%.6f")
    groups = part.set_index("image_id")["group"]
    figures, chance = box_figures(measured, trained.class_names, groups=groups), chance_sentence(measured, groups)
    print(f"Grad-CAM at {layer} on {args.on}")
    for row in figures[figures["class_name"] == ALL].itertuples():
        print(f"  {MEASURE_NAMES[row.measure]:<28} {row.value:.3f}  ({interval_words(row._asdict())}, n={row.n})")
    if chance:
        print(chance)
    colour = "#" + "".join(f"{int(level):02x}" for level in neutral)
    if args.limit:
        return figures.assign(split=args.on, layer=layer, neutral=colour), chance
    kept = keep_figures(trained, args.on, layer, colour, figures)
    return kept[kept["split"] == args.on], chance


def said(done: int, total: int) -> None:
    """A line now and then."""
    print(f"  {done}/{total} images held against their boxes")
