"""The page of an autoencoder's run: its errors, its curves, and images before and after."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from msgspec.structs import asdict

from marinecv.evaluation.figures import interval_words
from marinecv.evaluation.restoration import SHOWN, read_pictures
from marinecv.report.figures import curves
from marinecv.report.html import write_page
from marinecv.report.parts import flat, shown
from marinecv.report.style import new_figure, styled
from marinecv.runs import Run
from marinecv.training.model_choice import MODELS

FIGURE_NAMES = {
    "mse": "What the network gives back",
    "mse_of_input": "The image as the network is shown it",
    "mse_of_mean": "The mean of all train images",
}
SAID = {
    "restored": "Validation images drawn by the seed.",
    "samples": "What the decoder makes of codes drawn from a standard normal distribution.",
    "walk": "From the code of one image in equal steps to that of another.",
}
SUMMARY = "On validation the mean squared error is {value:.4f} ({interval}, n={n})"
USAGE = """import keras
import marinecv as mcv

run = mcv.Run({!r})
pixels, problems = mcv.read_pixels(["photo.jpg"], run.spec)
encoder = keras.saving.load_model(run.path("encoder.keras"))
codes = encoder.predict(pixels)
"""


def write_restoration_report(run: Run) -> Path:
    """Write `report.html` and `figures/*.png` of a finished run of an autoencoder; return the page."""
    recipe, metrics, environment = run.read("recipe.json"), run.metrics, run.read("environment.json")
    figures, mse = run.path("figures"), metrics["validation"]["mse"]
    with run.mending("restorations.npz"):
        pictures = read_pictures(run.path("restorations.npz"))
    is_noisy = not np.array_equal(pictures["original"], pictures["noisy"])
    sheets = {"restored": {name: pictures[name] for name in SHOWN if is_noisy or name != "noisy"}}
    if "walk" in pictures:
        sheets["samples"] = {"drawn": pictures["samples"]}
        sheets["walk"] = {f"walk {number}": walk for number, walk in enumerate(pictures["walk"], start=1)}
    timing = run.timing
    return write_page(
        run.path("report.html"),
        "restoration.html",
        title=recipe.get("title") or run.folder.name,
        demonstration=run.demonstration,
        summary=SUMMARY.format(**mse, interval=interval_words(mse, ".4f")) + _beside(metrics["validation"]),
        range=MODELS[recipe["model"]["kind"]].output_range,
        usage=USAGE.format(run.folder.name),
        metrics=metrics,
        figure_names={key: text for key, text in FIGURE_NAMES.items() if any(key in m for m in metrics.values())},
        published=recipe.get("published", {}).get("validation", {}).get("mse"),
        budget=recipe.get("budget", ""),
        curves=shown(curves(run.history, timing.best_epoch, run.demonstration), figures / "curves.png"),
        sheets=[
            {"svg": shown(picture_rows(rows, run.demonstration), figures / f"{name}.png"), "said": SAID[name]}
            for name, rows in sheets.items()
        ],
        timing=[(key.replace("_", " "), value) for key, value in asdict(timing).items()],
        recipe=flat({key: value for key, value in recipe.items() if key != "published"}),
        command=environment.pop("command", ""),
        environment=flat(environment),
    )


@styled
def picture_rows(rows: dict[str, np.ndarray], demonstration: bool = False) -> Figure:
    """Draw rows of small pictures by name: uint8 `(n, height, width, channels)`, of 3 channels or of 1, grey."""
    columns = max(map(len, rows.values()))
    figure = new_figure(1 + 0.95 * columns, 1.05 * len(rows), demonstration)
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for line, (name, images) in zip(axes, rows.items(), strict=True):
        for axis in line:
            axis.axis("off")
        for axis, image in zip(line, images, strict=False):
            axis.imshow(image.squeeze(), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        line[0].text(-0.1, 0.5, name, transform=line[0].transAxes, ha="right", va="center")
    return figure


def _beside(figures: dict) -> str:
    """What the error is to be held against."""
    mean = figures.get("mse_of_mean")
    if mean is None:
        return "."
    return f"; the mean of all train images, shown for every image, has {mean['value']:.4f}."
