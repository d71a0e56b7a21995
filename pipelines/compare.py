"""Tell whether two runs differ by more than chance."""

import argparse
from pathlib import Path

from . import options

HELP = "Compare runs on the same images: exact McNemar, paired bootstrap, and a plain sentence."
EXAMPLE = "compare runs/aquarium_four_conv-1 runs/aquarium_mobilenet_p2-1"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Runs or studies, and a split."""
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="finished runs; a study stands for its runs")
    options.add_split(parser, default="validation")


def run(args: argparse.Namespace) -> int:
    """Print a line a pair."""
    from itertools import combinations

    from marinecv.evaluation.compare import compare_runs
    from marinecv.evaluation.predictions import read_predictions
    from marinecv.studies import Study, resumable

    runs = []
    for folder in args.runs:
        found = resumable(folder)
        runs += list(found.finished_runs.values()) if isinstance(found, Study) else [found]
    runs = list({run.folder.resolve(): run for run in runs}.values())
    for run in runs:
        options.classifier(run.folder)
        if not run.finished:
            raise ValueError(f"{run.folder} is not finished. Go on with --resume {run.folder}, then compare.")
    if len(runs) < 2:
        raise ValueError(f"Expected two different runs or more to compare, finished ones. Received: {len(runs)}.")
    if len({run.demonstration for run in runs}) > 1:
        raise ValueError("A demonstration on drawn pictures cannot be compared with a run on real images.")
    if args.on == "test":
        for run in runs:
            run.note("looked at test: compare")
    tables = {str(run.folder): read_predictions(run.path("predictions.csv"), run.class_names) for run in runs}
    for first, second in combinations(tables, 2):
        result = compare_runs(tables[first], tables[second], args.on)
        print(f"{first}\n  against {second} on {args.on}: {result['sentence']}")
    return 0
