"""Probabilities, logits and embedding of a classifier, found by its last operation."""

from collections.abc import Sequence

import keras
import numpy as np
from keras import KerasTensor, layers

from marinecv.data.user_tables import as_class_names
from marinecv.models.flat import check_graph, flat, one_or_all

KINDS = ("softmax", "sigmoid", "linear")
LINEAR = (layers.Dense, layers.EinsumDense, layers.Conv2D)
KIND_OF_CLASS = {"Softmax": "softmax", "Sigmoid": "sigmoid"}  # classes of layers and operations


def with_probabilities(model: keras.Model, class_names: Sequence[str]) -> keras.Model:
    """Return a model that gives a probability for each class, sharing its layers; itself where it does so already.

    Logits get a softmax. One output is that of two classes: the sigmoid of its logit is the probability of the second,
    as with `label_mode="binary"` of Keras. Raises ValueError where the outputs are not one number a class.
    """
    class_names = as_class_names(class_names)
    check_graph(model, 2)
    shape, kind = tuple(model.outputs[0].shape[1:]), _ending(model)[1]
    is_binary = shape == (1,) and len(class_names) == 2 and kind in ("sigmoid", "linear")
    if not is_binary and (shape != (len(class_names),) or kind == "sigmoid"):
        raise ValueError(
            f"The model {model.name!r} gives {shape}{' of a sigmoid' * (kind == 'sigmoid')} for each image. Expected a "
            f"softmax over the {len(class_names)} class_names {class_names!r:.200}."
        )
    if kind == "linear" or is_binary:
        model = with_logits(model) if is_binary else model
        outputs = layers.Softmax(dtype="float32", name="class_probabilities")(model.outputs[0])
        return keras.Model(one_or_all(model.inputs), outputs, name=model.name)
    return model


def with_logits(model: keras.Model) -> keras.Model:
    """Return the model without its final softmax, of any form, sharing its layers: near 1 it has hardly any gradient.

    A model of logits stays as it is; a single sigmoid or logit becomes minus and plus half of the logit.
    """
    model = flat(model)
    (last, kind), outputs = _ending(model), model.outputs[0]
    is_binary = kind in ("sigmoid", "linear") and outputs.shape[1:] == (1,)
    if kind == "softmax" or (is_binary and kind == "sigmoid"):
        outputs = last.input
        if not _is_alone(last):
            linear = type(last).from_config(last.get_config() | {"activation": "linear", "name": f"{last.name}_logits"})
            outputs = linear(last.input)
            linear.set_weights(last.get_weights())
    if is_binary:
        halves = layers.Dense(2, use_bias=False, dtype="float32", name="of_two_classes")
        outputs = halves(outputs)
        halves.set_weights([np.array([[-0.5, 0.5]])])
    return keras.Model(model.inputs, outputs, name=model.name)


def embedding_tensor(model: keras.Model) -> KerasTensor:
    """Return the input of a classifier's last layer, or the output of any other network, of one flat graph."""
    last, kind = _ending(model)
    if kind != "softmax" and (kind, model.outputs[0].shape[-1]) != ("sigmoid", 1):
        return model.outputs[0]
    before, alone = model.operations[: model.operations.index(last)], _is_alone(last)
    while alone and isinstance(before[-1], LINEAR):
        last = before.pop()
    return last.input


def _ending(model: keras.Model) -> tuple[keras.Operation, str]:
    """Return the last operation, also of a model within, and its kind: softmax, sigmoid, linear, or "" for others."""
    graph = keras.Model(model.inputs, model.outputs[0]) if isinstance(model, keras.Sequential) else model
    last = next(each for each in reversed(graph.operations) if not _passes(each))
    if isinstance(last, keras.Model) and hasattr(last, "inputs"):
        return _ending(last)
    kind, activation = KIND_OF_CLASS.get(type(last).__name__, ""), getattr(last, "activation", None)
    kind = next((name for name in KINDS if activation is getattr(keras.activations, name)), kind)
    return last, kind if kind != "linear" or isinstance(last, LINEAR) else ""


def _passes(operation: keras.Operation) -> bool:
    """Return whether the output is the input, perhaps in another precision."""
    is_linear = getattr(operation, "activation", None) is keras.activations.linear
    return isinstance(operation, layers.Identity) or (is_linear and isinstance(operation, layers.Activation))


def _is_alone(operation: keras.Operation) -> bool:
    """Return whether a softmax or sigmoid is a layer or an operation, not an activation."""
    return isinstance(operation, layers.Activation) or not hasattr(operation, "activation")
