"""Load a saved model from an unknown source, in Keras' safe mode."""

import importlib.util
import json
import re
import warnings
import zipfile
from pathlib import Path

import h5py
import keras

from marinecv.models.flat import is_stock

ARCHIVE_MEMBERS = ["config.json", "metadata.json", "model.weights.h5"]
# Keras refuses all but the last too, unless the session has called keras.config.enable_unsafe_deserialization.
_UNSAFE = re.compile(r'"(Lambda|__lambda__|TFSMLayer|Torch\w+|\w+Lookup|TextVectorization|(keras_hub>)?\w+Tokenizer)"')
HINT = "Get it again from its source, or train it again."


def load_model(path: str | Path) -> keras.Model:
    """Load a `.keras` file in safe mode and for prediction: the model is not compiled.

    Layers are those of Keras, or classes registered with `keras.saving.register_keras_serializable`; Keras refuses what
    could run code or read other files. Raises FileNotFoundError where there is no such file, and ValueError where it is
    no whole `.keras` file, or Keras refuses it.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            is_zip = file.read(4) == b"PK\x03\x04"
        if not is_zip or path.suffix != ".keras":
            raise ValueError("it is no .keras file; a pickle, an HDF5 model or a SavedModel can run code")
        with zipfile.ZipFile(path) as archive:
            if sorted(archive.namelist()) != ARCHIVE_MEMBERS:
                raise ValueError(f"it holds other files than {', '.join(ARCHIVE_MEMBERS)}, each once")
            with archive.open(ARCHIVE_MEMBERS[0]) as file:
                _safe_config(file.read(2**26))
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except FileNotFoundError:
        raise
    except Exception as error:  # zipfile, h5py and Keras raise many kinds
        raise ValueError(
            f"{path} was not loaded: {first_line(error)} Expected a whole .keras file of Keras' own or registered "
            f"layers. {HINT}"
        ) from error


def load_h5_model(path: str | Path) -> keras.Model:
    """Load a whole model from an HDF5 file of Keras 2 or 3, such as Teachable Machine's, for prediction.

    ValueError where it is none, holds weights alone, or a layer that could run code.
    """
    kinds = {"Sequential": keras.Sequential, "Functional": keras.Model, "Model": keras.Model}
    try:
        with h5py.File(path) as file:
            if "model_config" not in file.attrs:
                raise ValueError("it holds no model; weights alone do not tell the layers")
            config = _safe_config(file.attrs["model_config"])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # arguments that Keras 2 wrote
            model = kinds[config["class_name"]].from_config(config["config"])
        model.load_weights(path)
        return model
    except Exception as error:  # h5py and Keras raise many kinds
        raise ValueError(f"{path} was not loaded: {first_line(error)} Expected a whole model. {HINT}") from error


def _safe_config(text: str | bytes) -> dict:
    """Parse the configuration of a model, with what Keras 2 wrote as Keras 3 wants it; ValueError if it is unsafe."""

    def as_keras_3(entry: dict) -> dict:
        if "kernel_size" in entry and entry.get("groups") == 1:  # the default, which DepthwiseConv2D now refuses
            del entry["groups"]
        activation = entry.get("activation")
        if isinstance(activation, dict) and "keras_hub" in str(activation.get("module")):
            raise ValueError("it has a model of KerasHub in the place of an activation")
        for key in ("input_layers", "output_layers"):
            if len(ends := entry.get(key, ())) == 1:  # or a model within a sequential one gives a list
                entry[key] = ends[0]
        return entry

    config = json.loads(text, object_hook=as_keras_3)
    if unsafe := _UNSAFE.search(json.dumps(config)):
        raise ValueError(f"it holds {unsafe[0]}, which runs code or reads files")
    if "keras_hub" in json.dumps(config) and not importlib.util.find_spec("keras_hub"):  # Keras imports it
        raise ValueError("it has layers of KerasHub, which is missing: pip install 'marinecv[hub]'")
    return config


def check_loadable(model: keras.Model) -> None:
    """Raise ValueError where a flat model holds a layer, function or loss that is not Keras' own, or a `Lambda`."""
    own = [each.name for each in model.operations if not is_stock(each)]
    try:
        if own:
            raise ValueError(f"{own[0]!r} is a Lambda or not Keras' own")
        keras.models.model_from_json(model.to_json())
    except Exception as error:  # of any layer
        raise ValueError(
            f"The model {model.name!r} cannot be kept in a run: {first_line(error)} Expected Keras' own layers, "
            "activations and operations of keras.ops. predict_table and heatmaps take the model as it is."
        ) from error


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, of its innermost cause in Keras, as a sentence."""
    text = str(error).rpartition("Exception encountered: ")[2].strip()
    return f"{next(iter(text.splitlines()), type(error).__name__)[:300].rstrip('.:')}."
