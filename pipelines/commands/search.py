"""Hyper-parameter search: trials of one recipe, the best of them trained again, scored and reported."""

import argparse

import marinecv as mcv
from marinecv import console
from marinecv.search.engines import ENGINES, settled_engine

from .. import options

HELP = "Search hyper-parameters of a recipe: learning rate, batch, optimiser, and the shape of a CNN from scratch."
EXAMPLE = "search --recipe aquarium_four_conv --trials 20"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which recipe, who suggests, how often, on which images."""
    algorithms = list(dict.fromkeys(name for names in ENGINES.values() for name in names))
    said = "; ".join(f"{engine}: {', '.join(names)}" for engine, names in ENGINES.items())
    parser.add_argument("--recipe", metavar="NAME", help="a recipe by name (`recipes`); default on your images: a head")
    parser.add_argument("--engine", choices=list(ENGINES), help="who suggests values (default: kerastuner)")
    parser.add_argument("--algorithm", choices=algorithms, help=f"how ({said}; default: the first)")
    parser.add_argument("--trials", type=options.trials, metavar="N", help="at most N trials (default: 20)")
    parser.add_argument(
        "--resume",
        type=options.run_folder,
        metavar="SEARCH",
        help="go on with a stopped search, or join Optuna's",
    )
    options.add_data(parser)
    options.add_output(parser, "the search")
    options.add_subset(parser)
    options.add_labels(parser)
    parser.add_argument("--epochs", type=options.epochs, metavar="N", help="at most N epochs a trial")
    parser.add_argument("--image-size", nargs="+", type=options.side, metavar="PX", help="side of the input; one")
    options.add_settings(parser)
    options.add_track(parser)
    options.add_workers(parser)


def run(args: argparse.Namespace) -> int:
    """Begin a search, or go on with what `--resume` names."""
    if len(args.image_size or ()) > 1:
        raise ValueError(f"A search has one image size. Received {args.image_size}: begin a search of each.")
    if not args.resume:
        settled_engine(args.engine, args.algorithm, args.workers)  # refused before anything heavy is imported
    from .. import opened

    console.import_tensorflow()

    how = {"track": args.track, "workers": args.workers, "log": options.say}
    if args.resume:
        mcv.resume(args.resume, **how)
        return 0
    how |= {"engine": args.engine, "algorithm": args.algorithm, "folder": args.output_dir}
    how |= {"trials": args.trials} if args.trials else {}
    mcv.search(opened.source(args), args.recipe, **how, changes=options.changes(args))
    return 0
