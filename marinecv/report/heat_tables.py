"""`heat_in_box.csv` as tables of a page."""

import pandas as pd

from marinecv.explain.geometry import BLOB_WIDTH

MEASURE_NAMES = {
    "heat": "heat in the box",
    "centre_heat": "centre blob's heat",
    "area": "box's share of the picture",
    "pointing": "hottest pixel in the box",
    "centre_pointing": "centre in the box",
    "accuracy": "accuracy",
    "animal_only": "animals alone",
    "background_only": "background alone",
}


def heat_tables(figures: pd.DataFrame | None) -> list[dict]:
    """Arrange rows of `heat_in_box.csv` for a page: a table a split, a row a class, a figure a measure."""
    tables = []
    for split, part in [] if figures is None else figures.groupby("split", sort=False):
        classes = part.groupby("class_name", sort=False)
        rows = [
            {"class_name": name, **{figure["measure"]: figure for figure in group.to_dict("records")}}
            for name, group in classes
        ]
        first = part.iloc[0]
        tables.append({"split": split, "layer": first["layer"], "neutral": first["neutral"], "rows": rows})
    return [{**table, "names": MEASURE_NAMES, "blob_width": BLOB_WIDTH} for table in tables]
