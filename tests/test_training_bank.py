"""Training on a bank: the same as ordinary training, over kills too, and computed once for all who share a front."""

from dataclasses import replace

import numpy as np
import pytest
from test_training_fit import MOVES, POND, assert_same, catalog, killed, make_run, pond, told, train  # noqa: F401

from marinecv.data.store import store_path
from marinecv.inputs.spec import Augmentation
from marinecv.training import fit as room

FROZEN = POND.with_training(epochs=6, augmentation=None, balanced=False)
KINDS = {"still": (None, 1), "mirrored": (Augmentation(flip=0.5), 1), "drawn": (MOVES, 6)}


def banks():
    folder = store_path("features")
    return sorted(place.name for place in folder.iterdir()) if folder.is_dir() else []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("head_epochs", [0, 2])
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


def test_views_come_round_again():
    from marinecv.features.views import Views

    views = Views(MOVES, drawn=3)
    draws = np.zeros((2, 7), np.float32)
    assert [views.shown(np.int64(epoch), draws).numpy().tolist() for epoch in (0, 2, 3, 7)] == [
        [0, 0], [2, 2], [0, 0], [1, 1],
    ]  # fmt: skip


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
