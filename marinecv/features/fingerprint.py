"""What a network computes, as a short text: equal for equal structure and weights, whatever its layers are called."""

import hashlib
import json

import keras
import numpy as np


def fingerprint(model: keras.Model) -> str:
    """Return a hash of the operations, how they are connected, and every weight.

    Names are left out: Keras numbers them through a process, so the same network has others the second time.
    """
    digest = hashlib.sha256()
    made = {id(tensor): f"input{number}" for number, tensor in enumerate(model.inputs)}
    for number, operation in enumerate(model.operations):
        sources = [made[id(tensor)] for tensor in keras.tree.flatten(operation.input)]
        settings = {key: value for key, value in operation.get_config().items() if key not in ("name", "trainable")}
        facts = [type(operation).__name__, sources, settings]
        digest.update(json.dumps(facts, sort_keys=True, default=str).encode())
        made |= {id(tensor): f"{number}.{place}" for place, tensor in enumerate(keras.tree.flatten(operation.output))}
    for weights in model.get_weights():
        digest.update(np.ascontiguousarray(weights).tobytes())
    digest.update(json.dumps([made[id(tensor)] for tensor in model.outputs]).encode())
    return digest.hexdigest()
