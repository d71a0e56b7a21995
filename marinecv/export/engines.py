"""Run an exported model by its own engine, as a user of the export would."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

from marinecv.console import silence
from marinecv.export.formats import FILES, check_format
from marinecv.features.inference_engine import litert_interpreter
from marinecv.models.safe_load import first_line

THREADS = os.cpu_count() or 1
BATCH = 32
Predict = Callable[[np.ndarray], np.ndarray]


def load_exported(folder: str | Path) -> Predict:
    """Load the export of a folder that `export_model` made.

    A SavedModel can run code: load only your own.

    Returns:
        A function from pixels `(n, height, width, 3)` in [0, 255] to probabilities `(n, C)` float32.
    Raises:
        ValueError: the folder has no export, it is damaged, or a package is missing.
    """
    folder = Path(folder)
    format = next((format for format, name in FILES.items() if (folder / name).exists()), None)
    if format is None:
        raise ValueError(f"{folder} holds no exported model. Expected one of {', '.join(FILES.values())} in it.")
    check_format(format)
    path = folder / FILES[format]
    try:
        run_engine = {"litert": _litert, "savedmodel": _savedmodel, "onnx": _onnx}[format](path)
    except Exception as error:  # each engine has errors of its own
        raise ValueError(f"{path} is damaged: {first_line(error)} Export it again.") from error

    def predict(pixels: np.ndarray) -> np.ndarray:
        parts = (pixels[start : start + BATCH] for start in range(0, len(pixels), BATCH))
        return np.concatenate([run_engine(np.asarray(part, np.float32)) for part in parts])

    return predict


def _litert(path: Path) -> Predict:
    interpreter = litert_interpreter(path.read_bytes(), THREADS)
    with silence():  # XNNPACK prints a line
        interpreter.allocate_tensors()
    [into], [out] = interpreter.get_input_details(), interpreter.get_output_details()
    (scale, zero), (out_scale, out_zero) = into["quantization"], out["quantization"]  # 0 and 0 of float32

    def predict(images: np.ndarray) -> np.ndarray:
        if scale:
            images = np.clip(np.round(images / scale) + zero, 0, 255).astype(into["dtype"])
        probabilities = []
        for image in images:
            interpreter.set_tensor(into["index"], image[np.newaxis])
            interpreter.invoke()
            probabilities.append(interpreter.get_tensor(out["index"])[0].astype(np.float32))
        return (np.stack(probabilities) - np.float32(out_zero)) * np.float32(out_scale or 1)

    return predict


def _savedmodel(path: Path) -> Predict:
    model = tf.saved_model.load(path)
    return lambda images: model.serve(images)["probabilities"].numpy()


def _onnx(path: Path) -> Predict:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda images: session.run(["probabilities"], {"image": images})[0]
