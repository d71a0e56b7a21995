"""The charts of docs/performance.md and docs/results.md, drawn from benchmarks/results and results/.

python benchmarks/charts.py
"""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from marinecv.evaluation.intervals import wilson
from marinecv.report.curve_figures import learning_curves
from marinecv.report.figures import save_png
from marinecv.report.style import COLORS, INK, new_figure, styled

ROOT = Path(__file__).resolve().parents[1]
MEASURED, PICTURES = ROOT / "benchmarks" / "results", ROOT / "docs" / "images"
OURS, THEIRS = COLORS[0], COLORS[7]
PARTS = {"decode": "decode", "features": "frozen layers", "epochs": "epochs", "predict": "score every image"}


def main() -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    for chart in (finetune, inference_engines, laptop, train_step, peers):
        save_png(chart(pd.read_csv(MEASURED / f"{SOURCES[chart]}.csv")), PICTURES / f"{chart.__name__}.png")
    for chart in (localization, losses, reconstructed, butterflies_accuracy):
        save_png(chart(pd.read_csv(ROOT / "results" / f"{SOURCES[chart]}.csv")), PICTURES / f"{chart.__name__}.png")


@styled
def finetune(table: pd.DataFrame) -> Figure:
    """Seconds an epoch and of the whole job, of those who train the last 20 layers on moved images."""
    table = table[(table["trainable"] == "last 20") & (table["moves"] != "none")]
    figure, axes = new_figure(6.4, 2.4, columns=2, sharey=True)
    titles = {"seconds_an_epoch": "Seconds an epoch", "seconds_total": "Seconds, three rows, all in"}
    for axis, (column, title) in zip(axes, titles.items(), strict=True):
        bars(
            axis, table["what"], table[column], [OURS if what.startswith("ours") else THEIRS for what in table["what"]]
        )
        axis.set_title(title)
    return figure


@styled
def inference_engines(table: pd.DataFrame) -> Figure:
    """Images a second through the feature extractor, an engine a bar."""
    networks = list(table.groupby(["backbone", "image_size"], sort=False))
    figure, [axes] = new_figure(6.4, 2.2, columns=len(networks), sharey=True, squeeze=False)
    for axis, ((backbone, size), rows) in zip(axes, networks, strict=True):
        colors = [OURS if engine in ("fused", "litert") else THEIRS for engine in rows["engine"]]
        bars(axis, rows["engine"], rows["images_per_second"], colors)
        axis.set_title(f"{backbone}\n{size} px", fontsize=8)
    figure.supxlabel("images a second", fontsize=8)
    return figure


@styled
def laptop(table: pd.DataFrame) -> Figure:
    """Where the minutes of a large job go."""
    figure, axis = new_figure(6.4, 0.9 + 0.5 * len(table))
    names = table["trainable"].replace("none", "all frozen")
    left = np.zeros(len(table))
    remaining = table["minutes_total"] - sum(table[f"minutes_{part}"] for part in PARTS)
    widths = {name: table[f"minutes_{part}"] for part, name in PARTS.items()} | {"the rest": remaining}
    for (name, width), color in zip(widths.items(), COLORS, strict=False):
        axis.barh(names, width, left=left, height=0.6, color=color, alpha=0.75, label=name)
        left = left + width
    axis.invert_yaxis()
    axis.set_xlabel("minutes")
    axis.legend(ncols=len(widths), loc="lower left", bbox_to_anchor=(0, 1), fontsize=8, handlelength=1)
    return figure


@styled
def train_step(table: pd.DataFrame) -> Figure:
    """A step against the floor of its arithmetic, on a logarithmic axis."""
    table = table[table["step_ms"].notna() & (table["backend"] == "tensorflow")]
    figure, axis = new_figure(6.4, 0.9 + 0.25 * len(table))
    xla = table["xla"].map({"on": ", XLA", "off": ""})
    precision = table["precision"].str.removeprefix("mixed_")
    names = table["model"] + " " + table["image_size"].astype(str) + " px, " + precision + xla
    rows = np.arange(len(table))
    axis.barh(rows, table["step_ms"], height=0.6, color=OURS, alpha=0.75, label="step")
    axis.scatter(table["floor_ms"], rows, marker="|", s=120, color=INK, label="floor of its arithmetic", zorder=3)
    axis.set_yticks(rows, names)
    axis.invert_yaxis()
    axis.set_xscale("log")
    axis.set_xticks(ticks := [10, 30, 100, 300, 1000, 3000], map(str, ticks))
    axis.minorticks_off()
    axis.set_xlabel("milliseconds")
    axis.legend(ncols=2, loc="lower left", bbox_to_anchor=(0, 1), fontsize=8)
    return figure


@styled
def peers(table: pd.DataFrame) -> Figure:
    """Validation accuracy with its interval, a data set a panel; minutes beside."""
    sets = list(table.groupby("data", sort=False))
    figure, [axes] = new_figure(6.4, 3.0, columns=len(sets), sharey=True, squeeze=False)
    for axis, (data, rows) in zip(axes, sets, strict=True):
        names = rows["what"] + np.where(rows["start"] == "random", "", ", ImageNet weights")
        places = np.arange(len(rows))
        colors = [OURS if what.startswith("ours") else THEIRS for what in rows["what"]]
        axis.hlines(places, rows["low"], rows["high"], color=colors, linewidth=2)
        axis.scatter(rows["validation_accuracy"], places, color=colors, zorder=3, label="validation as published")
        if rows["grouped_accuracy"].notna().any():
            axis.scatter(rows["grouped_accuracy"], places, color=INK, marker="|", s=80, zorder=3, label="scenes apart")
        for place, minutes in zip(places, rows["minutes"], strict=True):
            axis.annotate(f"{minutes:.1f} min", (1.2, place), ha="right", va="center", fontsize=7)
        axis.set_yticks(places, names)
        axis.set_xlim(0, 1.2)
        axis.set_xticks(np.arange(0, 1.1, 0.2))
        axis.set_title(f"{data}, n={' or '.join(f'{n:.0f}' for n in sorted({*rows['n']}))}")
        axis.grid(axis="x")
    axes[0].invert_yaxis()
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=8)
    return figure


@styled
def localization(table: pd.DataFrame) -> Figure:
    """Draw the fraction of Grad-CAM inside the animal's box by class, beside that of a central blob."""
    figure, axis = new_figure(6.4, 4.6)
    by_class = table.pivot(index="class_name", columns="measure", values="value")
    heat = table[table["measure"] == "heat"].set_index("class_name")
    heat = heat.loc[["all", *heat.drop(index="all").sort_values("value").index]]
    places = np.arange(len(heat))
    axis.hlines(places, heat["low"], heat["high"], color=OURS, linewidth=2)
    axis.scatter(heat["value"], places, color=OURS, zorder=3, label="inside the box")
    baselines = {"center_heat": "a blob in the middle", "area": "an even map"}
    for (measure, label), marker in zip(baselines.items(), ("|", "."), strict=True):
        axis.scatter(by_class.loc[heat.index, measure], places, color=INK, marker=marker, s=60, zorder=3, label=label)
    axis.set_yticks(places, heat.index + " (" + heat["n"].astype(str) + ")")
    axis.invert_yaxis()
    axis.set_xlim(0, 1)
    axis.grid(axis="x")
    figure.legend(*axis.get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8)
    return figure


@styled
def losses(table: pd.DataFrame) -> Figure:
    """The loss of autoencoders by epoch, a recipe a panel."""
    recipes = list(table.groupby("recipe", sort=False))
    figure, axes = new_figure(6.4, 2.4, columns=len(recipes))
    for axis, (recipe, rows) in zip(axes, recipes, strict=True):
        axis.plot(rows["epoch"], rows["loss"], color=THEIRS, label="train")
        axis.plot(rows["epoch"], rows["val_loss"], color=OURS, label="validation")
        axis.set_title(recipe.removeprefix("butterflies_").replace("_", " "))
        axis.set_ylim(bottom=0)
        axis.set_xlabel("epoch")
        axis.grid(axis="y")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=8)
    return figure


@styled
def reconstructed(table: pd.DataFrame) -> Figure:
    """The error of each image with noise on it, and of what the denoiser gives back of it."""
    figure, axis = new_figure(4.6, 3.2)
    both = table.sort_values("mse_of_input", ignore_index=True)
    axis.vlines(both.index, both["mse"], both["mse_of_input"], color=THEIRS, linewidth=0.8)
    axis.scatter(both.index, both["mse_of_input"], color=THEIRS, s=12, label="noisy")
    axis.scatter(both.index, both["mse"], color=OURS, s=12, zorder=3, label="restored")
    axis.set_ylim(bottom=0)
    axis.set_xticks([])
    axis.set_xlabel(f"{len(both)} validation images, by the error of the noisy one")
    axis.set_ylabel("mean squared error")
    axis.grid(axis="y")
    figure.legend(*axis.get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=8)
    return figure


def butterflies_accuracy(table: pd.DataFrame) -> Figure:
    """Test accuracy by labeled images, the mean of three seeds with the 95% interval of one seed's images."""
    is_drawn = (table["metric"] == "accuracy") & (table["split"] == "test") & table["image_size"].isin((64, 224))
    rows = table[is_drawn & ~table["recipe"].str.contains("val_loss|pseudo")]
    rows = rows.rename(columns={"n_train": "images", "ours": "value"})
    means = rows[rows["seed"] == "all"]
    intervals = [wilson(round(value * n), n) for value, n in zip(means["value"], means["n"], strict=True)]
    means = means.assign(low=[low for low, _ in intervals], high=[high for _, high in intervals])
    return learning_curves(means, "accuracy", means.assign(value=means["published"]).dropna(subset="value"))


SOURCES = {
    finetune: "finetune_epoch",
    inference_engines: "inference_engines",
    laptop: "laptop_job",
    train_step: "train_step",
    peers: "peers",
    localization: "birds_localization",
    losses: "butterflies_losses",
    reconstructed: "butterflies_reconstructions",
    butterflies_accuracy: "butterflies_fractions",
}


def bars(axis, names: pd.Series, values: pd.Series, colors: list[str]) -> None:
    """Horizontal bars with their values at the end, the first on top."""
    drawn = axis.barh(np.arange(len(names)), values, height=0.6, color=colors, alpha=0.75)
    axis.bar_label(drawn, [f"{value:.3g}" for value in values], padding=3, fontsize=8)
    axis.set_yticks(np.arange(len(names)), names)
    axis.set_ylim(len(names) - 0.5, -0.5)
    axis.set_xlim(0, 1.2 * values.max())
    axis.set_xticks([])
    axis.spines[["bottom", "left"]].set_visible(False)
    axis.tick_params(axis="y", length=0)


if __name__ == "__main__":
    main()
