"""Recipes: read back equal, refused by name, and the settings in them that cannot act."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from marinecv.inputs.spec import Augmentation, ImageSpec
from marinecv.recipes.aquarium import PRETRAINED, SCRATCH
from marinecv.training import settings
from marinecv.training.model_config import BackboneModel, ScratchModel, UNet
from marinecv.training.recipe import DataConfig, Recipe, Training, recipe_warnings
from marinecv.training.settings import with_changes

BASE = Recipe(
    name="tank_cnn",
    title="Tank, Größe 64",
    data=DataConfig(name="tank", limit=5),
    image=ImageSpec(height=48, width=64, letterbox_px=None, antialias=True),
    model=ScratchModel(filters=(4, 8), kernels=(3, 3), pools=(2, 2)),
    training=Training(augmentation=Augmentation(flip=0.5, zoom=0.1), lr_patience=2, early_stop_patience=5),
    published={"validation": {"accuracy": "0.7480", "n": 127}},
)
BACKBONE = replace(BASE, model=BackboneModel(hidden=(16, 8)), training=Training(head_epochs=3))


def test_the_contract_is_plain_data_of_what_a_model_cannot_hold():
    preprocessing = json.loads(json.dumps(BASE.preprocessing(("crab", "eel"))))
    assert preprocessing["class_names"] == ["crab", "eel"] and ImageSpec(**preprocessing["image"]) == BASE.image
    expected = {"data": "tank", "label_rule": "dominant", "demonstration": False}
    assert preprocessing.items() >= expected.items()


def spoilt(part=None, drop=None, **entries):
    data = BASE.to_dict()
    settings = data[part] if part else data
    settings.update(entries)
    settings.pop(drop, None)
    return data


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (spoilt(speed=9), "Recipe has no argument 'speed'"),
        (spoilt("training", warmth=1), "'training' of Recipe: Training has no argument 'warmth'"),
        (spoilt("model", kind="forest"), "Expected kind to be one of .'cnn'.*kind='forest'"),
        (spoilt(drop="image"), "missing 1 required keyword-only argument: 'image'"),
        (spoilt("data", drop="name"), "'data' of Recipe: .*missing 1 required keyword-only argument: 'name'"),
        (spoilt(image=None), "Recipe: Expected image of type ImageSpec"),
        (spoilt("image", height=0), "height is 0"),
    ],
)
def test_what_is_no_recipe_is_refused(data, message):
    with pytest.raises(ValueError, match=f"no recipe of this version of marinecv: .*{message}"):
        Recipe.from_dict(data)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"batch_size": 0}, "batch_size is 0. Expected `int` >= 1"),
        ({"learning_rate": float("inf")}, "learning_rate is inf. Expected `float` <= "),
        ({"learning_rate": float("nan")}, "learning_rate is nan. Expected `float` >= 0"),
        ({"calibration": 1.5}, "calibration is 1.5. Expected `float` <= 1"),
        ({"optimizer": "addam"}, "Expected optimizer to be one of .*'adam'.*Received: optimizer='addam'"),
        ({"class_weights": {0: 1.0}}, "class_weights is {0: 1.0}. Expected `bool`"),
        ({"metrics": "accuracy"}, "metrics is 'accuracy'. Expected `array`"),
        ({"metrics": ("accuracy", "f2")}, "Expected metrics to be accuracy and others"),
        ({"augmentation": BASE.image}, "Expected augmentation of type Augmentation or NoneType"),
        ({"ema": 1.0}, "ema is 1.0. Expected `float` < 1"),
        (
            {"augmentation": Augmentation(mixup=0.2), "cache_features": 1},
            "so cache_features cannot act. Expected cache_features=0",
        ),
        (
            {"augmentation": Augmentation(cutmix=1), "class_weights": True},
            "so class_weights cannot act. Expected .*balanced=True",
        ),
    ],
)
def test_a_setting_of_another_kind_or_size_is_named(settings, said):
    with pytest.raises(ValueError, match=said):
        Training(**settings)


def test_numbers_of_numpy_and_lists_are_taken_as_pythons_own():
    ours = Training(learning_rate=np.float32(0.5), epochs=np.int64(3), metrics=["accuracy", "recall"])
    assert ours == Training(learning_rate=0.5, epochs=3, metrics=("accuracy", "recall"))
    assert json.loads(json.dumps(ours.__dict__))["epochs"] == 3
    assert ScratchModel(filters=np.array([4, 8, 8, 8])) == ScratchModel(filters=(4, 8, 8, 8))


def test_any_monitor_goes_with_a_model_of_ones_own_and_what_is_logged_with_a_recipe():
    assert Training(monitor="val_auc").monitor == "val_auc"
    with pytest.raises(ValueError, match="monitor='val_acuracy'. Did you mean \"val_accuracy\""):
        BASE.with_training(monitor="val_acuracy")
    with pytest.raises(ValueError, match=r"\('val_loss', 'loss'\). Received: monitor='val_accuracy'"):
        replace(BASE, model=UNet(), training=Training(monitor="val_accuracy"))


@pytest.mark.parametrize("name", ["focal_gamma", "mixup", "cutmix", "erasing"])
def test_what_needs_classes_is_refused_of_an_autoencoder(name):
    training = Training(focal_gamma=1) if name == "focal_gamma" else Training(augmentation=Augmentation(**{name: 1}))
    with pytest.raises(
        ValueError, match=f"{name} is for classification, and tank_cnn trains an autoencoder. Expected 0"
    ):
        replace(BASE, model=UNet(), training=training)
    colored = Training(augmentation=Augmentation(brightness=0.1), ema=0.9, clip_norm=1.0, schedule="cosine")
    assert replace(BASE, model=UNet(), training=colored).training == colored


@pytest.mark.parametrize(
    ("recipe", "sentence"),
    [
        (BASE.with_training(lr_patience=5), "lr_patience=5 never acts"),
        (BASE.with_training(lr_factor=1.0), "lr_factor=1.0 does not lower the learning rate"),
        (BASE.with_training(class_weights=True, balanced=True), "class_weights and balanced both answer imbalance"),
        (BASE.with_training(head_epochs=2), "head_epochs=2 never acts"),
        (BASE.with_training(warmup_epochs=2), "warmup_epochs=2 never acts. Set schedule='cosine'"),
        (BASE.with_training(schedule="cosine", warmup_epochs=60), "warmup_epochs=60 leaves no epoch of 60"),
        (BACKBONE.with_training(schedule="cosine", warmup_epochs=57), "warmup_epochs=57 leaves no epoch of 60"),
        (BASE.with_training(schedule="cosine", early_stop_reductions=2), "early_stop_reductions never acts: a cosine"),
        (BASE.with_training(optimizer="adamw"), "adamw without weight_decay is adam"),
        (BASE.with_training(augmentation=Augmentation(mixup=1), batch_size=1), "mixup and cutmix never act"),
        (BACKBONE.with_model(weights="none", trainable_layers=0), "The backbone is frozen with random weights"),
        (BACKBONE.with_training(head_epochs=60), "head_epochs=60 leaves no epoch of 60"),
    ],
)
def test_a_warning_names_the_setting_that_cannot_act(recipe, sentence):
    (found,) = recipe_warnings(recipe)
    assert found.startswith(sentence)


COSINE = BASE.with_training(schedule="cosine", warmup_epochs=3, lr_patience=50, lr_factor=1.0)


@pytest.mark.parametrize("recipe", [BASE, COSINE, BACKBONE, *SCRATCH.values(), *PRETRAINED.values()])
def test_every_setting_of_the_recipes_acts(recipe):
    assert recipe_warnings(recipe) == []


def test_the_hash_of_a_recipe_is_of_the_settings_that_act_on_a_result(monkeypatch):
    """Nothing but them: not the name, the seed, what was published, nor a setting that is off."""
    own = settings.recipe_hash(BASE)
    assert re.fullmatch("[0-9a-f]{8}", own)
    same = replace(BASE, name="other", title="", published={}, assumptions="", shortened="2 epochs", base_hash="x")
    same = with_changes(same, {"training.seed": 5, "training.ema": 0})
    assert settings.recipe_hash(replace(same, image=replace(same.image, white=3))) == own
    others = [{"training.lr_patience": 3}, {"data.synthetic": 24}, {"data.synthetic": True}, {"training.ema": 0.9}]
    others += [{"image.height": 49}, {"training.augmentation.flip": 0.1}, {"model.filters": (4, 9)}]
    hashes = {settings.recipe_hash(with_changes(BASE, change)) for change in others}
    assert len(hashes) == len(others) and own not in hashes
    monkeypatch.setattr(settings, "RESULTS_VERSION", 0)
    assert settings.recipe_hash(BASE) != own
