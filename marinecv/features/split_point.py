"""Find the split point of a network, up to which it is frozen, and cut it there."""

import keras
from keras import KerasTensor, layers

from marinecv.models.flat import one_or_all


def split_point(model: keras.Model) -> list[KerasTensor]:
    """Return the tensors that only frozen, deterministic operations make and that something else takes.

    An operation is not frozen with trainable weights, batch normalization in training mode, or dropout above 0. The
    graph must be flat. Skips across the cut make several tensors. Of several inputs the first is the image.
    """
    pixels = model.inputs[0]
    frozen_tensors = {id(pixels): pixels}
    cut: dict[int, KerasTensor] = {}
    for operation in (each for each in model.operations if not isinstance(each, layers.InputLayer)):
        inputs = keras.tree.flatten(operation.input)
        if _is_fixed(operation) and all(id(tensor) in frozen_tensors for tensor in inputs):
            frozen_tensors |= {id(tensor): tensor for tensor in keras.tree.flatten(operation.output)}
        else:
            cut |= {id(tensor): tensor for tensor in inputs if id(tensor) in frozen_tensors}
    cut |= {id(tensor): tensor for tensor in model.outputs if id(tensor) in frozen_tensors}
    return list(cut.values())


def split_model(model: keras.Model) -> tuple[keras.Model, keras.Model]:
    """Cut a model into a feature extractor and the trainable layers, `(extractor, trainable)`; both share its layers.

    `trainable(extractor(x))` is `model(x)`. Inputs beside the image are the last inputs of the trainable layers.
    """
    cut = split_point(model)
    others = {id(tensor) for tensor in model.inputs[1:]}
    passed = [operation.output for operation in model.operations if id(operation.input) in others]
    trainable_inputs = [*cut, *(tensor for tensor in passed if id(tensor) not in others)]
    extractor = keras.Model(model.inputs[0], one_or_all(cut), name="extractor")
    return extractor, keras.Model(one_or_all(trainable_inputs), model.output, name="rest")


def _is_fixed(operation: keras.Operation) -> bool:
    if not isinstance(operation, layers.Layer):
        return True
    follows = isinstance(operation, layers.BatchNormalization) and operation.trainable
    drops = getattr(operation, "rate", 0) and operation.variables  # the state of its random generator
    return not (operation.trainable_weights or follows or drops)
