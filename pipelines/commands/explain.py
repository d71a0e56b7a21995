"""Show where a run looks: heat maps of its images or yours, and how much of the heat falls on the animals."""

import argparse
import random
import re
from pathlib import Path

from marinecv import console
from marinecv.choices import HEAT_METHODS

from .. import options
from .predict import find_images

HELP = (
    "Show where a run looks. Without IMAGES: right and wrong cases of each class and, by Grad-CAM, how much of the "
    "heat falls into the boxes of the animals."
)
EXAMPLE = "explain runs/aquarium_mobilenet_p2-1 holiday_photos --method gradcam++"
CHUNK = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A run, what to look at, and by which method."""
    parser.add_argument("run", type=options.run_folder, metavar="RUN", help="folder of a finished run")
    parser.add_argument(
        "images", nargs="*", type=Path, metavar="IMAGES", help="your own files or folders, right after RUN"
    )
    parser.add_argument("--method", choices=HEAT_METHODS, default=HEAT_METHODS[0], help="(default: %(default)s)")
    parser.add_argument("--layer", metavar="NAME", help="whose maps (default: the final convolution)")
    options.add_split(parser, default="validation")
    options.add_data(parser)
    options.add_subset(parser)


def run(args: argparse.Namespace) -> int:
    """Draw each case beside its heat, hold heat against boxes, and write one page in place of an earlier one."""
    import marinecv as mcv
    from marinecv.atomic import replaced
    from marinecv.hold import hold
    from marinecv.tables import write_table
    from marinecv.workflows.localization import images_and_boxes, measure

    trained, part, boxes = options.classifier(args.run), None, None
    if args.images:
        cases = cases_of_files(args, trained)
    else:
        part, boxes = images_and_boxes(args, trained)
        cases = cases_of_run(args, trained, part)
    console.import_tensorflow()
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
    with hold(place.parent), replaced(place, print) as folder:
        cases = draw_cases(args, trained, model, layer, cases, boxes, folder)
        write_table(folder / "explanations.csv", cases.drop(columns=["path", "source"]), float_format="%.6f")
        figures, chance = None, ""
        if args.method == "gradcam" and boxes is not None:
            figures, chance = measure(args, trained, model, layer, part, boxes, folder)
        title = f"Where {trained.folder.resolve().name} looks" + ("" if args.images else f": {args.on}")
        page = write_explanation(folder, title, args.method, layer, cases, figures, trained.demonstration, chance)
    if figures is not None and not args.limit and trained.path("report.html").is_file():
        mcv.write_run_report(trained.folder)
    failed = cases[cases["problem"] != ""]
    print(f"{len(cases) - len(failed)} explained" + (f", {len(failed)} not (column problem)" if len(failed) else ""))
    if part is not None and len(failed) == len(cases):
        print("None of these images can be read. If they have moved, name their folder with --data-dir.")
    print(console.link(place / page.name))
    return 0 if len(failed) < len(cases) else 1


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
