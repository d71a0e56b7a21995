"""Hold what `train` does by default against a logistic regression on the same frozen features.

    python benchmarks/default_gate.py --data ../shared/data --output-dir runs/gate
    python benchmarks/default_gate.py ... --sets animals10_small --splits 1 --minutes 1     a part of it

Three grouped splits of each set: 80% for `mcv.train(rows, minutes=3)`, 20% for the test, which it scores once. Beside
it stands a regression by scikit-learn, its penalty chosen by grouped cross-validation, on plain Keras features of the
network and size that the default chose: of the images that it trained on (`same images`), and of those that it held out
for validation too (`all images`). Columns: accuracies, the paired difference and its 95% interval, a bootstrap over
groups of related images. The default passes where its pooled difference to `same images` is at least -0.005, the lower
bound at least -0.02, and no set has an upper bound below 0. Stopped, the same command goes on.
Writes benchmarks/results/default_gate.csv. Needs weights of ImageNet in KERAS_HOME; 90 minutes on two cores.
"""

import argparse
import time
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from gate_sets import MADE, REAL, catalog_of
from machine import machine
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import marinecv as mcv
from marinecv.audit.pairs import find_pairs
from marinecv.data.groups import group_catalog, groups_of
from marinecv.evaluation.intervals import percentile_interval, resampled_sums
from marinecv.files.csv_tables import write_table
from marinecv.models.backbones import backbone_features

RESULTS = Path(__file__).parent / "results" / "default_gate.csv"
REFERENCES = {"same images": ("train",), "all images": ("train", "validation")}
POOLED, POOLED_LOW = -0.005, -0.02
STRENGTHS = (1e-3, 1e-2, 1e-1)  # inverse of the penalty


def main() -> int:
    """Run what is missing, write the table and say whether the default passes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder of the real sets")
    parser.add_argument("--output-dir", type=Path, required=True, metavar="DIR", help="where runs and made sets go")
    parser.add_argument("--sets", nargs="+", default=[*REAL[:2], *MADE, *REAL[2:]])
    parser.add_argument("--splits", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--backbone", metavar="NAME", help="for both sides, instead of the networks that are here")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="CSV")
    args = parser.parse_args()
    args.output_dir.mkdir(parents=True, exist_ok=True)
    images = []
    for name in args.sets:
        for split in range(args.splits):
            file = args.output_dir / f"{name}-{split}.csv"
            if not file.is_file():
                rows = catalog_of(name, args.data, args.output_dir)
                compare(name, rows, split, args).to_csv(file, index=False)
                keras.utils.clear_session()
            images.append(pd.read_csv(file, keep_default_na=False))
    table = summary(pd.concat(images))
    write_table(args.results, table.assign(minutes=args.minutes, machine=machine()))
    print(table.to_string(index=False))
    return 0 if passes(table) else 1


def compare(name: str, rows: pd.DataFrame, split: int, args: argparse.Namespace) -> pd.DataFrame:
    """Train both sides on one split, and return what each got right: a row a test image."""
    grouped = group_catalog(rows.assign(group=""), find_pairs(rows))
    catalog = mcv.split_catalog(grouped, "grouped", split, (0.8, 0.0, 0.2), find_pairs(rows))
    started, settings = time.perf_counter(), {"backbone": args.backbone} if args.backbone else {}
    folder = args.output_dir / "runs" / f"{name}-{split}-{time.time_ns()}"
    run = mcv.train(catalog, folder=folder, minutes=args.minutes, **settings)
    seconds = time.perf_counter() - started
    predictions = mcv.read_predictions(run.folder / "predictions.csv", run.class_names)
    test = predictions[predictions["split"] == "test"].set_index("image_id")
    trained = run.catalog[run.catalog["image_id"].isin(predictions["image_id"])].reset_index(drop=True)
    features, sought = frozen_features(run, trained), (trained["split"] == "test").to_numpy()
    table = pd.DataFrame({"image_id": trained["image_id"][sought], "set": name, "split": split, "seconds": seconds})
    table = table.assign(default=(test["predicted_class"] == test["true_class"])[table["image_id"]].to_numpy())
    for reference, splits in REFERENCES.items():
        fitted = trained["split"].isin(splits).to_numpy()
        model = regression(features[fitted], trained[fitted])
        table[reference] = model.predict(features[sought]) == trained["class_name"][sought]
    return table.assign(
        group=grouped.set_index("image_id")["group"][table["image_id"]].to_numpy(),
        chosen=run.path().name and mcv.Recipe.of(run).name,
    )


def frozen_features(run: mcv.Run, rows: pd.DataFrame) -> np.ndarray:
    """Return the mean of the last map of the network that the run chose, with its own weights: plain Keras."""
    recipe = mcv.Recipe.of(run)
    chosen = {name: getattr(recipe.model, name) for name in ("backbone", "alpha", "weights")}
    network = backbone_features(recipe.image.shape, trainable_layers=0, **chosen)
    dataset = mcv.make_dataset(rows, recipe.image, run.class_names)
    return network.predict(dataset.map(lambda images, labels: images), verbose=0)


def regression(features: np.ndarray, rows: pd.DataFrame) -> GridSearchCV:
    """Fit a standardized logistic regression, its penalty chosen by five grouped folds."""
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    search = GridSearchCV(pipeline, {"logisticregression__C": STRENGTHS}, cv=folds)
    return search.fit(features, rows["class_name"], groups=groups_of(rows))


def summary(images: pd.DataFrame) -> pd.DataFrame:
    """Return a row a set and reference, and for all sets together: accuracies, difference, 95% interval."""
    table = []
    for name, part in [*images.groupby("set", sort=False), ("all", images)]:
        for reference in REFERENCES:
            gaps = part["default"].astype(float) - part[reference].astype(float)
            groups, _ = pd.factorize(part["set"] + "\0" + part["group"])
            sums = np.stack([np.bincount(groups, gaps), np.bincount(groups)], axis=1)
            drawn = resampled_sums(sums, seed=0)
            low, high = percentile_interval(drawn[:, 0] / drawn[:, 1])
            accuracies = part["default"].mean(), part[reference].mean()
            row = [
                name,
                reference,
                len(part),
                *accuracies,
                gaps.mean(),
                low,
                high,
                part.groupby(["set", "split"])["seconds"].first().mean(),
            ]
            table.append(row)
    columns = ["set", "reference", "n", "default", "regression", "difference", "low", "high", "seconds"]
    return pd.DataFrame(table, columns=columns).round(4)


def passes(table: pd.DataFrame) -> bool:
    """Return whether the default is as good as the regression on the same images."""
    table = table[table["reference"] == "same images"].set_index("set")
    pooled = table.loc["all"]
    return pooled["difference"] >= POOLED and pooled["low"] >= POOLED_LOW and (table["high"] >= 0).all()


if __name__ == "__main__":
    raise SystemExit(main())
