"""Map the embeddings of a run: t-SNE with and without labels, K-means, a linear classifier and nearest neighbors."""

import argparse

from marinecv.choices import FITTED_SPLITS

from .. import options

EXAMPLE = "latent runs/birds_mobilenet-1 --split train validation --clusters 20"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    flag = parser.add_argument
    options.add(parser, "run")
    options.add(parser, "--split", nargs="+", default=list(FITTED_SPLITS), help="splits (default: train validation)")
    flag("--clusters", type=options.several, metavar="K", help="clusters of K-means (default: number of classes)")
    flag("--neighbors", nargs="+", metavar="IMAGE_ID", help="images to show with their neighbors (default: random)")
    flag("--noise", action="store_true", help="add salt-and-pepper noise to 20%% of the pixels; writes latent-noisy")
    options.add(parser, *options.DATA, *options.SUBSET, "--accept-changes")


def run(args: argparse.Namespace) -> int:
    from .. import opened

    run, data = opened.run_and_data(args)
    mcv = options.library()
    how = {name: getattr(args, name) for name in ("clusters", "noise", "limit", "seed", "accept_changes")}
    print(mcv.latent(run, args.split, neighbors=args.neighbors, data=data, log=options.print_line, **how))
    return 0
