"""What a trained run says of images: calibrated probabilities, the classes not ruled out, and whom to look at."""

from collections.abc import Callable

import keras
import numpy as np

from marinecv.evaluation.calibration import calibrated
from marinecv.evaluation.conformal import prediction_sets
from marinecv.evaluation.review import doubts, flags
from marinecv.features.distance import distances, read_codes
from marinecv.features.embeddings import up_to_code
from marinecv.hashes import sha256
from marinecv.run_records import Calibration
from marinecv.runs import Run


def looker(
    trained: Run, model: keras.Model, calibration: Calibration | None, review: bool
) -> Callable[[np.ndarray, int], tuple[np.ndarray, dict]]:
    """Return a function of pixels and batch size: probabilities, and by column what else is said of each image.

    Args:
        trained: a run whose model takes an image alone.
        model: its model; probabilities and distance come of one pass.
        calibration: of the run, None where it has none: then probabilities are as the model gives them.
        review: whether doubt and flags are asked for; they are empty where the calibration has none.
    Raises:
        ValueError: what the run keeps of its train images is broken, or of another training.
    """
    rules = calibration.review if review and calibration else None
    by_distance = rules is not None and rules.distance is not None
    fitted = codes_of(trained, calibration) if by_distance else None
    wanted = {"probabilities": model.outputs[0]} | ({"code": up_to_code(model).output} if by_distance else {})
    whole = keras.Model(model.inputs[0], wanted)

    def look(pixels: np.ndarray, batch_size: int) -> tuple[np.ndarray, dict]:
        seen = {name: np.zeros((0, *tensor.shape[1:])) for name, tensor in wanted.items()}
        if len(pixels):
            seen = whole.predict(pixels.astype(np.float32), batch_size=batch_size, verbose=0)
        probabilities, beside = seen["probabilities"], {}
        if calibration:
            probabilities = calibrated(probabilities, calibration.temperature)
        if sets := calibration and calibration.sets:
            inside = prediction_sets(probabilities, sets.threshold)
            names = np.array(trained.class_names, dtype=object)
            beside["prediction_set"] = ["|".join(names[row]) for row in inside]
        if review and not rules:
            beside |= {"doubt": np.full(len(pixels), np.nan), "review": [""] * len(pixels)}
        elif review:
            far = np.zeros(len(pixels), bool)
            if by_distance:
                far = distances(seen["code"], fitted) > rules.distance
            confidence = probabilities.max(axis=1)
            beside["doubt"] = doubts(confidence, far)
            beside["review"] = flags(confidence, far, rules.probability)
        return probabilities, beside

    return look


def codes_of(trained: Run, calibration: Calibration) -> dict[str, np.ndarray]:
    """What the run keeps of the codes of its train images.

    Raises:
        ValueError: the file is broken, or another than the calibration was measured with.
    """
    path = trained.path("codes.npz")
    with trained.mending("codes.npz"):
        fitted = read_codes(path)
        if sha256(path) != calibration.codes_sha256:
            raise ValueError(f"{path} is another file than the one that calibration.json was measured with.")
    return fitted
