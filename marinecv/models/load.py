"""Load a saved model that may come from a stranger: it is looked through before Keras makes anything of it."""

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import h5py
import keras

from marinecv.models.flat import is_stock

CONFIG, WEIGHTS = "config.json", "model.weights.h5"
MEMBERS = {"metadata.json", CONFIG, WEIGHTS}
MAX_CONFIG_BYTES = 64 * 2**20
MAX_RATIO = 100  # Keras stores its members as they are
NOT_STOCK = "a Lambda or not Keras' own"
MEND = "Get it again from where it came, or train it anew."
_ZIP, _HDF5 = b"PK\x03\x04", b"\x89HDF\r\n\x1a\n"
_PICKLE = tuple(bytes([0x80, protocol]) for protocol in range(2, 6))

# What Keras itself writes into a configuration without naming a module.
_PLAIN = {"__keras_tensor__", "__tensor__", "__numpy__", "__bytes__", "__ellipsis__", "__slice__"}
_EITHER = ("activations", "constraints", "initializers", "losses", "metrics", "regularizers")
_PARTS = ("dtype_policies", "layers", "models", "optimizers", "optimizers.schedules", "quantizers", "random")
_FUNCTIONS = {"builtins", *(f"keras.{name}" for name in (*_EITHER, "ops"))}
_CLASSES = {"keras", *(f"keras.{name}" for name in (*_EITHER, *_PARTS))}
_INSIDE = ("keras.src.models.", "keras.src.ops.")  # classes that Keras saves by where they lie
_RUN_CODE = {"Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer"}
_READ_FILES = {"StringLookup", "IntegerLookup", "TextVectorization"}


def load_model(path: str | Path) -> keras.Model:
    """Load a `.keras` file, in safe mode and for prediction: it is not compiled.

    Nothing is made of a file that holds anything but stock Keras layers and their weights. Raises FileNotFoundError
    where there is no such file, and ValueError where it is no whole `.keras` file, is of another model than it says, or
    could run code or read files.
    """
    path = Path(path)
    _refuse_other_formats(path)
    try:
        with zipfile.ZipFile(path) as archive:
            config = _read_config(path, archive)
            with archive.open(WEIGHTS) as file:
                refuse_links(path, file, archive.getinfo(WEIGHTS).file_size)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise ValueError(f"{path} is damaged: {error}. Expected a whole .keras file. {MEND}") from None
    for entry in _objects(config):
        if reason := _harm(entry):
            raise ValueError(f"{path} was not loaded: {reason}. Expected stock Keras layers alone. {MEND}")
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # whatever a configuration or weights that do not fit make of Keras
        raise ValueError(f"{path} cannot be loaded: {first_line(error)} {MEND}") from error


def check_stock(model: keras.Model) -> None:
    """Refuse a flat model that `load_model` would not load again.

    Raises ValueError where it holds a layer or a function that is not Keras' own, or a `Lambda`.
    """
    own = [f"it holds {each.name!r}, which is {NOT_STOCK}" for each in model.operations if not is_stock(each)]
    reasons = own or list(filter(None, map(_harm, _objects(json.loads(model.to_json())))))
    if reasons:
        raise ValueError(
            f"The model {model.name!r} cannot be kept in a run: {reasons[0]}. Expected stock Keras layers, activations "
            "and operations of keras.ops alone. Build it of these; predict_table and heatmaps take it as it is."
        )


def check_weights(path: str | Path) -> None:
    """Raise ValueError of a weights file that is no HDF5, or that names other files."""
    path = Path(path)
    with path.open("rb") as file:
        if file.read(len(_HDF5)) != _HDF5:
            raise ValueError(f"{path} is no weights file. Expected HDF5 (.h5), as model.save_weights writes it.")
        refuse_links(path, file, path.stat().st_size)


def refuse_links(path: Path, file, num_bytes: int) -> None:
    """Look through an open HDF5 file of `num_bytes` without reading its arrays.

    Raises ValueError where it is damaged, names other files or itself, or declares more than it holds.
    """
    try:
        with h5py.File(file, "r") as root:
            declared = sum(dataset.size * dataset.dtype.itemsize for dataset in _datasets(path, root, set()))
    except (OSError, KeyError, RuntimeError, TypeError) as error:
        raise ValueError(f"The weights in {path} are damaged: {first_line(error)} {MEND}") from None
    if declared > MAX_RATIO * num_bytes:
        raise ValueError(f"The weights in {path} declare {declared:,} bytes in a file of {num_bytes:,}. {MEND}")


def _datasets(path: Path, group: h5py.Group, seen: set) -> Iterator[h5py.Dataset]:
    seen.add(group)
    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise ValueError(f"The weights in {path} are not loaded: {name!r} of them is a link elsewhere. {MEND}")
        member = group[name]
        if member in seen:
            raise ValueError(f"The weights in {path} are not loaded: {name!r} of them is there twice. {MEND}")
        if isinstance(member, h5py.Group):
            yield from _datasets(path, member, seen)
        elif isinstance(member, h5py.Dataset):
            if member.external or member.is_virtual:
                raise ValueError(f"The weights in {path} are not loaded: {name!r} of them lies in another file. {MEND}")
            seen.add(member)
            yield member


def _refuse_other_formats(path: Path) -> None:
    if path.is_dir():
        raise ValueError(f"{path} is a folder. Expected a .keras file: a SavedModel can run code and is not loaded.")
    with path.open("rb") as file:
        start = file.read(8)
    if start.startswith(_ZIP) and path.suffix == ".keras":
        return
    kinds = {(_HDF5,): "a model in the old HDF5 form, which may hold code", _PICKLE: "a pickle, which runs code"}
    found = next((kind for marks, kind in kinds.items() if start.startswith(marks)), "no model of Keras")
    raise ValueError(f"{path} is {found}. Expected a whole .keras file. {MEND}")


def _read_config(path: Path, archive: zipfile.ZipFile) -> dict:
    """The configuration in an archive that holds what Keras writes and nothing else, every byte of it whole."""
    entries = {entry.filename: entry for entry in archive.infolist()}
    if len(archive.infolist()) != len(MEMBERS) or set(entries) != MEMBERS:
        raise ValueError(
            f"{path} holds {', '.join(sorted(entries))[:200]}. Expected {', '.join(sorted(MEMBERS))}, each once. {MEND}"
        )
    for name, entry in entries.items():
        if entry.file_size > MAX_RATIO * max(entry.compress_size, 1):
            raise ValueError(f"{name} of {path} would become {entry.file_size:,} bytes: a bomb. {MEND}")
    if entries[CONFIG].file_size > MAX_CONFIG_BYTES:
        raise ValueError(
            f"{CONFIG} of {path} has {entries[CONFIG].file_size:,} bytes. Expected at most {MAX_CONFIG_BYTES:,}."
        )
    if broken := archive.testzip():
        raise zipfile.BadZipFile(f"{broken} has changed since it was written")
    try:
        config = json.loads(archive.read(CONFIG))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{CONFIG} of {path} is no JSON: {error}. {MEND}") from None
    if not isinstance(config, dict):
        raise ValueError(f"{CONFIG} of {path} is no description of a model. {MEND}")
    return config


def _objects(config: dict) -> Iterator[dict]:
    """Every object that Keras would make, at any depth."""
    waiting: list = [config]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            if "class_name" in node:
                yield node
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)


def _harm(entry: dict) -> str:
    """Why an object is not made, or nothing."""
    name, module, registered = (entry.get(key) for key in ("class_name", "module", "registered_name"))
    if not isinstance(name, str):
        return f"it holds an object of the class {name!r:.60}"
    if name == "__lambda__" or name in _RUN_CODE:
        return f"it holds {name}, which runs code that the file brings"
    if name in _READ_FILES:
        return f"it holds {name}, which reads files"
    if name in _PLAIN and module is None:
        return ""
    if name == "function":
        return "" if module in _FUNCTIONS else f"it calls {entry.get('config')!r:.60} of {module!r:.60}"
    stock = isinstance(module, str) and (module in _CLASSES or module.startswith(_INSIDE))
    if not stock or not name[:1].isupper() or registered not in (None, name):
        return f"it holds {name!r:.60} of {module!r:.60}, registered as {registered!r:.60}: no class of Keras"
    return ""


def first_line(error: Exception) -> str:
    """What an error says, to the end of its first line, as a sentence."""
    line = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
    return f"{line[:300].rstrip('.:')}."
