"""The loop of a search with every engine, on an objective that trains nothing."""

import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from math import log10
from unittest.mock import Mock

import pytest
from filelock import FileLock
from msgspec.structs import replace

from marinecv.files.lock import LOCK, lock_folder
from marinecv.search.engines import ENGINES
from marinecv.search.folder import Search, Trial
from marinecv.search.loop import open_engine, run_trials
from marinecv.search.space import TRAINING, Parameter

PAIRS = [(engine, algorithm) for engine, algorithms in ENGINES.items() for algorithm in algorithms]
EPOCHS = 7
COUNTS = {"bayesian": 6}  # each that is not drawn by chance takes seconds; of others 12
SMALL = (Parameter(name="batch_size", choices=(16, 32)), Parameter(name="optimizer", choices=("adam", "sgd")))


def score(values):
    """Best near a learning rate of 3e-4, with Adam."""
    return round(0.9 - abs(log10(values["learning_rate"]) + 3.5) / 4 - 0.1 * (values["optimizer"] == "sgd"), 4)


def train(trial, report):
    """Seven epochs that climb to the score."""
    for epoch in range(1, EPOCHS + 1):
        value = score(trial.values) * (epoch / EPOCHS)
        if report(epoch, value):
            return replace(trial, status="pruned", value=value, loss=1.0, best_epoch=epoch, epochs=epoch)
    return replace(trial, status="done", value=value, loss=1 - value, best_epoch=EPOCHS, epochs=EPOCHS, seconds=1.0)


def make(folder, engine, algorithm, count=None, space=TRAINING):
    folder.mkdir()
    return Search.create(folder, engine, algorithm, count or COUNTS.get(algorithm, 12), 0, space)


def work(search, train=train, log=lambda trial: None):
    with open_engine(search) as engine:
        return run_trials(search, engine, train, log)


def stopped_at(number, seen):
    """The objective until a trial, in the middle of which the process is interrupted."""

    def until(trial, report):
        seen.append(trial.number)
        if trial.number == number:
            report(1, score(trial.values) / EPOCHS)
            raise KeyboardInterrupt
        return train(trial, report)

    return until


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Searches that nothing interrupted, by engine and algorithm."""
    made = {}
    for engine, algorithm in PAIRS:
        made[engine, algorithm] = make(tmp_path_factory.mktemp("whole") / algorithm, engine, algorithm)
        assert work(made[engine, algorithm])
    return made


@pytest.mark.slow
@pytest.mark.parametrize(("engine", "algorithm"), PAIRS)
def test_every_engine_tries_as_many_as_asked_and_none_twice(whole, engine, algorithm):
    trials, count = whole[engine, algorithm].trials, whole[engine, algorithm].count
    assert [trial.number for trial in trials] == list(range(1, count + 1)) and all(trial.over for trial in trials)
    assert len({json.dumps(trial.values) for trial in trials}) == count
    assert {trial.values["optimizer"] for trial in trials} == {"adam", "sgd"}
    for trial in trials:
        assert trial.status == "pruned" or trial.value == score(trial.values)


@pytest.mark.slow
@pytest.mark.parametrize("number", [3, 6])
@pytest.mark.parametrize(("engine", "algorithm"), PAIRS)
def test_a_search_that_was_killed_goes_on_to_the_same_trials(whole, tmp_path, engine, algorithm, number):
    search, seen = make(tmp_path / "search", engine, algorithm), []
    with pytest.raises(KeyboardInterrupt):
        work(search, stopped_at(number, seen))
    assert [trial.status for trial in search.trials][-1] == "running" and len(search.trials) == number
    assert work(search, stopped_at(None, seen))
    assert search.trials == whole[engine, algorithm].trials
    assert seen == [*range(1, number + 1), *range(number, search.count + 1)]
    assert work(search, lambda trial, report: pytest.fail("trained again"))  # it is over


@pytest.mark.slow
@pytest.mark.parametrize(("engine", "algorithm"), PAIRS)
def test_a_kill_before_or_after_a_trial_is_saved_loses_nothing(whole, tmp_path, engine, algorithm, monkeypatch):
    search = make(tmp_path / "search", engine, algorithm)

    killed = Mock(side_effect=KeyboardInterrupt)
    with monkeypatch.context() as patch:
        patch.setattr(Search, "write_trial", killed)  # asked for, and not kept
        with pytest.raises(KeyboardInterrupt):
            work(search)
    assert search.trials == [] and search.trial_folder(1).is_dir()
    with pytest.raises(KeyboardInterrupt):
        work(search, log=killed)  # kept, and the engine not told
    assert [trial.over for trial in search.trials] == [True]
    assert work(search)
    assert search.trials == whole[engine, algorithm].trials


@pytest.mark.parametrize(("engine", "algorithm"), PAIRS)
def test_a_failed_trial_is_a_row_and_not_the_end(tmp_path, engine, algorithm):
    search, said = make(tmp_path / "search", engine, algorithm, count=8), []

    def mostly_failing(trial, report):
        return train(trial, report) if trial.number > 6 else replace(trial, status="failed", reason="it diverged")

    assert work(search, mostly_failing, said.append)
    assert [trial.status for trial in search.trials] == ["failed"] * 6 + ["done"] * 2
    assert said == search.trials
    assert (search.folder / "trials.csv").read_text().count("it diverged") == 6


def test_optuna_ends_trials_below_the_median(whole):
    statuses = [trial.status for trial in whole["optuna", "random"].trials]
    assert "pruned" not in statuses[:5] and "pruned" in statuses


def test_keras_tuner_asks_for_all_of_a_grid_and_then_for_no_more(tmp_path):
    search = make(tmp_path / "search", "kerastuner", "grid", count=40)
    assert work(search)
    tried = {tuple(trial.values.values()) for trial in search.trials}
    assert len(tried) == len(search.trials) == 18  # 3 batch sizes, Adam and SGD with one momentum, 3 rates
    assert work(search, lambda trial, report: pytest.fail("trained again")) and len(search.trials) == 18


@pytest.mark.parametrize("pair", [("kerastuner", "random"), ("kerastuner", "bayesian"), ("optuna", "random")])
def test_values_that_come_again_are_not_trained_again(tmp_path, pair):
    search, trained = make(tmp_path / "search", *pair, count=12, space=SMALL), []

    def count(trial, report):
        trained.append(trial.values)
        return replace(trial, status="done", value=0.5 + trial.values["batch_size"] / 100, loss=1.0, best_epoch=1)

    assert work(search, count)
    assert len(trained) == len({tuple(values.values()) for values in trained}) <= 4
    first = {}
    for trial in search.trials:
        same = first.setdefault(tuple(trial.values.values()), trial)
        if same is not trial:
            assert trial.value == same.value and trial.seconds == 0
            assert trial.reason == f"the values of trial {same.number}, not trained again"


def test_two_workers_share_a_search_and_never_train_the_same_trial(tmp_path):
    search, trained, guard = make(tmp_path / "search", "optuna", "tpe", count=16), [], threading.Lock()
    both = threading.Barrier(2, timeout=60)

    def train_once(trial, report):
        with guard:
            trained.append(trial.number)
            first_of_each = len(trained) <= 2
        if first_of_each:
            both.wait()  # so that each worker has a trial while the other has one
        return train(trial, report)

    with ThreadPoolExecutor(2) as pool:
        ended = [*pool.map(lambda _: work(search, train_once), range(2))]
    assert sorted(trained) == list(range(1, 17)) and len(search.trials) == 16
    assert True in ended
    assert len({json.dumps(trial.values) for trial in search.trials}) == 16


def test_a_trial_that_ends_between_the_look_and_the_hold_is_not_trained_again(tmp_path, monkeypatch):
    search = make(tmp_path / "search", "optuna", "random", count=1)
    with pytest.raises(KeyboardInterrupt):
        work(search, stopped_at(1, []))
    [trial] = search.trials

    def end_then_hold(folder):
        search.write_trial(train(trial, lambda epoch, value: False))
        return lock_folder(folder)

    monkeypatch.setattr(sys.modules["marinecv.search.loop"], "lock_folder", end_then_hold)
    assert work(search, lambda trial, report: pytest.fail("trained again"))
    assert [trial.status for trial in search.trials] == ["done"]


def test_a_worker_leaves_to_another_what_that_holds_and_does_not_train_its_values(tmp_path):
    search = make(tmp_path / "search", "optuna", "random", count=2, space=SMALL[:1])
    search.space = (replace(SMALL[0], choices=(16,)),)
    search.trial_folder(1).mkdir(parents=True)
    search.write_trial(Trial(number=1, values={"batch_size": 16}))
    with FileLock(search.trial_folder(1) / LOCK):
        assert not work(search, lambda trial, report: pytest.fail("trained"))
    assert [(trial.status, trial.value) for trial in search.trials] == [("running", None), ("pruned", None)]


def test_one_process_alone_works_on_a_search_of_keras_tuner(tmp_path):
    search = make(tmp_path / "search", "kerastuner", "random", count=2)
    with FileLock(search.folder / LOCK), pytest.raises(ValueError, match="is in use"):
        work(search)


def test_other_suggestions_than_at_first_are_an_error(tmp_path):
    search = make(tmp_path / "search", "kerastuner", "random", count=3)
    with pytest.raises(KeyboardInterrupt):
        work(search, stopped_at(2, []))
    path = search.trial_folder(1) / "trial.json"
    trial = json.loads(path.read_text())
    trial["values"]["learning_rate"] = 0.00051
    path.write_text(json.dumps(trial))
    with pytest.raises(ValueError, match=r"Keras Tuner suggests .* for trial 1 of .* which was trained with .*0.00051"):
        work(search)
