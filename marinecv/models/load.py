"""Load a saved model from an unknown source: in Keras' safe mode, after checks that older versions of Keras lack."""

import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import h5py
import keras

from marinecv.models.flat import is_stock

CONFIG, WEIGHTS = "config.json", "model.weights.h5"
MEMBERS = [CONFIG, "metadata.json", WEIGHTS]
MAX_RATIO = 100  # Keras stores its members uncompressed
MEND = "Get it again from its source, or train it again."

_VALUES = {"__keras_tensor__", "__tensor__", "__numpy__", "__bytes__", "__ellipsis__", "__slice__"}
_UNSAFE = {"Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer"}  # run code
_UNSAFE |= {"StringLookup", "IntegerLookup", "IndexLookup", "TextVectorization"}  # read files
# A function of a module of functions, or a class, whose name begins with a capital, of any module but those of tools.
_STOCK = re.compile(
    r"(builtins|keras\.(activations|constraints|initializers|losses|metrics|ops|regularizers))\.\w+"
    r"|keras\.((?!utils|saving|config)\w+\.)*[A-Z]\w*"
)


def load_model(path: str | Path) -> keras.Model:
    """Load a `.keras` file in safe mode and for prediction: the model is not compiled.

    Layers are those of Keras, or classes registered with `keras.saving.register_keras_serializable`. Raises
    FileNotFoundError where there is no such file, and ValueError where it is no whole `.keras` file, its weights do not
    fit, or it could run code or read other files.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            is_zip = file.read(4) == b"PK\x03\x04"
        if not is_zip or path.suffix != ".keras":
            raise ValueError("it is no .keras file; a pickle, an HDF5 model or a SavedModel can run code")
        with zipfile.ZipFile(path) as archive:
            _check_config(_read_config(archive))
            with archive.open(WEIGHTS) as file:
                _check_hdf5(file, archive.getinfo(WEIGHTS).file_size)
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except FileNotFoundError:
        raise
    except Exception as error:  # zipfile, h5py and Keras raise many kinds
        raise ValueError(
            f"{path} was not loaded: {first_line(error)} Expected a whole .keras file of Keras' own or registered "
            f"layers. {MEND}"
        ) from error


def check_stock(model: keras.Model) -> None:
    """Raise ValueError where a flat model holds a layer or a function that is not Keras' own, or a `Lambda`."""
    own = [each.name for each in model.operations if not is_stock(each)]
    reasons = [f"it holds {name!r}, which is a Lambda or not Keras' own" for name in own]
    if reasons := reasons or [*filter(None, map(_harm, _objects(json.loads(model.to_json()))))]:
        raise ValueError(
            f"The model {model.name!r} cannot be kept in a run: {reasons[0]}. Expected stock Keras layers, activations "
            "and operations of keras.ops alone. Build it of these; predict_table and heatmaps take it as it is."
        )


def check_weights(path: str | Path) -> None:
    """Raise ValueError where a weights file is no HDF5, is damaged, or names other files."""
    path = Path(path)
    try:
        with path.open("rb") as file:
            _check_hdf5(file, path.stat().st_size)
    except Exception as error:  # of h5py
        raise ValueError(
            f"{path} is no weights file: {first_line(error)} Expected HDF5 (.h5), as model.save_weights writes it."
        ) from error


def first_line(error: Exception) -> str:
    """Return the first line of an error's message as a sentence."""
    line = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
    return f"{line[:300].rstrip('.:')}."


def _check_hdf5(file, num_bytes: int) -> None:
    """Raise ValueError where an open HDF5 file of `num_bytes` names other files or declares more than it holds."""
    declared = 0

    def check(name: str, link: object) -> str | None:
        nonlocal declared
        member = root[name] if isinstance(link, h5py.HardLink) else None
        if isinstance(member, h5py.Dataset):
            declared += member.size * member.dtype.itemsize
            member = None if member.external or member.is_virtual else member
        return name if member is None else None

    with h5py.File(file, "r") as root:
        if name := root.visititems_links(check):
            raise ValueError(f"its weights {name!r:.80} are a link, or lie in another file")
    if declared > MAX_RATIO * num_bytes:
        raise ValueError(f"its weights declare {declared:,} bytes in a file of {num_bytes:,}")


def _read_config(archive: zipfile.ZipFile) -> dict:
    """Return the configuration in an archive that holds what Keras writes and nothing else, every byte of it whole."""
    entries = archive.infolist()
    if sorted(entry.filename for entry in entries) != MEMBERS:
        raise ValueError(f"it holds other files than {', '.join(MEMBERS)}, each once")
    if any(entry.file_size > MAX_RATIO * max(entry.compress_size, 1) for entry in entries):
        raise ValueError(f"one of its files would become more than {MAX_RATIO} times as large")
    if broken := archive.testzip():
        raise ValueError(f"{broken} has changed since it was written")
    return json.loads(archive.read(CONFIG))


def _check_config(config: object) -> None:
    """Raise ValueError where an object that Keras would make of a configuration could run code or read files."""
    if harm := next(filter(None, map(_harm, _objects(config))), None):
        raise ValueError(harm)


def _objects(config: object) -> Iterator[dict]:
    """Yield every object that Keras would make of a configuration, at any depth."""
    waiting = [config]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            if "class_name" in node:
                yield node
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)


def _harm(entry: dict) -> str:
    """Return "" for an object of Keras or a registered one, else why it is not made."""
    name, module, key = str(entry["class_name"]), entry.get("module"), str(entry.get("registered_name"))
    if name == "function":
        name = key = str(entry.get("config"))
    if (name in _VALUES and module is None) or keras.saving.get_registered_object(key):
        return ""
    is_stock_class = name not in _UNSAFE and _STOCK.fullmatch(f"{module}.{name}")
    return "" if is_stock_class else f"it holds {name!r:.60} of {module!r:.60}, which may run code or read files"
