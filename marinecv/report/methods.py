"""The paragraph on the methods of a run or an experiment, from its files alone."""

import re
from collections.abc import Iterator
from pathlib import Path

from marinecv.choices import SPLITS
from marinecv.data.user_tables import is_usable
from marinecv.evaluation.estimates import is_grouped
from marinecv.evaluation.leakage import GROUPED
from marinecv.evaluation.test_usage import count_test_evaluations, evaluated_elsewhere
from marinecv.experiments import Experiment
from marinecv.language import tr
from marinecv.models.backbone_table import is_preset
from marinecv.report.run_page import leakage_of
from marinecv.runs import Run

VERSIONS = {"marinecv": "marinecv", "tensorflow": "TensorFlow", "keras": "Keras", "numpy": "NumPy", "python": "Python"}
AUGMENTATIONS = {
    "flip": "horizontal flip (probability {value})",
    "vertical_flip": "vertical flip (probability {value})",
    "rotation_deg": "rotation (up to {value} degrees)",
    "zoom": "zoom (up to {value})",
    "crop": "random crop (up to {value} of each side)",
    "brightness": "brightness (up to {value})",
    "contrast": "contrast (up to {value})",
    "saturation": "saturation (up to {value})",
    "erasing": "random erasing (probability {value})",
    "mixup": "mixup (alpha {value})",
    "cutmix": "CutMix (alpha {value})",
}
LABEL_RULES = {
    "dominant": "the largest summed box area times number of boxes",
    "area": "the largest summed box area",
    "count": "the largest number of boxes",
    "union": "the largest area covered by boxes",
}
OPTIMIZERS = {"rmsprop": "RMSprop", "adam": "Adam", "adamw": "AdamW", "sgd": "SGD"}


def experiment_methods(experiment: Experiment, runs: dict[str, Run]) -> Iterator[str]:
    """Yield sentences on an experiment, and on its best run, or its first one where none is the best."""
    table, seeds = experiment.table, {run.read("recipe.json").get("training", {}).get("seed") for run in runs.values()}
    best = next(iter(table["name"][table["best"]]), None)
    described, seeds = best or next(iter(runs)), ", ".join(sorted(sorted(map(str, seeds - {None})), key=len))
    yield tr("The experiment has {n} trained runs: {names}.", n=len(runs), names=", ".join(runs))
    if best:
        split = tr(experiment.select_on)
        yield tr("{name} was selected: it is the most accurate on {split}.", name=best, split=split)
    if any(run.fold for run in runs.values()):
        yield tr("The runs are folds: each image is predicted by a model that was not trained on it.")
    yield tr("Seeds: {seeds}. The next sentences are about {name}.", seeds=seeds, name=described)
    yield from run_methods(runs[described])


def run_methods(run: Run) -> Iterator[str]:
    """Yield sentences on data, split, images, network, training, evaluation and versions, and on what was not done."""
    recipe, metrics = run.read("recipe.json"), run.metrics
    yield from (*_data(run, recipe), *_training(run, recipe), *_evaluation(run, metrics))
    environment = run.read("environment.json") if run.path("environment.json").is_file() else {}
    versions = ", ".join(f"{name} {environment[key]}" for key, name in VERSIONS.items() if environment.get(key))
    if versions:
        yield tr("Software: {versions}.", versions=versions)
    if missing := _not_done(run, metrics):
        yield tr("Not done: {missing}.", missing="; ".join(missing))


def _data(run: Run, recipe: dict) -> Iterator[str]:
    data, preprocessing, spec = recipe.get("data", {}), run.preprocessing, run.spec
    if run.path("catalog.csv").is_file():
        catalog = run.catalog
        usable = catalog[is_usable(catalog)]
        counts = usable["split"].value_counts()
        texts = [tr("{n} {split}", n=int(counts[split]), split=tr(split)) for split in SPLITS if split in counts]
        words = {"name": Path(str(data.get("name", ""))).name, "n": len(usable), "counts": ", ".join(texts)}
        words |= {"classes": usable["class_name"].nunique(), "excluded": len(catalog) - len(usable)}
        text = "The data set {name} has {n} usable images of {classes} classes ({counts}; excluded: {excluded})."
        yield tr(text, **words)
        if preprocessing.crops is not None:
            text = "Each is a box of a photograph, cut out with a margin of {margin} of its sides."
            yield tr(text, margin=preprocessing.crops)
        elif data.get("label_rule") in LABEL_RULES and (usable["dominance"] < 1).any():
            rule = tr(LABEL_RULES[data["label_rule"]])
            yield tr("The class of an image with several is that with {rule}.", rule=rule)
    if data.get("limit"):
        what = tr("images") if preprocessing.crops is None else tr("photographs")
        yield tr("At most {n} {what} of each split were used.", n=data["limit"], what=what)
    if run.demonstration:
        yield tr("The images are generated, so the metrics say nothing about real animals.")
    split_by = re.sub(r".+-(\w+)-[0-9a-f]{8}", r"\1", str(data.get("split_by")))  # of a saved split the kind
    how = {
        "published": tr("The split is the published one"),
        "random": tr("The images were split at random"),
        "stratified": tr("The images were split at random within each class"),
        "grouped": tr("The images were split at random, related images together"),
    }.get(split_by, tr("The split is that of the data"))
    if run.fold:
        how = tr("Validation is fold {fold} of a cross-validation", fold=run.fold)
    digest = preprocessing.split_sha256[:16]
    yield tr("{how} (SHA-256 {digest}…).", how=how, digest=digest) if digest else f"{how}."
    fit = tr("centered on a black square as large as their longer side, and resized")
    if spec.fit == "stretch":
        fit = tr("resized")
    elif spec.letterbox_px:
        fit = tr("centered on a black square of {side} pixels and resized", side=str(spec.letterbox_px))
    yield tr("Images were {fit} to {width} × {height} pixels.", fit=fit, width=spec.width, height=spec.height)


def _training(run: Run, recipe: dict) -> Iterator[str]:
    model, training = recipe.get("model", {}), recipe.get("training", {})
    backbone, kind = str(model.get("backbone", "")), model.get("kind")
    if backbone:
        width = f" {model['alpha']:g}" if model.get("alpha", 1) != 1 else ""
        name = backbone if is_preset(backbone) else Path(backbone).name + width
        starts = {"none": tr("started from random weights"), "imagenet": tr("was pretrained on ImageNet")}
        start = starts.get(model.get("weights"), tr("was pretrained"))
        yield tr("The network {name} {start}.", name=name, start=start)
    elif kernels := model.get("kernels"):  # one a convolution
        yield tr("A network of {n} convolutional layers was trained from scratch.", n=len(kernels))
    elif run.is_external:
        yield tr("The model was trained elsewhere.")
        return
    elif kind:
        yield tr("The network is of the kind {kind}.", kind=kind)
    augmentation = training.get("augmentation") or {}
    used = [tr(AUGMENTATIONS[name], value=augmentation[name]) for name in AUGMENTATIONS if augmentation.get(name)]
    timing = run.timing if run.path("timing.json").is_file() and "optimizer" in training else None
    only_solved = timing is not None and training.get("head_l2") and timing.epochs == 1
    sentence = tr("Train images were augmented at random: {names}.", names=", ".join(used))
    if only_solved and used:
        sentence = tr("The head was fitted to each train image and its mirror image.")
    yield sentence if used else tr("Train images were not augmented.")
    if training.get("class_weights") or training.get("balanced"):
        yield tr("Rare classes were weighted more.")
    if training.get("head_l2"):
        yield tr("The head was solved by logistic regression (penalty {l2}).", l2=training["head_l2"])
    if recipe.get("shortened"):
        yield tr("The training was shortened, so the metrics are not comparable with published ones.")
    if timing is None or only_solved:
        return
    monitor = str(training.get("monitor"))
    monitors = {"val_loss": tr("the loss on validation"), "val_accuracy": tr("the accuracy on validation")}
    monitors |= {"loss": tr("the loss on train")}
    words = {key: training.get(key) for key in ("learning_rate", "batch_size", "seed")}
    words |= {"parameters": timing.parameters, "trained": timing.trainable_parameters, "limit": training.get("epochs")}
    words |= {"epochs": timing.epochs, "best": timing.best_epoch, "monitor": monitors.get(monitor, monitor)}
    text = (
        "Of {parameters:,} parameters {trained:,} were trained with {optimizer} (learning rate {learning_rate}, batch "
        "size {batch_size}, seed {seed}) in {epochs} of at most {limit} epochs; the weights of epoch {best} were kept, "
        "the best by {monitor}."
    )
    yield tr(text, optimizer=OPTIMIZERS[training["optimizer"]], **words)


def _evaluation(run: Run, metrics: dict) -> Iterator[str]:
    figures = [figure for of in metrics.values() for figure in of.values() if isinstance(figure, dict)]
    resamples = next(iter(re.findall(r"(\d+) resamples", " ".join(figure.get("method", "") for figure in figures))), "")
    has_groups = any(map(is_grouped, metrics.values()))
    text = "95% intervals: of accuracies by Wilson, of others by a bootstrap over images ({n} resamples)."
    if has_groups:
        text = "95% intervals: a bootstrap over groups of related images ({n} resamples)."
    elif run.is_autoencoder:
        text = "95% intervals: a bootstrap over images ({n} resamples)."
    if resamples or not has_groups:
        yield tr(text, n=resamples)
    if has_groups:
        yield tr("No interval is given where all images come from fewer than six groups.")
    if not run.is_autoencoder:
        yield tr("Intervals of single classes are by Wilson and assume independent images.")
    if run.path("calibration.json").is_file() and not (calibration := run.calibration).reason:
        values = {"value": round(calibration.temperature, 3), "n": calibration.n_chosen}
        yield tr("Probabilities are scaled by the temperature {value}, from {n} validation images.", **values)
    if "test" in metrics:
        count = count_test_evaluations(run)["evaluations"]
        yield tr("Times that the test images of this split were evaluated in this folder: {n}.", n=count)


def _not_done(run: Run, metrics: dict) -> list[str]:
    leakage = leakage_of(run)
    calibrated = run.path("calibration.json").is_file() and not run.calibration.reason
    done = {
        tr("evaluation on a test set"): "test" in metrics,
        tr("a check for train-test leakage"): leakage is not None or run.is_autoencoder,
        tr("cross-validation"): run.fold or (leakage is not None and GROUPED in set(leakage["subset"])),
        tr("calibration of probabilities"): calibrated or run.is_autoencoder,
        tr("evaluation on images of another source"): evaluated_elsewhere(run),
    }
    return [what for what, is_done in done.items() if not is_done]
