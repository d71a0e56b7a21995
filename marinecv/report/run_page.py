"""The page of one run."""

from pathlib import Path

import pandas as pd
from msgspec.structs import asdict

from marinecv.data.user_tables import is_usable
from marinecv.evaluation.calibration import temperature_sentence
from marinecv.evaluation.figures import interval_words
from marinecv.evaluation.leaks import NOT_LOOKED_FOR, honest_sentences, read_honest_scores
from marinecv.evaluation.metrics import classification_metrics, confused_pairs, per_class_metrics, worst_losses
from marinecv.evaluation.predictions import read_predictions
from marinecv.evaluation.verdicts import verdict
from marinecv.explain.in_box import read_figures
from marinecv.export.table import read_exports
from marinecv.looks import looks_at_test
from marinecv.report.calibration_figures import reliability_figure, triage_figure
from marinecv.report.figures import class_bars, curves
from marinecv.report.heat_tables import heat_tables
from marinecv.report.html import number_text, thumbnail, write_page
from marinecv.report.parts import by_split, flat, matrix, shown
from marinecv.report.restoration_page import write_restoration_report
from marinecv.run_records import Calibration
from marinecv.runs import MEND, Run
from marinecv.schema import convert
from marinecv.studies import FLATTERED
from marinecv.tables import check_columns, numbers, read_table
from marinecv.training.recipe import check_published

FIGURE_NAMES = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "top3_accuracy": "True class among the first three",
    "macro_precision": "Precision, average over classes",
    "macro_recall": "Recall (sensitivity), average over classes",
    "macro_specificity": "Specificity, average over classes",
    "macro_f1": "F1, average over classes",
    "weighted_precision": "Precision, weighted",
    "weighted_recall": "Recall, weighted",
    "weighted_f1": "F1, weighted",
    "log_loss": "Log loss (nats)",
}
PICTURES_A_PAIR = 6
READ_OF_A_RECIPE = {"title": str, "name": str, "budget": str, "data": dict, "published": dict[str, dict]}
USAGE = """import marinecv as mcv

run = mcv.Run({!r})
pixels, problems = mcv.read_pixels(["photo.jpg"], run.spec)
probabilities = run.load_model().predict(pixels)  # a column a class of run.class_names
"""
CALIBRATED = """probabilities = mcv.calibrated(probabilities, run.calibration.temperature)
"""


def write_run_report(run_folder: str | Path | Run) -> Path:
    """Write `report.html` and `figures/*.png` of a run that has its predictions, or an autoencoder's; return the page.

    Metrics are computed where there are none. Files that contradict each other give no page but a ValueError.
    """
    run = run_folder if isinstance(run_folder, Run) else Run(run_folder)
    if run.restores:
        return write_restoration_report(run)
    if not run.path("predictions.csv").is_file():
        raise ValueError(
            f"{run.folder} has no predictions.csv, so nothing can be reported. Expected a finished run: resume it."
        )
    recipe, demonstration = _recipe(run), run.demonstration
    environment = run.read("environment.json") if run.path("environment.json").is_file() else {}
    timing = asdict(run.timing) if run.path("timing.json").is_file() else {}
    tables = by_split(read_predictions(run.path("predictions.csv"), run.class_names))
    if not tables:
        raise ValueError(f"{run.path('predictions.csv')} has no image with a true class, so nothing can be reported.")
    metrics = _metrics(run, tables)
    with run.mending("recipe.json"):
        published = _published(recipe, metrics, demonstration)
    history, best = run.history if run.path("history.csv").is_file() else None, timing.get("best_epoch")
    catalog = run.catalog if run.path("catalog.csv").is_file() else None
    exports, sure = read_exports(run), _calibration(run)
    paths = {} if catalog is None else dict(zip(catalog["image_id"], catalog["path"], strict=True))
    judged = "validation" if "validation" in tables else list(tables)[-1]
    figures = run.path("figures")
    return write_page(
        run.path("report.html"),
        "run.html",
        title=recipe.get("title") or recipe.get("name") or run.folder.name,
        demonstration=demonstration,
        summary=_summary(metrics, judged),
        honest=_honest(run, tables),
        flattered=FLATTERED if run.contract.select_on == "test" else "",
        grouped=any("groups" in figure for m in metrics.values() for figure in m.values() if isinstance(figure, dict)),
        budget=recipe.get("budget", ""),
        published=published,
        metrics=metrics,
        figure_names={key: label for key, label in FIGURE_NAMES.items() if any(key in m for m in metrics.values())},
        attributes=_attribute_scores(run),
        curves=None if history is None else shown(curves(history, best, demonstration), figures / "curves.png"),
        timing=[(key.replace("_", " "), number_text(value)) for key, value in timing.items()],
        matrices=[
            {
                "split": split,
                "counts": matrix(table, figures / f"confusion_{split}.png", False, demonstration),
                "shares": matrix(table, figures / f"confusion_{split}_shares.png", True, demonstration),
            }
            for split, table in tables.items()
        ],
        classes=[_classes(split, table, figures, demonstration) for split, table in tables.items()],
        judged=judged,
        pairs=_pairs(tables[judged], paths),
        losses=_losses(tables[judged], paths),
        sure=sure,
        drawings=sure and _calibration_drawings(sure, figures, demonstration),
        heat=heat_tables(read_figures(run)),
        exports=None if exports is None else exports.to_dict("records"),
        left_out=None if catalog is None else _left_out(catalog),
        recipe=flat({key: value for key, value in recipe.items() if key != "published"}),
        command=environment.pop("command", ""),
        environment=flat(environment),
        usage=USAGE.format(run.folder.name) + (CALIBRATED if run.path("calibration.json").is_file() else ""),
    )


def _recipe(run: Run) -> dict:
    """The recipe as plain data, so that one of another version is still shown; what the page reads of it is checked."""
    recipe = run.read("recipe.json")
    with run.mending("recipe.json"):
        for name in READ_OF_A_RECIPE.keys() & recipe.keys():
            convert(recipe[name], READ_OF_A_RECIPE[name], f"{name!r} of {run.path('recipe.json')}")
        check_published(recipe.get("published", {}))
    return recipe


def _attribute_scores(run: Run) -> list[dict]:
    """What the attributes of a multimodal run are worth; nothing for other runs."""
    path = run.path("attribute_scores.csv")
    if not path.is_file():
        return []
    with run.mending("attribute_scores.csv"):
        table = numbers(read_table(path), ("accuracy", "low", "high", "n"), path).astype({"n": int})
        check_columns(table, ("attributes", "meaning"), path)
        return table.to_dict("records")


def _metrics(run: Run, tables: dict[str, pd.DataFrame]) -> dict[str, dict]:
    """The figures of each split, as measured or else computed; measured ones must be those of the predictions."""
    measured = run.metrics if run.finished else {}
    for split, table in ((split, table) for split, table in tables.items() if split in measured):
        right = int((table["true_class"] == table["predicted_class"]).sum())
        accuracy = measured[split]["accuracy"]
        if accuracy["n"] != len(table) or abs(accuracy["value"] - right / len(table)) > 1e-9:
            raise ValueError(
                f"metrics.json and predictions.csv of {run.folder} contradict each other: the {split} accuracy is "
                f"{accuracy['value']} (n={accuracy['n']}) in the one, {right} of {len(table)} in the other. "
                f"{MEND['predictions.csv'].format(folder=run.folder)}"
            )
    groups = run.catalog.set_index("image_id")["group"] if run.path("catalog.csv").is_file() else None
    return {
        split: measured.get(split) or classification_metrics(table, groups=groups) for split, table in tables.items()
    }


def _summary(metrics: dict, judged: str) -> str:
    accuracy = metrics[judged]["accuracy"]
    return (
        f"Of {accuracy['n']} {judged} images, {accuracy['value']:.1%} are named correctly "
        f"({interval_words(accuracy, '.1%')})."
    )


def _honest(run: Run, tables: dict[str, pd.DataFrame]) -> dict:
    """What the score is worth without relatives, in words and rows, and how often test was looked at."""
    path, looks = run.path("honest.csv"), looks_at_test(run)["sentence"] if "test" in tables else ""
    if not path.is_file():
        return {"rows": [], "sentences": [NOT_LOOKED_FOR], "looks": looks, "related": False}
    with run.mending("honest.csv"):
        scores = read_honest_scores(path)
    seen = scores[(scores["split"] == "validation") & (scores["figure"] == "accuracy")]["n"]  # whole, and without
    related = seen.nunique() > 1
    return {
        "rows": scores.to_dict("records"),
        "sentences": honest_sentences(scores, retrain=not run.own),
        "looks": looks,
        "related": related,
    }


def _published(recipe: dict, metrics: dict, demonstration: bool) -> list[dict]:
    """A row a published figure, ours beside it; only an accuracy of a whole run is judged."""
    same_split = not demonstration and recipe.get("data", {}).get("split_by") in (None, "published")
    rows = []
    for split, theirs in recipe.get("published", {}).items():
        for name in (name for name in theirs if name != "n"):
            ours = metrics.get(split, {}).get(name) if name in FIGURE_NAMES else None
            row = {
                "split": split,
                "figure": FIGURE_NAMES.get(name, name.replace("_", " ")),
                "published": theirs[name],
                "published_n": theirs.get("n", "not stated"),
                "ours": ours["value"] if ours else "",
                "n": ours["n"] if ours else "",
                "verdict": "",
                "sentence": "",
            }
            if recipe.get("budget"):
                row["verdict"] = "reduced budget"
            elif name == "accuracy":
                value, n = (ours["value"], ours["n"]) if ours else (None, None)
                row |= verdict(theirs[name], theirs.get("n"), value, n, same_split)
            rows.append(row)
    return rows


def _calibration(run: Run) -> Calibration | None:
    """What its probabilities mean; None of a run of an older version, or whose model is gone."""
    there = all(run.path(name).is_file() for name in ("calibration.json", "model.keras"))
    return run.calibration if there else None


def _calibration_drawings(sure: Calibration, figures: Path, demonstration: bool) -> dict:
    if sure.reason:
        return {}
    before, after = map(pd.DataFrame, (sure.reliability.before, sure.reliability.after))
    drawn = reliability_figure(before, None if sure.temperature == 1 else after, demonstration)
    curve = triage_figure(pd.DataFrame(sure.review.curve), sure.review.goal, demonstration)
    return {
        "sentence": temperature_sentence(sure),
        "reliability": shown(drawn, figures / "reliability.png"),
        "triage": shown(curve, figures / "triage.png"),
    }


def _classes(split: str, table: pd.DataFrame, figures: Path, demonstration: bool) -> dict:
    per_class = per_class_metrics(table)
    bars = shown(class_bars(per_class, demonstration), figures / f"classes_{split}.png")
    return {"split": split, "rows": per_class.to_dict("records"), "bars": bars}


def _pairs(table: pd.DataFrame, paths: dict[str, str]) -> list[dict]:
    pairs = confused_pairs(table).to_dict("records")
    for pair in pairs:
        pair["pictures"] = [_picture(image_id, paths, []) for image_id in pair["image_ids"][:PICTURES_A_PAIR]]
    return pairs


def _losses(table: pd.DataFrame, paths: dict[str, str]) -> list[dict]:
    pictures = []
    for row in worst_losses(table).itertuples():
        lines = [f"{row.true_class}: {row.p_true:.3f}"]
        if row.predicted_class != row.true_class:
            lines.append(f"taken for {row.predicted_class}: {row.p_predicted:.3f}")
        pictures.append(_picture(row.image_id, paths, lines))
    return pictures


def _picture(image_id: str, paths: dict[str, str], lines: list[str]) -> dict:
    return {"src": thumbnail(paths.get(image_id, "")), "alt": image_id, "lines": [*lines, Path(image_id).name]}


def _left_out(catalog: pd.DataFrame) -> list[dict]:
    bad = catalog[~is_usable(catalog)]
    groups = bad.groupby("problem")["image_id"]
    return [
        {"problem": problem, "count": len(ids), "examples": ", ".join(ids.iloc[:3])}
        for problem, ids in sorted(groups, key=lambda group: -len(group[1]))
    ]
