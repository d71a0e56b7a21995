"""Write and read tables of a million rows quickly: numbers as arrays, each distinct text once."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from marinecv.atomic import whole_file
from marinecv.data.records import MEND

WORDS = "words of "  # before the name of a text column: its distinct values


def write_columns(path: str | Path, table: pd.DataFrame) -> None:
    """Write a table of numbers and text without its index, whole or not at all."""
    arrays = {}
    for name in table:
        if pd.api.types.is_numeric_dtype(table[name]):
            arrays[name] = table[name].to_numpy()
        else:
            codes, words = pd.factorize(table[name].astype(str).to_numpy(dtype=object))
            arrays[name] = codes.astype(np.int32)
            arrays[WORDS + name] = np.frombuffer(json.dumps(words.tolist()).encode(), np.uint8)
    with whole_file(path) as part, open(part, "wb") as file:
        np.savez(file, **arrays)


def read_columns(path: str | Path) -> pd.DataFrame:
    """Read what `write_columns` wrote; raise OSError where it cannot be opened, and ValueError where it is damaged."""
    columns = {}
    with open(path, "rb") as file:
        try:
            arrays = np.load(file, allow_pickle=False)
            for name in (name for name in arrays.files if not name.startswith(WORDS)):
                columns[name] = arrays[name]
                if WORDS + name in arrays:
                    texts = np.array([*json.loads(arrays[WORDS + name].tobytes()), None], object)  # never 2-D
                    columns[name] = pd.Series(texts[columns[name]], dtype=str)
            return pd.DataFrame(columns)
        except Exception as error:  # a damaged zip file raises many kinds
            raise ValueError(f"{path} cannot be read: {error}. Expected a table of a pack. {MEND}") from error
