"""Callbacks of a training: when it stops and slows down, what it writes, and that a resumed one ends the same."""

from dataclasses import replace
from types import SimpleNamespace

import keras
import keras_tuner
import numpy as np
import pandas as pd
import pytest

from marinecv.progress import duration
from marinecv.recipes.birds import CUSTOM_CNN, N
from marinecv.training.build import compile_model
from marinecv.training.callbacks import EpochLine, StopAfterReductions, callbacks
from marinecv.training.checkpoint import read_checkpoint, structure
from marinecv.training.recipe import Training

PATIENT = Training(epochs=4, early_stop_patience=3, lr_patience=1, lr_factor=0.5)
X = np.random.default_rng(0).normal(size=(8, 5)).astype(np.float32)
Y = np.eye(2, dtype=np.float32)[(X[:, 0] > 0).astype(int)]


def model_of(units=3, dropout=0.5, rate=0.05, optimizer=keras.optimizers.Adam, metrics=("accuracy",)):
    """A model of the user's own."""
    keras.utils.set_random_seed(1)
    inputs = keras.Input((5,))
    hidden = keras.layers.Dropout(dropout)(keras.layers.Dense(units)(inputs))
    model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(hidden))
    model.compile(optimizer(rate), "categorical_crossentropy", metrics=list(metrics))
    return model


def fit(model, wanted, first=0, last=4, **options):
    options = {"validation_data": (X, Y), "batch_size": 4, "verbose": 0, "shuffle": False, **options}
    return model.fit(X, Y, initial_epoch=first, epochs=last, callbacks=wanted, **options)


def history_of(folder):
    return pd.read_csv(folder / "history.csv")


def assert_equal(mine, theirs):
    for one, other in zip(mine, theirs, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_schedule_that_would_be_reduced_is_refused_before_the_first_epoch():
    model = model_of(rate=keras.optimizers.schedules.CosineDecay(0.01, 20))
    for training in (PATIENT, EVERY):
        with pytest.raises(ValueError, match="LearningRateSchedule.*lr_factor=1"):
            fit(model, callbacks(replace(training, ema=0.0)))
    assert fit(model, callbacks(replace(PATIENT, lr_factor=1.0))).epoch == [0, 1, 2, 3]


def test_early_stopping_and_reductions_follow_the_settings_and_leave_the_head_alone():
    still = replace(PATIENT, early_stop_patience=2)
    stopped, head = (model_of(rate=1e-9) for _ in range(2))
    assert len(fit(stopped, callbacks(still), last=9).epoch) == 3 and float(stopped.optimizer.learning_rate) < 1e-9
    assert len(fit(head, callbacks(still, stage="head"), last=5).epoch) == 5
    assert float(head.optimizer.learning_rate) == pytest.approx(1e-9)


def pytorch_reductions(values, patience, threshold=1e-4):
    """Return the epochs after which PyTorch's ReduceLROnPlateau(mode="max") lowers the rate, with its defaults."""
    best, bad, reduced = -np.inf, 0, []
    for epoch, value in enumerate(values):
        is_better = value > best * (1 + threshold) if np.isfinite(best) else True
        best, bad = (value, 0) if is_better else (best, bad + 1)
        if bad > patience:
            reduced, bad = [*reduced, epoch], 0
    return reduced


def test_the_birds_recipe_lowers_the_rate_where_pytorchs_scheduler_does():
    """It counts bad epochs beyond the patience; both thresholds are far below one validation image."""
    model, n = model_of(), N["cub_x20"]
    [reduce] = [each for each in callbacks(CUSTOM_CNN.training) if isinstance(each, keras.callbacks.ReduceLROnPlateau)]
    for seed in range(20):
        accuracies = np.random.default_rng(seed).integers(40, 60, 40) / n
        reduce.set_model(model)
        reduce.on_train_begin()
        model.optimizer.learning_rate, reduced = 1.0, []
        for epoch, accuracy in enumerate(accuracies):
            before = float(model.optimizer.learning_rate)
            reduce.on_epoch_end(epoch, {"val_accuracy": accuracy})
            reduced += [epoch] if float(model.optimizer.learning_rate) < before else []
        assert reduced == pytorch_reductions(accuracies, patience=3)


def test_history_has_a_row_an_epoch_with_the_rate_it_was_trained_with(tmp_path):
    slower = keras.callbacks.LearningRateScheduler(lambda epoch: 0.1 / (epoch + 1))
    fit(model_of(), [slower, *callbacks(PATIENT, tmp_path)], last=3)
    table = history_of(tmp_path)
    assert set(table) == {"epoch", "loss", "accuracy", "val_loss", "val_accuracy", "learning_rate", "seconds"}
    assert table["epoch"].tolist() == [1, 2, 3]
    np.testing.assert_allclose(table["learning_rate"], [0.1, 0.05, 0.1 / 3], rtol=1e-6)


@pytest.mark.parametrize("warmup_epochs", [0, 2])
def test_the_cosine_is_that_of_keras_over_the_epochs_of_a_stage(warmup_epochs, tmp_path):
    training, rates = (
        Training(learning_rate=0.1, schedule="cosine", warmup_epochs=warmup_epochs, early_stop_patience=9),
        [],
    )
    model = model_of()
    note = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: rates.append(float(model.optimizer.learning_rate))
    )
    fit(model, [*callbacks(training, tmp_path), note], first=3, last=8)  # 2 steps an epoch
    top = {"warmup_target": 0.1, "warmup_steps": 2 * warmup_epochs} if warmup_epochs else {}
    cosine = keras.optimizers.schedules.CosineDecay(0.0 if top else 0.1, 10 - 2 * warmup_epochs, **top)
    np.testing.assert_allclose(rates, [float(cosine(step)) for step in range(10)], atol=1e-8)
    if warmup_epochs:
        np.testing.assert_allclose(rates[:5], [0, 0.025, 0.05, 0.075, 0.1], atol=1e-8)
    else:
        assert rates[5] == pytest.approx(0.05)
    assert history_of(tmp_path)["learning_rate"].tolist() == pytest.approx(rates[::2], abs=1e-8)


def test_the_average_of_the_weights_is_validated_saved_as_best_and_left_in_the_model(tmp_path):
    training = Training(optimizer="sgd", momentum=0.0, learning_rate=0.5, ema=0.75, early_stop_patience=9)
    model, weights, batches = model_of(dropout=0.0), [], []
    compile_model(model, training)
    note = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: batches.append(model.get_weights()))
    end = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: weights.append(model.get_weights()))
    watched = [*callbacks(training, tmp_path), note, end]
    history = fit(model, watched, last=3).history  # 2 steps an epoch
    average = batches[0]
    for number, each in enumerate(batches):
        average = [0.75 * a + 0.25 * w for a, w in zip(average, each, strict=True)]
        if number % 2:
            for mine, theirs in zip(weights[number // 2], average, strict=True):
                np.testing.assert_allclose(mine, theirs, atol=1e-6)
    assert_equal(watched[2].best_weights, weights[watched[2].best_epoch])
    assert_equal(model.get_weights(), watched[2].best_weights)
    assert_equal(read_checkpoint(tmp_path / "checkpoint.npz")[1]["model"][:4], weights[-1])
    assert_equal(read_checkpoint(tmp_path / "checkpoint.npz")[1]["trained"], batches[-1])
    best = model.evaluate(X, Y, verbose=0, return_dict=True)
    assert min(history["val_loss"]) == pytest.approx(best["loss"], rel=1e-5)
    head = model_of(dropout=0.0)
    compile_model(head, training)
    fit(head, callbacks(training, stage="head"), last=1, validation_data=None)
    assert_equal(head.get_weights(), weights[0])


FALLING = [1.0, 0.1, 0.1, 0.01, 0.01]


@pytest.mark.parametrize(
    ("rates", "values", "options", "end"),
    [
        (FALLING, [0.5, 0.5, 0.4, 0.5, 0.9], {}, 4),
        (FALLING, [0.5, 0.5, 0.6, 0.6, 0.6], {}, None),  # progress between the two
        (FALLING, [0.5, 0.5, 0.6, 0.6, 0.6], {"mode": "min"}, 4),
        (FALLING, [0.5] * 5, {"reductions": 1}, 2),
        ([1.0] * 5, [0.5] * 5, {}, None),
    ],
)
def test_training_ends_with_the_last_of_some_reductions_without_progress_between(rates, values, options, end):
    stop = StopAfterReductions(**{"reductions": 2, **options})
    model = SimpleNamespace(optimizer=SimpleNamespace(learning_rate=1.0), stop_training=False)
    stop.set_model(model)
    stop.on_train_begin()
    ended = []
    for epoch, (rate, value) in enumerate(zip(rates, values, strict=True)):
        stop.on_epoch_begin(epoch)
        model.optimizer.learning_rate = rate
        stop.on_epoch_end(epoch, {"val_accuracy": value})
        ended += [epoch + 1] if model.stop_training else []
    assert next(iter(ended), None) == end


TRAINED, VALIDATED = {"loss": 0.5, "accuracy": 0.75}, {"val_loss": 0.25, "val_accuracy": 1.0}


@pytest.mark.parametrize(
    ("logs", "images", "parts"),
    [
        (TRAINED | VALIDATED, None, "loss 0.500  accuracy 0.750  validation 1.000 (loss 0.250)"),
        (TRAINED | VALIDATED, 38, "loss 0.500  accuracy 0.750  validation 1.000 (loss 0.250, n=38)"),
        (TRAINED, 38, "loss 0.500  accuracy 0.750"),
        ({"loss": 0.5, "val_loss": 0.25}, 38, "loss 0.50000  validation 0.25000 (n=38)"),
        ({"my_loss": 0.5, "val_top": 0.75}, None, "val_top 0.75000"),  # of a model with a train_step of its own
    ],
)
def test_an_epoch_is_one_calm_line(logs, images, parts):
    lines = []
    line = EpochLine(Training(epochs=99, monitor="val_top"), lines.append, validation_images=images)
    line.set_params({"epochs": 2})
    for epoch in (0, 1):
        line.on_epoch_begin(epoch)
        line.started -= 100
        line.on_epoch_end(epoch, logs)
    assert lines == [f"  epoch  1/2  {parts}  100.0 s  about 2 min left", f"  epoch  2/2  {parts}  100.0 s"]


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "1 s"), (89, "89 s"), (90, "2 min"), (1000, "17 min"), (5400, "1 h 30 min")]
)
def test_a_duration_is_said_in_words(seconds, words):
    assert duration(seconds) == words


@pytest.mark.slow
@pytest.mark.parametrize("monitor", ["val_loss", "val_auc"])
def test_a_resumed_training_ends_as_if_it_had_not_ended(tmp_path, monitor):
    watched = replace(PATIENT, monitor=monitor, early_stop_reductions=9)

    def model():
        return model_of(metrics=["accuracy", keras.metrics.AUC(name="auc")])

    whole, first, resumed = model(), callbacks(watched, tmp_path / "whole"), model()
    fit(whole, first)
    fit(model(), callbacks(watched, tmp_path / "parts", resume=True), last=2)  # nothing is there to be resumed
    second = callbacks(watched, tmp_path / "parts", resume=True)
    assert fit(resumed, second).epoch == [2, 3]
    assert_equal(resumed.get_weights(), whole.get_weights())
    assert_equal(resumed.optimizer.variables, whole.optimizer.variables)
    for mine, theirs in zip(second[1:4], first[1:4], strict=True):
        assert (mine.wait, mine.best) == (theirs.wait, theirs.best)
    assert second[1].best_epoch == first[1].best_epoch and second[3].reduced == first[3].reduced
    rows = [history_of(tmp_path / name).drop(columns="seconds") for name in ("parts", "whole")]
    pd.testing.assert_frame_equal(*rows, check_exact=True)
    assert fit(resumed, None, last=2).epoch == [0, 1]  # a later fit begins where it says


EVERY = Training(
    optimizer="adamw", weight_decay=0.01, clip_norm=0.5, ema=0.6, focal_gamma=2.0, schedule="cosine", warmup_epochs=1,
    learning_rate=0.05, early_stop_patience=9, batch_size=4,
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    "training",
    [
        EVERY,
        replace(EVERY, early_stop_patience=1, learning_rate=1e-9),  # it stops early
        replace(PATIENT, ema=0.6, mixed_precision=True),
    ],
    ids=["all", "stopped", "plateau"],
)
def test_a_resumed_training_ends_the_same_with_every_setting(tmp_path, training):
    def model():
        made = model_of()
        compile_model(made, training)
        if training.mixed_precision:  # as `compile` does under a policy of float16
            made.optimizer = keras.optimizers.LossScaleOptimizer(made.optimizer, initial_scale=4.0)
        return made

    class Kill(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == self.epoch:
                raise KeyboardInterrupt

    whole, resumed = model(), model()
    epochs = fit(whole, callbacks(training, tmp_path / "whole"), last=6).epoch
    for epoch in (1, len(epochs) - 1):
        kill = Kill()
        kill.epoch = epoch
        with pytest.raises(KeyboardInterrupt):
            fit(model(), [*callbacks(training, tmp_path / "parts", resume=True), kill], last=6)
    fit(resumed, callbacks(training, tmp_path / "parts", resume=True), last=6)
    assert_equal(resumed.get_weights(), whole.get_weights())
    assert_equal(resumed.optimizer.variables, whole.optimizer.variables)
    rows = [history_of(tmp_path / name).drop(columns="seconds") for name in ("parts", "whole")]
    pd.testing.assert_frame_equal(*rows, check_exact=True)


def test_a_cosine_does_not_go_on_to_another_end(tmp_path):
    model = model_of()
    compile_model(model, EVERY)
    fit(model, callbacks(EVERY, tmp_path), last=2)
    compile_model(model, EVERY)
    with pytest.raises(ValueError, match="of another training: fit.epochs was 2 and is 3"):
        fit(model, callbacks(EVERY, tmp_path, resume=True), last=3)


def test_a_training_begins_anew_unless_it_is_resumed(tmp_path):
    fit(model_of(), callbacks(PATIENT, tmp_path), last=3)
    again = model_of(rate=1e-4)
    before = again.get_weights()
    noted = keras.callbacks.LambdaCallback(on_train_begin=lambda logs: assert_equal(again.get_weights(), before))
    assert fit(again, [*callbacks(PATIENT, tmp_path), noted], last=2).epoch == [0, 1]
    assert history_of(tmp_path)["learning_rate"].tolist() == pytest.approx([1e-4] * 2)
    assert read_checkpoint(tmp_path / "checkpoint.npz")[0].epochs_done == 2


def test_a_training_that_fails_in_its_first_epoch_takes_nothing_from_what_lies_there(tmp_path):
    fit(model_of(), callbacks(PATIENT, tmp_path), last=2)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    fails = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        fit(model_of(), [*callbacks(PATIENT, tmp_path), fails])
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_model_that_was_trained_on_in_the_same_process_goes_on_at_its_reduced_rate(tmp_path):
    slow = replace(PATIENT, early_stop_patience=9, monitor="val_accuracy")
    parts, whole = model_of(), model_of()
    fit(whole, callbacks(slow), last=6)
    fit(parts, callbacks(slow, tmp_path), last=3)
    assert float(parts.optimizer.learning_rate) < 0.05
    assert fit(parts, callbacks(slow, tmp_path, resume=True), last=6).epoch == [3, 4, 5]
    assert_equal(parts.get_weights(), whole.get_weights())


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of Keras, in pytest.warns
@pytest.mark.parametrize(
    ("rate", "patience", "last", "why"),
    [(0.05, 3, 4, "4, and fit asks for 4"), (1e-9, 1, 9, "2, and it stopped early")],
)
def test_where_no_epoch_is_left_the_best_weights_come_back_and_it_is_said(tmp_path, rate, patience, last, why):
    training, trained, lines = replace(PATIENT, early_stop_patience=patience), model_of(rate=rate), []
    fit(trained, callbacks(training, tmp_path), last=last)
    again = model_of(rate=rate)
    with pytest.warns(UserWarning, match=f"no epoch is left to train: .* has {why}"):
        assert fit(again, callbacks(training, tmp_path, resume=True), last=last).epoch == []
    assert_equal(again.get_weights(), trained.get_weights())
    assert fit(again, callbacks(training, tmp_path, resume=True, log=lines.append), last=last).epoch == []
    assert why in lines[0] and len(lines) == 1


@pytest.mark.parametrize(
    ("changed", "difference"),
    [
        ({"units": 4}, "model.layers_sha256 was '.*' and is '.*'"),
        ({"dropout": 0.4}, "model.layers_sha256 was"),
        ({"rate": 0.01}, "optimizer.learning_rate was 0.05 and is 0.01."),
        ({"optimizer": keras.optimizers.SGD}, "optimizer.learning_rate|optimizer.name was 'Adam' and is 'SGD'"),
        ({"training": replace(PATIENT, batch_size=8)}, "training.batch_size was 32 and is 8."),
    ],
)
def test_only_its_own_training_goes_on_from_a_checkpoint(tmp_path, changed, difference):
    training = changed.pop("training", PATIENT)
    fit(model_of(), callbacks(PATIENT, tmp_path), last=2)
    with pytest.raises(ValueError, match=rf"checkpoint.npz is of another training: .*{difference}"):
        fit(model_of(**changed), callbacks(training, tmp_path, resume=True))


def test_a_model_without_weights_cannot_go_on(tmp_path):
    def unbuilt():
        model = keras.Sequential([keras.layers.Dense(2, activation="softmax")])
        model.compile("adam", "categorical_crossentropy")
        return model

    fit(unbuilt(), callbacks(PATIENT, tmp_path), last=1)
    with pytest.raises(ValueError, match="without weights.*keras.Input"):
        fit(unbuilt(), callbacks(PATIENT, tmp_path, resume=True))


def nested(activation="relu", frozen=False):
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation=activation)])
    inputs = keras.Input((4,))
    hidden = keras.layers.Lambda(lambda x: x * 2)(keras.layers.GaussianNoise(0.1)(inputs))
    return keras.Model(inputs, keras.layers.Dense(2, trainable=not frozen)(inner(hidden, training=False)))


def test_a_structure_is_the_same_whatever_layers_are_called():
    assert structure(nested()) == structure(nested())
    assert len({structure(nested()), structure(nested("tanh")), structure(nested(frozen=True))}) == 3


def test_in_another_stage_only_the_weights_and_the_history_are_taken_back(tmp_path):
    trained, fresh = model_of(), model_of()
    fit(trained, callbacks(PATIENT, tmp_path, stage="head"), last=2)
    wanted = callbacks(PATIENT, tmp_path, resume=True)
    fit(fresh, wanted, first=2, last=2)
    assert_equal(fresh.get_weights(), trained.get_weights())
    assert int(fresh.optimizer.iterations) == 0 and getattr(wanted[1], "best", None) is None
    fit(fresh, wanted, first=2, last=3)
    assert history_of(tmp_path)["epoch"].tolist() == [1, 2, 3]


def test_a_broken_checkpoint_is_refused(tmp_path):
    path, other = tmp_path / "checkpoint.npz", tmp_path / "other.npz"
    fit(model_of(), callbacks(PATIENT, tmp_path), last=1)
    whole = path.read_bytes()
    np.savez(other, x=1)
    for data in (b"", b"no zip", whole[: len(whole) // 2], other.read_bytes()):
        path.write_bytes(data)
        with pytest.raises(ValueError, match="no checkpoint of marinecv.*Delete it"):
            fit(model_of(), callbacks(PATIENT, tmp_path, resume=True), last=1)


COSINE = Training(schedule="cosine")


def endless():
    while True:
        yield X[:4], Y[:4]


@pytest.mark.parametrize(
    ("refused", "reason"),
    [
        (lambda: callbacks(PATIENT, resume=True), "Received: folder=None"),
        (lambda: callbacks(model_of()), "Expected training of type Training. Received: <Functional"),
        (lambda: fit(model_of(), callbacks(PATIENT), validation_data=None), "give fit validation_data"),
        (lambda: fit(model_of(), callbacks(Training(monitor="val_acuracy"))), 'Did you mean "val_accuracy"'),
        (
            lambda: fit(model_of(), callbacks(Training(ema=0.9))),
            r"needs TensorFlow and the optimizer of compile_model\(model, training\)",
        ),
        (lambda: model_of().fit(endless(), shuffle=False, callbacks=callbacks(COSINE)), "Give fit steps_per_epoch"),
    ],
)
def test_other_arguments_and_a_monitor_that_is_not_in_the_logs_are_refused(refused, reason):
    with pytest.raises(ValueError, match=reason):
        refused()


def test_a_folder_is_made_by_the_process_that_writes(tmp_path):
    callbacks(PATIENT, tmp_path / "new" / "one")
    callbacks(PATIENT, tmp_path / "theirs", writes=False)
    assert (tmp_path / "new" / "one").is_dir() and not (tmp_path / "theirs").exists()


def test_a_run_is_not_overwritten(tmp_path):
    for name in ("recipe.json", "checkpoint.npz"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(ValueError, match="a run that fit_recipe resumes"):
        callbacks(PATIENT, tmp_path)
    callbacks(PATIENT, tmp_path, resume=True)
    (tmp_path / "metrics.json").write_text("{}")
    with pytest.raises(ValueError, match="a finished run"):
        callbacks(PATIENT, tmp_path, resume=True)


def test_each_trial_of_keras_tuner_begins_with_its_own_weights_and_rate(tmp_path):
    models, begun = [], []

    def build(hp):
        models.append(model_of(rate=hp.Choice("rate", [0.5, 0.25])))
        return models[-1]

    def note(logs):
        begun.append((int(models[-1].optimizer.iterations), float(models[-1].optimizer.learning_rate)))

    tuner = keras_tuner.RandomSearch(build, objective="val_accuracy", max_trials=2, directory=tmp_path / "tuner")
    own = [*callbacks(PATIENT, tmp_path / "own"), keras.callbacks.LambdaCallback(on_train_begin=note)]
    tuner.search(X, Y, validation_data=(X, Y), epochs=2, verbose=0, callbacks=own)
    assert sorted(begun) == [(0, 0.25), (0, 0.5)]
    assert history_of(tmp_path / "own")["epoch"].tolist() == [1, 2]
