"""How bright the pixels are, and how noisy."""

import numpy as np
import pandas as pd

from marinecv.audit.tables import sample_of
from marinecv.inputs.rgb import find_white, open_rgb


def intensity_histogram(catalog: pd.DataFrame, sample: int = 200, seed: int = 0) -> pd.DataFrame:
    """Share of pixels at each level from 0 to 255, over a sample of images that all weigh the same.

    All usable ones decode, see `load_thumbs`; where there is none, ValueError is raised. The 256 rows have `level`, and
    `red, green, blue, grey`, each of which sums to 1. Grey is ITU-R 601 luma.
    """
    chosen = sample_of(catalog, sample, seed)
    if chosen.empty:
        raise ValueError(
            f"None of the {len(catalog)} images can be used, so there are no pixels to count. "
            "Expected at least one. See the column problem of the catalog."
        )
    shares, white = np.zeros((4, 256)), find_white(catalog)
    for path in chosen["path"]:
        image = open_rgb(path, white)
        counts = np.array(image.histogram() + image.convert("L").histogram()).reshape(4, 256)
        shares += counts / (image.width * image.height)
    table = pd.DataFrame((shares / len(chosen)).T, columns=["red", "green", "blue", "grey"])
    return table.rename_axis("level").reset_index()


def intensity_summary(histogram: pd.DataFrame) -> pd.DataFrame:
    """Summarise an `intensity_histogram`: a row a `channel`, `mean` and `deviation` in grey levels.

    `dark_share` is the share of pixels below 32, and `lower_share` that below 128: above 0.5 images lean dark.
    """
    level, rows = histogram["level"], []
    for channel in histogram.columns.drop("level"):
        share = histogram[channel]
        mean = (share * level).sum()
        deviation = np.sqrt((share * (level - mean) ** 2).sum())
        rows.append((channel, mean, deviation, share[level < 32].sum(), share[level < 128].sum()))
    return pd.DataFrame(rows, columns=["channel", "mean", "deviation", "dark_share", "lower_share"])


def noise_estimate(catalog: pd.DataFrame, sample: int = 200, seed: int = 0) -> pd.DataFrame:
    """Estimate the noise of a sample of images: `image_id, split, class_name, sigma` (grey levels, 0 to 255).

    By the Laplacian difference of grey pixels (Immerkaer, CVIU 64(2), 1996); NaN of a side below 3 px. An upper bound,
    for fine texture reads as noise; JPEG compression lowers it.
    """
    chosen, white = sample_of(catalog, sample, seed), find_white(catalog)
    sigmas = [noise_sigma(np.asarray(open_rgb(path, white).convert("L"))) for path in chosen["path"]]
    return chosen[["image_id", "split", "class_name"]].assign(sigma=sigmas).reset_index(drop=True)


def noise_sigma(grey: np.ndarray) -> float:
    """Immerkaer's estimate of the deviation of Gaussian noise in a (height, width) image, in its own units."""
    if min(grey.shape) < 3:
        return float("nan")
    rows = grey.astype(np.float32)
    rows = rows[:-2] - 2 * rows[1:-1] + rows[2:]
    laplacian = rows[:, :-2] - 2 * rows[:, 1:-1] + rows[:, 2:]
    return float(np.sqrt(np.pi / 2) * np.abs(laplacian).mean() / 6)
