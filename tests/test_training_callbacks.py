from dataclasses import replace
from types import SimpleNamespace

import keras
import numpy as np
import pandas as pd
import pytest

from marinecv.training.callbacks import EpochLine, History, StopAfterReductions, callbacks, duration
from marinecv.training.checkpoint import Checkpoint, read_checkpoint
from marinecv.training.recipe import Training

PATIENT = Training(epochs=4, early_stop_patience=3, lr_patience=1, lr_factor=0.5)
X = np.random.default_rng(0).normal(size=(8, 5)).astype(np.float32)
Y = np.eye(2, dtype=np.float32)[(X[:, 0] > 0).astype(int)]


def model_of(units=3):
    keras.utils.set_random_seed(1)
    inputs = keras.Input((5,))
    hidden = keras.layers.Dropout(0.5)(keras.layers.Dense(units)(inputs))
    model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(hidden))
    model.compile(keras.optimizers.Adam(0.05), "categorical_crossentropy", metrics=["accuracy"])
    return model


def fit(model, wanted, first=0, last=4, **options):
    model.fit(
        X, Y, batch_size=4, initial_epoch=first, epochs=last, validation_data=(X, Y), callbacks=wanted, verbose=0,
        shuffle=False, **options,
    )  # fmt: skip


def kinds(wanted):
    return [type(callback).__name__ for callback in wanted]


def test_callbacks_are_keras_own_and_ours_by_choice(tmp_path):
    watch = ["TerminateOnNaN", "EarlyStopping", "ReduceLROnPlateau"]
    assert kinds(callbacks(PATIENT)) == watch
    assert kinds(callbacks(PATIENT, say=print)) == [*watch, "EpochLine"]
    assert kinds(callbacks(replace(PATIENT, early_stop_reductions=2))) == [*watch, "StopAfterReductions"]
    assert kinds(callbacks(PATIENT, tmp_path, say=print)) == [*watch, "History", "EpochLine", "Checkpoint"]
    assert kinds(callbacks(PATIENT, stage="head")) == watch[:1]


def test_the_watchers_have_the_recipes_settings():
    _, stopping, plateau = callbacks(Training(monitor="val_accuracy", early_stop_patience=7, lr_patience=3))
    assert (stopping.monitor, stopping.patience, stopping.restore_best_weights) == ("val_accuracy", 7, True)
    assert (plateau.monitor, plateau.patience, plateau.factor) == ("val_accuracy", 3, 0.2)


def test_history_has_a_row_an_epoch_with_the_rate_it_was_trained_with(tmp_path):
    model = model_of()
    slower = keras.callbacks.LearningRateScheduler(lambda epoch: 0.1 / (epoch + 1))
    fit(model, [slower, History(tmp_path / "history.csv")], last=3)
    table = pd.read_csv(tmp_path / "history.csv")
    assert set(table) == {"epoch", "loss", "accuracy", "val_loss", "val_accuracy", "learning_rate", "seconds"}
    assert table["epoch"].tolist() == [1, 2, 3]
    np.testing.assert_allclose(table["learning_rate"], [0.1, 0.05, 0.1 / 3], rtol=1e-6)


def test_an_epoch_done_again_replaces_its_row_and_leaves_the_others_to_the_last_digit(tmp_path):
    path, model = tmp_path / "history.csv", model_of()
    fit(model, [History(path)], last=3)
    before = path.read_text(encoding="utf-8").splitlines()
    fit(model, [History(path)], first=2, last=4)
    after = path.read_text(encoding="utf-8").splitlines()
    assert after[:3] == before[:3] and len(after) == 5
    assert after[3] != before[3]


def watched(rates, values, reductions=2, mode="max"):
    """The epoch (from 1) in which training ends, if each epoch ends with these rates and values."""
    stop = StopAfterReductions(reductions, "val_accuracy", mode)
    model = SimpleNamespace(optimizer=SimpleNamespace(learning_rate=1.0), stop_training=False)
    stop.set_model(model)
    stop.on_train_begin()
    for epoch, (rate, value) in enumerate(zip(rates, values, strict=True)):
        stop.on_epoch_begin(epoch)
        model.optimizer.learning_rate = rate
        stop.on_epoch_end(epoch, {"val_accuracy": value})
        if model.stop_training:
            return epoch + 1
    return None


def test_training_ends_with_the_last_of_some_reductions_without_progress_between():
    falling = [1.0, 0.1, 0.1, 0.01, 0.01]
    assert watched(falling, [0.5, 0.5, 0.4, 0.5, 0.9]) == 4
    assert watched(falling, [0.5, 0.5, 0.6, 0.6, 0.6]) is None  # progress between the two
    assert watched(falling, [0.5, 0.5, 0.6, 0.6, 0.6], mode="min") == 4
    assert watched(falling, [0.5] * 5, reductions=1) == 2
    assert watched([1.0] * 5, [0.5] * 5) is None


def test_reductions_are_counted_on_over_a_kill(tmp_path):
    still = Training(
        epochs=9, early_stop_patience=9, lr_patience=1, early_stop_reductions=3, monitor="val_accuracy", lr_factor=0.1
    )

    def stopped(model, folder, last):
        model.optimizer.learning_rate = 1e-9  # nothing gets better
        fit(
            model,
            callbacks(still, folder),
            first=read_checkpoint(folder / "checkpoint.npz")[0].get("epochs_done", 0),
            last=last,
        )
        return read_checkpoint(folder / "checkpoint.npz")[0]

    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    whole = stopped(model_of(), tmp_path / "whole", 9)
    assert whole["stopped"] and whole["epochs_done"] == 4  # best in the first, reduced in the three after it
    assert not stopped(model_of(), tmp_path / "killed", 3)["stopped"]
    assert stopped(model_of(), tmp_path / "killed", 9)["epochs_done"] == 4


def test_an_epoch_is_one_calm_line():
    said = []
    line = EpochLine(Training(epochs=2), said.append)
    for epoch in (0, 1):
        line.on_epoch_begin(epoch)
        line.started -= 100
        line.on_epoch_end(epoch, {"loss": 0.5, "accuracy": 0.75, "val_loss": 0.25, "val_accuracy": 1.0})
    assert said[0].startswith("  epoch  1/2  loss 0.500  accuracy 0.750  validation 1.000 (loss 0.250)  100.0 s")
    assert said[0].endswith("at most 2 min left") and said[1].endswith("100.0 s")
    line.on_epoch_end(1, {"loss": 0.5, "accuracy": 0.75})
    assert "validation" not in said[2]
    measured = EpochLine(Training(epochs=2), said.append, validation_images=38)
    measured.on_epoch_begin(0)
    measured.on_epoch_end(0, {"loss": 0.5, "accuracy": 0.75, "val_loss": 0.25, "val_accuracy": 1.0})
    assert "validation 1.000 (loss 0.250, n=38)" in said[3]
    measured.on_epoch_end(0, {"loss": 0.5, "val_loss": 0.25})
    assert "validation 0.25000 (n=38)" in said[4]


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "1 s"), (89, "89 s"), (90, "2 min"), (1000, "17 min"), (5400, "1 h 30 min")]
)
def test_a_duration_is_said_in_words(seconds, words):
    assert duration(seconds) == words


def test_a_checkpoint_keeps_weights_optimizer_counters_and_dropout_state(tmp_path):
    path = tmp_path / "checkpoint.npz"

    def watched():
        stopping, plateau = callbacks(PATIENT)[1:]
        return stopping, plateau, Checkpoint(path, [stopping, plateau])

    whole, halves = model_of(), model_of()
    first = watched()[:2]
    fit(whole, first)
    fit(halves, watched(), last=2)
    resumed, second = model_of(), watched()
    fit(resumed, second, first=2)
    for mine, theirs in zip(resumed.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    for mine, theirs in zip(resumed.optimizer.variables, whole.optimizer.variables, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    for mine, theirs in zip(second, first, strict=False):
        assert (mine.wait, mine.best) == (theirs.wait, theirs.best)
    assert second[0].best_epoch == first[0].best_epoch
    assert read_checkpoint(path)[0]["epochs_done"] == 4


def test_in_another_stage_only_the_weights_are_taken_back(tmp_path):
    path = tmp_path / "checkpoint.npz"
    trained, fresh = model_of(), model_of()
    fit(trained, [Checkpoint(path, [], "head")], last=2)
    stopping = callbacks(PATIENT)[1]
    fit(fresh, [stopping, Checkpoint(path, [stopping], "all")], first=2, last=2)
    for mine, theirs in zip(fresh.get_weights(), trained.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert int(fresh.optimizer.iterations) == 0 and getattr(stopping, "best", None) is None


def test_where_no_file_is_there_is_nothing_to_take_back(tmp_path):
    assert read_checkpoint(tmp_path / "checkpoint.npz") == ({}, {})


def test_a_broken_checkpoint_is_refused(tmp_path):
    path = tmp_path / "checkpoint.npz"
    fit(model_of(), [Checkpoint(path, [])], last=1)
    whole = path.read_bytes()
    other = tmp_path / "other.npz"
    np.savez(other, x=1)
    for data in (b"", b"no zip", whole[: len(whole) // 2], other.read_bytes()):
        path.write_bytes(data)
        with pytest.raises(ValueError, match="checkpoint.npz is no checkpoint of marinecv.*Delete it"):
            fit(model_of(), [Checkpoint(path, [])], last=1)


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    path = tmp_path / "checkpoint.npz"
    fit(model_of(), [Checkpoint(path, [])], last=1)
    with pytest.raises(ValueError, match="The checkpoint is of another model. Delete it to train from the start"):
        fit(model_of(units=4), [Checkpoint(path, [])], last=1)
