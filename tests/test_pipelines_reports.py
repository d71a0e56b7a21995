"""The recipes of all reports: unique names, one command each, cross-validation, and the order of a report."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pandas as pd
import pytest
from conftest import COLORS
from five_reports import stated

from marinecv.evaluation.folds import fold_metrics
from marinecv.experiments import Experiment
from marinecv.files.atomic import write_json
from marinecv.files.csv_tables import write_table
from marinecv.recipes import birdcnn
from marinecv.recipes.registry import FAMILIES, RECIPES, REPORTS, command_of
from marinecv.runs import Run
from marinecv.schema import read_json
from marinecv.training.recipe import Recipe
from marinecv.workflows.results import order_sentences, rows_without_run, run_rows, without_output_folders
from pipelines.cli import main


def test_every_recipe_has_one_name_and_reads_back_as_it_was():
    assert sum(len(family) for family in FAMILIES.values()) == len(RECIPES)
    assert REPORTS == ("aquarium", "birds", "birdcnn", "animals", "butterflies")
    for name, recipe in RECIPES.items():
        assert recipe.name == name and type(recipe).from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe


def test_a_recipe_of_a_report_has_the_settings_that_it_states_and_names_what_differs():
    for name, settings in stated.STATED.items():
        recipe = RECIPES[name]
        assert {setting: stated.value_of(recipe, setting) for setting in settings} == settings, name
        counted = stated.counts(recipe)
        assert counted[0] == len(settings) and counted[2] == recipe.assumptions.count(stated.DIFFERS)
    repeats = {name for name, recipe in RECIPES.items() if recipe.published}
    assert repeats - {"animals_mobilenet", "aquarium_four_conv_synthetic"} <= set(stated.STATED)
    base = RECIPES["birdcnn_base"]  # constant rate, no stop: none of these acts
    assert stated.acting(base) == stated.acting(base.with_training(lr_factor=0.7, early_stop_patience=50, momentum=0.1))


def test_the_printed_rows_of_animals_are_of_the_classes_with_as_many_images():
    scores = RECIPES["animals_inceptionv3_adam"].published["validation"]
    assert scores["support[cat]"] == "333" and scores["recall[cat]"] == "0.84"  # printed as ragno, the spider
    assert sum(int(value) for name, value in scores.items() if name.startswith("support")) == scores["n"]


def test_a_report_that_prints_scores_of_classes_has_them_beside_ours(finished_run, tmp_path):
    run = Run(finished_run)
    printed = {"accuracy": "0.5", "n": 99, "recall[eel]": "0.25", "best_epoch": "3"}
    names, recipe = list(run.class_names), replace(Recipe.of(run), published={"validation": printed})
    printed[f"recall[{names[0]}]"] = printed.pop("recall[eel]")
    rows = pd.DataFrame(run_rows([(recipe, run)])).set_index(["split", "metric"])
    assert rows.loc[("validation", "best_epoch"), "ours"] == run.timing.best_epoch
    assert rows.loc[("validation", "best_epoch"), "published"] == "3" and ("test", "best_epoch") not in rows.index
    row = rows.loc[("validation", f"recall[{names[0]}]")]
    validation = pd.read_csv(run.path("predictions.csv")).query("split == 'validation' and true_class == @names[0]")
    assert row["ours"] == (validation["predicted_class"] == names[0]).mean() and row["n"] == len(validation)
    assert row["published"] == "0.25" and row["low"] <= row["ours"] <= row["high"]
    [missing] = [row for row in rows_without_run([recipe]) if row["metric"] == f"recall[{names[0]}]"]
    assert missing["verdict"] == "not run here"


@pytest.mark.parametrize(
    ("name", "command"),
    [("birds_customcnn", "pretrain"), ("animals_inceptionv3_sgd", "pretrain"), ("birds_multimodal", "finetune")],
)
def test_a_recipe_belongs_to_the_command_that_trains_it(name, command, capsys):
    assert command_of(RECIPES[name]) == command
    other = {"pretrain": "finetune", "finetune": "pretrain"}[command]
    assert main([other, "--recipe", name]) == 1
    assert f"{name} is for another command: {command} --recipe {name}." in capsys.readouterr().err


@pytest.mark.slow
def test_over_folds_each_image_is_judged_once_by_a_model_that_has_not_seen_it(shared_tank, tmp_path, capsys):
    words = ["--data-dir", str(shared_tank), "--epochs", "1", "--image-size", "16", "--folds", "2"]
    assert main(["pretrain", *words, "--output-dir", str(tmp_path / "experiment")]) == 0
    runs = Experiment(tmp_path / "experiment").finished_runs
    assert [run.read("recipe.json")["data"]["fold"] for run in runs.values()] == ["1/2", "2/2"]
    validation = pd.concat([run.catalog[run.catalog["split"] == "validation"] for run in runs.values()])
    assert len(validation) == 12 and not validation["image_id"].duplicated().any()
    assert set(validation["class_name"]) == set(COLORS)
    [figures] = fold_metrics(runs.values()).values()
    assert figures["n"] == figures["accuracy"]["n"] == 12
    assert f", cross-validated: accuracy {figures['accuracy']['value']:.3f}" in capsys.readouterr().out
    assert ", cross-validated: " in (tmp_path / "experiment" / "report.html").read_text()


@pytest.mark.parametrize(
    ("ahead", "sentence"),
    [
        (
            (0.1, 0.2, 0.15),
            "holds; by +0.150 on average of 3 seeds (+0.100 to +0.200), 95% over seeds alone +0.026 to ",
        ),
        ((0.1, 0.2, 0.5), "undecided; by +0.267 on average of 3 seeds (+0.100 to +0.500)"),  # though 3 of 3 agree
        ((-0.1, -0.1, -0.11), "does not hold; by -0.103"),
        ((0.1, 0.1), "undecided; by +0.100 on average of 2 seeds (+0.100 to +0.100)"),
    ],
)
def test_an_order_holds_by_the_interval_over_seeds(ahead, sentence, tmp_path):
    shared = {"split": "validation", "metric": "accuracy"}
    rows = [{"recipe": "birdcnn_base", "seed": str(seed), "ours": 0.4 + gain} for seed, gain in enumerate(ahead)]
    rows += [{"recipe": "birdcnn_kernel6", "seed": str(seed), "ours": 0.4} for seed in range(len(ahead))]
    rows += [{"recipe": "birdcnn_base", "seed": "all", "ours": 0.0}]
    write_table(tmp_path / "birdcnn.csv", pd.DataFrame(rows).assign(**shared))
    [said] = order_sentences(tmp_path / "birdcnn.csv", birdcnn.ORDER)
    assert said.startswith(f"birdcnn_base above birdcnn_kernel6: {sentence}")
    rows = [rows[0], rows[-2]]  # of other seeds
    write_table(tmp_path / "birdcnn.csv", pd.DataFrame(rows).assign(**shared))
    [said] = order_sentences(tmp_path / "birdcnn.csv", birdcnn.ORDER)
    assert said == "birdcnn_base above birdcnn_kernel6: undecided; no seed of both"


@pytest.mark.parametrize(
    ("wrong_images", "sentence"),
    [((0, 0, 1), "holds; 0.2"), ((0, 3, 6), "undecided; 0.1"), ((9, 9, 10), "does not hold; 0.2")],
)
def test_an_order_of_runs_holds_over_seeds_and_images(wrong_images, sentence, tmp_path):
    """20 images, of which kernel6 errs on the first 5 with each seed, and base on those that are given."""
    runs, rows = [], []
    for name, errors in (("birdcnn_base", wrong_images), ("birdcnn_kernel6", (5, 5, 5))):
        for seed, wrong in enumerate(errors):
            predictions = pd.DataFrame({"image_id": [f"{i}.jpg" for i in range(20)], "split": "validation"})
            predictions = predictions.assign(
                true_class="crab", predicted_class=["eel"] * wrong + ["crab"] * (20 - wrong)
            )
            sure = (predictions["predicted_class"] == "crab").astype(float)
            folder = tmp_path / f"{name}-{seed}"
            folder.mkdir()
            write_table(folder / "predictions.csv", predictions.assign(p_crab=sure, p_eel=1 - sure))
            write_json(folder / "recipe.json", {"name": name, "data": {}, "training": {"seed": seed}})
            run = SimpleNamespace(folder=folder, fold="", catalog=predictions.assign(group=""), path=folder.joinpath)
            run.read, run.class_names = (lambda file, folder=folder: read_json(folder / file)), ("crab", "eel")
            runs.append(run)
            rows.append({"recipe": name, "seed": str(seed), "ours": 1 - wrong / 20})
    write_table(tmp_path / "birdcnn.csv", pd.DataFrame(rows).assign(split="validation", metric="accuracy"))
    [said] = order_sentences(tmp_path / "birdcnn.csv", birdcnn.ORDER, runs)
    assert said.startswith(f"birdcnn_base above birdcnn_kernel6: {sentence}") and "over the same 20 images" in said


def test_a_results_file_names_no_folder_of_the_machine_it_was_made_on():
    typed = "python run.py recipes reproduce birds --output-dir '/my disk/x' --seeds 3 --results-dir y"
    assert without_output_folders(typed) == "python run.py recipes reproduce birds --seeds 3"
