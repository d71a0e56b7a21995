"""The formats of an export. Nothing here imports TensorFlow."""

import importlib.util

from marinecv.schema import check_choice

FILES = {"litert": "model.tflite", "savedmodel": "model", "onnx": "model.onnx"}
QUANTIZATIONS = ("none", "float16", "int8-dynamic", "int8-full", "int8-io")
SAMPLED = ("int8-full", "int8-io")  # quantized by the ranges of activations on train images
RESIZE = "resize"  # at the end of a folder's name: the file fits pictures itself
_NEEDS = {"litert": ("ai_edge_litert",), "savedmodel": (), "onnx": ("onnx", "onnxruntime", "tf2onnx")}


def check_format(format: str, quantize: str = "none", resize: bool = False) -> None:
    """Raise ValueError for a format or quantization that cannot be written, before any work is done."""
    check_choice(FILES, format=format)
    check_choice(QUANTIZATIONS, quantize=quantize)
    if quantize != "none" and format != "litert":
        raise ValueError(f"quantize={quantize} is for litert alone; {format} keeps float32. Leave it out.")
    if resize and format == "litert":
        raise ValueError("A litert file takes images of one size. Expected resize for savedmodel or onnx.")
    if missing := [name for name in _NEEDS[format] if not importlib.util.find_spec(name)]:
        raise ValueError(f"{missing[0]} is not installed, which {format} needs: pip install 'marinecv[{format}]'")
