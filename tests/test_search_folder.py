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


def replaced(changes):
    return lambda text: json.dumps({**json.loads(text), **changes})


@pytest.mark.parametrize(
    ("name", "spoilt", "reason"),
    [
        ("search.json", None, "is no search"),
        ("search.json", lambda text: "{", "search.json cannot be read"),
        ("search.json", lambda text: "{}", "missing required field `engine`"),
        ("search.json", replaced({"trials": "9"}), "'trials' of .* is '9'"),
        ("search.json", replaced({"trials": 0}), "'trials' of .* is 0"),
        ("search.json", replaced({"space": []}), "'space' of "),
        ("search.json", replaced({"space": [{"depth": 1}]}), "unknown field `depth`"),
        ("trials/0001/trial.json", replaced({"status": "resting"}), "status='resting'"),
        ("trials/0001/trial.json", replaced({"value": None}), "Expected value and loss"),
        ("trials/0001/trial.json", replaced({"epochs": "2"}), "'epochs' of .* is '2'"),
        ("trials/0001/trial.json", replaced({"number": 2}), "holds trial 2. Expected trial 1"),
        ("trials/0001/trial.json", None, "0001/trial.json cannot be read"),
    ],
)
def test_a_broken_file_is_named(search, name, spoilt, reason):
    for number in (1, 2):
        keep(search, number, **DONE)
    path = search.folder / name
    path.write_text(spoilt(path.read_text())) if spoilt else path.unlink()
    with pytest.raises(ValueError, match=f"{reason}.* (Restore it from a copy|Expected a folder that)"):
        Search(search.folder).trials  # noqa: B018


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("hyperopt", "tpe"), "no engine 'hyperopt'"),
        (("kerastuner", "tpe"), "kerastuner has no algorithm 'tpe'"),
        (("optuna", "grid"), "optuna has no algorithm 'grid'"),
        (("kerastuner", "grid", "2"), "kerastuner searches in one process"),
        (("optuna", "tpe"), r"pip install 'marinecv\[optuna\]'"),
    ],
)
def test_engines_that_do_not_exist_or_are_not_installed_are_refused(arguments, reason, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ValueError, match=reason):
        check_engine(*arguments)
