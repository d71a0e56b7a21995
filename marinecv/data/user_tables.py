"""Bring a user's tables into the form that this package reads: text is text, and no column is missing."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from pandas.api.types import infer_dtype, is_integer_dtype, is_scalar

from marinecv.data.names import normalize_name
from marinecv.files.csv_tables import check_columns
from marinecv.schema import names

PLACE_COLUMNS = ["camera", "sequence", "taken_at", "time_source"]  # optional ones of a catalog, "" where unknown
TEXT = ("image_id", "path", "split", "class_name", "group", "source", "problem", "true_class", "predicted_class")
TEXT += (*PLACE_COLUMNS,)
TEXT_OF_AUDIT = (*TEXT, "image_a", "image_b", "kind", "method", "related_image", "flags", "protocol", "neighbor_id")
TEXT_OF_AUDIT += ("neighbor_split", "neighbor_class")
OPTIONAL = dict.fromkeys(("split", "class_name", "group", "problem"), "")  # of a catalog
_PREDICTION_COLUMNS = ("image_id", "split", "true_class", "predicted_class")  # of a predictions table
_STR = pd.Series(dtype=str).dtype


def as_catalog(catalog: pd.DataFrame, needed: Iterable[str] = ("image_id",)) -> pd.DataFrame:
    """Return a catalog as `as_table` does, with all `OPTIONAL` columns and integer sizes."""
    table = as_table(catalog, needed, OPTIONAL, "catalog")
    sides = [side for side in ("width", "height") if side in table and not is_integer_dtype(table[side])]
    return table.assign(**{side: as_numbers(table[side]).fillna(0).astype(int) for side in sides})


def check_unique(catalog: pd.DataFrame) -> None:
    """Raise ValueError for an image that is there twice: it would be in several splits."""
    if not (ids := catalog["image_id"]).is_unique:
        raise ValueError(f"{ids[ids.duplicated()].iloc[0]} is there twice. Expected each image once.")


def with_place_columns(table: pd.DataFrame) -> pd.DataFrame:
    """Return a catalog or predictions table as `as_table` does, with all `PLACE_COLUMNS`."""
    return as_table(table, optional=dict.fromkeys(PLACE_COLUMNS, ""))


def usable(catalog: pd.DataFrame, needed: Iterable[str] = ()) -> pd.DataFrame:
    """Return the rows of a catalog without a problem, as `as_catalog` does."""
    table = as_catalog(catalog, needed)
    return table[is_usable(table)]


def is_usable(table: pd.DataFrame) -> pd.Series:
    """Return True for the rows of images or boxes without a `problem`."""
    return table["problem"] == ""


def why_unusable(catalog: pd.DataFrame) -> str:
    """Return why no image of a catalog can be used: it has no row, or every row has a problem."""
    if catalog.empty:
        why = "The catalog has no row. Expected one an image. Check what it was filtered by, such as the name of a "
        return why + "split; where no split is made yet, call split_catalog."
    first = as_catalog(catalog, ())["problem"].iloc[0]
    return f"None of the {len(catalog)} images can be used, the first: {first}. Expected images without a `problem`."


def check_extra_columns(extra: pd.DataFrame) -> None:
    """Raise ValueError where a column of a user has a name that the predictions table needs."""
    if clash := [name for name in map(str, extra.columns) if name.startswith("p_") or name in _PREDICTION_COLUMNS]:
        reason = f"which has columns {', '.join(_PREDICTION_COLUMNS)} and p_<class>"
        raise ValueError(f"The column {clash[0]!r} cannot travel to the predictions table, {reason}. Rename it.")


def as_table(
    table: pd.DataFrame,
    needed: Iterable[str] = (),
    optional: Mapping[str, object] | None = None,
    table_name: str = "table",
    text: Iterable[str] = TEXT,
) -> pd.DataFrame:
    """Return a table whose columns of `text` are text, whether it came from a CSV, a database or a program.

    Rows, index and `table` itself stay; missing `optional` columns are added with their value. Errors say `table_name`.
    """
    if not isinstance(table, pd.DataFrame):
        raise ValueError(f"Expected the {table_name} to be a pandas DataFrame. Received: {type(table).__name__}.")
    check_columns(table, needed, f"The {table_name}")
    if len(repeated := table.columns[table.columns.duplicated()]):
        raise ValueError(f"The {table_name} has the column {repeated[0]!r} twice. Expected each once; drop one.")
    changed = {name: value for name, value in (optional or {}).items() if name not in table}
    for name, column in table.items():
        if name in text and (text_column := as_text(column)) is not column:
            changed[name] = text_column
    return table.assign(**changed) if changed else table


def rename_aliases(table: pd.DataFrame, names: Mapping[str, Iterable[str]]) -> pd.DataFrame:
    """Return a table with our column names: `names` has the aliases of each, compared without case and outer space."""
    header = {normalize_name(str(column)).casefold(): column for column in as_table(table).columns[::-1]}
    aliases = {new: next((name for name in (new, *others) if name in header), None) for new, others in names.items()}
    return table.rename(columns={header[name]: new for new, name in aliases.items() if name and new not in table})


def as_text(column: pd.Series) -> pd.Series:
    """Return a column as text: missing values are "", and names that `read_csv` made numbers are "1", not "1.0"."""
    if column.dtype == _STR and column.dtype != object:
        return column.fillna("") if column.isna().any() else column
    if column.dtype == object and infer_dtype(column, skipna=False) == "string":
        return column
    return pd.Series([_cell_text(value) for value in column.astype(object)], column.index, dtype=str, name=column.name)


def as_class_names(class_names: Sequence[str]) -> tuple[str, ...]:
    """Return class names as a tuple of text; raise ValueError where one is empty or repeated, or they have no order."""
    if isinstance(class_names, str | bytes | Mapping) or not hasattr(class_names, "__getitem__"):
        raise ValueError(
            f"class_names is the {type(class_names).__name__} {class_names!r:.200}. Expected a list: its order counts."
        )
    return names(as_text(pd.Series(list(class_names), dtype=object)).tolist(), "class_names")


def as_numbers(column: pd.Series) -> pd.Series:
    """Return a column as float64, NaN where there is no number."""
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "iufb":
        return column.astype(float)
    return pd.Series(pd.to_numeric(column.to_numpy(dtype=object), errors="coerce"), column.index, dtype=float)


def _cell_text(value: object) -> str:
    if is_scalar(value) and pd.isna(value):
        return ""
    return str(int(value)) if isinstance(value, float | np.floating) and value.is_integer() else str(value)
