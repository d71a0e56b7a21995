"""Simulated coverage of every interval and false alarms of every comparison that the library prints.

Run:    python benchmarks/interval_coverage.py [--only QUANTITY ...]     a quarter of an hour on one busy core
Writes: benchmarks/results/interval_coverage.csv; docs/statistics.md has the cells that `page_cells` makes

Data are drawn from a population whose true value is known and given to the function of the library that a command
calls. `measured` is how often an interval covered the truth, or a comparison of equals told them apart, with the 95%
interval (Wilson) that the number of repetitions leaves. Designs are those of the documentation where it has any.
"""

import argparse
import zlib
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pandas as pd
from scipy.special import expit, logit, softmax
from scipy.stats import norm
from sklearn.metrics import adjusted_rand_score

from marinecv.evaluation import calibration, conformal, intervals, latent, selective, unknown
from marinecv.evaluation.cameras import camera_metrics
from marinecv.evaluation.compare import compare_runs
from marinecv.evaluation.estimates import mean_estimate
from marinecv.evaluation.learning_curve import curve_table, line_differences
from marinecv.evaluation.metrics import averages, classification_metrics, confusion, image_losses
from marinecv.evaluation.predictions import make_table
from marinecv.evaluation.published_comparison import next_seed_interval
from marinecv.evaluation.sample_size import estimate_sample_size
from marinecv.evaluation.seeds import compare_seeds
from marinecv.files.csv_tables import write_table

RESULTS = Path(__file__).parent / "results" / "interval_coverage.csv"
COLUMNS = ["quantity", "design", "measure", "nominal", "measured", "low", "high", "repetitions"]
REPETITIONS = 1000
FEW_REPETITIONS = 200  # of what takes half a second
AQUARIUM = (0.45, 0.05, 0.08, 0.12, 0.10, 0.08, 0.12)  # fractions of seven classes; of 63 images the rarest has 3
HELD, ALARM, LOST = "interval holds the truth", "false alarms", "known images lost"
COVERAGE = (HELD, "range holds it", "set holds the class")
Rows = Iterator[tuple[str, str, float, list]]  # design, measure, nominal value, outcome of each repetition


def main() -> None:
    """Simulate one quantity after the other and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=SIMULATIONS, default=list(SIMULATIONS), metavar="QUANTITY")
    for name in parser.parse_args().only:
        table = pd.DataFrame(simulated(name), columns=COLUMNS)
        if RESULTS.is_file():
            earlier = pd.read_csv(RESULTS)
            table = pd.concat([earlier[earlier["quantity"] != name], table])
        table = table.sort_values("quantity", key=lambda names: names.map(list(SIMULATIONS).index), kind="stable")
        write_table(RESULTS, table, float_format="%.4f")


def simulated(name: str) -> Iterator[list]:
    """Yield the rows of one quantity, whose random numbers depend on its name alone."""
    for design, measure, nominal, outcomes in SIMULATIONS[name](np.random.default_rng(zlib.crc32(name.encode()))):
        hits = np.asarray(outcomes, float)
        bounds = intervals.wilson(round(hits.sum()), len(hits)) if len(hits) else (np.nan, np.nan)
        row = [name, design, measure, nominal, hits.mean() if len(hits) else np.nan, *bounds, len(hits)]
        print(*row, flush=True)
        yield row


def page_cells(table: pd.DataFrame) -> dict[str, str]:
    """Return the last cell of each quantity in docs/statistics.md: ranges over designs, an unusual nominal value."""
    cells = {}
    for (quantity, measure, nominal), designs in table.groupby(["quantity", "measure", "nominal"], sort=False):
        name = "" if measure in COVERAGE else f"{measure} "
        expected = "" if nominal in (0.95, 0.05) else f" (of {nominal:g})"
        extent = f"{designs['measured'].min():.3f} to {designs['measured'].max():.3f}"
        cells.setdefault(quantity, []).append(f"{name}{extent}{expected}")
    return {quantity: "; ".join(texts) for quantity, texts in cells.items()}


def holds(figure: dict, truth: float) -> bool:
    """Return whether the interval of a metric holds the truth."""
    return figure["low"] <= truth <= figure["high"]


def drawn_table(rng: np.random.Generator, n: int, shares: tuple, strength: float, shift=0.0) -> pd.DataFrame:
    """Return predictions of n images: the logit of the true class is `strength` + `shift` higher, with noise."""
    true = rng.choice(len(shares), n, p=shares)
    logits = rng.normal(size=(n, len(shares))) * 1.5
    logits[np.arange(n), true] += strength + shift
    names = [f"class {number}" for number in range(len(shares))]
    return make_table(range(n), "test", [names[kind] for kind in true], softmax(logits, axis=1), names)


def true_metrics(table: pd.DataFrame) -> dict[str, float]:
    """Return the metrics of a table so large that it stands for the population."""
    counts = confusion(table).to_numpy()
    found = averages(counts.diagonal(), counts.sum(axis=0), counts.sum(axis=1))
    right = (table["true_class"] == table["predicted_class"]).mean()
    return {"accuracy": right, **found, "log_loss": image_losses(table).mean()}


def wilson_score(rng: np.random.Generator) -> Rows:
    """Accuracies from 0.5 to 0.98."""
    for n in (20, 63, 127, 223):
        shares = np.linspace(0.5, 0.98, 25)
        k = rng.binomial(n, shares, (REPETITIONS // 25 * 10, 25))
        bounds = np.array([intervals.wilson(count, n) for count in range(n + 1)])
        covered = (bounds[k, 0] <= shares) & (shares <= bounds[k, 1])
        yield f"accuracy, {n} images", HELD, 0.95, covered.ravel()


def bootstrap_over_images(rng: np.random.Generator) -> Rows:
    """Seven classes as uneven as the aquarium's."""
    truth = true_metrics(drawn_table(rng, 100_000, AQUARIUM, 4))
    for n in (63, 127):
        found = [classification_metrics(drawn_table(rng, n, AQUARIUM, 4)) for _ in range(REPETITIONS)]
        for metric in ("balanced_accuracy", "macro_f1", "log_loss"):
            yield (
                f"{metric}, 7 uneven classes, {n} images",
                HELD,
                0.95,
                [holds(f[metric], truth[metric]) for f in found],
            )


def uneven(rng: np.random.Generator, groups: int) -> np.ndarray:
    """Return sizes of groups: half of them below 8, a few above 30."""
    return np.ceil(rng.lognormal(2, 0.8, groups)).astype(int)


def bootstrap_over_groups(rng: np.random.Generator) -> Rows:
    """Groups of very uneven size, whose accuracies differ by a standard deviation of about 0.15."""
    shares = (0.4, 0.3, 0.2, 0.1)

    def drawn(groups: int) -> tuple[pd.DataFrame, np.ndarray]:
        group = np.repeat(np.arange(groups), uneven(rng, groups))
        return drawn_table(rng, len(group), shares, 3, rng.normal(0, 1, groups)[group]), group

    truth = true_metrics(drawn(10_000)[0])
    for groups in (6, 12, 20, 60):
        covered = {"accuracy": [], "macro_f1": []}
        for _ in range(REPETITIONS):
            table, group = drawn(groups)
            found = classification_metrics(table, groups=dict(zip(table["image_id"], group, strict=True)))
            for metric, outcomes in covered.items():
                outcomes.append(holds(found[metric], truth[metric]))
        for metric, outcomes in covered.items():
            yield f"{metric}, {groups} groups", HELD, 0.95, outcomes


def two_tables(rng: np.random.Generator, accuracies: np.ndarray) -> list[pd.DataFrame]:
    """Return predictions of two classifiers that find the same images hard; accuracies (2, n), that of each image."""
    ease = rng.normal(size=accuracies.shape[1])
    tables = []
    for chance in accuracies:
        right = norm.cdf(np.sqrt(0.5) * (ease + rng.normal(size=len(ease)))) < chance
        answers = np.where(right, "crab", "eel")
        images = {"image_id": [*map(str, range(len(ease)))], "split": "test", "true_class": "crab"}
        sure = (answers == "crab").astype(np.float32)
        tables.append(pd.DataFrame({**images, "predicted_class": answers, "p_crab": sure, "p_eel": 1 - sure}))
    return tables


def paired_comparison(rng: np.random.Generator) -> Rows:
    """Two classifiers on the same images: equal ones, and ones 0.05 apart."""
    for n in (63, 127, 223):
        equal = [compare_runs(*two_tables(rng, np.full((2, n), 0.8)), "test") for _ in range(REPETITIONS)]
        yield f"McNemar, {n} images", ALARM, 0.05, [found["distinguishable"] for found in equal]
        chances = np.repeat([[0.85], [0.8]], n, axis=1)
        apart = [compare_runs(*two_tables(rng, chances), "test") for _ in range(REPETITIONS)]
        yield f"difference of 0.05, {n} images", HELD, 0.95, [holds(found, 0.05) for found in apart]
    for groups in (8, 20, 60):
        outcomes = []
        for _ in range(REPETITIONS):
            group = np.repeat(np.arange(groups), uneven(rng, groups))
            chances = expit(1.4 + rng.normal(0, 0.7, (2, groups)))[:, group]
            tables = two_tables(rng, chances)
            found = compare_runs(*tables, "test", groups=dict(zip(tables[0]["image_id"], group, strict=True)))
            outcomes.append((holds(found, 0), found["distinguishable"]))
        covered, told_apart = zip(*outcomes, strict=True)
        yield f"difference of 0, {groups} groups", HELD, 0.95, covered
        yield f"McNemar and interval, {groups} groups", ALARM, 0.05, told_apart


def seeds(rng: np.random.Generator) -> Rows:
    """Two equal recipes on the same 150 images, whose accuracy moves by 0.03 from seed to seed."""
    for count in (3, 5):
        outcomes = []
        for _ in range(REPETITIONS):
            ease = rng.beta(4, 1, 150)
            images = pd.DataFrame({"image_id": [*map(str, range(150))], "split": "test", "true_class": "crab"})
            recipes = [{}, {}]
            for recipe in recipes:
                for number in range(count):
                    right = rng.random(150) < np.clip(ease * 0.9 + rng.normal(0, 0.03), 0, 1)
                    sure = right.astype(np.float32)
                    answers = {"predicted_class": np.where(right, "crab", "eel"), "p_crab": sure, "p_eel": 1 - sure}
                    recipe[number] = images.assign(**answers)
            found = compare_seeds(*recipes, "test")
            outcomes.append((found["seeds_low"] <= 0 <= found["seeds_high"], found["distinguishable"]))
        covered, told_apart = zip(*outcomes, strict=True)
        yield f"Student's t, {count} seeds", HELD, 0.95, covered
        yield f"two recipes, {count} seeds", ALARM, 0.05, told_apart


def folds(rng: np.random.Generator) -> Rows:
    """Five folds of a nearest-mean classifier on 4 classes in 10 dimensions; the truth is that of the fold models."""
    centers = np.random.default_rng(0).normal(0, 0.9, (4, 10))
    new = rng.integers(0, 4, 4000)
    new_points = centers[new] + rng.normal(size=(4000, 10))

    def predicted(train: tuple, points: np.ndarray) -> np.ndarray:
        means = np.stack([train[0][train[1] == kind].mean(axis=0) for kind in range(4)])
        return ((points[:, None] - means) ** 2).sum(axis=2).argmin(axis=1)

    for n in (100, 300):
        covered = []
        for _ in range(REPETITIONS):
            true = rng.permutation(np.arange(n) % 4)
            points, fold = centers[true] + rng.normal(size=(n, 10)), np.arange(n) % 5
            right, truth = np.empty(n, bool), []
            for number in range(5):
                train = points[fold != number], true[fold != number]
                right[fold == number] = predicted(train, points[fold == number]) == true[fold == number]
                truth.append((predicted(train, new_points) == new).mean())
            covered.append(holds(mean_estimate(right), np.mean(truth)))
        yield f"accuracy, 5 folds, {n} images", HELD, 0.95, covered


def drawn_probabilities(rng: np.random.Generator, n: int, kinds: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Return calibrated probabilities (n, kinds) and true classes drawn from them."""
    probabilities = softmax(rng.normal(size=(n, kinds)) * 2.5, axis=1)
    return probabilities, (probabilities.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1).clip(0, kinds - 1)


def calibrated(rng: np.random.Generator) -> Rows:
    """Probabilities that are calibrated: nothing should be corrected."""
    many = drawn_probabilities(rng, 100_000)
    loss = -np.log(many[0][np.arange(100_000), many[1]]).mean()
    for n in (30, 100):
        scaled, covered, above = [], [], []
        for _ in range(REPETITIONS):
            probabilities, true = drawn_probabilities(rng, n)
            losses = -np.log(probabilities[np.arange(n), true])
            scaled.append(calibration.cross_validated_loss(probabilities, true) < losses.mean())
            covered.append(holds(mean_estimate(losses), loss))
            sure, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == true
            by_chance = calibration.error_of_perfect_calibration(sure)
            above.append(calibration.calibration_error(sure, right) > by_chance)
        yield f"log loss, {n} images", HELD, 0.95, covered
        yield f"ECE above that by chance, {n} images", ALARM, np.nan, above
        yield f"temperature other than 1, {n} images", ALARM, np.nan, scaled


def prediction_sets(rng: np.random.Generator) -> Rows:
    """Probabilities that are not calibrated, for which the sets hold all the same."""
    for n in (20, 60, 200):
        covered, in_range = [], []
        for _ in range(REPETITIONS):
            probabilities, true = drawn_probabilities(rng, n + 10_000)
            probabilities = calibration.calibrated(probabilities, 0.5)
            threshold = conformal.set_threshold(probabilities[:n], true[:n])
            scores = 1 - probabilities[np.arange(n, n + 10_000), true[n:]]
            sets = conformal.prediction_sets(probabilities[n:], threshold)
            covered.append(sets[0, true[n]])
            low, high = conformal.coverage_range(n)
            in_range.append(low <= (scores <= threshold).mean() <= high)
        yield f"new image, {n} calibration images", "set holds the class", 0.9, covered
        yield f"coverage of one threshold, {n} calibration images", "range holds it", 0.95, in_range


def selective_accuracy(rng: np.random.Generator) -> Rows:
    """Threshold chosen on half of the images, accuracy above it measured on the others."""
    for n in (40, 100):
        covered, reached = [], []
        for _ in range(REPETITIONS):
            parts = []
            for count in (n, n, 3000):
                probabilities, true = drawn_probabilities(rng, count)
                right = probabilities.argmax(axis=1) == true
                parts.append((probabilities.max(axis=1), right, np.zeros(count, bool)))
            found = selective.evaluate_review(*parts[:2])
            if found["unflagged"] is None:
                continue
            truth = parts[2][1][parts[2][0] >= found["probability"]].mean()
            covered.append(holds(found["unflagged"], truth))
            if found["unflagged"]["value"] >= selective.GOAL:
                reached.append(truth >= selective.GOAL)
        yield f"accuracy of unflagged images, {n} + {n} images", HELD, 0.95, covered
        yield f"goal of {selective.GOAL:g} met on {n} other images", "goal is met", np.nan, reached


def next_camera(rng: np.random.Generator) -> Rows:
    """Cameras of 5 to 500 images, log-uniform; they differ by 0.2 to 1.2 on the logit."""
    for cameras, least in ((6, 0.2), (6, 1.2), (12, 0.2), (20, 0.2)):
        outcomes = []
        for _ in range(2 * REPETITIONS):
            center, spread = logit(rng.uniform(0.55, 0.95)), rng.uniform(least, 1.2)
            truth = expit(center + spread * rng.normal(size=cameras + 1))
            images = (5 * 100 ** rng.random(cameras)).round().astype(int)
            table = pd.DataFrame({"n": images, "accuracy": rng.binomial(images, truth[:-1]) / images})
            found, nodes = camera_metrics(table), center + spread * NODES
            outcomes.append(
                (holds(found, expit(nodes) @ WEIGHTS), found["next_low"] <= truth[-1] <= found["next_high"])
            )
        covered, of_next = zip(*outcomes, strict=True)
        differ = f"that differ by {least:g}" + " to 1.2" * (least < 1.2)
        yield f"mean over {cameras} cameras {differ}", HELD, 0.95, covered
        yield f"next camera after {cameras} {differ}", HELD, 0.95, of_next


NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(40)
WEIGHTS = WEIGHTS / WEIGHTS.sum()


def curve_cells(
    rng: np.random.Generator, errors: dict, line: str, count: int, n: int, moved: float, ease=None
) -> pd.DataFrame:
    """Return predictions of one line on n images; a seed moves log errors by `moved`, in all and at each fraction."""
    shape, ease = (count, len(errors), n), rng.normal(size=n) if ease is None else ease
    moves = rng.normal(0, moved, (count, 1, 1)) + rng.normal(0, moved, (count, len(errors), 1)) - moved**2
    chances = np.array([*errors.values()])[:, None] * np.exp(moves)
    wrong = (norm.cdf(np.sqrt(0.5) * (ease + rng.normal(size=shape))) < chances).ravel()
    number, fraction, image = (index.ravel() for index in np.indices(shape))
    fraction = np.array([*errors])[fraction]
    cells = {
        "recipe": line,
        "label_fraction": fraction,
        "images": (1000 * fraction).round().astype(int),
        "seed": number,
    }
    cells |= {"image_id": image.astype(str), "split": "validation", "true_class": "crab"}
    cells |= {"predicted_class": np.where(wrong, "eel", "crab"), "p_crab": np.where(wrong, 0.2, 0.8)}
    return pd.DataFrame(cells).assign(p_eel=lambda table: 1 - table["p_crab"])


FRACTIONS, FRACTIONS_OF_BUTTERFLIES = (0.1, 0.25, 0.5, 0.75, 1.0), (0.1, 0.25, 0.3, 0.5, 0.75, 1.0)


def sample_size(rng: np.random.Generator) -> Rows:
    """Half of the errors takes 1,000 * 2^(1 / exponent) images; of the intervals that are printed, and of all."""
    designs = [
        (FRACTIONS_OF_BUTTERFLIES, 3, 100, 0.1, 0.18, 0.62),
        (FRACTIONS, 3, 223, 0.1, 0.15, 0.5),
    ]
    for fractions, count, n, moved, level, exponent in designs:
        printed, exponents = [], []
        for _ in range(REPETITIONS):
            errors = {fraction: min(level * fraction**-exponent, 0.95) for fraction in fractions}
            cells = curve_cells(rng, errors, "a", count, n, moved)
            counts = cells[["label_fraction", "seed", "images"]].drop_duplicates().assign(class_name="crab")
            row = estimate_sample_size(cells, counts, "a").iloc[0]
            exponents.append(row["exponent_low"] <= exponent <= row["exponent_high"])
            if not row["note"]:
                printed.append(row["low"] <= 1000 * 2 ** (1 / exponent) <= row["high"])
        design = f"{len(fractions)} fractions, {count} seeds that differ by {moved:.0%}, {n} images"
        yield f"exponent, {design}", HELD, 0.95, exponents
        yield f"images needed, where printed, {design}", HELD, 0.95, printed


def curves(rng: np.random.Generator) -> Rows:
    """Errors of 0.2 that seeds move by a tenth each time; two equal lines find the same images hard."""
    for n in (100,):
        covered, apart, differences = [], [], []
        for _ in range(REPETITIONS):
            ease = rng.normal(size=n)
            lines = [curve_cells(rng, {1.0: 0.2}, name, 3, n, 0.1, ease) for name in "ab"]
            found = line_differences(pd.concat(lines, ignore_index=True), "a", "validation").iloc[0]
            apart.append(found["note"] != "not told apart")
            differences.append(found["low"] <= 0 <= found["high"])
            row = curve_table(lines[0], "validation").set_index("metric").loc["accuracy"]
            covered.append(row["low"] <= 0.8 <= row["high"])
        yield f"accuracy of a line, 3 seeds, {n} images", HELD, 0.95, covered
        yield f"difference of two lines, 3 seeds, {n} images", HELD, 0.95, differences
        yield f"two equal lines, 3 seeds, {n} images", ALARM, 0.05, apart


def leakage(rng: np.random.Generator) -> Rows:
    """Votes of the nearest-neighbor baseline with and without related images, truly 0.19 apart, as on aquarium."""
    for groups in (12, 17, 40):
        covered = []
        for _ in range(REPETITIONS):
            group = np.repeat(np.arange(groups), uneven(rng, groups))
            center = rng.normal(0, 0.15, (2, groups))[:, group] + np.array([[0.66], [0.47]])
            tables = two_tables(rng, np.clip(center, 0.02, 0.98))
            groups_of = dict(zip(tables[0]["image_id"], group, strict=True))
            covered.append(holds(compare_runs(*tables, "test", groups=groups_of), 0.19))
        yield f"leakage index, {groups} groups", HELD, 0.95, covered


def unknown_images(rng: np.random.Generator) -> Rows:
    """Known images that are answered "unknown", and that are flagged as out-of-distribution."""
    for n in (40, 100, 300):
        lost = []
        for _ in range(10 * REPETITIONS):
            confidence, distance = rng.beta(5, 1, n + 1), rng.chisquare(20, n + 1)
            thresholds = unknown.unknown_thresholds(confidence[:n], distance[:n], 0.05)
            lost.append(unknown.is_unknown(confidence[n:], distance[n:], thresholds)[0])
        yield f"unknown=0.05, {n} calibration images", LOST, 0.05, lost
    for n in (40, 100, 300):
        draws = rng.chisquare(20, (10 * REPETITIONS, n + 1))
        flagged = draws[:, n] > np.quantile(draws[:, :n], 0.99, axis=1)
        yield f"out-of-distribution, {n} validation images", LOST, 0.01, flagged


def events(rng: np.random.Generator) -> Rows:
    """Events of cameras that differ by a standard deviation of 0.7 on the logit."""
    for cameras in (8, 20):
        covered, truth = [], expit(1.4 + 0.7 * NODES) @ WEIGHTS
        for _ in range(REPETITIONS):
            camera = np.repeat(np.arange(cameras), rng.integers(5, 41, cameras))
            right = rng.random(len(camera)) < expit(1.4 + rng.normal(0, 0.7, cameras))[camera]
            covered.append(holds(mean_estimate(right, camera), truth))
        yield f"accuracy by event, {cameras} cameras", HELD, 0.95, covered


def heat(rng: np.random.Generator) -> Rows:
    """The fraction of heat in a box, and the difference of two ways to hide a part of an image."""
    for n in (30, 100):
        covered, paired = [], []
        for _ in range(REPETITIONS):
            covered.append(holds(mean_estimate(rng.beta(2, 2, n)), 0.5))
            right = rng.random((2, n)) < np.array([[0.8], [0.2]])
            paired.append(holds(mean_estimate(right[0].astype(float) - right[1]), 0.6))
        yield f"fraction of heat, {n} images", HELD, 0.95, covered
        yield f"difference of two ways to hide, {n} images", HELD, 0.95, paired


def clusters(rng: np.random.Generator) -> Rows:
    """Five classes in five clusters that hold 0.6 of them; the truth is that of 100,000 images in the same clusters."""

    def drawn(n: int) -> tuple[np.ndarray, np.ndarray]:
        classes = rng.integers(0, 5, n)
        return classes, np.where(rng.random(n) < 0.5, classes, rng.integers(0, 5, n))

    truth = adjusted_rand_score(*drawn(100_000))
    covered = {"ari": [], "purity": []}
    for _ in range(FEW_REPETITIONS):
        classes, cluster = drawn(100)
        places = rng.normal(size=(100, 2)) + cluster[:, None]
        points = pd.DataFrame({"image_id": range(100), "class_name": classes.astype(str), "split": "test"})
        points = points.assign(x=places[:, 0], y=places[:, 1], cluster_points=cluster + 1, cluster_code=cluster + 1)
        with patch.object(
            latent.metrics, "adjusted_mutual_info_score", adjusted_rand_score
        ):  # the same way, in seconds
            found = latent.latent_measures(points, places).set_index(["space", "measure"]).loc["points"]
        for name, value in (("ari", truth), ("purity", 0.6)):
            covered[name].append(found.loc[name, "low"] <= value <= found.loc[name, "high"])
    for name, outcomes in covered.items():
        yield f"{name}, 100 images", HELD, 0.95, outcomes


def published(rng: np.random.Generator) -> Rows:
    """The published figure is one more seed; seeds move an accuracy near 0.75 by 0.02, some images are easier."""
    for n, number in product((63, 127, 223), (3, 5)):
        ease = rng.beta(4, 1, (REPETITIONS, 2, 1, n)) * 0.95
        shares = np.clip(ease + rng.normal(0, 0.02, (REPETITIONS, 1, number + 1, 1)), 0, 1)
        counts = (rng.random(shares.shape) < shares).sum(axis=-1)  # of two sets of images
        for images, is_same in (("the same images", True), ("other images", False)):
            low, high = np.array([next_seed_interval(ours, n, is_same) for ours in counts[:, 0, :-1]]).T
            theirs = counts[:, 0 if is_same else 1, -1]
            yield f"{number} seeds, {n} images, {images}", ALARM, 0.05, (theirs < low) | (theirs > high)


SIMULATIONS = {
    "Wilson": wilson_score,
    "bootstrap over images": bootstrap_over_images,
    "bootstrap over groups": bootstrap_over_groups,
    "paired comparison": paired_comparison,
    "seeds": seeds,
    "folds": folds,
    "calibration": calibrated,
    "prediction sets": prediction_sets,
    "selective accuracy": selective_accuracy,
    "cameras": next_camera,
    "sample size": sample_size,
    "learning curve": curves,
    "leakage index": leakage,
    "published comparison": published,
    "unknown": unknown_images,
    "events": events,
    "localization": heat,
    "clusters": clusters,
}

if __name__ == "__main__":
    main()
