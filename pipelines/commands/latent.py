"""Show what the space looks like in which a run tells images apart: t-SNE without and with labels, K-means, a linear
classifier, and each image's nearest neighbours.
"""

import argparse

from marinecv.choices import FITTED_SPLITS

from .. import options

EXAMPLE = "latent runs/birds_mobilenet-1 --on train validation --clusters 20"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A run, splits, and how many clusters."""
    options.add(parser, "run")
    several = "one split or several (default: train validation)"
    options.add(parser, "--on", nargs="+", default=list(FITTED_SPLITS), help=several)
    parser.add_argument(
        "--clusters", type=options.several, metavar="K", help="of K-means (default: as many as there are classes)"
    )
    parser.add_argument(
        "--neighbours", nargs="+", metavar="IMAGE_ID", help="images to show beside their nearest (default: some drawn)"
    )
    parser.add_argument(
        "--noise",
        action="store_true",
        help="lay salt and pepper on the images first, a tenth of the pixels each; the page is in latent-noisy",
    )
    options.add(parser, *options.DATA, *options.SUBSET)


def run(args: argparse.Namespace) -> int:
    """Compute the codes of the images, lay them out, and write page and tables in place of earlier ones."""
    from .. import opened

    run, data = opened.run_and_data(args)
    mcv = options.library()
    how = {name: getattr(args, name) for name in ("clusters", "noise", "limit", "seed")}
    print(mcv.latent(run, args.on, neighbors=args.neighbours, data=data, log=options.say, **how))
    return 0
