"""Load a saved model from an unknown source, in Keras' safe mode."""

import zipfile
from pathlib import Path

import keras

MEMBERS = ["config.json", "metadata.json", "model.weights.h5"]
MEND = "Get it again from its source, or train it again."


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
            if sorted(archive.namelist()) != MEMBERS:
                raise ValueError(f"it holds other files than {', '.join(MEMBERS)}, each once")
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except FileNotFoundError:
        raise
    except Exception as error:  # zipfile, h5py and Keras raise many kinds
        raise ValueError(
            f"{path} was not loaded: {first_line(error)} Expected a whole .keras file of Keras' own or registered "
            f"layers. {MEND}"
        ) from error


def check_stock(model: keras.Model) -> None:
    """Raise ValueError where `load_model` would not load a model again: a layer is a `Lambda` or not registered."""
    try:
        keras.models.model_from_json(model.to_json())
    except Exception as error:  # of any layer
        raise ValueError(
            f"The model {model.name!r} cannot be kept in a run: {first_line(error)} Expected Keras' own or registered "
            "layers, activations and losses. predict_table and heatmaps take the model as it is."
        ) from error


def first_line(error: Exception) -> str:
    """Return the first line of an error's message as a sentence."""
    line = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
    return f"{line[:300].rstrip('.:')}."
