"""What is chosen for images of one's own: by train alone, within the time, kept in the recipe, and as scored."""

import importlib
from dataclasses import replace
from types import SimpleNamespace

import keras
import numpy as np
import pandas as pd
import pytest
from PIL import Image

import marinecv as mcv
from marinecv.evaluation.folds import fold_metrics
from marinecv.evaluation.predictions import read_predictions
from marinecv.features import cache
from marinecv.features.cache import AugmentedViews, fill_cache, open_shared_cache
from marinecv.inputs.spec import NONE, Augmentation
from marinecv.models.backbones import backbone_features
from marinecv.recipes.own_data import FOUR_CONV, PROBE, until_it_stops_improving
from marinecv.report.run_page import write_run_report
from marinecv.training import fit
from marinecv.training.choice_table import read_choices
from marinecv.training.fit import mean_and_error
from marinecv.training.linear_head import PENALTIES
from marinecv.training.recipe import Recipe
from marinecv.workflows import choose, prepare
from marinecv.workflows.choose import MIN_IMAGES_TO_COMPARE, SIZES, draw_plan
from marinecv.workflows.train import MINUTES, candidates_of, with_default

SIDE = {"size": 32, "log": None}


@pytest.fixture(scope="module")
def network(tmp_path_factory) -> str:
    """A Keras file of a small network with random weights, which stands for a pretrained one."""
    keras.utils.set_random_seed(0)
    pixels = keras.Input((None, None, 3))
    x = keras.layers.Rescaling(1 / 127.5, -1)(pixels)
    x = keras.layers.Conv2D(16, 5, strides=2, activation="relu")(x)
    x = keras.layers.Conv2D(24, 3, strides=2, activation="relu", name="last")(x)
    path = tmp_path_factory.mktemp("networks") / "small.keras"
    keras.Model(pixels, x).save(path)
    return str(path)


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> pd.DataFrame:
    """Noisy images of three colors, in no order, with as many for validation as a comparison needs."""
    folder, rng, rows = tmp_path_factory.mktemp("images"), np.random.default_rng(0), []
    for number in rng.permutation(3 * MIN_IMAGES_TO_COMPARE + 9):
        name = ["crab", "eel", "ray"][number % 3]
        pixels = rng.integers(0, 120, (48, 64, 3)) + 90 * np.eye(3, dtype=int)[number % 3]
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
        rows.append({"path": str(folder / f"{number}.png"), "class_name": name})
    catalog = mcv.catalog_of([row["path"] for row in rows], [row["class_name"] for row in rows])
    return catalog.assign(split=np.resize(["train", "validation", "test"], len(rows)))


@pytest.fixture
def catalog(images) -> pd.DataFrame:
    """A table of its own for each test."""
    return images.copy()


def predictions(run: mcv.Run) -> pd.DataFrame:
    return read_predictions(run.path("predictions.csv"), run.class_names).sort_values("image_id", ignore_index=True)


def test_a_probe_is_chosen_and_the_run_keeps_what_was_compared(catalog, network, tmp_path, no_pages):
    lines = []
    run = mcv.train(catalog, backbone=network, folder=tmp_path / "run", size=32, epochs=1, log=lines.append)
    recipe, table = Recipe.of(run), read_choices(run)
    assert recipe.is_linear_probe and not recipe.training.keep_if_better and recipe.model.trainable_layers == 0
    assert recipe.training.head_l2 in PENALTIES and recipe.image.letterbox_px is None
    [chosen] = table[table["chosen"] == "True"].to_dict("records")
    assert chosen["log_loss"] == table["log_loss"].min() and float(chosen["head_l2"]) == recipe.training.head_l2
    assert chosen["pooling"] == recipe.model.pooling and chosen["n"] == (catalog["split"] == "train").sum()
    assert (recipe.training.augmentation == NONE) == (chosen["mirrored"] == "False") and len(table) == 3
    assert sum("by cross-validation" in line for line in lines) == 1 and len(run.history) == 1

    seen = mcv.predict_table(run.model, run.catalog, run.spec, run.class_names)  # from pixels, by the saved model
    numbers = [f"p_{name}" for name in run.class_names]
    seen = seen.sort_values("image_id", ignore_index=True)
    np.testing.assert_allclose(predictions(run)[numbers], seen[numbers], atol=1e-4)
    assert run.metrics["test"]["accuracy"]["value"] > 0.9  # colors tell these classes
    page = write_run_report(run).read_text(encoding="utf-8")
    assert "Choice of the recipe" in page and "Fine-tuning is kept" not in page and 'id="training"' not in page

    again = mcv.train(catalog, run.folder, folder=tmp_path / "again", log=None)
    pd.testing.assert_frame_equal(predictions(again), predictions(run))
    assert read_choices(again).empty


def test_images_that_do_not_decode_are_an_error_with_its_reason(catalog, network, tmp_path):
    catalog["path"] = [str(tmp_path / "gone.png")] * len(catalog)
    with pytest.raises(ValueError, match="no usable image.* images have a problem, the first: No such file"):
        mcv.train(catalog, backbone=network, folder=tmp_path / "run", **SIDE)


@pytest.mark.slow
@pytest.mark.usefixtures("no_pages")
@pytest.mark.parametrize(("gain", "error"), [(1.0, 0.5), (-1.0, np.inf)])
def test_fine_tuning_is_kept_where_held_out_images_say_so(gain, error, catalog, network, tmp_path, monkeypatch):
    monkeypatch.setattr(fit, "mean_and_error", lambda *args: (gain, error))
    settings = {"backbone": network, "epochs": 3, "trainable_layers": 1, "learning_rate": 1e-2, **SIDE}
    lines: list[str] = []
    run = mcv.train(catalog, folder=tmp_path / "run", **settings | {"log": lines.append})
    reason = "one group of images: no standard error" if error == np.inf else "standard error 0.500"
    assert sum(f"({reason})" in line for line in lines) == 1
    recipe, table = Recipe.of(run), read_choices(run)
    assert recipe.training.epochs == len(run.history) == (3 if gain > 0 else 1) and not recipe.training.keep_if_better
    steps = table[table["judged_on"] == "validation"].set_index("step")["chosen"].to_dict()
    assert steps == {"linear probe": str(gain < 0), "fine-tuned": str(gain > 0)}
    before = keras.saving.load_model(network).get_layer("last").get_weights()[0]
    assert np.array_equal(before, run.model.get_layer("last").get_weights()[0]) == (gain < 0)
    assert not run.path("checkpoint.npz").exists()
    again = mcv.train(catalog, run.folder, folder=tmp_path / "again", log=None)
    pd.testing.assert_frame_equal(predictions(again), predictions(run))


@pytest.mark.slow
def test_a_killed_fine_tuning_goes_on_to_the_same_predictions(catalog, network, tmp_path, no_pages):
    class Killed(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            raise KeyboardInterrupt

    settings = {"backbone": network, "epochs": 3, "trainable_layers": 1, **SIDE}
    whole = mcv.train(catalog, folder=tmp_path / "whole", **settings)
    with pytest.raises(KeyboardInterrupt):
        mcv.train(catalog, folder=tmp_path / "killed", callbacks=[Killed()], **settings)
    assert len(mcv.Run(tmp_path / "killed").history) == 2
    resumed = mcv.resume(tmp_path / "killed", log=None)
    pd.testing.assert_frame_equal(predictions(resumed), predictions(whole))
    assert Recipe.of(resumed) == Recipe.of(whole)


def test_each_fold_is_chosen_by_its_own_train_images(catalog, network, tmp_path, no_pages):
    rows = catalog[: 3 * 20].assign(split="train")
    experiment = mcv.grid(rows, backbone=network, folds=2, folder=tmp_path / "folds", epochs=1, **SIDE)
    assert len(fold_metrics(experiment.runs.values())) == 1  # one recipe, whatever each fold chose
    for name, run in experiment.runs.items():
        assert (read_choices(run)["n"] == (run.catalog["split"] == "train").sum()).all(), name


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model.weights": "none"}, "Of several backbones"),
        ({"training.head_l2": 0}, "Of several backbones"),
        (None, "Of several backbones"),
    ],
)
def test_several_backbones_need_a_choice(changes, message, catalog, tmp_path):
    recipe = None if changes else "animals_mobilenet"
    with pytest.raises(ValueError, match=message):
        mcv.train(catalog, recipe, backbone=["vgg16", "vgg19"], folder=tmp_path / "run", changes=changes, log=None)


def test_nothing_is_tuned_where_no_layer_is_to_learn(catalog, network, tmp_path, no_pages):
    run = mcv.train(catalog, backbone=network, folder=tmp_path / "run", trainable_layers=0, limit=12, **SIDE)
    recipe = Recipe.of(run)
    assert recipe.is_linear_probe and recipe.data.limit == 12 and recipe.shortened == "at most 12 images a split"
    assert set(read_choices(run)["judged_on"]) == {"train"}


def test_a_chosen_recipe_without_its_weights_is_not_trained_from_random_ones(catalog, network, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(prepare, "weights_host_answers", lambda: False)
    recipe = replace(PROBE, name="mobilenet_0.75_224px", data=replace(PROBE.data, name="catalog"))
    with pytest.raises(ValueError, match="ImageNet weights of mobilenet are not at hand"):
        mcv.train(catalog, recipe, folder=tmp_path / "run", log=None)


def test_a_named_setting_is_not_chosen(catalog, network, tmp_path, no_pages):
    named = {"pooling": "max", "head_l2": 0.5, "training.augmentation": "none"}
    run = mcv.train(catalog, backbone=network, folder=tmp_path / "run", epochs=1, changes=named, **SIDE)
    [row] = read_choices(run).to_dict("records")
    assert (row["pooling"], row["head_l2"], row["image_size"], row["mirrored"]) == ("max", "0.5", "32", "False")


def plan(monkeypatch, *, images=1000, minutes=1.0, frozen=0.01, trained=0.001, models=2, epochs=11, sizes=SIZES):
    times = {model: (frozen * (number + 1), trained) for number, model in enumerate(f"model{n}" for n in range(models))}
    monkeypatch.setattr(choose, "measure", lambda model, *args: (*times[model], 100))
    monkeypatch.setattr(choose, "time_decoding", lambda *args: 0.002)
    split = np.resize(["train"] * 7 + ["validation"] * 2 + ["test"], images)
    rows = pd.DataFrame({"path": "", "split": split})
    return draw_plan([*times], sizes, rows, PROBE.with_training(epochs=epochs), 5, 60 * minutes)


def test_what_does_not_fit_into_the_time_is_left_out(monkeypatch):
    """A thousand images, 2 ms to decode; a network takes 11 ms, the next 21 ms, larger inputs twice as long."""
    longest = plan(monkeypatch, minutes=10)
    assert longest.models == ["model0", "model1"] and longest.mirrored
    assert longest.limit is None and longest.epochs == {224: 10, 320: 10} and longest.validation == 200
    assert plan(monkeypatch, minutes=60).epochs == dict.fromkeys(SIZES, 10)
    short = plan(monkeypatch, minutes=1)
    assert short.models == ["model0"] and [*short.epochs] == [SIZES[0]] and short.mirrored and short.limit is None
    shorter = plan(monkeypatch, minutes=0.5)
    assert shorter.models == ["model0"] and not shorter.mirrored and shorter.limit is None
    shortest = plan(monkeypatch, minutes=0.1)
    assert shortest.models == ["model0"] and 70 <= shortest.limit <= 80 and shortest.epochs == {SIZES[0]: 0}
    assert plan(monkeypatch, minutes=10, models=5, frozen=1e-4).models == ["model0", "model1", "model2"]
    assert plan(monkeypatch, minutes=10, epochs=1).epochs[SIZES[0]] == 0
    assert longest.judged == 5000 and shortest.judged == 1200  # times 5 classes: 1000 for each of 6 seconds


def test_too_many_images_are_a_sample_that_the_recipe_names(catalog, network, tmp_path, monkeypatch, no_pages):
    monkeypatch.setattr(choose, "time_decoding", lambda *args: 1.0)
    lines = []
    run = mcv.train(catalog, backbone=network, minutes=1, folder=tmp_path / "run", size=32, log=lines.append)
    limit = Recipe.of(run).data.limit
    assert any(f"do not fit into 1 minutes: at most {limit} a split are used" in line for line in lines)
    assert 5 < limit <= 10 and run.catalog["split"].value_counts().max() == limit


def test_of_very_many_images_without_a_split_a_sample_is_read_and_its_run_can_be_made_again(
    catalog, network, tmp_path, monkeypatch, no_pages
):
    monkeypatch.setattr(prepare, "IMAGES_A_MINUTE", 60)
    lines, unsplit = [], catalog.assign(split="")
    run = mcv.train(unsplit, backbone=network, minutes=1, folder=tmp_path / "run", size=32, log=lines.append)
    assert f"{len(catalog)} images: a random sample of 60 is used; more minutes= use more" in lines
    assert len(run.catalog) == 60 and run.catalog["class_name"].value_counts().tolist() == [20] * 3
    again = mcv.train(unsplit, recipe=run.folder, folder=tmp_path / "again", log=None)
    pd.testing.assert_frame_equal(predictions(again), predictions(run))


def test_the_standard_error_counts_groups():
    values = np.array([1.0, 1.0, 3.0, 3.0])
    assert mean_and_error(values, pd.Series([*"abcd"])) == pytest.approx((2, np.sqrt(4 / 3) / 2))
    assert mean_and_error(values, pd.Series([*"aabb"])) == pytest.approx((2, np.sqrt(2 * 8) / 4))
    assert mean_and_error(values, pd.Series([*"aaaa"])) == (2, np.inf)


def test_without_weights_or_a_network_the_error_says_what_to_do(catalog, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(prepare, "weights_host_answers", lambda: False)
    with pytest.raises(ValueError, match=r"No pretrained weights are here .*efficientnetv2.*marinecv pretrain"):
        mcv.train(catalog, log=None)
    monkeypatch.setattr(prepare, "weights_host_answers", lambda: True)
    assert [model.backbone for model in prepare.networks_to_compare(PROBE, {}, ())] == ["efficientnetv2b0"]
    for name, alpha in (("mobilenet", 0.25), ("mobilenet", 0.75), ("mobilenetv2", 1.0)):
        file = prepare.weights_file(name, alpha)
        file.parent.mkdir(exist_ok=True)
        file.touch()
    found = [(model.backbone, model.alpha) for model in prepare.networks_to_compare(PROBE, {}, ())]
    assert found == [("mobilenetv2", 1.0), ("mobilenet", 0.75), ("mobilenet", 0.25)]
    [named] = prepare.networks_to_compare(PROBE, {}, ["mobilenet"])
    assert named.alpha == 0.75
    [named] = prepare.networks_to_compare(PROBE, {"model.alpha": 0.25}, ["mobilenet"])
    assert named.alpha == 0.25


def test_a_setting_that_cannot_act_in_what_was_chosen_is_named(catalog, network, tmp_path, no_pages):
    lines, changes = [], {"training.augmentation.rotation_deg": 20.0, "training.head_l2": 1e-4}
    options = {"trainable_layers": 0, "size": 32, "log": lines.append}
    mcv.train(catalog, backbone=network, folder=tmp_path / "run", changes=changes, **options)
    assert "note: what was chosen makes no use of training.augmentation.rotation_deg" in lines


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model.hidden": (8,)}, "head_l2=.* solves a head of one layer"),
        ({"backbone": "no_such_network"}, "no_such_network"),
        ({"image.height": 48}, "square input. Expected image.size"),
        ({"training.cache_features": 0}, "A head is solved from cached features. Leave out"),
    ],
)
def test_what_cannot_be_chosen_is_an_error(changes, message, catalog, tmp_path):
    with pytest.raises(ValueError, match=message):
        mcv.train(catalog, folder=tmp_path / "run", changes=changes, log=None)


@pytest.mark.slow
def test_minutes_that_have_no_effect_are_said():
    lines = []
    for minutes in (MINUTES, 1.0):
        asked = candidates_of(minutes, None)
        with_default(mcv.demo_images(), "aquarium_four_conv", None, {}, asked, None, lines.append)
    assert lines == ["note: minutes= acts only where a recipe is chosen for your own images"]


def test_a_damaged_table_of_choices_is_named(run_copy):
    run = mcv.Run(run_copy)
    assert read_choices(run).empty
    run.path("choice.csv").write_text("step,network\nprobe,x\n")
    with pytest.raises(ValueError, match="choice.csv.*Restore it"):
        read_choices(run)


@pytest.mark.parametrize("view", [AugmentedViews(), AugmentedViews(Augmentation(flip=1.0))])
def test_features_that_are_known_are_not_computed_again(view, catalog, network, monkeypatch):
    rows = catalog[:7]
    spec = mcv.ImageSpec(height=32, width=32)
    pixels, rows = mcv.load_pixels(rows, spec)
    extractor = backbone_features(spec.shape, backbone=network, weights=network, trainable_layers=0)
    shown = pixels[:, :, ::-1] if view.augmentation.flip else pixels
    features = extractor.predict(shown.astype(np.float32), verbose=0)
    fill_cache(extractor, rows, spec, view, features[rows["image_id"].to_numpy().argsort()])
    monkeypatch.setattr(cache, "_build", lambda *args: pytest.fail("computed again"))
    [found] = open_shared_cache(extractor, [(rows, pixels)], spec, view)
    np.testing.assert_array_equal(found.arrays[0][found.places], features)
    monkeypatch.undo()
    fresh = open_shared_cache(extractor, [(rows[:6], pixels[:6])], spec, view)[0]
    np.testing.assert_allclose(fresh.arrays[0][fresh.places], features[:6], rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_from_scratch_few_images_train_for_more_epochs(catalog, tmp_path, network, monkeypatch, no_pages):
    few, many = (until_it_stops_improving(FOUR_CONV, images).training for images in (64, 64_000))
    assert few.early_stop_patience == 200 and many.early_stop_patience == 12 and few.epochs > many.epochs
    monkeypatch.setattr(choose, "backbones_here", lambda: [(network, 1.0)])
    monkeypatch.setattr(choose, "PROBE", choose.PROBE.with_model(weights=network))
    lines, settings = [], {"epochs": 1, "size": 32, "folder": tmp_path / "run"}
    mcv.train(catalog, FOUR_CONV, log=lines.append, **settings)
    [line] = [line for line in lines if "on the same images, logistic regression" in line]
    assert "validation accuracy" in line and "`train` makes it" in line


@pytest.mark.slow
def test_a_small_part_of_the_gate_is_passed_and_a_worse_default_is_not(catalog, network, tmp_path, no_pages):
    gate = importlib.import_module("default_gate")
    args = SimpleNamespace(output_dir=tmp_path, minutes=1.0, backbone=network)
    images = gate.compare("made", catalog.assign(split=""), 0, args)
    table = gate.summary(images)
    assert table["n"].tolist() == [len(images)] * 4 and len(images) > 10 and gate.passes(table)
    wrong = images.assign(default=np.arange(len(images)) % 2 > 0, **{"same images": True})
    assert not gate.passes(gate.summary(wrong))
