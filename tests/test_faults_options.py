"""Pairs of options: each is taken, or refused in a line that names one of both, before any work begins."""

import json
from itertools import combinations

import pytest
from conftest import draw_image

from marinecv.training.settings import with_changes
from marinecv.workflows import evaluate, predict, prepare
from pipelines.cli import main

READING = ["--split-by stratified", "--frame-order number", "--label-rule area", "--images-without-boxes empty"]
CROPS = ["--crops", "--boxes MD", "--min-confidence 0.3"]
TRAINED = ["--set training.lr_patience=3", "--recipe aquarium_mobilenet_p8", "--resume RUN", "--accept-changes"]
TRAINED += ["--folds 2", "--epochs 1", "--image-size 32", "--output-dir NEW", "--minutes 1", "--backbone mobilenet"]
OPTIONS = {
    "train TANK": ["--limit 2", "--seed 1", *READING, *CROPS, *TRAINED, "--track tensorboard", "--merge-case"],
    "finetune --data-dir TANK": [*CROPS[:2], *TRAINED, "--grid", "--select-on test", "--batch-size 8", "--synthetic"]
    + ["--class-weights", "--balanced", "--calibration-fraction 0.2", "--mixed-precision", "--trainable-layers 1"]
    + ["--head-epochs 1", "--cache-features 2", "--cache-dtype float16", "--weights none"],
    "evaluate RUN": [*READING[:2], *CROPS, "--split test", "--data-dir TANK", "--accept-changes", "--output-dir NEW"]
    + ["--folds 2", "--limit 2", "--seed 1", "--batch-size 8", "--event-gap 30m"],
    "predict RUN PHOTOS": ["--output NEW.csv", "--review", "--top 2", "--sort-into NEW", "--format xlsx", "--limit 2"]
    + ["--event-gap 30m", "--demonstration", *CROPS, "--deployments MD", "--timezone Z", "--project MD"]
    + ["--tta flip", "--batch-size 8", "--seed 1"],
}
OF_TRAINING = {"--boxes": ["--crops"], "--min-confidence": [], "--resume": [], "--accept-changes": []}
NEEDS = {  # command -> option -> those of which it needs one; with none it is refused with any one other
    "train": OF_TRAINING,
    "finetune": {**OF_TRAINING, "--select-on": ["--folds", "--grid"]},
    "evaluate": dict.fromkeys(["--split-by", "--frame-order", "--crops"], ["--data-dir"])
    | {"--boxes": [], "--min-confidence": []},
    "predict": {"--crops": ["--boxes"], "--boxes": ["--crops"], "--min-confidence": ["--boxes"]}
    | dict.fromkeys(["--deployments", "--timezone", "--project"], []),
}
EXCLUDED = {
    "train": ["--recipe --minutes"],
    "finetune": ["--recipe --minutes", "--recipe --backbone", "--recipe --grid", "--grid --minutes"]
    + ["--crops --synthetic"],
    "evaluate": ["--data-dir --folds", "--limit --folds"],
    "predict": [],
}


class Reached(Exception):
    """All is parsed and checked, and the work would begin."""


def reach(*_, **__):
    raise Reached


def read_data(data, recipes, changes, log, most):
    """Check the settings as `prepare.read_data` does, without images."""
    prepare.data_choice(recipes[0], changes)
    assert all(with_changes(recipe, changes) for recipe in recipes)
    raise Reached


@pytest.fixture
def words_of(finished_run, shared_tank, tmp_path, monkeypatch):
    """A function from a command and options to words; no work begins."""
    for place, name, stand_in in (
        (prepare, "read_data", read_data),
        (prepare, "weights_host_answers", lambda: True),
        (evaluate, "readable_images", reach),
        (predict, "open_model", reach),
    ):
        monkeypatch.setattr(place, name, stand_in)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    draw_image("eel", 1).save(tmp_path / "photos" / "a.jpg")
    image = {"file": "a.jpg", "detections": [{"category": "1", "conf": 0.9, "bbox": [0.1, 0.1, 0.5, 0.5]}]}
    about = {"info": {"format_version": "1.3"}, "detection_categories": {"1": "animal"}, "images": [image]}
    (tmp_path / "md.json").write_text(json.dumps(about))
    places = {"TANK": shared_tank, "RUN": finished_run, "PHOTOS": tmp_path / "photos", "MD": tmp_path / "md.json"}
    places |= {name: tmp_path / name.lower() for name in ("NEW", "NEW.csv")}
    return lambda *parts: [str(places.get(word, word)) for word in " ".join(parts).split()]


def is_refused(command, pair):
    names = {option.split()[0] for option in pair}
    needs = {name: NEEDS[command][name] for name in names & NEEDS[command].keys()}
    return any(not names & {*others} for others in needs.values()) or any(
        names == {*excluded.split()} for excluded in EXCLUDED[command]
    )


LONG = "finetune --data-dir TANK"


@pytest.mark.parametrize(
    "command", [*(name for name in OPTIONS if name != LONG), pytest.param(LONG, marks=pytest.mark.slow)]
)
def test_a_pair_of_options_is_taken_or_refused_by_name(command, words_of, capsys):
    options, wrong = OPTIONS[command], []
    for pair in [*((option,) for option in options), *combinations(options, 2)]:
        try:
            code = main(words_of(command, *pair))
        except Reached:
            code = 0
        said = capsys.readouterr().err
        is_named = said.startswith("error: ") and any(option.split()[0] in said for option in pair)
        if (code, is_named) != ((1, True) if is_refused(command.split()[0], pair) else (0, False)):
            wrong.append((pair, code, said))
    assert not wrong
