"""A search folder: what it keeps, and what is said where it is broken."""

import json
import sys

import pytest

from marinecv.search.engines import check_engine
from marinecv.search.folder import Search, Trial
from marinecv.search.space import TRAINING

ADAM = {"batch_size": 16, "optimizer": "adam", "learning_rate": 3e-4}
DONE = {"status": "done", "value": 0.5, "loss": 1.0, "best_epoch": 1, "epochs": 2, "seconds": 3.0}


@pytest.fixture
def search(tmp_path):
    return Search.create(tmp_path, "kerastuner", "random", 9, 4, TRAINING)


def keep(search, number, **facts):
    search.trial_folder(number).mkdir(parents=True)
    trial = Trial(number=number, values=ADAM, **facts)
    search.write_trial(trial)
    return trial


def test_what_is_kept_comes_back_equal(search):
    again = Search(search.folder)
    assert (again.engine, again.algorithm, again.count, again.seed) == ("kerastuner", "random", 9, 4)
    assert again.space == TRAINING and again.trials == [] and again.best is None
    trials = [keep(search, 1, **DONE), keep(search, 2)]
    assert again.trials == trials and [trial.over for trial in trials] == [True, False]


def test_the_best_has_the_highest_value_then_the_lowest_loss_then_came_first(search):
    for number, (value, loss) in enumerate([(0.5, 1.0), (0.7, 0.9), (0.7, 0.8), (0.7, 0.8)], start=1):
        keep(search, number, **{**DONE, "value": value, "loss": loss})
    keep(search, 5, status="pruned", value=0.9, loss=0.1, best_epoch=1, epochs=1)
    keep(search, 6, status="failed", reason="it diverged")
    assert search.best.number == 3


def test_a_trial_that_is_over_keeps_no_weights(search):
    keep(search, 1)
    for name in ("model.keras", "checkpoint.npz", "history.csv"):
        (search.trial_folder(1) / name).touch()
    search.write_trial(Trial(number=1, values=ADAM))
    assert (search.trial_folder(1) / "checkpoint.npz").exists()
    search.write_trial(Trial(number=1, values=ADAM, **DONE))
    assert sorted(path.name for path in search.trial_folder(1).iterdir()) == ["history.csv", "trial.json"]


def test_the_table_has_a_row_a_trial_and_a_column_a_parameter(search):
    keep(search, 1, **DONE)
    keep(search, 2, status="failed", reason="it diverged")
    search.write_table()
    lines = (search.folder / "trials.csv").read_text().splitlines()
    assert lines == [
        "number,status,value,loss,best_epoch,epochs,seconds,batch_size,optimizer,momentum,learning_rate,reason",
        "1,done,0.5,1.0,1,2,3.0,16,adam,,0.0003,",
        "2,failed,,,,0,0.0,16,adam,,0.0003,it diverged",
    ]


def test_a_broken_table_is_written_anew(search):
    keep(search, 1, **DONE)
    (search.folder / "trials.csv").write_text("rubbish")
    search.write_table()
    assert (search.folder / "trials.csv").read_text().startswith("number,status")


def test_a_folder_without_search_json_is_no_search(tmp_path):
    with pytest.raises(ValueError, match="is no search: it has no search.json. Expected a folder that `search` made"):
        Search(tmp_path)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("engine", None, "Object missing required field `engine`"),
        ("trials", "9", "'trials' of .* is '9'. Expected `int`"),
        ("trials", 0, "'trials' of .* is 0. Expected `int` >= 1"),
        ("seed", -1, "'seed' of .* is -1. Expected `int` >= 0"),
        ("space", [], r"'space' of .* is \[\]. Expected `array` of length >= 1"),
        ("space", [{"name": "depth"}], "Expected choices for 'depth'"),
        ("space", [{"depth": 1}], "Object contains unknown field `depth`"),
    ],
)
def test_a_broken_search_json_is_named(search, key, value, said):
    about = json.loads((search.folder / "search.json").read_text())
    about = {**about, key: value} if value is not None else {name: about[name] for name in about if name != key}
    (search.folder / "search.json").write_text(json.dumps(about))
    with pytest.raises(ValueError, match=f"{said}.*Bring it back from a copy, or start another search"):
        Search(search.folder)


def test_text_that_is_no_json_is_named(search):
    (search.folder / "search.json").write_text("{")
    with pytest.raises(ValueError, match="search.json cannot be read"):
        Search(search.folder)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"status": "resting"}, "Expected status to be one of .*Received: status='resting'"),
        ({"value": None}, "A trial that is done has a value and a loss"),
        ({"number": 3}, "holds trial 3. Expected trial 1"),
        ({"values": {"depth": 3}}, "has values for depth. Expected batch_size, optimizer, learning_rate"),
        ({"epochs": "2"}, "'epochs' of .* is '2'"),
    ],
)
def test_a_broken_trial_is_named(search, changes, said):
    keep(search, 1, **DONE)
    path = search.trial_folder(1) / "trial.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(ValueError, match=f"{said}.*Bring it back from a copy, or start another search"):
        search.trials  # noqa: B018


def test_a_trial_that_is_missing_before_another_is_named(search):
    keep(search, 2, **DONE)
    with pytest.raises(ValueError, match="0001/trial.json cannot be read"):
        search.trials  # noqa: B018


@pytest.mark.parametrize(
    ("engine", "algorithm", "said"),
    [
        (
            "kerastuner",
            "tpe",
            "kerastuner has no algorithm 'tpe'. optuna has it. Expected one of bayesian, random, grid",
        ),
        ("optuna", "bayesian", "optuna has no algorithm 'bayesian'. kerastuner has it. Expected one of tpe, random"),
        ("optuna", "grid", "optuna has no algorithm 'grid'. kerastuner has it"),
        ("optuna", "luck", "optuna has no algorithm 'luck'. Expected"),
        ("hyperopt", "tpe", "There is no engine 'hyperopt'. Expected one of kerastuner, optuna"),
    ],
)
def test_pairs_that_do_not_exist_are_refused_by_name(engine, algorithm, said):
    with pytest.raises(ValueError, match=said):
        check_engine(engine, algorithm)


def test_optuna_that_is_not_installed_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    check_engine("kerastuner", "random")
    with pytest.raises(ValueError, match=r"Optuna is not installed. Install it with: pip install 'marinecv\[optuna\]'"):
        check_engine("optuna", "tpe")
