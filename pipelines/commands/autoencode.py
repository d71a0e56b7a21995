"""Train an autoencoder (a U-Net, a denoiser, a variational one) and save its encoder and decoder."""

import argparse

from marinecv.recipes.butterflies import DENOISE, RECIPES

from .. import options

EXAMPLE = "autoencode --recipe butterflies_vae --data-dir my_animals"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    options.add(parser, *options.DATA, "--output-dir", *options.LABELS)
    options.add_subset(parser)
    options.add(parser, "--recipe", help=f"one of {', '.join(RECIPES)} (default: {DENOISE.name})")
    options.add(parser, "--resume", "--accept-changes", "--epochs", "--batch-size", "--set", "--track")
    options.add(parser, "--image-size", help="side of the input")


def run(args: argparse.Namespace) -> int:
    from .. import opened

    options.one_size(args)
    mcv = options.library()
    if args.resume:
        mcv.resume(args.resume, track=args.track, accept_changes=args.accept_changes, log=options.print_line)
        return 0
    how = {"folder": args.output_dir, "changes": options.changes(args), "track": args.track, "log": options.print_line}
    mcv.autoencode(opened.source(args), args.recipe, **how)
    return 0
