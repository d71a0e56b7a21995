"""Score a run on a split or on other images, with and without images related to train, or in grouped folds."""

import argparse

from marinecv import choices

from .. import options

EXAMPLE = "evaluate runs/aquarium_four_conv-1 --split test --fold-by camera"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    options.add(parser, "run", "--split", *options.DATA, *options.LABELS, *options.CROPS, *options.SUBSET)
    options.add_output(parser, "predictions and metrics")
    options.add(parser, "--batch-size", default=32, help="images at a time (default: 32)")
    options.add(parser, "--folds", help="also K-fold cross-validation of its recipe, related images in one fold")
    fold_by = "what a fold keeps whole (default: group); camera: scores on cameras that training never saw"
    parser.add_argument("--fold-by", choices=choices.FOLD_BY, default="group", help=fold_by)
    gap = "also accuracy by event: images of one camera with pauses of at most GAP, as 30m"
    options.add(parser, "--accept-changes")
    parser.add_argument("--event-gap", metavar="GAP", help=gap)


def run(args: argparse.Namespace) -> int:
    from .. import opened

    run, data = opened.run_and_data(args)
    mcv = options.library()
    names = ("folds", "fold_by", "limit", "split_by", "frame_order", "label_rule", "images_without_boxes")
    names += ("event_gap", "batch_size", "seed", "accept_changes", "crops", "boxes", "min_confidence")
    how = {name: getattr(args, name) for name in names}
    options.print_line(str(mcv.evaluate(run, args.split, data, folder=args.output_dir, log=options.print_line, **how)))
    if args.output_dir:
        print(f"written to {args.output_dir}")
    return 0
