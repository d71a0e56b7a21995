"""Open images as a person sees them; say which cannot be opened."""

from collections.abc import Callable

import pandas as pd

from marinecv.data.catalog import usable
from marinecv.inputs.rgb import open_rgb


def sample_of(catalog: pd.DataFrame, sample: int, seed: int) -> pd.DataFrame:
    """Return at most `sample` usable rows, drawn without replacement, in the order of the catalog."""
    good = usable(catalog)
    return good.sample(min(sample, len(good)), random_state=seed).sort_index()


def check_files(catalog: pd.DataFrame, progress: Callable[[int, int], None] | None = None) -> pd.DataFrame:
    """Decode every usable image to its last pixel, and write into `problem` what fails.

    A header can be sound where the pixels are cut short, so reading headers is not enough.

    Args:
        catalog: columns as `read_catalog` returns them.
        progress: called with (images decoded, images in all) after each image.
    Returns:
        The catalog, with the problem "cannot be decoded: ..." where that is so.
    """
    good, found = usable(catalog), {}
    for done, (index, path) in enumerate(good["path"].items(), start=1):
        try:
            open_rgb(path)
        except ValueError as error:
            found[index] = str(error)
        if progress is not None:
            progress(done, len(good))
    problem = catalog["problem"].copy()
    problem.update(pd.Series(found, dtype=object))
    return catalog.assign(problem=problem)


def problems(catalog: pd.DataFrame) -> pd.DataFrame:
    """Return the images that cannot be used: `image_id, split, problem`."""
    return catalog.loc[catalog["problem"] != "", ["image_id", "split", "problem"]].reset_index(drop=True)
