"""Label errors that were planted: how many of them `mcv.label_errors` lists, beside ranking by the loss alone.

    python benchmarks/label_errors.py        also --sets, --backbones, --seeds, --output

Of each set 5 and 10% of the labels are changed: to another class at random, or to the class that a model of the clean
labels gives most of the probability that it does not give the right one. Each of ten seeds draws images, classes and
folds anew. `precision` and `recall` are of the images listed, `suggested_right` is the fraction of the changed ones
listed whose true class is suggested. `precision_at_k` is that of the k first in the order of the list, k the number of
changed labels. `loss_at_k` and `loss_precision` rank all images by the log loss of the given label (self-confidence),
and take the first k or as many as are listed; `margin_at_k` ranks by cleanlab's normalized margin. `low` to `high` is
the 95% interval of the mean of `difference`, precision_at_k - loss_at_k, over seeds (Student's t, paired). The order
was chosen on animals10_5 and butterflies20. The sets have label errors of their own, which count as false alarms.
Writes results/label_errors.csv: a row a set, network, kind and fraction. Images are embedded once; some ten minutes a
network on two cores.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from cleanlab.rank import get_label_quality_scores
from machine import command, machine

import marinecv as mcv
from marinecv.environment import commit
from marinecv.evaluation.label_errors import odds_against, out_of_fold_probabilities, rank_label_errors
from marinecv.evaluation.seeds import interval_over_seeds
from marinecv.files.csv_tables import write_table
from marinecv.workflows.choose import network_name
from marinecv.workflows.label_errors import frozen_embeddings, network_for_embeddings

RESULTS = Path(__file__).resolve().parents[1] / "results" / "label_errors.csv"
FRACTIONS, KINDS = (0.05, 0.1), ("random", "similar classes")


def main() -> None:
    """Plant label errors in each set and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", default=["animals10_5", "butterflies20", "cub_x20"])
    parser.add_argument("--backbones", nargs="+", default=["default"], help="`default`, or names or Keras files")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--output", type=Path, default=RESULTS)
    args = parser.parse_args()
    table = []
    for backbone in args.backbones:
        network = network_for_embeddings(None if backbone == "default" else backbone)
        for name in args.sets:
            catalog = mcv.read_catalog(mcv.find_data(name))
            rows, embeddings = frozen_embeddings(catalog, mcv.find_pairs(catalog), network, print)
            names, truth = np.unique(rows["class_name"].to_numpy(str), return_inverse=True)
            groups = rows["group"].to_numpy(str)
            clean = out_of_fold_probabilities(embeddings, names[truth], groups)
            about = {"data": name, "network": network_name(network), "n": len(rows), "classes": len(names)}
            about |= {"clean_accuracy": (clean.argmax(axis=1) == truth).mean()}
            for kind in KINDS:
                for fraction in FRACTIONS:
                    seeds = range(args.seeds)
                    scores = [planted(embeddings, truth, names, groups, clean, kind, fraction, each) for each in seeds]
                    table.append(about | {"kind": kind, "fraction": fraction} | summary(pd.DataFrame(scores)))
                    print(table[-1], flush=True)
    how = {"command": command(), "machine": machine()}
    how |= {"recipe": "", "commit": commit(), "recipe_hash": ""}
    write_table(args.output, pd.DataFrame(table).assign(**how), float_format="%.4f")


def planted(
    embeddings: np.ndarray,
    truth: np.ndarray,
    names: np.ndarray,
    groups: np.ndarray,
    clean: np.ndarray,
    kind: str,
    fraction: float,
    seed: int,
) -> dict:
    """Change a fraction of the labels and return how well they are found."""
    rng, k = np.random.default_rng(seed), round(fraction * len(truth))
    chosen = rng.choice(len(truth), k, replace=False)
    labels, is_wrong = truth.copy(), np.zeros(len(truth), bool)
    is_wrong[chosen] = True
    wrong = np.where(np.eye(len(names), dtype=bool)[truth], 0, clean)
    similar = pd.DataFrame(wrong).groupby(truth).sum().to_numpy().argmax(axis=1)
    at_random = (truth + rng.integers(1, len(names), len(truth))) % len(names)
    labels[chosen] = (at_random if kind == "random" else similar[truth])[chosen]
    probabilities = out_of_fold_probabilities(embeddings, names[labels], groups, seed=seed)
    listed = rank_label_errors(np.arange(len(truth)), names[labels], probabilities, names)
    found = listed["image_id"].to_numpy(int)
    given = probabilities[np.arange(len(truth)), labels]
    by_odds = np.argsort(-odds_against(labels, probabilities), kind="stable")
    by_margin = np.argsort(get_label_quality_scores(labels, probabilities, method="normalized_margin"), kind="stable")
    by_loss = np.argsort(given, kind="stable")
    is_found = is_wrong[found]
    return {
        "k": k,
        "listed": len(found),
        "precision": is_found.mean(),
        "recall": is_found.sum() / k,
        "loss_precision": is_wrong[by_loss[: len(found)]].mean(),
        "suggested_right": (listed["suggested_class"] == names[truth[found]])[is_found].mean(),
        "precision_at_k": is_wrong[by_odds[:k]].mean(),
        "margin_at_k": is_wrong[by_margin[:k]].mean(),
        "loss_at_k": is_wrong[by_loss[:k]].mean(),
    }


def summary(scores: pd.DataFrame) -> dict:
    """Return the means over seeds, and the paired difference of the two rankings with its interval."""
    gaps = scores["precision_at_k"] - scores["loss_at_k"]
    low, high = interval_over_seeds(gaps)
    return {**scores.mean(), "difference": gaps.mean(), "low": low, "high": high, "seeds": len(scores)}


if __name__ == "__main__":
    main()
