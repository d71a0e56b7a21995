"""What makes a training this one and no other: its model, how that was compiled, and its settings."""

import hashlib
import json
import re
from dataclasses import asdict

import keras

from marinecv.training.recipe import Training

# Keras numbers names through a process; half precision is another on another device; a lambda knows its notebook cell.
OPEN = re.compile(r'_\d+(?=")|b?float16|"(code|seed)": ("[^"]*"|\d+)')


def identity(model: keras.Model, training: Training) -> dict:
    """Return a dict of plain values that say whose a checkpoint is, without the layers, which may not be built yet.

    The number of epochs is left out, so that a training may be made longer.
    """
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)  # of one that scales the loss
    compiled = {**optimizer.get_config(), "name": type(optimizer).__name__}
    facts = {f"optimizer.{name}": value for name, value in compiled.items()}
    facts |= {f"training.{name}": value for name, value in asdict(training).items() if name != "epochs"}
    return json.loads(json.dumps(facts, default=str), parse_float=_six_digits)


def structure(model: keras.Model) -> str:
    """Return a hash of the layers of a model and the shape of every weight, whatever they are called."""
    try:
        config = model.get_config()
    except NotImplementedError:  # a class of the user's own that does not say how it is built
        config = type(model).__name__
    weights = [(tuple(weight.shape), weight.trainable) for weight in model.weights]
    text = json.dumps([config, weights], default=lambda value: type(value).__name__)
    return hashlib.sha256(OPEN.sub("", text).encode()).hexdigest()[:16]


def differences(before: dict, now: dict, learning_rate: float) -> list[str]:
    """Say where two identities differ; the learning rate may also be what it was reduced to meanwhile."""
    if now["optimizer.learning_rate"] == _six_digits(learning_rate):
        now = now | {"optimizer.learning_rate": before.get("optimizer.learning_rate")}
    different = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    return [f"{name} was {before.get(name)!r:.40} and is {now.get(name)!r:.40}" for name in different]


def _six_digits(number: str | float) -> float:
    return float(f"{float(number):.6g}")
