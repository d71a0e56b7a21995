"""Train a network that gives back its image: its code is what it has learned of them."""

import argparse

import marinecv as mcv
from marinecv import console
from marinecv.recipes.butterflies import DENOISE, RECIPES

from .. import options

HELP = "Train an autoencoder (a U-Net, a denoiser, a variational one) and keep its encoder and decoder."
EXAMPLE = "autoencode --recipe butterflies_vae --data-dir my_animals"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The training flags that mean something without classes to tell apart."""
    options.add_data(parser)
    options.add_output(parser)
    options.add_subset(parser)
    options.add_labels(parser)
    parser.add_argument("--recipe", metavar="NAME", help=f"one of {', '.join(RECIPES)} (default: {DENOISE.name})")
    parser.add_argument("--resume", type=options.run_folder, metavar="RUN", help="go on with a stopped run")
    parser.add_argument("--epochs", type=options.epochs, metavar="N", help="at most N epochs")
    parser.add_argument("--batch-size", type=options.batch, metavar="N", help="images a training step")
    options.add_settings(parser)
    options.add_sizes(parser)
    options.add_track(parser)


def run(args: argparse.Namespace) -> int:
    """Train the chosen recipe, or go on with what `--resume` names."""
    if len(args.image_size or ()) > 1:
        raise ValueError(f"An autoencoder is trained at one size. Received {args.image_size}: train each by itself.")
    from .. import opened

    console.import_tensorflow()

    if args.resume:
        mcv.resume(args.resume, track=args.track, log=options.say)
        return 0
    how = {"folder": args.output_dir, "changes": options.changes(args), "track": args.track, "log": options.say}
    mcv.autoencode(opened.source(args), args.recipe, **how)
    return 0
