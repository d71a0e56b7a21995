"""Search hyperparameters of a recipe: learning rate, batch size, optimizer, and the layers of a CNN from scratch."""

import argparse

from marinecv.search.engines import ENGINES, settled_engine

from .. import options

EXAMPLE = "search --recipe aquarium_four_conv --trials 20"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    algorithms = list(dict.fromkeys(name for names in ENGINES.values() for name in names))
    known = "; ".join(f"{engine}: {', '.join(names)}" for engine, names in ENGINES.items())
    options.add(parser, "--recipe", help="recipe by name (`recipes`; default on your images: a head)")
    parser.add_argument("--engine", choices=list(ENGINES), help="library that suggests values (default: kerastuner)")
    parser.add_argument("--algorithm", choices=algorithms, help=f"search algorithm ({known}; default: the first)")
    parser.add_argument("--trials", type=options.trials, metavar="N", help="at most N trials (default: 20)")
    options.add(parser, "--resume", metavar="SEARCH", help="continue a stopped search, or join one of Optuna")
    options.add(parser, *options.DATA)
    options.add_output(parser, "the search")
    options.add_subset(parser)
    options.add(parser, *options.LABELS)
    options.add(parser, "--epochs", help="at most N epochs a trial")
    options.add(parser, "--image-size", help="side of the input")
    options.add(parser, "--set", "--track", "--workers", "--accept-changes")


def run(args: argparse.Namespace) -> int:
    from .. import opened

    options.one_size(args)
    if not args.resume:
        settled_engine(args.engine, args.algorithm, args.workers)  # raises before TensorFlow is imported
    mcv = options.library()
    how = {"track": args.track, "workers": args.workers, "log": options.print_line}
    if args.resume:
        mcv.resume(args.resume, accept_changes=args.accept_changes, **how)
        return 0
    how |= {"engine": args.engine, "algorithm": args.algorithm, "folder": args.output_dir}
    how |= {"trials": args.trials} if args.trials else {}
    mcv.search(opened.source(args), args.recipe, **how, changes=options.changes(args))
    return 0
