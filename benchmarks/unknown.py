"""`predict --unknown`: classes left out of the training, and how many of their images are answered "unknown".

    python benchmarks/unknown.py --data-dir FOLDER ...      also --left-out, --draws, --unknown, --minutes, --output

Of each data set some classes are drawn and left out, and `mcv.train(..., backbone="mobilenet", minutes=1)` is given the
others. `auroc` is the probability that an image of a class left out gets a higher score than a test image of a known
class: by the calibrated probability of the predicted class, by the distance to train, and by both as `--unknown` joins
them (the smaller of the two ranks among the calibration images). `rejected` is the fraction of images of classes left
out that are answered "unknown" with `--unknown 5%`, `lost` that of known test images. Intervals (95%) are of 2000
bootstrap resamples of the images, which does not count that other classes might be left out: see the draws. The table
goes to benchmarks/results/unknown.csv.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

import marinecv as mcv
from marinecv.evaluation.intervals import RESAMPLES, percentile_interval
from marinecv.evaluation.predictions import probabilities_of_table
from marinecv.evaluation.unknown import is_unknown, thresholds_of, unknown_thresholds
from marinecv.features.out_of_distribution import distances, read_embeddings
from marinecv.files.csv_tables import write_table

RESULTS = Path(__file__).parent / "results" / "unknown.csv"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, nargs="+", required=True, help="folders of images in class folders")
    parser.add_argument("--left-out", type=int, default=3, help="classes left out")
    parser.add_argument("--draws", type=int, default=3, help="times that classes are drawn")
    parser.add_argument("--unknown", type=float, default=0.05, help="fraction of known images that may be lost")
    parser.add_argument("--minutes", type=float, default=1)
    parser.add_argument("--calibration", type=float, help="fraction of validation to hold out (default: the usual one)")
    parser.add_argument("--output", type=Path, default=RESULTS)
    args = parser.parse_args()
    from machine import machine

    rows = []
    for folder in args.data_dir:
        catalog = mcv.read_catalog(mcv.find_data(data_dir=folder, log=None), log=None)
        for draw in range(args.draws):
            names = sorted(set(catalog["class_name"]) - {""})
            left_out = np.random.default_rng(draw).choice(names, args.left_out, replace=False).tolist()
            is_left_out = catalog["class_name"].isin(left_out)
            with tempfile.TemporaryDirectory() as place:
                how = {"backbone": "mobilenet", "minutes": args.minutes, "folder": Path(place) / "run", "log": None}
                how |= {"changes": {"training.calibration": args.calibration}} if args.calibration else {}
                run = mcv.train(catalog[~is_left_out].assign(split=""), **how)
                unknown = catalog[is_left_out & (catalog["problem"] == "")]
                found = measure(run, unknown.assign(split="test"), args.unknown)
            head = {"data": folder.name, "draw": draw, "left_out": " ".join(left_out), "unknown": args.unknown}
            rows += [head | row for row in found]
            print(pd.DataFrame(rows).to_string(index=False))
    write_table(args.output, pd.DataFrame(rows).assign(minutes=args.minutes, machine=machine()), float_format="%.4g")


def measure(run: mcv.Run, unknown: pd.DataFrame, fraction: float) -> list[dict]:
    """Return rows of `metric`, `value`, `low`, `high` and numbers of images, of a run and images of other classes."""
    catalog = run.catalog
    known = catalog[(catalog["split"] == "test") & (catalog["problem"] == "")]
    held_out = run.calibration.held_out
    scores = [image_scores(run, rows) for rows in (known, unknown)]
    values = {}
    for name, index in (("probability", 0), ("distance", 1), ("both", None)):
        of_groups = [combined(each, held_out) if index is None else (-each[0], each[1])[index] for each in scores]
        values[f"auroc {name}"] = estimate(auroc, *of_groups)
    by_probability = unknown_thresholds(held_out.confidence, None, fraction)[0], np.inf
    by_distance = -np.inf, unknown_thresholds(np.zeros(len(held_out.distance)), held_out.distance, fraction)[1]
    by_both = thresholds_of(run, run.calibration, fraction)
    for name, thresholds in (("probability", by_probability), ("distance", by_distance), ("both", by_both)):
        answers = [is_unknown(*each, thresholds).astype(float) for each in scores]
        values[f"rejected {name}"] = estimate(lambda known, unknown: unknown.mean(), *answers)
        values[f"lost {name}"] = estimate(lambda known, unknown: known.mean(), *answers)
    accuracy = run.metrics["test"]["accuracy"]["value"]
    counts = {"n_known": len(known), "n_left_out": len(unknown), "n_calibration": len(held_out.confidence)}
    return [{"metric": name, **value, **counts, "accuracy": accuracy} for name, value in values.items()]


def image_scores(run: mcv.Run, rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return the calibrated probability of the predicted class and the distance to train of each image, (n,) each."""
    from marinecv.evaluation.predict import predict_embeddings

    rows = rows.assign(class_name="")
    pixels, rows = mcv.load_pixels(rows, run.spec)
    table = mcv.predict_table(run.model, rows, run.spec, run.class_names, pixels=pixels)
    confidence = mcv.calibrated(probabilities_of_table(table), run.calibration.temperature).max(axis=1)
    embeddings = predict_embeddings(run.model, rows, run.spec, pixels)
    return confidence, distances(embeddings, read_embeddings(run.path("embeddings.npz")))


def combined(scores: tuple[np.ndarray, np.ndarray], held_out) -> np.ndarray:
    """Return how far out each image is by the farther of its two ranks among calibration images; more is farther."""
    confidence, distance = (np.sort(values) for values in (held_out.confidence, held_out.distance))
    below = np.searchsorted(confidence, scores[0]) / len(confidence)
    above = 1 - np.searchsorted(distance, scores[1]) / len(distance)
    return -np.minimum(below, above)


def auroc(known: np.ndarray, unknown: np.ndarray) -> float:
    return roc_auc_score(np.repeat([0, 1], [len(known), len(unknown)]), np.concatenate([known, unknown]))


def estimate(metric, known: np.ndarray, unknown: np.ndarray) -> dict:
    """Return a metric of two samples with its bootstrap interval."""
    rng = np.random.default_rng(0)
    resampled = [metric(rng.choice(known, len(known)), rng.choice(unknown, len(unknown))) for _ in range(RESAMPLES)]
    low, high = percentile_interval(np.array(resampled))
    return {"value": metric(known, unknown), "low": low, "high": high}


if __name__ == "__main__":
    main()
