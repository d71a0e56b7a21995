"""Score a run again, or on other images."""

import argparse

from marinecv import console

from .. import options

HELP = (
    "Score a run on one of its splits: as split, on the images without a relative in train, and by choice in grouped "
    "folds; or on images from elsewhere (--data, --data-dir)."
)
SHOWN = ["images", "split", "figure", "value", "low", "high", "n", "groups"]
CHANGED = 0.01  # of a probability: far more than another processor changes
EXAMPLE = "evaluate runs/aquarium_four_conv-1 --on test --folds 5"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A run, a split, and by choice other data."""
    parser.add_argument("run", type=options.run_folder, metavar="RUN", help="folder of a finished run")
    options.add_split(parser, default="validation")
    options.add_data(parser)
    options.add_labels(parser)
    options.add_subset(parser)
    options.add_output(parser, "predictions and metrics")
    parser.add_argument(
        "--batch-size", type=options.batch, default=32, metavar="N", help="images at a time (default: 32)"
    )
    parser.add_argument(
        "--folds",
        type=options.several,
        metavar="K",
        help="train its recipe K times with relatives kept apart, beside it",
    )


def run(args: argparse.Namespace) -> int:
    """Predict anew, print the table, keep it where --output-dir says."""
    import marinecv as mcv
    from marinecv.atomic import write_json
    from marinecv.evaluation.figures import interval_words
    from marinecv.evaluation.leaks import honest_sentences
    from marinecv.evaluation.metrics import classification_metrics, per_class_metrics
    from marinecv.runs import fresh_folder
    from marinecv.tables import write_table
    from marinecv.training.recipe import Recipe
    from marinecv.workflows.leakage import fold_table, keep_honest_scores, related, related_outside
    from marinecv.workflows.localization import chosen_images

    trained = options.classifier(args.run)
    other = bool(args.data or args.data_dir)
    if args.folds and (other or args.limit):
        raise ValueError("--folds trains on the run's own images, all of them. Leave out --data, --data-dir, --limit.")
    if args.folds:
        Recipe.of(trained)  # which must be one to train by
    catalog = outside(args, trained) if other else trained.catalog
    part = chosen_images(args, catalog, [args.on])
    folder = fresh_folder(args.output_dir) if args.output_dir else None
    console.import_tensorflow()
    model = trained.load_model()
    trained.note(f"looked at {args.on}: evaluate" + (f" on {args.data or args.data_dir}" if other else ""))
    pixels, part = mcv.load_pixels(part, trained.spec)
    left_out = part[part["problem"] != ""]
    if len(left_out):
        first = left_out.iloc[0]
        print(f"{len(left_out)} of {len(part)} images left out; the first, {first['image_id']}: {first['problem']}")
    if len(left_out) == len(part):
        raise ValueError("None of these images can be read. If they have moved, name their folder with --data-dir.")
    told = trained.attributes if trained.path("attributes.csv").is_file() and not other else None
    predictions = mcv.predict_table(
        model, part, trained.spec, trained.class_names, batch_size=args.batch_size, pixels=pixels, attributes=told
    )
    if not other and trained.path("predictions.csv").is_file():
        say_changes(predictions, mcv.read_predictions(trained.path("predictions.csv"), trained.class_names))
    groups, relatives, *searched = related_outside(trained, part, args.frames) if other else related(trained)
    metrics = classification_metrics(predictions, groups=groups)
    print(f"{trained.folder} on {args.on}")
    for name, figure in metrics.items():
        if isinstance(figure, dict):
            print(f"  {name:<20} {figure['value']:.4f}  ({interval_words(figure, '.4f')}, n={figure['n']})")
    columns = ["class_name", "precision", "recall", "specificity", "f1", "support"]
    print(per_class_metrics(predictions)[columns].round(3).to_string(index=False))
    if args.folds:
        from marinecv.workflows.folds import grouped_folds

        grouped_folds(trained, args.folds)
    elif trained.finished and not other and not trained.path("honest.csv").is_file():
        keep_honest_scores(trained, mcv.read_predictions(trained.path("predictions.csv"), trained.class_names))
        mcv.write_run_report(trained.folder)
    scores = mcv.honest_scores(predictions, groups, relatives, None if other else fold_table(trained, args.folds))
    if len(scores):  # of train there are none
        words = ("copy or near copy", *searched) if other else ()
        said = honest_sentences(scores, *words, retrain=not trained.own)
        print(f"\n{scores[SHOWN].round(3).to_string(index=False, na_rep='-')}", *said, sep="\n")
    if folder:
        mcv.write_predictions(predictions, folder / "predictions.csv")
        write_json(folder / "metrics.json", {args.on: metrics})
        write_table(folder / "honest.csv", scores)
        print(f"written to {folder}")
    return 0


def say_changes(predictions, before) -> None:
    """Name the images that no longer give what they gave right after the training."""
    now, before = (table.set_index("image_id").filter(regex="^p_") for table in (predictions, before))
    difference = (now - before).abs().max(axis=1)
    if changed := list(difference.index[difference > CHANGED]):
        print(
            f"WARNING: {len(changed)} of {len(now)} images have changed since the training: their probabilities differ "
            f"from those in predictions.csv. They are {', '.join(changed[:5])}{' and others' * (len(changed) > 5)}."
        )


def outside(args: argparse.Namespace, trained):
    """The catalog of other images, whose classes the run must know."""
    import marinecv as mcv
    from marinecv.data.accounting import reading_lines
    from marinecv.data.groups import first_level
    from marinecv.data.splits import is_grouped
    from marinecv.training.recipe import DataChoice

    choice = DataChoice.of(trained)
    manifest = options.located(args, choice=choice)
    if manifest.demonstration != trained.demonstration:
        raise ValueError("A demonstration model and real photographs say nothing of each other. Train on real images.")
    catalog = mcv.read_catalog(manifest, **options.label_rules(args, choice), log=print)
    if manifest.merge_case:
        known = {name.casefold(): name for name in trained.class_names}
        catalog["class_name"] = [known.get(name.casefold(), name) for name in catalog["class_name"]]
    for line in reading_lines(manifest, catalog):
        print(line)
    if args.split_by:
        links = mcv.find_links(catalog, args.frames, say=print) if is_grouped(args.split_by) else None
        catalog = mcv.split_catalog(catalog, args.split_by, seed=args.seed, links=links, log=print)
    else:
        catalog = first_level(catalog)
        if not catalog["split"].any():  # images from elsewhere without splits are looked at whole
            catalog = catalog.assign(split=args.on)
    strangers = sorted(set(mcv.usable(catalog)["class_name"]) - set(trained.class_names))
    if strangers:
        raise ValueError(
            f"The images have classes that the run does not know, the first: {strangers[0]!r}. Expected some of "
            f"{', '.join(trained.class_names)}."
        )
    return catalog
