"""What to look at next: accuracy by the number of reviewed images, in the order of `review` and at random.

    python benchmarks/review_order.py --data-dir FOLDER ...      also --seeds, --output

Labels are hidden, and answers come from the truth. Of each data set whole groups of related images are drawn: 30% are
test, the others a pool, by each seed. A logistic regression on features of MobileNet 0.75 (ImageNet) stands for the
run.

- `new images`: it knows three images a class; the pool is reviewed, and what is not drawn at random is learned.
- `wrong labels`: it knows the pool, 10% of the labels of which are wrong; what is reviewed is corrected.

`review` is the order of the command; `uncertain` and `diverse` (k-center over all) are parts of it alone.
In each order the same fifth of each batch is drawn at random and, as in `review`, measures and is not learned; so at
random means: the others at random, too. `difference` is the mean over seeds of the accuracy on test minus that at
random, with its 95% interval (Student's, of the seeds); `found` is the fraction of wrong labels among those reviewed.
The table goes to benchmarks/results/review_order.csv.
"""

import argparse
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from scipy.stats import entropy, t

import marinecv as mcv
from marinecv.data.groups import group_catalog, groups_of
from marinecv.data.splits.partition import partition_groups
from marinecv.data.user_tables import usable
from marinecv.environment import commit
from marinecv.evaluation.label_errors import out_of_fold_probabilities, rank_label_errors
from marinecv.features.embeddings import embed
from marinecv.files.csv_tables import write_table
from marinecv.review.order import informative, review_order
from marinecv.training.linear_head import solve_head

RESULTS = Path(__file__).parent / "results" / "review_order.csv"
KNOWN_A_CLASS, WRONG, L2 = 3, 0.1, 1e-4
REVIEWED = (25, 50, 100, 200, 400)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, nargs="+", required=True, help="data sets")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--output", type=Path, default=RESULTS)
    args = parser.parse_args()
    from machine import command, machine

    rows = []
    for folder in args.data_dir:
        catalog, embeddings = embedded(folder)
        of_seeds = [row for seed in range(args.seeds) for row in scores_of(catalog, embeddings, seed)]
        summary = summarize(pd.DataFrame(of_seeds), args.seeds)
        print(folder.name, summary.round(3).to_string(index=False), sep="\n", flush=True)
        rows.append(summary.assign(data=folder.name))
    about = {"seeds": args.seeds, "command": command(), "commit": commit()}
    write_table(args.output, pd.concat(rows).assign(**about, machine=machine()), float_format="%.4g")


def embedded(folder: Path) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the usable images of a data set with their groups, and their features."""
    catalog = mcv.read_catalog(mcv.find_data(data_dir=folder, log=None), log=None)
    catalog = group_catalog(catalog, mcv.find_pairs(catalog, log=None))
    spec = mcv.ImageSpec(height=224, width=224, letterbox_px=None)
    pixels, catalog = mcv.load_pixels(catalog, spec)
    inputs = keras.Input((224, 224, 3))
    signed = keras.layers.Rescaling(1 / 127.5, -1)(inputs)
    about = {"alpha": 0.75, "include_top": False, "input_shape": (224, 224, 3), "pooling": "avg"}
    network = keras.applications.MobileNet(input_tensor=signed, **about)
    rows = usable(catalog).reset_index(drop=True)
    return rows.assign(group=groups_of(rows)), embed(keras.Model(inputs, network.output), catalog, spec, pixels)


def scores_of(catalog: pd.DataFrame, embeddings: np.ndarray, seed: int) -> list[dict]:
    """Return the test accuracy by scenario, order and number of reviewed images."""
    rng = np.random.default_rng(seed)
    is_test = partition_groups(catalog, rng, [0.3, 0.7]).to_numpy() == 0
    names, labels = np.unique(catalog["class_name"], return_inverse=True)
    groups = catalog["group"].to_numpy(str)
    test, pool = np.flatnonzero(is_test), np.flatnonzero(~is_test)

    def accuracy(train: np.ndarray, train_labels: np.ndarray) -> float:
        kernel, bias = head(embeddings[train], train_labels, len(names))
        return float(((embeddings[test] @ kernel + bias).argmax(axis=1) == labels[test]).mean())

    rows = []
    shuffled = pd.Series(rng.permutation(pool))
    known = shuffled[shuffled.groupby(labels[shuffled]).cumcount() < KNOWN_A_CLASS].to_numpy()
    new = np.setdiff1d(pool[~np.isin(groups[pool], groups[known])], known)
    kernel, bias = head(embeddings[known], labels[known], len(names))
    logits = embeddings[new] @ kernel + bias
    probabilities = np.exp(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True))
    even = np.full_like(probabilities, 1 / len(names))
    of_new = {"review": informative(probabilities, embeddings[new], embeddings[known])}
    of_new |= {
        "uncertain": entropy(probabilities, axis=1),
        "diverse": informative(even, embeddings[new], embeddings[known]),
    }
    of_new["random"] = np.random.default_rng([seed, 1]).random(len(new))
    for name, score in of_new.items():
        order = review_order(groups[new], {"score": score}, np.zeros((len(new), 1)), seed=seed)
        for count in counts_of(len(order)):
            learned = order.iloc[:count].query("drawn != 'random'")["row"].to_numpy(int)
            train = np.concatenate([known, new[learned]])
            rows.append(("new images", name, count, seed, accuracy(train, labels[train]), np.nan))

    given = labels[pool].copy()
    wrong = rng.choice(len(pool), round(WRONG * len(pool)), replace=False)
    given[wrong] = (given[wrong] + rng.integers(1, len(names), len(wrong))) % len(names)
    probabilities = out_of_fold_probabilities(embeddings[pool], names[given], groups[pool], seed=seed)
    ranked = rank_label_errors(np.arange(len(pool)), names[given], probabilities, names)["image_id"].to_numpy(int)
    likely = np.full(len(pool), -np.inf)
    likely[ranked] = -np.arange(len(ranked))
    doubt = entropy(np.nan_to_num(probabilities), axis=1)
    of_pool = {"review": {"label error": likely, "uncertain": doubt}, "uncertain": {"uncertain": doubt}}
    of_pool["random"] = {"at random": np.random.default_rng([seed, 1]).random(len(pool))}
    for name, scores in of_pool.items():
        order = review_order(np.arange(len(pool)), scores, np.zeros((len(pool), 1)), seed=seed)
        for count in counts_of(len(order)):
            corrected, shown = given.copy(), order.iloc[:count].query("drawn != 'random'")["row"].to_numpy(int)
            corrected[shown] = labels[pool][shown]
            found = np.isin(wrong, shown).mean()
            rows.append(("wrong labels", name, count, seed, accuracy(pool, corrected), found))
    columns = ["scenario", "order", "reviewed", "seed", "accuracy", "found"]
    return [dict(zip(columns, row, strict=True)) for row in rows]


def counts_of(images: int) -> list[int]:
    """Return the numbers of reviewed images at which accuracy is measured."""
    return [count for count in (0, *REVIEWED) if count <= images]


def head(features: np.ndarray, labels: np.ndarray, num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    return solve_head(features[None], labels, num_classes, L2, widths=[features.shape[1]])


def summarize(table: pd.DataFrame, seeds: int) -> pd.DataFrame:
    """Return means over seeds, and the paired difference to the random order with its interval."""
    keys = ["scenario", "reviewed", "seed"]
    random = table[table["order"] == "random"].set_index(keys)["accuracy"]
    table = table.join(random.rename("random"), on=keys)
    table["difference"] = table["accuracy"] - table["random"]
    grouped = table.groupby(["scenario", "order", "reviewed"], sort=False)
    means = grouped[["accuracy", "found", "difference"]].mean()
    half = t.ppf(0.975, seeds - 1) * grouped["difference"].std() / np.sqrt(seeds)
    return means.assign(low=means["difference"] - half, high=means["difference"] + half).reset_index()


if __name__ == "__main__":
    main()
