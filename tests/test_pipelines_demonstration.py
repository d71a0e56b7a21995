"""No data named and no host in reach: generated demo images, marked everywhere and used for nothing else."""

import pytest

from marinecv.data.cache_dir import cache_path
from marinecv.data.demo import dataset as reef
from marinecv.runs import Run
from marinecv.workflows import train, train_runs
from pipelines.cli import main

SPLIT = {"fish": 3, "shark": 2, "puffin": 1}
MARGIN = 0.10  # over always predicting the most frequent class of train


@pytest.fixture(autouse=True)
def no_network(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setattr("marinecv.data.find_data.network_reachable", lambda manifest: False)
    monkeypatch.setattr("marinecv.data.download.network.reachable", lambda url: False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def small_reef(monkeypatch):
    monkeypatch.setattr(reef, "COUNTS", {"train": SPLIT, "valid": SPLIT, "test": SPLIT})


@pytest.fixture(scope="module")
def whole_reef(tmp_path_factory):
    """The store with all demo images in it."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MARINECV_HOME", str(home))
        reef.write_demo_images(cache_path("data", f"reef-{reef.VERSION}"))
    return home


@pytest.mark.slow
def test_a_demonstration_is_marked_and_used_for_nothing_else(small_reef, finished_run, tmp_path, capsys):
    assert main(["pretrain", "--epochs", "1", "--image-size", "32"]) == 0
    shown = capsys.readouterr().out
    assert "DEMONSTRATION" in shown and "--data-dir" in shown and "not read" not in shown
    run = Run(tmp_path / "runs" / "demo-aquarium_four_conv-1")
    recipe = run.read("recipe.json")
    assert run.finished and run.read("preprocessing.json")["demonstration"] is True
    assert recipe["data"]["demonstration"] is True and recipe["published"] == {}
    assert recipe["title"].endswith("(data: reef)")
    page = run.path("report.html").read_text(encoding="utf-8")
    assert "Demonstration on generated images." in page and "Published metrics" not in page

    assert main(["compare", str(run.folder), str(finished_run)]) == 1
    assert "cannot be compared" in capsys.readouterr().err
    assert main(["predict", str(run.folder), str(finished_run)]) == 1
    assert "was trained on" in capsys.readouterr().err
    assert main(["evaluate", str(run.folder), "--data", "reef"]) == 0


@pytest.mark.slow
def test_a_demonstration_grid_is_named_and_marked_too(small_reef, tmp_path, monkeypatch):
    monkeypatch.setattr(train_runs, "fit_recipe", None)
    monkeypatch.setattr(train, "finish_experiment", lambda experiment, *args, **how: 0)
    assert main(["pretrain", "--grid"]) == 0
    experiment = (tmp_path / "runs" / "demo-aquarium_pretrain-1" / "experiment.json").read_text()
    assert '"demonstration": true' in experiment


def test_a_demonstration_never_enters_the_results(small_reef, tmp_path, capsys):
    assert main(["recipes", "reproduce", "aquarium", "--data", "reef", "--recipes", "pretrain"]) == 1
    assert "demonstration" in capsys.readouterr().err
    assert not (tmp_path / "results").exists() and not (tmp_path / "runs").exists()


@pytest.mark.parametrize("words", ["pretrain --data aquarium", "recipes reproduce aquarium --recipes pretrain"])
def test_named_data_are_never_replaced_by_a_demonstration(words, tmp_path, monkeypatch, capsys):
    def fetch(manifest, progress):
        raise ConnectionError("No network. Name a folder or zip of images with --data-dir.")

    monkeypatch.setattr("marinecv.data.find_data.fetch", fetch)
    assert main(words.split()) == 1
    assert "--data-dir" in capsys.readouterr().err and not (tmp_path / "runs").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "name"),
    [("pretrain", "four_conv"), ("finetune --backbone mobilenetv3large", "mobilenetv3large_p2_untrained")],
)
def test_a_demonstration_beats_the_majority_class(words, name, whole_reef, tmp_path, monkeypatch):
    monkeypatch.setenv("MARINECV_HOME", str(whole_reef))
    assert main(words.split()) == 0
    run = Run(tmp_path / "runs" / f"demo-aquarium_{name}-1")
    validation = run.catalog.query("split == 'validation' and problem == ''")["class_name"]
    majority = (validation == run.catalog.query("split == 'train'")["class_name"].mode()[0]).mean()
    accuracy = run.read("metrics.json")["validation"]["accuracy"]
    assert accuracy["n"] == len(validation) == 127 and majority == pytest.approx(50 / 127)
    assert accuracy["value"] >= majority + MARGIN
