"""Page of one run: what it is, how good it is and what to do next; errors, metrics, calibration, leakage and recipe."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
from msgspec.structs import asdict

from marinecv.choices import SCORED_SPLITS
from marinecv.data.photos import is_of_crops
from marinecv.data.user_tables import is_usable
from marinecv.evaluation.calibration import (
    BINS,
    bin_indices,
    calibrated,
    calibration_error_sentence,
    reliability_table,
    temperature_sentence,
)
from marinecv.evaluation.estimates import interval_text, is_grouped
from marinecv.evaluation.leakage import leakage_sentences, read_leakage_scores
from marinecv.evaluation.metrics import confused_pairs, confusion, image_losses, per_class_metrics, worst_losses
from marinecv.evaluation.photos import metrics_of
from marinecv.evaluation.predictions import probabilities_and_labels
from marinecv.evaluation.published_comparison import compare_with_published
from marinecv.evaluation.selective import threshold_table
from marinecv.evaluation.test_usage import count_test_evaluations
from marinecv.experiments import CHOSEN_ON_TEST
from marinecv.explain.localization import read_localization
from marinecv.export.table import read_exports
from marinecv.files.csv_tables import check_columns, parse_numbers, read_table
from marinecv.language import local_number, recorded_text, tr
from marinecv.report.explain_page import localization_tables
from marinecv.report.figures import confusion_figure, curves, reliability_figure, save_png, selective_accuracy_figure
from marinecv.report.html import (
    flatten_settings,
    format_number,
    labeled_predictions,
    save_and_embed,
    shared_command,
    thumbnail,
    write_page,
)
from marinecv.report.next_step import next_step
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
MAX_PAIRS, MAX_IMAGES_PER_PAIR = 5, 6
MAX_THUMBNAILS, SMALL_PX = 400, 64
SHOWN_THRESHOLDS = (50, 60, 70, 80, 90, 95, 99)  # percent
VALIDATED_FIELDS = dict.fromkeys(("title", "name", "shortened"), str) | dict.fromkeys(("data", "training"), dict)
VALIDATED_FIELDS["published"] = dict[str, dict]
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
    recipe, demonstration = valid_recipe(run), run.demonstration
    environment = run.read("environment.json") if run.path("environment.json").is_file() else {}
    timing = asdict(run.timing) if run.path("timing.json").is_file() else {}
    tables = labeled_predictions(run)
    if not tables:
        raise ValueError(f"{run.path('predictions.csv')} has no image with a true class to report.")
    metrics = _metrics(run, tables)
    with run.with_hint("recipe.json"):
        published = published_rows(recipe, metrics, demonstration)
    history, best = run.history if run.path("history.csv").is_file() else None, timing.get("best_epoch")
    catalog = run.catalog if run.path("catalog.csv").is_file() else None
    exports, sure = read_exports(run), calibration_of(run)
    paths = {} if catalog is None else dict(zip(catalog["image_id"], catalog["path"], strict=True))
    seen = next(iter(tables))  # test where there is one
    judged = "validation" if "validation" in tables else seen
    leakage, temperature = _leakage(run, tables), sure.temperature if sure else 1.0
    scored = {split: table for split, table in tables.items() if split in SCORED_SPLITS} or tables
    images = {split: _image_table(table, run.class_names, temperature) for split, table in tables.items()}
    attributes, flag = _attribute_scores(run), "demonstration=True, " * demonstration
    pairs, classes = _confused_pairs(tables[judged], paths), {s: per_class_metrics(t) for s, t in tables.items()}
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
        title=title_of(run, recipe),
        demonstration=demonstration,
        about=_about(run, recipe, tables),
        summary=[_summary(split, metrics[split], is_of_crops(table)) for split, table in scored.items()],
        next=next_step(run, metrics[seen]["accuracy"], seen, leakage["scores"], classes.get("train"), sure, pairs),
        leakage=leakage,
        flattered=tr(CHOSEN_ON_TEST) if run.preprocessing.select_on == "test" else "",
        grouped=any(map(is_grouped, metrics.values())),
        shortened=recorded_text(recipe.get("shortened", "")),
        changes=[*run.correction_sentences, *run.accepted_changes],
        published=published,
        metrics=metrics,
        figure_names={key: tr(label) for key, label in METRIC_NAMES.items() if any(key in m for m in metrics.values())},
        attributes=attributes,
        choices=_choices(run),
        curves=drawn_curves,
        timing=[(tr(key.replace("_", " ")), format_number(value)) for key, value in timing.items()],
        matrices=matrices,
        thumbnails=_thumbnails(images, run.class_names, paths),
        classes={split: table.to_dict("records") for split, table in classes.items()},
        thresholds={split: _thresholds(images[split]) for split in scored},
        shown=SHOWN_THRESHOLDS,
        start=round(100 * (sure.review.probability or 0)) if sure and sure.review else 50,
        reliability=_reliability(images[seen]),
        seen=seen,
        judged=judged,
        pairs=pairs,
        losses=_largest_losses(tables[judged], paths),
        sure=sure,
        drawings=sure and _calibration_drawings(sure, figures, demonstration),
        heat=localization_tables(read_localization(run)),
        exports=None if exports is None else exports.to_dict("records"),
        left_out=None if catalog is None else _excluded(catalog),
        recipe=flatten_settings({key: value for key, value in recipe.items() if key != "published"}),
        command=shared_command(environment.pop("command", "")),
        environment=flatten_settings(environment),
        usage="" if attributes else USAGE.format(folder=run.folder.resolve().name, demonstration=flag),
    )


def _about(run: Run, recipe: dict, tables: dict[str, pd.DataFrame]) -> str:
    """Return a sentence on the classes, the data, the recipe and the train images."""
    about = [tr("A classifier of {n} classes", n=len(run.class_names))]
    if data := recipe.get("data", {}).get("name"):
        about.append(tr("data {name}", name=data))
    if "name" in recipe:
        about.append(tr("recipe {name}", name=recipe["name"]))
    if "train" in tables:
        about.append(tr("trained on {n} images", n=len(tables["train"])))
    return f"{'; '.join(about)}."


def _summary(split: str, metrics: dict, of_crops: bool) -> str:
    """Return a sentence on the accuracy of images, or of crops and of photographs."""
    parts = {tr("crops") if of_crops else tr("images"): metrics["accuracy"]}
    parts |= {tr("photographs"): metrics["photo_accuracy"]} if "photo_accuracy" in metrics else {}
    text = "{value:.1%} of {n} {what} classified correctly ({interval})"
    texts = [
        tr(text, value=figure["value"], n=figure["n"], what=what, interval=interval_text(figure, ".1%"))
        for what, figure in parts.items()
    ]
    return tr("{split} accuracy: {accuracies}.", split=tr(split).capitalize(), accuracies="; ".join(texts))


def valid_recipe(run: Run) -> dict:
    """Return the recipe as plain data, also that of another version; the entries that the page reads are validated."""
    recipe = run.read("recipe.json")
    with run.with_hint("recipe.json"):
        for name in VALIDATED_FIELDS.keys() & recipe.keys():
            convert(recipe[name], VALIDATED_FIELDS[name], f"{name!r} of {run.path('recipe.json')}")
        check_published(recipe.get("published", {}))
    return recipe


def title_of(run: Run, recipe: dict) -> str:
    """Return the title of a run."""
    return recipe.get("title") or recipe.get("name") or run.folder.name


def _choices(run: Run) -> dict[str, list[dict]]:
    """Return what was compared before the recipe was chosen, by the split it was judged on; none where it was named."""
    table = read_choices(run)
    table = table.assign(best=table["chosen"] == "True", step=table["step"].map(tr))
    table["mirrored"] = table["mirrored"].replace({"True": tr("yes"), "False": tr("no")})
    return {split: part.to_dict("records") for split, part in table.groupby("judged_on", sort=False)}


def _attribute_scores(run: Run) -> list[dict]:
    """Return the accuracy of a multimodal run with and without attributes; empty for other runs."""
    path = run.path("attribute_scores.csv")
    if not path.is_file():
        return []
    with run.with_hint("attribute_scores.csv"):
        table = parse_numbers(read_table(path), ("accuracy", "low", "high", "n"), path).astype({"n": int})
        check_columns(table, ("attributes", "meaning"), path)
        return table.assign(meaning=table["meaning"].map(recorded_text)).to_dict("records")


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
    scores = leakage_of(run)
    rows = [] if scores is None else scores.to_dict("records")
    counts = {row["n"] for row in rows if row["split"] == "validation" and row["metric"] == "accuracy"}
    return {
        "rows": rows,
        "scores": scores,
        "sentences": leakage_sentences(scores, retrain=False),  # `next_step` says what to do
        "test_usage": count_test_evaluations(run)["sentence"] if "test" in tables else "",
        "related": len(counts) > 1,  # fewer images without a related train image than in all
    }


def published_rows(recipe: dict, metrics: dict, demonstration: bool) -> list[dict]:
    """Return one row a published metric with ours; the accuracy of a complete run is compared."""
    rows, word = [], "not comparable" if demonstration else "shortened run" if recipe.get("shortened") else ""
    for split, published_metrics in recipe.get("published", {}).items():
        for name in (name for name in published_metrics if name in METRIC_NAMES):
            ours = metrics.get(split, {}).get(name)
            value, n = (ours["value"], ours["n"]) if ours else (None, None)
            row = {
                "split": tr(split),
                "metric": tr(METRIC_NAMES[name]),
                "published": local_number(published_metrics[name]),
                "published_n": published_metrics.get("n", tr("not stated")),
                "ours": value if ours else "",
                "n": n or "",
                "verdict": word,
                "sentence": "",
            }
            if name == "accuracy" and not word:
                accuracies = [value] if ours else []
                row |= compare_with_published(published_metrics[name], published_metrics.get("n"), accuracies, n)
            rows.append(row | {"verdict": tr(row["verdict"]) if row["verdict"] else ""})
    return rows


def leakage_of(run: Run) -> pd.DataFrame | None:
    """Return the `leakage_scores` of the run; None without a leakage check."""
    path = run.path("leakage.csv")
    with run.with_hint("leakage.csv"):
        return read_leakage_scores(path) if path.is_file() else None


def calibration_of(run: Run) -> Calibration | None:
    """Return the calibration of the run; None without one or without its model."""
    exists = all(run.path(name).is_file() for name in ("calibration.json", "model.keras"))
    return run.calibration if exists else None


def _calibration_drawings(sure: Calibration, figures: Path, demonstration: bool) -> dict:
    if sure.reason:
        return {"sentence": temperature_sentence(sure)}
    before, after = sure.reliability.before, None if sure.temperature == 1 else sure.reliability.after
    reliability = reliability_figure(before, after, demonstration)
    triage = selective_accuracy_figure(pd.DataFrame(sure.review.curve), sure.review.goal, demonstration)
    return {
        "sentence": temperature_sentence(sure),
        "error": calibration_error_sentence(sure),
        "reliability": save_and_embed(reliability, figures / "reliability.png"),
        "triage": save_and_embed(triage, figures / "triage.png"),
    }


def _image_table(predictions: pd.DataFrame, class_names: tuple[str, ...], temperature: float) -> pd.DataFrame:
    """Return a row an image: `image_id, split, confidence` (calibrated), `bin, true, predicted, loss, right`."""
    confidence = calibrated(probabilities_and_labels(predictions)[0], temperature).max(axis=1)
    table = predictions[["image_id", "split"]].assign(confidence=confidence, bin=bin_indices(confidence) + 1)
    for column in ("true", "predicted"):
        table[column] = predictions[f"{column}_class"].map(class_names.index)
    return table.assign(loss=image_losses(predictions), right=table["true"] == table["predicted"])


def _thumbnails(images: dict[str, pd.DataFrame], class_names: tuple[str, ...], paths: dict[str, str]) -> list[dict]:
    """Return at most `MAX_THUMBNAILS` small images, largest errors first; of each cell of a matrix its worst ones."""
    table = pd.concat(images.values(), ignore_index=True).sort_values("loss", ascending=False, kind="stable")
    table["rank"] = table.groupby(["split", "true", "predicted"]).cumcount()
    table = table.sort_values("rank", kind="stable").head(MAX_THUMBNAILS).sort_values("loss", ascending=False)
    with ThreadPoolExecutor() as pool:  # Pillow decodes outside the interpreter's lock
        sources = pool.map(lambda image_id: thumbnail(paths.get(image_id, ""), SMALL_PX), table["image_id"])
        items = table.assign(src=list(sources)).to_dict("records")
    for item in items:
        names = {column: class_names[item[column]] for column in ("true", "predicted")}
        text = "{true} predicted as {predicted}: {confidence:.3f}"
        item["sentence"] = tr(text, confidence=item["confidence"], **names)
    return items


def _thresholds(images: pd.DataFrame) -> dict:
    """Return what each threshold of the confidence gives: rows for the page, and all as JSON for its script."""
    table = threshold_table(images["confidence"], images["right"])
    json = table[["n", "reviewed", "accuracy", "low", "high"]].to_json(orient="values")
    return {"rows": table.to_dict("records"), "json": json}


def _reliability(images: pd.DataFrame) -> list[dict]:
    rows = reliability_table(images["confidence"], images["right"]).to_dict("records")
    for row in rows:
        row["bounds"] = tr("{low:.2f} to {high:.2f}", low=(row["bin"] - 1) / BINS, high=row["bin"] / BINS)
    return rows


def _confused_pairs(table: pd.DataFrame, paths: dict[str, str]) -> list[dict]:
    pairs = confused_pairs(table, MAX_PAIRS).to_dict("records")
    for pair in pairs:
        names = {name: pair[f"{name}_class"] for name in ("true", "predicted")}
        pair["sentence"] = tr("{true} predicted as {predicted}, n={n}", n=pair["count"], **names)
        pair["pictures"] = [_picture(image_id, paths, []) for image_id in pair["image_ids"][:MAX_IMAGES_PER_PAIR]]
    return pairs


def _largest_losses(table: pd.DataFrame, paths: dict[str, str]) -> list[dict]:
    pictures = []
    for row in worst_losses(table).itertuples():
        lines = [tr("{name}: {value:.3f}", name=row.true_class, value=row.p_true)]
        if row.predicted_class != row.true_class:
            lines.append(tr("predicted as {name}: {value:.3f}", name=row.predicted_class, value=row.p_predicted))
        pictures.append(_picture(row.image_id, paths, lines))
    return pictures


def _picture(image_id: str, paths: dict[str, str], lines: list[str]) -> dict:
    return {"src": thumbnail(paths.get(image_id, "")), "alt": image_id, "lines": [*lines, image_id]}


def _excluded(catalog: pd.DataFrame) -> list[dict]:
    """Return the unusable images by reason, the most frequent first: `problem`, `count`, `examples`."""
    bad = catalog[~is_usable(catalog)]
    groups = sorted(bad.groupby("problem")["image_id"], key=lambda group: -len(group[1]))
    return [
        {"problem": recorded_text(reason), "count": len(ids), "examples": ", ".join(ids.iloc[:3])}
        for reason, ids in groups
    ]
