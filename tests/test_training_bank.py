"""Training on a bank: the same as ordinary training, over kills too, and computed once for all who share a front."""

from dataclasses import replace

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from test_training_fit import MOVES, POND, assert_same, catalog, killed, make_run, pond, told, train  # noqa: F401

from marinecv.data.store import store_path
from marinecv.evaluation.predict import predict_codes, predict_table
from marinecv.inputs.spec import Augmentation, ImageSpec
from marinecv.models.backbones import BACKBONES, set_batch_norm_statistics
from marinecv.training import fit as room
from marinecv.training.build import build_model, compile_model
from marinecv.training.fit import load_run
from marinecv.training.model_choice import BackboneModel
from marinecv.training.recipe import DataChoice, Recipe, Training

FROZEN = POND.with_training(epochs=6, augmentation=None, balanced=False)
KINDS = {"still": (None, 1), "mirrored": (Augmentation(flip=0.5), 1), "drawn": (MOVES, 6)}


def banks():
    folder = store_path("features")
    return sorted(place.name for place in folder.iterdir()) if folder.is_dir() else []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("head_epochs", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_to_train_on_a_bank_is_to_train_as_usual(kind, head_epochs, make_run):  # noqa: F811
    augmentation, views = KINDS[kind]
    recipe = FROZEN.with_training(augmentation=augmentation, head_epochs=head_epochs)
    usual, banked = make_run("usual", recipe), make_run("banked", recipe.with_training(bank=views))
    train(usual, recipe)
    assert not banks()
    train(banked, recipe.with_training(bank=views))
    assert len(banks()) == (4 if head_epochs else 2)  # train and validation, and for the head a later frontier
    for mine, theirs in zip(banked.load_model().get_weights(), usual.load_model().get_weights(), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=2e-3 if kind == "drawn" else 1e-5)
    ours, theirs = told(banked), told(usual)
    np.testing.assert_allclose(ours["loss"], theirs["loss"], rtol=1e-3 if kind == "drawn" else 1e-5)
    assert ours["learning_rate"].tolist() == theirs["learning_rate"].tolist()


def test_a_score_from_the_bank_is_that_of_the_whole_model(make_run):  # noqa: F811
    recipe = FROZEN.with_training(bank=1, epochs=1, head_epochs=0)
    run = make_run("run", recipe)
    model, pixels = train(run, recipe), load_run(run, recipe)
    before = banks()
    whole, kept = (
        predict_table(model, run.catalog, recipe.image, run.class_names, pixels=pixels, bank=bank)
        for bank in (False, True)
    )
    pd.testing.assert_frame_equal(kept, whole, atol=1e-6)
    new = whole["split"].nunique() - 2  # train and validation are found
    assert len(banks()) == len(before) + new and set(before) <= set(banks())


@pytest.mark.parametrize("changes", [{}, {"trainable_layers": 0, "hidden": (), "dropout": 0.0}], ids=["some", "none"])
def test_codes_from_the_bank_are_those_of_the_whole_model_and_leave_nothing_new(changes, make_run):  # noqa: F811
    recipe = FROZEN.with_training(bank=1, epochs=1, head_epochs=0).with_model(**changes)
    run = make_run("run", recipe)
    model, pixels = train(run, recipe), load_run(run, recipe)
    known = (run.catalog["split"] != "test").to_numpy()
    before = banks()
    whole, kept = (
        predict_codes(model, run.catalog[known], recipe.image, pixels[known], bank=bank) for bank in (False, True)
    )
    np.testing.assert_allclose(kept, whole, atol=1e-6)
    assert banks() == before
    at_once = predict_codes(model, run.catalog[known], recipe.image, pixels[known], bank=True, together=True)
    np.testing.assert_allclose(at_once, whole, atol=1e-6)


def test_views_come_round_again():
    from marinecv.features.bank import Views

    views = Views(MOVES, drawn=3)
    copies, draws = np.zeros(2, np.int64), np.zeros((2, 7), np.float32)
    assert [views.shown(np.int64(epoch), copies, draws).numpy().tolist() for epoch in (0, 2, 3, 7)] == [
        [0, 0], [2, 2], [0, 0], [1, 1],
    ]  # fmt: skip


@pytest.mark.slow
def test_a_killed_training_on_a_bank_ends_as_if_it_had_not_been(make_run, monkeypatch):  # noqa: F811
    recipe = POND.with_training(bank=4)
    whole, run = make_run("whole", recipe), make_run("killed", recipe)
    train(whole, recipe)
    assert len(whole.history) > 3  # past the epochs of the head
    for instant in ({"in_epoch": 1}, {"at_line": 2}, {"in_epoch": 3}, {"in_saving": True}):
        killed(monkeypatch, run, recipe, **instant)
    train(run, recipe)
    assert_same(run, whole)


def test_rows_with_the_same_front_share_their_banks(make_run, monkeypatch):  # noqa: F811
    one = FROZEN.with_training(bank=1, epochs=1)
    train(make_run("one", one), one)
    before = banks()
    other = one.with_training(learning_rate=1e-4, lr_patience=4, early_stop_patience=2, optimizer="sgd")
    monkeypatch.setattr("marinecv.features.bank._build", lambda *args: pytest.fail("built again"))
    train(make_run("other", other), other)
    assert banks() == before


@pytest.mark.slow
def test_another_front_has_a_bank_of_its_own(make_run):  # noqa: F811
    one = FROZEN.with_training(bank=1, epochs=1, head_epochs=0)
    train(make_run("one", one), one)
    for number, other in enumerate(
        (
            one.with_training(seed=5),  # other random weights
            one.with_model(trainable_layers=2),
            replace(one, image=replace(one.image, antialias=True)),
        )
    ):
        before = len(banks())
        train(make_run(f"other{number}", other), other)
        assert len(banks()) == before + 2


def test_the_frozen_front_is_not_run_while_it_learns(make_run, monkeypatch):  # noqa: F811
    learns = []
    whole = room.learner
    monkeypatch.setattr(room, "learner", lambda *args, **options: learns.append(whole(*args, **options)) or learns[-1])
    recipe = FROZEN.with_training(bank=1, epochs=1, head_epochs=0)
    model = train(make_run("run", recipe), recipe)
    [(rest, batches, _)] = learns
    assert len(rest.layers) < len(model.layers) and "block0_conv" not in {layer.name for layer in rest.layers}
    shapes = {tuple(array.shape[1:]) for array, _ in batches}
    assert shapes == {tuple(rest.inputs[0].shape[1:])} != {(16, 16, 3)}


@pytest.mark.parametrize("trainable_layers", [0, 3, None])
def test_as_usual_it_is_the_model_that_learns_whatever_is_folded(trainable_layers, make_run, monkeypatch):  # noqa: F811
    learns, whole = [], room.learner
    monkeypatch.setattr(room, "learner", lambda *args, **options: learns.append(whole(*args, **options)) or learns[-1])
    recipe = FROZEN.with_training(epochs=1, head_epochs=0).with_model(trainable_layers=trainable_layers)
    model = train(make_run("run", recipe), recipe)
    [(learner, batches, _)] = learns
    assert [id(weights) for weights in learner.trainable_variables] == [id(w) for w in model.trainable_variables]
    for array, _ in batches:
        np.testing.assert_allclose(learner(array, training=False), model(array, training=False), atol=1e-6)


def test_the_rest_is_not_traced_again_in_later_epochs(make_run, monkeypatch):  # noqa: F811
    traces, whole = {}, room.learner

    def watched(model, recipe, *args, **options):
        rest, *datasets = whole(model, recipe, *args, **options)
        compute_loss = rest.compute_loss

        def counted(*args, **options):  # Python runs it when it is traced, and not when a step is made
            traces[recipe.training.epochs] = traces.get(recipe.training.epochs, 0) + 1
            return compute_loss(*args, **options)

        rest.compute_loss = counted
        return rest, *datasets

    monkeypatch.setattr(room, "learner", watched)
    for epochs in (1, 6):  # six images, in batches of four and two
        recipe = POND.with_training(bank=2, epochs=epochs, head_epochs=0, early_stop_patience=9)
        train(make_run(f"run{epochs}", recipe), recipe)
    assert traces[1] == traces[6] <= 3


def three_epochs(how, backbone, folder):
    """All weights of a network after three epochs without dropout, and before them."""
    paths = [folder / f"{number}.jpg" for number in range(12)]
    pixels = np.random.default_rng(0).integers(0, 256, (12, 80, 80, 3)).astype(np.uint8)
    for number, path in enumerate(paths):
        path.touch()
        pixels[number, :, :, number % 3] //= 3
    rows = pd.DataFrame(
        {
            "image_id": [path.name for path in paths],
            "path": list(map(str, paths)),
            "class_name": ["crab", "eel", "ray"] * 4,
        }
    )
    rows["problem"] = ""
    shared = dict(name="r", title="", data=DataChoice(name="tank"), image=ImageSpec(height=80, width=80))
    network = BackboneModel(backbone=backbone, weights="none", trainable_layers=20, dropout=0.0)
    training = Training(optimizer="sgd", batch_size=5, bank=1 if how == "banked" else 0)
    recipe = Recipe(**shared, model=network, training=training)
    keras.utils.set_random_seed(1)
    model = build_model(recipe, 3)
    set_batch_norm_statistics(model, [pixels.astype(np.float32)])
    first = model.get_weights()
    parts = {"train": (rows, pixels), "validation": (rows[:3], pixels[:3])}
    learns, batches, _ = room.learner(model, recipe, ("crab", "eel", "ray"), parts, say=lambda line: None)
    learns = model if how == "plain" else learns
    compile_model(learns, training)
    learns.fit(batches, epochs=3, verbose=0)
    last = model.get_weights()
    assert max(np.abs(a - b).max() for a, b in zip(first, last, strict=True)) > 1e-4  # something was learnt
    return last


@pytest.mark.slow
@pytest.mark.parametrize("backbone", [name for name in BACKBONES if name != "pond"])
def test_every_backbone_learns_the_same_on_a_bank(backbone, tmp_path):
    ordinary, banked = (three_epochs(how, backbone, tmp_path) for how in ("ordinary", "banked"))
    for mine, theirs in zip(banked, ordinary, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("backbone", [name for name in BACKBONES if name != "pond"])
def test_every_backbone_learns_the_same_folded(backbone, tmp_path, double_precision):
    plain, ordinary = (three_epochs(how, backbone, tmp_path) for how in ("plain", "ordinary"))
    for mine, theirs in zip(ordinary, plain, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-6, atol=1e-8)


def test_half_precision_trains_on_a_bank(make_run):  # noqa: F811
    recipe = FROZEN.with_training(bank=1, epochs=2, head_epochs=0, mixed_precision=True)
    run = make_run("run", recipe)
    train(run, recipe)
    half = "mixed_float16" if tf.config.list_physical_devices("GPU") else "mixed_bfloat16"
    assert np.isfinite(told(run)["loss"]).all() and run.load_model().layers[1].dtype_policy.name == half
