"""Search hyper-parameters of a recipe: learning rate, batch, optimiser, and the shape of a CNN from scratch."""

import argparse

from marinecv.search.engines import ENGINES, settled_engine

from .. import options

EXAMPLE = "search --recipe aquarium_four_conv --trials 20"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which recipe, who suggests, how often, on which images."""
    algorithms = list(dict.fromkeys(name for names in ENGINES.values() for name in names))
    said = "; ".join(f"{engine}: {', '.join(names)}" for engine, names in ENGINES.items())
    options.add(parser, "--recipe", help="a recipe by name (`recipes`); default on your images: a head")
    parser.add_argument("--engine", choices=list(ENGINES), help="who suggests values (default: kerastuner)")
    parser.add_argument("--algorithm", choices=algorithms, help=f"how ({said}; default: the first)")
    parser.add_argument("--trials", type=options.trials, metavar="N", help="at most N trials (default: 20)")
    options.add(parser, "--resume", metavar="SEARCH", help="go on with a stopped search, or join Optuna's")
    options.add(parser, *options.DATA)
    options.add_output(parser, "the search")
    options.add(parser, *options.SUBSET, *options.LABELS)
    options.add(parser, "--epochs", help="at most N epochs a trial")
    options.add(parser, "--image-size", help="side of the input; one")
    options.add(parser, "--set", "--track", "--workers")


def run(args: argparse.Namespace) -> int:
    """Begin a search, or go on with what `--resume` names."""
    from .. import opened

    if len(args.image_size or ()) > 1:
        raise ValueError(f"A search has one image size. Received {args.image_size}: begin a search of each.")
    if not args.resume:
        settled_engine(args.engine, args.algorithm, args.workers)  # refused before anything heavy is imported
    mcv = options.library()
    how = {"track": args.track, "workers": args.workers, "log": options.say}
    if args.resume:
        mcv.resume(args.resume, **how)
        return 0
    how |= {"engine": args.engine, "algorithm": args.algorithm, "folder": args.output_dir}
    how |= {"trials": args.trials} if args.trials else {}
    mcv.search(opened.source(args), args.recipe, **how, changes=options.changes(args))
    return 0
