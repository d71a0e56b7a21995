"""Whether to compute the frozen layers once and keep what they give: by time, disk and the kind of augmentation."""

import shutil
from dataclasses import replace

from marinecv.data.store import store_home
from marinecv.features.bank import BUDGET_BYTES, Views
from marinecv.inputs.spec import NONE
from marinecv.progress import duration
from marinecv.training.estimate import bank_bytes_per_view, estimate_seconds
from marinecv.training.recipe import Recipe

DRAWN_VIEWS = 8  # of each image, where the moves are continuous; results/bank.csv has what it costs in accuracy
WORTH_IT = 0.7  # of the time without; a bank that saves less is not worth its disk


def choose_bank(recipe: Recipe, images: dict[str, int], num_classes: int, rows: int = 1) -> tuple[int, str]:
    """Choose `Training.bank` for a recipe: views of an image to compute, 0 for none; and why, for a line of the plan.

    The reason is empty where nothing is frozen, so that there was no choice. So many `rows` of a grid share the frozen
    layers and the usable images of `"train"` and `"validation"`.
    """
    if not recipe.model.has_backbone or recipe.model.trainable_layers is None:
        return 0, ""
    training = recipe.training
    views = Views(training.augmentation or NONE, min(DRAWN_VIEWS, training.epochs))
    needed = bank_bytes_per_view(recipe, num_classes) * (views.count * images["train"] + images["validation"])
    room = min(BUDGET_BYTES, _free_bytes() // 2)
    if needed > room:
        return 0, f"to keep what the frozen layers give would take {needed / 1e9:.1f} GB of {room / 1e9:.1f}"
    counts = images["train"], images["validation"], num_classes
    anew = estimate_seconds(replace(recipe, training=replace(training, bank=0)), *counts)
    kept = estimate_seconds(replace(recipe, training=replace(training, bank=views.count)), *counts, rows=rows)
    if kept > WORTH_IT * anew:
        return 0, f"to compute the frozen layers beforehand would save little in {training.epochs} epochs"
    what = {"still": "each image", "mirrored": "each image and its mirror image", "drawn": f"{views.count} drawn views"}
    if views.augmentation.copies > 1:
        what["drawn"] = f"each image and {views.count - 1} drawn variants"
    return views.drawn if views.kind == "drawn" else views.count, (
        f"the frozen layers are computed once, for {what[views.kind]} ({needed / 1e6:.0f} MB): "
        f"about {duration(kept)} instead of {duration(anew)}"
    )


def _free_bytes() -> int:
    place = store_home()
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free
