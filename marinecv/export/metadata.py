"""Write what a file takes and gives into the file itself: class names, range and geometry of the pixels."""

import json
from pathlib import Path
from zipfile import ZipFile, ZipInfo

import flatbuffers
import numpy as np

TAKES = "RGB pixels from 0 to 255 of a picture brought to this size as preprocessing.json tells"
IMAGE_PROPERTIES, RGB, NORMALIZATION, AXIS_LABELS = 2, 1, 1, 2  # in the schema of LiteRT's metadata


def describe_litert(path: Path, class_names: tuple[str, ...], preprocessing: dict | None) -> None:
    """Add the metadata that MediaPipe's tasks read, and `labels.txt` and `preprocessing.json` as a zip archive."""
    from ai_edge_litert import schema_py_generated as schema

    labels = {0: "labels.txt", 1: "a class a line, in the order of the probabilities", 2: AXIS_LABELS}
    image = {
        0: "image",
        1: TAKES,
        3: {0: IMAGE_PROPERTIES, 1: {0: RGB}},
        4: [{0: NORMALIZATION, 1: {0: np.float32([0]), 1: np.float32([1])}}],  # none: mean 0, deviation 1
        5: {0: np.float32([255]), 1: np.float32([0])},
    }
    probabilities = {0: "probabilities", 5: {0: np.float32([1]), 1: np.float32([0])}, 6: [labels]}
    about = {0: "marinecv", 1: TAKES, 3: [{2: [image], 3: [probabilities]}], 6: [{0: "preprocessing.json"}]}
    builder = flatbuffers.Builder()
    builder.Finish(_write(builder, about), b"M001")
    model, buffer, entry = schema.ModelT.InitFromPackedBuf(path.read_bytes()), schema.BufferT(), schema.MetadataT()
    buffer.data, entry.name, entry.buffer = builder.Output(), "TFLITE_METADATA", len(model.buffers)
    model.buffers.append(buffer)
    model.metadata = [*(model.metadata or []), entry]
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(builder.Output())
    with ZipFile(path, "a") as archive:
        archive.writestr(ZipInfo("labels.txt"), "\n".join(class_names))
        archive.writestr(ZipInfo("preprocessing.json"), json.dumps(preprocessing))


def _write(builder: flatbuffers.Builder, value: str | np.ndarray | list | dict) -> int:
    """Write text, numbers, a list of tables, or a table (value by number of the field; an integer is a byte)."""
    if isinstance(value, str):
        return builder.CreateString(value)
    if isinstance(value, np.ndarray):
        return builder.CreateNumpyVector(value)
    if isinstance(value, list):
        offsets = [_write(builder, item) for item in value]
        builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            builder.PrependUOffsetTRelative(offset)
        return builder.EndVector()
    fields = {field: item if isinstance(item, int) else _write(builder, item) for field, item in value.items()}
    builder.StartObject(max(fields) + 1)
    for field, item in fields.items():
        is_byte = isinstance(value[field], int)
        (builder.PrependInt8Slot if is_byte else builder.PrependUOffsetTRelativeSlot)(field, item, 0)
    return builder.EndObject()


def describe_onnx(path: Path, class_names: tuple[str, ...], preprocessing: dict | None) -> None:
    """Add `metadata_props`, and call the first axis `batch`."""
    import onnx

    model = onnx.load(path)
    for tensor in (*model.graph.input, *model.graph.output):
        tensor.type.tensor_type.shape.dim[0].dim_param = "batch"
    texts = {"class_names": json.dumps(class_names), "preprocessing": json.dumps(preprocessing), "image": TAKES}
    onnx.helper.set_model_props(model, texts)
    onnx.save(model, path)
