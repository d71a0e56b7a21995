"""Recipes whose settings were once chosen on the images that judged them, chosen anew: nested grouped folds.

    python benchmarks/nested.py                                      birds_mobilenet and animals_mobilenet
    python benchmarks/nested.py --recipes animals_mobilenet          also --trials, --epochs, --output

Both train a head on a frozen MobileNet, and their settings were found by hand. Here all combinations of `TRIALS` are
trained again in each of five folds that keep related images together: one is test, a fifth of the others validation.
The trial with the best validation accuracy (then the lowest loss), at its best epoch, predicts test; nothing else sees
test. So each image is judged once, by a model whose settings, epoch and weights come from others. Writes
results/nested.csv: a row a recipe with accuracy, 95% interval over groups, n, and the trials behind each choice. Needs
weights of ImageNet in KERAS_HOME. Of birds a quarter of an hour on two cores, of animals five minutes.
"""

import argparse
from dataclasses import replace
from itertools import product
from pathlib import Path

import keras
import pandas as pd
from machine import command, machine

import marinecv as mcv
from marinecv.audit.pairs import find_pairs
from marinecv.data.catalog import class_names_of
from marinecv.data.groups import group_catalog
from marinecv.data.splits.split_catalog import kfold
from marinecv.data.user_tables import usable
from marinecv.environment import commit
from marinecv.features.cache import AugmentedViews, make_cached_dataset, open_shared_cache
from marinecv.features.split_point import split_model
from marinecv.files.csv_tables import read_table, write_table
from marinecv.inputs.pipeline import label_indices
from marinecv.inputs.pixel_cache import load_pixels
from marinecv.recipes.registry import RECIPES
from marinecv.training.build import build_model, compile_model
from marinecv.training.recipe import Recipe
from marinecv.training.settings import IMAGE_SIZE, recipe_hash, with_changes

RESULTS = Path(__file__).resolve().parents[1] / "results" / "nested.csv"
FOLDS = INNER = 5
MAPS = ((), ("conv_pw_12_relu",))
TRIALS = {  # values of the settings that were chosen by hand
    "birds_mobilenet": {IMAGE_SIZE: (224, 320), "training.l2": (2e-3, 6e-3), "model.also_pooled": MAPS},
    "animals_mobilenet": {IMAGE_SIZE: (224, 288), "training.l2": (5e-4, 2e-3), "model.dropout": (0.2, 0.5)},
}


def main() -> None:
    """Choose and judge each recipe and write its row; rows of others stay."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipes", nargs="+", choices=TRIALS, default=[*TRIALS])
    parser.add_argument("--trials", type=int, help="the first so many alone")
    parser.add_argument("--epochs", type=int, help="at most: a shortened run")
    parser.add_argument("--output", type=Path, default=RESULTS)
    args = parser.parse_args()
    for name in args.recipes:
        recipe = RECIPES[name]
        manifest = mcv.find_data(recipe.data.name)
        catalog = mcv.read_catalog(manifest)
        catalog = group_catalog(catalog, find_pairs(catalog))
        trials = [dict(zip(TRIALS[name], values, strict=True)) for values in product(*TRIALS[name].values())]
        trials = [trial | ({"training.epochs": args.epochs} if args.epochs else {}) for trial in trials[: args.trials]]
        row = {"recipe": name, **judge(recipe, catalog, class_names_of(catalog, manifest), trials)}
        row |= {"command": command(), "commit": commit()}
        row |= {"recipe_hash": recipe_hash(recipe), "machine": machine()}
        kept = [read_table(args.output).query("recipe != @name")] if args.output.is_file() else []
        write_table(args.output, pd.concat([*kept, pd.DataFrame([row])]))


def judge(recipe: Recipe, catalog: pd.DataFrame, class_names: tuple[str, ...], trials: list[dict]) -> dict:
    """Return the accuracy on all test folds together, and what was chosen in each."""
    tables, chosen = [], []
    for number, outer in enumerate(kfold(catalog, FOLDS, by="grouped"), start=1):
        inner = kfold(outer[outer["split"] == "train"], INNER, by="grouped")[0].set_index("image_id")["split"]
        splits = outer.set_index("image_id")["split"].map({"validation": "test"}).fillna(inner).fillna("")
        results = [
            fit(with_changes(recipe, trial), catalog.assign(split=catalog["image_id"].map(splits)), class_names)
            for trial in trials
        ]
        best = max(range(len(trials)), key=lambda n: (results[n]["accuracy"], -results[n]["loss"]))
        chosen.append(" ".join(f"{name.rpartition('.')[2]}={value}" for name, value in trials[best].items()))
        tables.append(results[best]["test"])
        print(f"{recipe.name}, fold {number}: validation {results[best]['accuracy']:.3f}, {chosen[-1]}", flush=True)
    table = pd.concat(tables, ignore_index=True)
    accuracy = mcv.classification_metrics(table, groups=catalog.set_index("image_id")["group"])["accuracy"]
    print(f"{recipe.name}: {accuracy}")
    judged = {"judged_on": f"{FOLDS} nested grouped folds", "accuracy": accuracy["value"]}
    judged |= {name: accuracy[name] for name in ("low", "high", "n")}
    return {**judged, "trials": len(trials), "chosen": "; ".join(chosen)}


def fit(recipe: Recipe, catalog: pd.DataFrame, class_names: tuple[str, ...]) -> dict:
    """Train the head on cached features of all images; return validation accuracy and loss, and predictions of test."""
    training = recipe.training
    keras.utils.set_random_seed(training.seed)
    pixels, catalog = load_pixels(catalog, recipe.image)
    rows = usable(catalog)
    model = build_model(recipe, len(class_names))
    extractor, head = split_model(model)
    views = AugmentedViews(training.augmentation, training.cache_features, training.seed)
    [cache] = open_shared_cache(extractor, [(rows, pixels)], recipe.image, views)
    parts, data = {}, {}
    for split in ("train", "validation", "test"):
        is_in = (rows["split"] == split).to_numpy()
        parts[split], part = rows[is_in], replace(cache, places=cache.places[is_in])
        options = {"training": True, "seed": training.seed, "start_epoch": 0} if split == "train" else {}
        labels = label_indices(parts[split], class_names)
        options["batch_size"] = training.batch_size
        data[split] = make_cached_dataset(part, labels, len(class_names), **options)
    compile_model(head, training)
    callbacks = mcv.callbacks(training)
    head.fit(data["train"], validation_data=data["validation"], epochs=training.epochs, callbacks=callbacks, verbose=0)
    scores = head.evaluate(data["validation"], return_dict=True, verbose=0)
    test = parts["test"]
    probabilities = head.predict(data["test"], verbose=0)
    table = mcv.make_table(test["image_id"], "test", test["class_name"], probabilities, class_names)
    return {"accuracy": scores["accuracy"], "loss": scores["loss"], "test": table}


if __name__ == "__main__":
    main()
