"""Coverage and width of every interval of `estimate`, simulated and on real images, beside simple random sampling.

    python benchmarks/estimate.py [--only DESIGN ...] [--simulations N]        some ten minutes on one core
    python benchmarks/estimate.py --real DATA ... [--simulations 200]          some three minutes a data set
    writes results/estimate.csv; docs/estimate.md has the rows that `page_rows` makes of `ON_PAGE` and real images

Each simulation draws another batch: images with probabilities of a classifier that takes a class for its neighbor, and
true classes drawn from these probabilities, so that they are calibrated (`overconfident`: the classifier then states
them to the power of two). Images of one event share the true class and most of the probabilities, cameras differ in
accuracy and in classes. `draw_sample` and `estimates` are those of the command, the answers are the true classes. With
`stop` the checking ends at the first of the fixed looks at which the interval of the accuracy is as narrow as that.

`coverage` is how often an interval held the true value, over all classes that have one, with the 95% interval that the
number of simulations leaves; `least` and `most` are those of single classes with 200 intervals or more. `estimated` is
the fraction of classes of the batch (and cameras) that have an interval. Simple random sampling: Wilson's interval of
the images of ten or more that count; `width` and `width_simple` are means over what both estimate, counts as a fraction
of the images.

With `--real` a run is trained on a quarter of a data set, and the other images are the folder that `mcv.estimate` gets,
with their labels as `answers`: 150 are checked, and each simulation is another seed. So large a part of these images is
checked that Wilson's intervals are narrowed by sqrt(1 - n/N).
"""

import argparse
import os
import shutil
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import softmax

import marinecv as mcv
from marinecv.data.user_tables import usable
from marinecv.environment import commit
from marinecv.evaluation.checked_sample import (
    ACCURACY,
    COUNT,
    LOOKS,
    MIN_CHECKED,
    PRECISION,
    RECALL,
    accuracy,
    draw_sample,
    estimates,
)
from marinecv.evaluation.intervals import wilson
from marinecv.files.csv_tables import write_table

RESULTS = Path(__file__).resolve().parents[1] / "results" / "estimate.csv"
BY_CAMERA = "count by camera"
MIN_CELL = 200  # intervals of a class, to name its coverage
TRAINED = 0.25  # fraction of real images


@dataclass(frozen=True)
class Design:
    """A kind of batch, and how much of it is checked."""

    images: int
    classes: int
    tail: float  # how often the most frequent class is there for each image of the rarest
    accuracy: float
    check: int = 150
    overconfident: bool = False
    events: bool = False
    cameras: int = 0
    stop: float = 0.0


DESIGNS = {
    "3 classes": Design(2000, 3, 1, 0.85),
    "3 classes, accuracy 0.6": Design(2000, 3, 1, 0.6),
    "3 classes, accuracy 0.97": Design(2000, 3, 1, 0.97),
    "8 classes": Design(5000, 8, 1, 0.85),
    "8 classes, 200:1": Design(10_000, 8, 200, 0.9),
    "8 classes, 200:1, overconfident": Design(5000, 8, 200, 0.75, overconfident=True),
    "20 classes, 300 checked": Design(10_000, 20, 1, 0.75, check=300),
    "20 classes, 200:1, 300 checked": Design(10_000, 20, 200, 0.85, check=300),
    "20 classes, 200:1, accuracy 0.97, 300 checked": Design(10_000, 20, 200, 0.97, check=300),
    "5 classes, 20:1, events, 4 cameras": Design(3000, 5, 20, 0.85, events=True, cameras=4),
    "8 classes, 50:1, events, 8 cameras, 300 checked": Design(5000, 8, 50, 0.75, 300, True, True, 8),
    "3 classes, stop at 0.2": Design(2000, 3, 1, 0.85, check=300, stop=0.2),
    "3 classes, accuracy 0.97, stop at 0.1": Design(2000, 3, 1, 0.97, check=300, stop=0.1),
    "8 classes, 200:1, events, stop at 0.12": Design(5000, 8, 200, 0.85, check=300, events=True, stop=0.12),
}
ON_PAGE = (  # the other designs are in the results alone
    *("3 classes", "8 classes, 200:1", "20 classes, 200:1, accuracy 0.97, 300 checked"),
    *("8 classes, 50:1, events, 8 cameras, 300 checked", "3 classes, accuracy 0.97, stop at 0.1"),
)


def main() -> None:
    """Simulate one design after the other and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=DESIGNS, default=list(DESIGNS), metavar="DESIGN")
    parser.add_argument("--real", nargs="+", metavar="DATA", help="data sets by name, in place of designs")
    parser.add_argument("--simulations", type=int)
    parser.add_argument("--output", type=Path, default=RESULTS)
    args = parser.parse_args()
    for name in args.real or args.only:
        table = real(name, args.simulations or 200) if args.real else simulated(name, args.simulations or 1000)
        table = table.assign(recipe="", commit=commit(), recipe_hash="")
        print(*page_rows(table), sep="\n", flush=True)
        if args.output.is_file():
            earlier = pd.read_csv(args.output)
            table = pd.concat([earlier[earlier["design"] != table["design"].iloc[0]], table])
        order = {design: number for number, design in enumerate(DESIGNS)}  # then real images
        table = table.sort_values("design", key=lambda names: names.map(order).fillna(len(order)), kind="stable")
        write_table(args.output, table, float_format="%.4f")


def simulated(name: str, simulations: int) -> pd.DataFrame:
    """Return a row a quantity of one design, whose random numbers depend on its name alone."""
    design, rng, outcomes = DESIGNS[name], np.random.default_rng(zlib.crc32(name.encode())), []
    strength = strength_of(design)
    for _ in range(simulations):
        batch = drawn_batch(design, strength, rng)
        outcomes.append(outcome(design, batch, int(rng.integers(2**32)), rng))
    return summaries(name, design.images, outcomes)


def real(name: str, seeds: int) -> pd.DataFrame:
    """Return a row a quantity of a data set, on a part of which a run is trained, over seeds of the sample."""
    rows = usable(mcv.read_catalog(mcv.find_data(name, log=None), log=None)).assign(split="")
    is_known = rows["image_id"].isin(rows.groupby("class_name").sample(frac=TRAINED, random_state=0)["image_id"])
    outcomes, check, rng = [], Design.check, np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as place:
        how = {"minutes": 2, "backbone": "mobilenet", "split_by": "grouped"}
        run = mcv.train(rows[is_known], folder=Path(place, "run"), **how)
        (photos := Path(place, "photos")).mkdir()
        labels = rows[~is_known].assign(image_id=rows["image_id"].str.replace("/", "_"))
        for row in labels.itertuples():
            (photos / row.image_id).symlink_to(row.path)
        labels = labels[["image_id", "class_name"]]
        for seed in range(seeds):
            (folder := Path(place, f"estimate-{seed}")).mkdir()
            if seed:  # the predictions are the same
                shutil.copy(Path(place, "estimate-0", "predictions.csv"), folder)
            result = mcv.estimate(run, photos, check=check, answers=labels, folder=folder, seed=seed, log=None)
            batch = pd.read_csv(folder / "predictions.csv", keep_default_na=False)
            batch["true_class"] = batch["path"].map(os.path.basename).map(labels.set_index("image_id")["class_name"])
            outcomes.append(with_truth(result.table, batch, rng.permutation(len(batch))[:check]))
            outcomes[-1]["width_simple"] *= np.sqrt(1 - check / len(batch))
    accuracy = (batch["true_class"] == batch["predicted_class"]).mean()
    return summaries(f"{name}, real images, accuracy {accuracy:.2f}", len(batch), outcomes)


def summaries(name: str, images: int, outcomes: list[pd.DataFrame]) -> pd.DataFrame:
    """Return a row a quantity, from the estimates of each simulation."""
    table = pd.concat([outcome.assign(simulation=number) for number, outcome in enumerate(outcomes)])
    of = table.groupby("quantity", sort=False)
    rows = [{"design": name, "quantity": quantity, "images": images, **summary(rows)} for quantity, rows in of]
    return pd.DataFrame(rows).assign(simulations=len(outcomes))


def summary(table: pd.DataFrame) -> dict:
    """Return coverage and widths of the intervals of one quantity."""
    bounded = table[table["low"].notna()]
    hits = (bounded["low"] - 1e-9 <= bounded["truth"]) & (bounded["truth"] <= bounded["high"] + 1e-9)
    cells = (
        hits.groupby(bounded["class_name"] + bounded["camera"])
        .agg(["mean", "size"])
        .query(f"size >= {MIN_CELL}")["mean"]
    )
    by_simulation = hits.groupby(bounded["simulation"]).mean()  # the classes of a batch are not independent
    half = 1.96 * by_simulation.std() / len(by_simulation) ** 0.5
    bounds = hits.mean() - half, hits.mean() + half
    if len(by_simulation) == len(hits):
        bounds = wilson(int(hits.sum()), len(hits))
    both = bounded[bounded["width_simple"].notna()]
    return {
        "n_checked": table["num_checked"].mean(),
        "coverage": hits.mean(),
        "low": bounds[0],
        "high": bounds[1],
        "least": cells.min(),
        "most": cells.max(),
        "estimated": len(bounded) / len(table),
        "width": (both["high"] - both["low"]).mean(),
        "estimated_simple": table["width_simple"].notna().mean(),
        "width_simple": both["width_simple"].mean(),
    }


def page_rows(table: pd.DataFrame) -> list[str]:
    """Return the rows of the table of docs/estimate.md: a design's coverages, then what its counts have."""
    rows = []
    for design, group in table.groupby("design", sort=False):
        group = group.set_index("quantity")
        coverages = group["coverage"][[ACCURACY, PRECISION, COUNT, RECALL]]
        cells = [f"{value:.3f}" for value in coverages]
        count = group.loc[COUNT]
        cells += [f"{count['estimated']:.2f} ({count['estimated_simple']:.2f})"]
        cells += [f"{count['width']:.3f} ({count['width_simple']:.3f})"]
        rows.append(f"| {design} | {' | '.join(cells)} |")
    return rows


def drawn_batch(design: Design, strength: float, rng: np.random.Generator) -> pd.DataFrame:
    """Return the predictions table of a batch, with the `true_class` of every image and its `camera`."""
    count, classes = design.images, design.classes
    size = 1 + rng.geometric(0.25, count) if design.events else np.ones(count, int)
    event = np.repeat(np.arange(count), size)[:count]
    events = event[-1] + 1
    frequency = np.geomspace(design.tail, 1, classes)
    camera = rng.integers(0, design.cameras, events) if design.cameras else np.zeros(events, int)
    of_camera = rng.dirichlet(3 * classes * frequency / frequency.sum(), max(design.cameras, 1))
    likely = of_camera.cumsum(axis=1)[camera] if design.cameras else (frequency / frequency.sum()).cumsum()[None]
    shown = (likely < rng.random((events, 1))).sum(axis=1).clip(0, classes - 1)
    logits = rng.normal(size=(events, classes)) + np.log(frequency) / 2
    easy = rng.normal(0, 1, max(design.cameras, 1))[camera] if design.cameras else 0
    logits[np.arange(events), shown] += strength + 1.5 * rng.normal(size=events) + easy
    logits[np.arange(events), (shown + 1) % classes] += 1.5
    true = (softmax(logits, axis=1).cumsum(axis=1) < rng.random((events, 1))).sum(axis=1).clip(0, classes - 1)
    logits = logits[event] + (rng.normal(0, 0.5, (count, classes)) if design.events else 0)
    probabilities = softmax(logits * (2 if design.overconfident else 1), axis=1)
    names = np.array([f"c{number:02}" for number in range(classes)])
    return pd.DataFrame(
        {
            "image_id": np.arange(count).astype(str),
            "true_class": names[true[event]],
            "predicted_class": names[probabilities.argmax(axis=1)],
            "probability": probabilities.max(axis=1),
            "camera": np.array([f"k{number}" for number in range(100)])[camera[event]] if design.cameras else "",
        }
    )


def strength_of(design: Design) -> float:
    """Return the strength of the true class in the logits that gives the accuracy of the design, by bisection."""
    low, high = -4.0, 16.0
    for _ in range(14):
        middle = (low + high) / 2
        batches = [drawn_batch(design, middle, np.random.default_rng(seed)) for seed in range(8)]
        right = np.mean([(batch["true_class"] == batch["predicted_class"]).mean() for batch in batches])
        low, high = (middle, high) if right < design.accuracy else (low, middle)
    return middle


def outcome(design: Design, batch: pd.DataFrame, seed: int, rng: np.random.Generator) -> pd.DataFrame:
    """Return the estimates of one sample of a batch with the `truth` of each, and the width of simple sampling."""
    predictions = batch.drop(columns="true_class")
    sample = draw_sample(predictions, design.check, seed)
    answers = batch.loc[sample.index, ["image_id", "true_class"]].rename(columns={"true_class": "class_name"})
    if design.stop:
        for looked in [*filter(lambda n: n < design.check, LOOKS[: design.check]), design.check]:
            found = accuracy(predictions, answers[:looked])
            if found["high"] - found["low"] <= design.stop:
                break
        answers = answers[:looked]
    return with_truth(estimates(predictions, answers), batch, rng.permutation(len(batch))[: len(answers)])


def with_truth(table: pd.DataFrame, batch: pd.DataFrame, simple: np.ndarray) -> pd.DataFrame:
    """Return estimates of a batch with the `truth` of each, and the width by the images of a simple random sample."""
    masks = {
        column: {name: (batch[column] == name).to_numpy() for name in batch[column].unique()}
        for column in ("true_class", "predicted_class", "camera")
        if column in batch
    }
    right = (batch["true_class"] == batch["predicted_class"]).to_numpy()
    truths, widths = [], []
    for row in table.itertuples():
        base, is_hit = sets_of(row, masks, right)
        truths.append(is_hit[base].sum() * (1 if row.quantity == COUNT else 1 / max(base.sum(), 1)))
        drawn = base[simple]
        n = int(drawn.sum())
        k = int((drawn & is_hit[simple]).sum())
        low, high = wilson(k, n)
        enough = (k if row.quantity == COUNT else n) >= MIN_CHECKED
        widths.append(high - low if enough else np.nan)
    is_count = table["quantity"] == COUNT
    table[["low", "high"]] = table[["low", "high"]].div(table["N"].where(is_count, 1), axis=0)
    truths = np.array(truths) / table["N"].where(is_count, 1)
    table["quantity"] = table["quantity"].mask(is_count & (table["camera"] != ""), BY_CAMERA)
    return table.assign(truth=truths, width_simple=widths, num_checked=len(simple))


def sets_of(row, masks: dict, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which images an estimate is a fraction of, and which of them count."""
    all_images, none = np.ones(len(right), bool), np.zeros(len(right), bool)
    true, predicted = (masks[column].get(row.class_name, none) for column in ("true_class", "predicted_class"))
    if row.quantity == ACCURACY:
        return all_images, right
    if row.quantity == PRECISION:
        return predicted, true
    if row.quantity == RECALL:
        return true, predicted
    return masks["camera"][row.camera] if row.camera else all_images, true


if __name__ == "__main__":
    main()
