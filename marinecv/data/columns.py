"""Tables of a million rows in a file that is read in a second: numbers as arrays, each text once."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from marinecv.atomic import whole_file

WORDS = "words of "  # before the name of a column of text


def write_columns(path: str | Path, table: pd.DataFrame) -> None:
    """Write a table of numbers and text, whole or not at all; its index is not kept."""
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
    """Read what `write_columns` wrote; OSError where there is no such file, ValueError where another or a damaged."""
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as found:
            columns = {name: found[name] for name in found.files if not name.startswith(WORDS)}
            words = {name: json.loads(found[WORDS + name].tobytes()) for name in columns if WORDS + name in found}
        for name, known in words.items():
            texts = np.array([*known, None], dtype=object)[:-1]  # never an array of arrays
            columns[name] = pd.Series(texts[columns[name]], dtype=str)
        return pd.DataFrame(columns)
    except OSError:
        raise
    except Exception as error:  # a damaged zip file raises many kinds
        raise ValueError(f"{path} cannot be read: {error}. Expected a table of a pack. Bring it back.") from error
