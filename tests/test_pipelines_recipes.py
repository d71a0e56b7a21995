"""`recipes`: the list of what was published and measured, and the replay that writes the results."""

import shutil
from dataclasses import replace

import pandas as pd
import pytest
from conftest import killed, refused, shown

from marinecv.console import silent
from marinecv.data.cache_dir import cache_path
from marinecv.experiments import Experiment
from marinecv.recipes import registry
from marinecv.recipes.aquarium import PRETRAINED, SCRATCH
from marinecv.recipes.keras_script import keras_script
from marinecv.recipes.registry import RECIPES, command_of
from marinecv.runs import Run
from marinecv.training.recipe import Recipe
from marinecv.training.settings import read_recipe, recipe_hash, to_toml
from marinecv.workflows import prepare, reproduce, train_runs
from pipelines.cli import main
from pipelines.commands import recipes

COLUMNS = ["recipe", "seed", "split", "metric", "published", "ours", "n", "low", "high", "verdict", "epochs"]
COLUMNS += ["image_size", "n_train", "command", "commit"]
ONE = ["recipes", "reproduce", "aquarium", "--recipes", "aquarium_three_conv"]


@pytest.fixture
def aquarium(real_data):
    """The real aquarium in the test's store."""
    cache_path("data").mkdir(parents=True)
    cache_path("data", "aquarium").symlink_to(real_data / "aquarium")


def test_every_recipe_is_listed_on_one_screen_with_what_was_published_and_measured(capsys):
    assert main(["recipes"]) == 0
    lines = capsys.readouterr().out.splitlines()
    end = next(i for i, line in enumerate(lines) if line.startswith("report: "))
    assert end <= 48 and max(map(len, lines)) <= 100
    lines = lines[:end]
    halves = [half for line in lines for half in (line[:51], line[51:])]
    measured = recipes.read_accuracies(recipes.RESULTS)
    for name, recipe in RECIPES.items():
        [cells] = [half.split() for half in halves if half.split()[:1] == [name]]
        figure = recipe.published.get("validation", {})
        theirs = [figure[key] for key in ("accuracy", "mse") if key in figure]
        ours = [float(line["ours"]) for line in measured.get((name, "validation"), []) if line["ours"]][:1]
        assert cells[1 : 2 + len(theirs)] == [str(recipe.image.height), *theirs]
        assert [float(cell.rstrip("*~")) for cell in cells[2 + len(theirs) :]] == pytest.approx(ours, abs=6e-4)
    headings = {" ".join(half.split()[:2]) for half in halves if half.rstrip().endswith("ours")}
    assert headings == {f"{recipe.report} {command_of(recipe)}" for recipe in RECIPES.values()}


def test_results_older_than_their_recipe_are_marked_and_named_with_the_command_and_its_hours(
    tmp_path, monkeypatch, capsys
):
    recipe, other, folds = "birdcnn_base", "aquarium_mobilenetv3large_p2_untrained", "animals_mobilenet"
    now = {name: recipe_hash(RECIPES[name]) for name in (recipe, folds)}
    now[other] = recipe_hash(registry.without_pretrained_weights(RECIPES[other.removesuffix("_untrained")]))
    keys = ("recipe", "seed", "recipe_hash", "train_seconds", "command", "label_fraction")
    rows = [(recipe, seed, now[recipe], 3600, "python run.py fresh", "") for seed in ("0", "all")]
    rows += [(other, "0", now[other], 3600, "python run.py fresh", "")]
    rows += [("birdcnn_sgd", seed, "", 1800, "python run.py late", part) for seed in "01" for part in ("0.1", "1")]
    rows += [("birdcnn_sgd", "all", "", 1800, "python run.py late", "1")]
    rows += [(folds, "5 folds", "0a1b2c3d", 180, "python run.py folds", "")]
    table = pd.DataFrame([dict(zip(keys, row, strict=True)) for row in rows])
    shared = {"metric": "accuracy", "ours": 0.5, "n": 8, "low": 0.4, "high": 0.6, "verdict": ""}
    table = pd.concat([table.assign(split=split, **shared) for split in ("validation", "test")])
    table.to_csv(tmp_path / "birdcnn.csv", index=False)
    assert list(recipes.stale_lines(tmp_path)) == [" 2.00 h  python run.py late", " 0.25 h  python run.py folds"]
    monkeypatch.setattr(recipes, "RESULTS", tmp_path)
    cells = [half.split() for line in shown(capsys, "recipes").splitlines() for half in (line[:51], line[51:])]
    ours = {row[0]: row[-1] for row in cells if row and row[0] in RECIPES and row[-1].startswith("0.5")}
    assert ours == {recipe: "0.500", "birdcnn_sgd": "0.500~", folds: "0.500~"}
    assert ["stale" in shown(capsys, "recipes", "show", name) for name in (folds, recipe)] == [True, False]
    assert registry.is_stale({"recipe": "gone", "recipe_hash": "0a1b2c3d"})


@pytest.mark.parametrize("name", RECIPES)
def test_what_is_shown_of_a_recipe_is_read_back_as_it(name, tmp_path, capsys):
    assert main(["recipes", "show", name]) == 0
    text = capsys.readouterr().out
    (tmp_path / "a.toml").write_text(text, encoding="utf-8")
    assert read_recipe(tmp_path / "a.toml") == RECIPES[name]
    assert text.startswith(f"# {name}  ({command_of(RECIPES[name])}, report: ")


def test_a_recipe_is_shown_of_a_file_and_of_a_run_too(finished_run, tmp_path, monkeypatch, capsys):
    recipe = Recipe.of(Run(finished_run))
    (tmp_path / "runs").mkdir()
    shutil.copytree(finished_run, tmp_path / "runs" / "one")
    (tmp_path / "a.toml").write_text(to_toml(replace(recipe, claim="one\nname = 1")))
    monkeypatch.chdir(tmp_path)
    for name in (finished_run, finished_run / "recipe.json", "last", "a.toml"):
        assert main(["recipes", "show", str(name)]) == 0
        (tmp_path / "b.toml").write_text(capsys.readouterr().out)
        assert replace(read_recipe(tmp_path / "b.toml"), claim="") == recipe
        assert main(["recipes", "show", str(name), "--keras"]) == 0
        assert capsys.readouterr().out == keras_script(recipe)
    assert 'no recipe "aquarium_four"' in refused(capsys, "recipes", "show", "aquarium_four")
    assert "model.variational" in refused(capsys, "recipes", "show", "butterflies_vae", "--keras")


@pytest.mark.data
def test_a_replay_writes_a_row_a_seed_and_one_of_all_and_a_killed_one_goes_on(
    aquarium, tmp_path, monkeypatch, capsys, no_pages
):
    results = tmp_path / "results" / "aquarium_pretrain.csv"
    results.parent.mkdir()
    other = {"recipe": "aquarium_five_conv", "seed": "all", "split": "validation", "metric": "accuracy", "ours": "0.75"}
    pd.DataFrame([other]).reindex(columns=COLUMNS).to_csv(results, index=False)
    words = [*ONE, "--seeds", "2", "--epochs", "1", "--limit", "21", "--results-dir", str(results.parent)]
    with monkeypatch.context() as patch:
        patch.setattr(train_runs, "fit_recipe", killed)
        assert main([*words, "--output-dir", str(tmp_path / "experiment")]) == 130
    assert len(pd.read_csv(results)) == 1
    assert main([*ONE[:3], "--resume", str(tmp_path / "experiment")]) == 0
    assert f"results: {results}" in capsys.readouterr().out
    assert list(Experiment(tmp_path / "experiment").cells) == ["aquarium_three_conv-seed0", "aquarium_three_conv-seed1"]

    table = pd.read_csv(results, dtype={"seed": str, "published": str})
    assert list(table)[: len(COLUMNS)] == COLUMNS
    ran = table[table["recipe"] == "aquarium_three_conv"]
    assert len(ran) == 3 * (2 * 2 + 1) and ran[["ours", "command"]].notna().all().all()
    assert ran.loc[ran["metric"] != "best_epoch", ["low", "high"]].notna().all().all()
    assert set(ran["recipe_hash"]) == {recipe_hash(RECIPES["aquarium_three_conv"])}  # before it was shortened
    assert (ran["epochs"] == 1).all() and (ran["image_size"] == 64).all() and (ran["n_train"] == 21).all()
    for (split, metric), rows in ran.groupby(["split", "metric"]):
        rows = rows.set_index("seed")
        assert list(rows.index) == ["0", "1", "all"] and (rows["n"] == 21).all()  # seeds are never pooled
        seeds, of_all = rows.loc[["0", "1"], "ours"], rows.loc["all"]
        assert tuple(of_all[["ours", "low", "high"]]) == pytest.approx((seeds.mean(), seeds.min(), seeds.max()))
        theirs = {"validation": "0.7795", "test": "0.8254"}[split] if metric == "accuracy" else None
        assert rows["published"].isna().all() if theirs is None else set(rows["published"]) == {theirs}
    assert ",21," in (text := results.read_text()) and "21.0" not in text
    others = table[table["recipe"] != "aquarium_three_conv"]
    assert set(others["recipe"]) == {name for name, recipe in SCRATCH.items() if recipe.published} - {ran.iloc[0, 0]}
    assert others[others["recipe"] == "aquarium_five_conv"]["ours"].tolist() == [0.75]  # stays as it was
    assert set(others["verdict"].dropna()) == {"not run here"}

    monkeypatch.setattr(recipes, "RESULTS", results.parent)
    assert main(["recipes", "show", "aquarium_three_conv"]) == 0
    assert "published 0.7795 (n=127); ours 0." in (shown := capsys.readouterr().out) and "(n=21, seeds 0." in shown

    monkeypatch.setattr(train_runs, "fit_recipe", None)  # nothing is trained twice
    assert main([*ONE[:3], "--resume", str(tmp_path / "experiment")]) == 0
    assert results.read_text() == text


def test_a_replay_on_other_images_or_at_several_sizes_is_refused(shared_tank, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert 'the manifest "aquarium" does not name' in refused(capsys, *ONE, "--data-dir", shared_tank)
    sizes = ("--image-size", "16", "32", "--results-dir", "elsewhere")
    assert "Expected one --image-size" in refused(capsys, *ONE, *sizes)
    assert not list(tmp_path.glob("runs")) and not list(tmp_path.glob("results"))


def test_what_can_be_replayed_is_named_by_command_or_recipe(monkeypatch, capsys):
    with monkeypatch.context() as patch:
        patch.setattr(reproduce, "with_available_weights", lambda recipe: recipe)
        both = reproduce.recipes_of_report("aquarium", None, silent)
        assert [recipe.name for recipe in both] == [*SCRATCH, *PRETRAINED]
        twice = reproduce.recipes_of_report("aquarium", ["aquarium_three_conv", "pretrain"], silent)
        assert twice[0].name == "aquarium_three_conv" and len(twice) == len(SCRATCH)
    monkeypatch.setattr(prepare, "weights_host_answers", lambda: False)
    monkeypatch.setenv("KERAS_HOME", "/no/such/place")
    assert [recipe.name for recipe in reproduce.recipes_of_report("birds", None, print)] == ["birds_customcnn"]
    assert "birds_resnet50: not run here" in capsys.readouterr().out
    [named] = reproduce.recipes_of_report("birds", ["birds_resnet50"], silent)
    assert named.name == "birds_resnet50_untrained"
    with pytest.raises(ValueError, match="No recipe of the birds report"):
        reproduce.recipes_of_report("birds", ["finetune"], silent)
    with pytest.raises(ValueError, match='no recipe or command "fish"'):
        reproduce.recipes_of_report("birds", ["fish"], silent)


@pytest.mark.data
def test_a_budget_is_said_and_its_results_stay_in_the_study(real_data, tmp_path, monkeypatch, capsys, no_pages):
    """Of two data sets one is at hand: the recipes of the other are named as not run."""
    cache_path("data").mkdir(parents=True)
    cache_path("data", "cub_x20").symlink_to(real_data / "cub_x20")
    monkeypatch.setattr("marinecv.data.download.fetch.network_reachable", lambda manifest: False)
    monkeypatch.setitem(registry.QUICK, "data.limit", 24)
    monkeypatch.setitem(registry.QUICK, "training.epochs", 1)
    words = ["--quick", "--image-size", 64, "--output-dir", tmp_path / "experiment"]
    names = ("birdcnn_base", "birdcnn_x200")
    said = shown(capsys, "recipes", "reproduce", "birdcnn", *words, "--recipes", *names)
    assert "birdcnn_x200: not run here." in said
    assert "64 of 256 pixels, 1 of 40 epochs, at most 24 images a split" in said
    assert (tmp_path / "experiment" / "results" / "birdcnn.csv").is_file()


def test_a_grid_is_no_reproduction(tmp_path, capsys):
    experiment = Experiment.create(tmp_path, "grid", "A grid", [])
    assert "--resume cannot be combined with --recipes" in refused(capsys, *ONE, "--resume", experiment.folder)
    assert "it has no reproduction.json" in refused(capsys, *ONE[:3], "--resume", experiment.folder)
