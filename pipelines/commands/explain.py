"""Draw heatmaps of IMAGES, or of correct and wrong predictions of a run with the fraction of heat inside the boxes."""

import argparse
from pathlib import Path

from marinecv.choices import HEAT_METHODS

from .. import options

EXAMPLE = "explain runs/aquarium_mobilenet_p2-1 holiday_photos --method gradcam++"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    flag = parser.add_argument
    options.add(parser, "run")
    flag("images", nargs="*", type=Path, metavar="IMAGES", help="your files or folders, directly after RUN")
    flag("--method", choices=HEAT_METHODS, default=HEAT_METHODS[0], help="(default: %(default)s)")
    flag("--layer", metavar="NAME", help="layer of the feature maps (default: all that feed the head)")
    options.add(parser, "--split", *options.DATA, *options.SUBSET, "--accept-changes")


def run(args: argparse.Namespace) -> int:
    from marinecv.data.user_tables import is_usable

    from .. import opened

    run, data = opened.run_and_data(args)
    mcv = options.library()
    how = {name: getattr(args, name) for name in ("split", "layer", "limit", "seed", "accept_changes")}
    explanation = mcv.explain(run, args.images, args.method, data=data, log=options.print_line, **how)
    print(explanation)
    return 0 if is_usable(explanation.cases).any() else 1
