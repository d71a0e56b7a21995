"""Page of an autoencoder run: reconstruction errors, learning curves and reconstructed images."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from msgspec.structs import asdict

from marinecv.evaluation.estimates import interval_text
from marinecv.evaluation.reconstruction import SHOWN, read_pictures
from marinecv.language import recorded_text, tr
from marinecv.report.figures import curves
from marinecv.report.html import flatten_settings, format_number, save_and_embed, shared_command, write_page
from marinecv.report.style import new_figure, styled
from marinecv.runs import Run
from marinecv.training.model_config import MODELS

METRIC_NAMES = {"mse": "Reconstruction", "mse_of_input": "Network input", "mse_of_mean": "Mean of all train images"}
CAPTIONS = {
    "restored": "Random validation images.",
    "samples": "Decoded samples from a standard normal distribution.",
    "walk": "Decoded linear interpolation between the embeddings of two images.",
}
USAGE = """import keras
import marinecv as mcv

run = mcv.Run({!r})  # the folder of this page
encoder = keras.saving.load_model(run.path("encoder.keras"))
paths = run.catalog["path"][:1]  # or your own files
pixels, problems = mcv.read_pixels(list(paths), run.spec)
print(encoder.predict(pixels, verbose=0).shape)
"""


def write_reconstruction_report(run: Run) -> Path:
    """Write `report.html` and `figures/*.png` of a finished autoencoder run; return the page."""
    recipe, environment = run.read("recipe.json"), run.read("environment.json")
    metrics, timing = run.metrics, run.timing
    figures, mse, mean = run.path("figures"), metrics["validation"]["mse"], metrics["validation"].get("mse_of_mean")
    with run.with_hint("restorations.npz"):
        pictures = read_pictures(run.path("restorations.npz"))
    is_noisy = not np.array_equal(pictures["original"], pictures["noisy"])
    sheets = {"restored": {tr(name): pictures[name] for name in SHOWN if is_noisy or name != "noisy"}}
    if "walk" in pictures:
        sheets["samples"] = {tr("samples"): pictures["samples"]}
        sheets["walk"] = {tr("walk {n}", n=number): walk for number, walk in enumerate(pictures["walk"], start=1)}

    def embed(name, rows):
        return save_and_embed(picture_rows(rows, run.demonstration), figures / f"{name}.png")

    text = "On validation the mean squared error is {value:.4f} ({interval}, n={n})."
    if mean:
        text = (
            "On validation the mean squared error is {value:.4f} ({interval}, n={n}); {mean:.4f} for the mean of all "
            "train images."
        )
    values = {"value": mse["value"], "interval": interval_text(mse, ".4f"), "mean": mean and mean["value"]}
    return write_page(
        run.path("report.html"),
        "reconstruction.html",
        title=recipe.get("title") or run.folder.name,
        demonstration=run.demonstration,
        summary=tr(text, n=mse["n"], **values),
        range=MODELS[recipe["model"]["kind"]].output_range,
        usage=USAGE.format(run.folder.resolve().name),
        metrics=metrics,
        figure_names={key: tr(text) for key, text in METRIC_NAMES.items() if any(key in m for m in metrics.values())},
        published=recipe.get("published", {}).get("validation", {}).get("mse"),
        shortened=recorded_text(recipe.get("shortened", "")),
        curves=save_and_embed(curves(run.history, timing.best_epoch, run.demonstration), figures / "curves.png"),
        sheets=[{"svg": embed(name, rows), "caption": tr(CAPTIONS[name])} for name, rows in sheets.items()],
        timing=[(tr(key.replace("_", " ")), format_number(value)) for key, value in asdict(timing).items()],
        recipe=flatten_settings({key: value for key, value in recipe.items() if key != "published"}),
        command=shared_command(environment.pop("command", "")),
        environment=flatten_settings(environment),
    )


@styled
def picture_rows(rows: dict[str, np.ndarray], demonstration: bool = False) -> Figure:
    """Draw rows of small images by name: uint8 `(n, height, width, channels)` with 1 or 3 channels."""
    columns = max(map(len, rows.values()))
    size = (1 + 0.95 * columns, 1.05 * len(rows))
    figure, grid = new_figure(*size, demonstration, len(rows), columns, squeeze=False)
    for axes, (name, images) in zip(grid, rows.items(), strict=True):
        for axis in axes:
            axis.axis("off")
        for axis, image in zip(axes, images, strict=False):
            axis.imshow(image.squeeze(), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        axes[0].text(-0.1, 0.5, name, transform=axes[0].transAxes, ha="right", va="center")
    return figure
