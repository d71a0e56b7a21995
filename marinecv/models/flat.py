"""Inline the models within a Keras model, so that every layer of it can be found by name."""

import inspect
from collections.abc import Sequence
from itertools import count
from typing import Any

import keras
import numpy as np
from keras import layers


def check_graph(model: keras.Model, inputs: int = 1, shape: tuple[int, ...] | None = None) -> None:
    """Raise ValueError for a model without a graph, with several outputs, more inputs, or another image shape."""
    if not isinstance(model, keras.Model):
        raise ValueError(f"Expected model to be a keras.Model. Received: model={model!r:.80}.")
    if not (hasattr(model, "inputs") and hasattr(model, "outputs")):
        raise ValueError(
            f"The model {model.name!r} has no graph. Expected a functional or sequential model with a known input. "
            "Wrap a subclassed one: x = keras.Input(spec.shape); keras.Model(x, model(x))."
        )
    if not (len(model.inputs) <= inputs and len(model.outputs) == 1):
        raise ValueError(
            f"The model {model.name!r} takes {len(model.inputs)} inputs and gives {len(model.outputs)} outputs. "
            "Expected one image and one tensor. Name the tensor: keras.Model(model.inputs[0], model.outputs[0])."
        )
    sides = tuple(model.inputs[0].shape[1:])
    if shape and (len(sides) != 3 or any(own not in (None, side) for own, side in zip(sides, shape, strict=True))):
        raise ValueError(f"{model.name} takes {sides}. Expected an ImageSpec of that size. Received: {shape}.")


def flat(model: keras.Model) -> keras.Model:
    """Return a model of one output as one flat graph with the same output in inference.

    A model in it, such as a backbone, is replaced by its operations, which keep their names (a number is added to a
    taken one). Stock Keras layers are copied with their weights, others shared; a flat graph is returned as it is.
    """
    check_graph(model, 2)
    name, taken = model.name, set()
    model = keras.Model(model.inputs[0], model.outputs[0], name=name) if isinstance(model, keras.Sequential) else model
    if _is_flat(model):
        return model
    inputs = [keras.Input(x.shape[1:], dtype=x.dtype, name=_free_name(x.name, taken)) for x in model.inputs]
    return keras.Model(one_or_all(inputs), _inlined(model, inputs, taken, {}), name=name)


def copied(model: keras.Model, tensor: keras.KerasTensor, taken: set[str]) -> keras.KerasTensor:
    """Return the output of a copy of a flat model's layers for another tensor, with none of the names `taken`."""
    return _inlined(model, [tensor], taken, {})


def one_or_all(parts: Sequence) -> Any:
    """Return a lone tensor as itself and several as they are, which is how Keras models take and return them."""
    return parts if len(parts) > 1 else parts[0]


def is_stock(operation: keras.Operation) -> bool:
    """Return whether an operation is Keras' own, so that configuration and weights determine its output."""
    parts = (operation, getattr(operation, "activation", None) or operation)
    return not isinstance(operation, layers.Lambda) and all(part.__module__.startswith("keras.") for part in parts)


def _is_flat(model: keras.Model) -> bool:
    known_tensors = {id(tensor) for tensor in model.inputs}
    for operation in (each for each in model.operations if not isinstance(each, layers.InputLayer)):
        copied = _has_graph(operation) or _adapted(operation)
        if not copied and all(id(tensor) in known_tensors for tensor in keras.tree.flatten(operation.input)):
            known_tensors |= {id(tensor) for tensor in keras.tree.flatten(operation.output)}
    return id(model.outputs[0]) in known_tensors and model.inputs[0].shape[0] is None


def _has_graph(operation: keras.Operation) -> bool:
    return isinstance(operation, keras.Model) and hasattr(operation, "inputs") and is_stock(operation)


def _adapted(operation: keras.Operation) -> bool:
    """Return whether it is a `Normalization` that was adapted, which weights alone do not copy."""
    return isinstance(operation, layers.Normalization) and operation.get_config()["mean"] is None


def _inlined(model: keras.Model, tensors: Any, taken: set[str], training_setting: dict) -> Any:
    """Return the outputs of a model for tensors, by calling its operations with the `training` of its own call."""
    ends = [layers.Identity(name=f"flat_end_{number}") for number in range(len(model.outputs))]
    results = [None] * len(ends)

    def call(operation: keras.Operation, *args, **kwargs) -> Any:
        if operation in ends:
            results[ends.index(operation)] = args[0]
            return args[0]
        kwargs |= training_setting if "training" in inspect.signature(operation.call).parameters else {}
        if _has_graph(operation):
            return _inlined(operation, args[0], taken, {key: kwargs[key] for key in kwargs if key == "training"})
        return _called(operation, taken, *args, **kwargs)

    outputs = [end(tensor) for end, tensor in zip(ends, model.outputs, strict=True)]
    graph, tensors = keras.Model(model.inputs, outputs), keras.tree.flatten(tensors)
    keras.models.clone_model(graph, tensors, clone_function=lambda operation: operation, call_function=call)
    return results[0] if len(results) == 1 else keras.tree.pack_sequence_as(model.output, results)


def _called(operation: keras.Operation, taken: set[str], *args, **kwargs) -> Any:
    """Return the outputs of a copy of an operation, or of itself if it is not stock."""
    name = _free_name(operation.name, taken)
    if not is_stock(operation):
        return _Shared(operation, name)(*args, **kwargs)
    settings = operation.get_config() | {"name": name}
    adapted = ("mean", "variance") if _adapted(operation) else ()
    settings |= {key: np.squeeze(np.asarray(getattr(operation, key), float)).tolist() for key in adapted}
    copy = type(operation).from_config(settings)
    outputs = copy(*args, **kwargs)
    if getattr(operation, "weights", None) and not adapted:
        copy.set_weights(operation.get_weights())
    return outputs


class _Shared(layers.Layer):
    """An operation of another graph, with an output of its own in this one."""

    def __init__(self, operation: keras.Operation, name: str):
        super().__init__(name=name, autocast=False)
        self.operation = operation

    def call(self, *args, **kwargs) -> Any:
        return self.operation(*args, **kwargs)


def _free_name(name: str, taken: set[str]) -> str:
    free = next(free for number in count(1) if (free := name if number == 1 else f"{name}_{number}") not in taken)
    taken.add(free)
    return free
