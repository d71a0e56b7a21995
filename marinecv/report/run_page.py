"""Page of one run: metrics, leakage check, training, errors, calibration, exports and recipe."""

from pathlib import Path

import pandas as pd
from msgspec.structs import asdict

from marinecv.data.photos import is_of_crops
from marinecv.data.user_tables import is_usable
from marinecv.evaluation.calibration import temperature_sentence
from marinecv.evaluation.estimates import interval_text
from marinecv.evaluation.leakage import NOT_CHECKED, leakage_sentences, read_leakage_scores
from marinecv.evaluation.metrics import confused_pairs, confusion, per_class_metrics, worst_losses
from marinecv.evaluation.photos import metrics_of
from marinecv.evaluation.predictions import read_predictions
from marinecv.evaluation.published_comparison import compare_with_published
from marinecv.evaluation.test_usage import count_test_evaluations
from marinecv.experiments import CHOSEN_ON_TEST
from marinecv.explain.localization import read_localization
from marinecv.export.table import read_exports
from marinecv.files.csv_tables import check_columns, parse_numbers, read_table
from marinecv.report.explain_page import localization_tables
from marinecv.report.figures import confusion_figure, curves, reliability_figure, save_png, selective_accuracy_figure
from marinecv.report.html import (
    by_split,
    flatten_settings,
    format_number,
    save_and_embed,
    shared_command,
    thumbnail,
    write_page,
)
from marinecv.report.reconstruction_page import write_reconstruction_report
from marinecv.run_records import Calibration
from marinecv.runs import FIX_HINTS, Run
from marinecv.schema import convert
from marinecv.training.choice_table import read_choices
from marinecv.training.recipe import check_published

METRIC_NAMES = {
    "accuracy": "Accuracy",
    "photo_accuracy": "Accuracy of photographs",
    "balanced_accuracy": "Balanced accuracy",
    "top3_accuracy": "Top-3 accuracy",
    "macro_precision": "Precision, macro average",
    "macro_recall": "Recall (sensitivity), macro average",
    "macro_specificity": "Specificity, macro average",
    "macro_f1": "F1, macro average",
    "weighted_precision": "Precision, weighted average",
    "weighted_recall": "Recall, weighted average",
    "weighted_f1": "F1, weighted average",
    "log_loss": "Log loss (nats)",
}
MAX_IMAGES_PER_PAIR = 6
VALIDATED_FIELDS = {
    "title": str,
    "name": str,
    "shortened": str,
    "data": dict,
    "training": dict,
    "published": dict[str, dict],
}
USAGE = """import marinecv as mcv

run = mcv.Run({folder!r})  # the folder of this page
table = run.predict(["photo.jpg"], {demonstration}log=None)  # your own files and folders
print(table["predicted_class"][0])
"""


def write_run_report(run_folder: str | Path | Run) -> Path:
    """Write `report.html` and `figures/*.png` of a run with predictions, or of an autoencoder run; return the page.

    Missing metrics are computed. Files that contradict each other are a ValueError.
    """
    run = run_folder if isinstance(run_folder, Run) else Run(run_folder)
    if run.is_autoencoder:
        return write_reconstruction_report(run)
    if not run.path("predictions.csv").is_file():
        raise ValueError(f"{run.folder} has no predictions.csv to report. Expected a finished run: resume it.")
    recipe, demonstration = _recipe(run), run.demonstration
    environment = run.read("environment.json") if run.path("environment.json").is_file() else {}
    timing = asdict(run.timing) if run.path("timing.json").is_file() else {}
    tables = by_split(read_predictions(run.path("predictions.csv"), run.class_names))
    if not tables:
        raise ValueError(f"{run.path('predictions.csv')} has no image with a true class to report.")
    metrics = _metrics(run, tables)
    with run.with_hint("recipe.json"):
        published = _published(recipe, metrics, demonstration)
    history, best = run.history if run.path("history.csv").is_file() else None, timing.get("best_epoch")
    catalog = run.catalog if run.path("catalog.csv").is_file() else None
    exports, sure = read_exports(run), _calibration(run)
    paths = {} if catalog is None else dict(zip(catalog["image_id"], catalog["path"], strict=True))
    judged = "validation" if "validation" in tables else list(tables)[-1]
    figures, drawn_curves = run.path("figures"), None
    is_solved = recipe.get("training", {}).get("head_l2") and history is not None and len(history) == 1  # in no epochs
    if history is not None and not is_solved:
        drawn_curves = save_and_embed(curves(history, best, demonstration), figures / "curves.png")
    matrices = {split: confusion(table) for split, table in tables.items()}
    figures.mkdir(exist_ok=True)
    for split, counts in matrices.items():
        save_png(confusion_figure(counts, demonstration=demonstration), figures / f"confusion_{split}.png")
    return write_page(
        run.path("report.html"),
        "run.html",
        title=recipe.get("title") or recipe.get("name") or run.folder.name,
        demonstration=demonstration,
        summary=_summary(judged, metrics[judged], "crops" if is_of_crops(tables[judged]) else "images"),
        leakage=_leakage(run, tables),
        flattered=CHOSEN_ON_TEST if run.preprocessing.select_on == "test" else "",
        grouped=any("groups" in figure for m in metrics.values() for figure in m.values() if isinstance(figure, dict)),
        shortened=recipe.get("shortened", ""),
        changes=run.accepted_changes,
        published=published,
        metrics=metrics,
        figure_names={key: label for key, label in METRIC_NAMES.items() if any(key in m for m in metrics.values())},
        attributes=_attribute_scores(run),
        choices=_choices(run),
        curves=drawn_curves,
        timing=[(key.replace("_", " "), format_number(value)) for key, value in timing.items()],
        matrices=matrices,
        classes={split: per_class_metrics(table).to_dict("records") for split, table in tables.items()},
        judged=judged,
        pairs=_confused_pairs(tables[judged], paths),
        losses=_largest_losses(tables[judged], paths),
        sure=sure,
        drawings=sure and _calibration_drawings(sure, figures, demonstration),
        heat=localization_tables(read_localization(run)),
        exports=None if exports is None else exports.to_dict("records"),
        left_out=None if catalog is None else _excluded(catalog),
        recipe=flatten_settings({key: value for key, value in recipe.items() if key != "published"}),
        command=shared_command(environment.pop("command", "")),
        environment=flatten_settings(environment),
        usage=_usage(run),
    )


def _summary(split: str, metrics: dict, noun: str) -> str:
    """Return a sentence on the accuracy of images, or of crops and of photographs."""
    parts = {noun: metrics["accuracy"]}
    parts |= {"photographs": metrics["photo_accuracy"]} if "photo_accuracy" in metrics else {}
    texts = [
        f"{accuracy['value']:.1%} of {accuracy['n']} {what} classified correctly ({interval_text(accuracy, '.1%')})"
        for what, accuracy in parts.items()
    ]
    return f"{split.capitalize()} accuracy: {'; '.join(texts)}."


def _usage(run: Run) -> str:
    """Return Python lines that load the model and predict an image; empty for a multimodal run."""
    if run.path("attribute_scores.csv").is_file():  # predictions need attributes too
        return ""
    demonstration = "demonstration=True, " if run.demonstration else ""
    return USAGE.format(folder=run.folder.resolve().name, demonstration=demonstration)


def _recipe(run: Run) -> dict:
    """Return the recipe as plain data, also that of another version; the entries that the page reads are validated."""
    recipe = run.read("recipe.json")
    with run.with_hint("recipe.json"):
        for name in VALIDATED_FIELDS.keys() & recipe.keys():
            convert(recipe[name], VALIDATED_FIELDS[name], f"{name!r} of {run.path('recipe.json')}")
        check_published(recipe.get("published", {}))
    return recipe


def _choices(run: Run) -> dict[str, list[dict]]:
    """Return what was compared before the recipe was chosen, by the split it was judged on; none where it was named."""
    table = read_choices(run)
    table = table.assign(best=table["chosen"] == "True")
    return {split: part.to_dict("records") for split, part in table.groupby("judged_on", sort=False)}


def _attribute_scores(run: Run) -> list[dict]:
    """Return the accuracy of a multimodal run with and without attributes; empty for other runs."""
    path = run.path("attribute_scores.csv")
    if not path.is_file():
        return []
    with run.with_hint("attribute_scores.csv"):
        table = parse_numbers(read_table(path), ("accuracy", "low", "high", "n"), path).astype({"n": int})
        check_columns(table, ("attributes", "meaning"), path)
        return table.to_dict("records")


def _metrics(run: Run, tables: dict[str, pd.DataFrame]) -> dict[str, dict]:
    """Return the metrics of each split, saved or computed; saved ones must agree with the predictions."""
    saved = run.metrics if run.finished else {}
    groups = run.catalog.set_index("image_id")["group"] if run.path("catalog.csv").is_file() else None
    metrics = {}
    for split, table in tables.items():
        metrics[split] = saved.get(split) or metrics_of(table, groups)
        right, accuracy = int((table["true_class"] == table["predicted_class"]).sum()), metrics[split]["accuracy"]
        if accuracy["n"] != len(table) or abs(accuracy["value"] - right / len(table)) > 1e-9:
            raise ValueError(
                f"metrics.json and predictions.csv of {run.folder} contradict each other: the {split} accuracy is "
                f"{accuracy['value']} (n={accuracy['n']}) in the one, {right} of {len(table)} in the other. "
                f"{FIX_HINTS['predictions.csv'].format(folder=run.folder)}"
            )
    return metrics


def _leakage(run: Run, tables: dict[str, pd.DataFrame]) -> dict:
    """Return the leakage check as sentences and rows, and the number of test evaluations as a sentence."""
    path, test_usage = run.path("leakage.csv"), count_test_evaluations(run)["sentence"] if "test" in tables else ""
    if not path.is_file():
        return {"rows": [], "sentences": [NOT_CHECKED], "test_usage": test_usage, "related": False}
    with run.with_hint("leakage.csv"):
        scores = read_leakage_scores(path)
    counts = scores[(scores["split"] == "validation") & (scores["metric"] == "accuracy")]["n"]
    return {
        "rows": scores.to_dict("records"),
        "sentences": leakage_sentences(scores, retrain=not run.is_external),
        "test_usage": test_usage,
        "related": counts.nunique() > 1,  # fewer images without a related train image than in all
    }


def _published(recipe: dict, metrics: dict, demonstration: bool) -> list[dict]:
    """Return one row a published metric with ours; the accuracy of a complete run is compared."""
    rows, word = [], "not comparable" if demonstration else "shortened run" if recipe.get("shortened") else ""
    for split, published_metrics in recipe.get("published", {}).items():
        for name in (name for name in published_metrics if name in METRIC_NAMES):
            ours = metrics.get(split, {}).get(name)
            value, n = (ours["value"], ours["n"]) if ours else (None, None)
            row = {
                "split": split,
                "metric": METRIC_NAMES[name],
                "published": published_metrics[name],
                "published_n": published_metrics.get("n", "not stated"),
                "ours": value if ours else "",
                "n": n or "",
                "verdict": word,
                "sentence": "",
            }
            if name == "accuracy" and not word:
                accuracies = [] if value is None else [value]
                row |= compare_with_published(published_metrics[name], published_metrics.get("n"), accuracies, n)
            rows.append(row)
    return rows


def _calibration(run: Run) -> Calibration | None:
    """Return the calibration of the run; None without one or without its model."""
    exists = all(run.path(name).is_file() for name in ("calibration.json", "model.keras"))
    return run.calibration if exists else None


def _calibration_drawings(sure: Calibration, figures: Path, demonstration: bool) -> dict:
    if sure.reason:
        return {}
    before, after = map(pd.DataFrame, (sure.reliability.before, sure.reliability.after))
    reliability = reliability_figure(before, None if sure.temperature == 1 else after, demonstration)
    triage = selective_accuracy_figure(pd.DataFrame(sure.review.curve), sure.review.goal, demonstration)
    return {
        "sentence": temperature_sentence(sure),
        "reliability": save_and_embed(reliability, figures / "reliability.png"),
        "triage": save_and_embed(triage, figures / "triage.png"),
    }


def _confused_pairs(table: pd.DataFrame, paths: dict[str, str]) -> list[dict]:
    pairs = confused_pairs(table).to_dict("records")
    for pair in pairs:
        pair["pictures"] = [_picture(image_id, paths, []) for image_id in pair["image_ids"][:MAX_IMAGES_PER_PAIR]]
    return pairs


def _largest_losses(table: pd.DataFrame, paths: dict[str, str]) -> list[dict]:
    pictures = []
    for row in worst_losses(table).itertuples():
        lines = [f"{row.true_class}: {row.p_true:.3f}"]
        if row.predicted_class != row.true_class:
            lines.append(f"predicted as {row.predicted_class}: {row.p_predicted:.3f}")
        pictures.append(_picture(row.image_id, paths, lines))
    return pictures


def _picture(image_id: str, paths: dict[str, str], lines: list[str]) -> dict:
    return {"src": thumbnail(paths.get(image_id, "")), "alt": image_id, "lines": [*lines, Path(image_id).name]}


def _excluded(catalog: pd.DataFrame) -> list[dict]:
    """Return the unusable images by reason, the most frequent first: `problem`, `count`, `examples`."""
    bad = catalog[~is_usable(catalog)]
    groups = sorted(bad.groupby("problem")["image_id"], key=lambda group: -len(group[1]))
    return [{"problem": reason, "count": len(ids), "examples": ", ".join(ids.iloc[:3])} for reason, ids in groups]
