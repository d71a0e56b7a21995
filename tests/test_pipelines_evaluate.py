"""`evaluate`, `compare`, `report` and `runs`: their output, and what they refuse."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from conftest import draw_tank, make_demonstration, refused, shown

import marinecv as mcv
from marinecv.evaluation.compare import compare_runs
from marinecv.evaluation.predictions import read_predictions, write_predictions
from marinecv.experiments import Experiment
from marinecv.runs import Run
from pipelines.cli import main


def test_evaluate_takes_other_images_of_the_same_classes(finished_run, tmp_path, capsys):
    other = draw_tank(tmp_path / "other")
    assert "on train" in (said := shown(capsys, "evaluate", finished_run, "--data-dir", other, "--split", "train"))
    assert "n=6" in said
    assert "n=2" in shown(capsys, "evaluate", finished_run, "--data-dir", other, "--limit", "2")
    table = other / "valid" / "_annotations.csv"
    table.write_text(table.read_text().replace(",crab,", ",squid,"))
    assert "does not know, the first: 'squid'" in refused(capsys, "evaluate", finished_run, "--data-dir", other)


def test_evaluate_says_which_images_are_gone(finished_run, tmp_path, capsys):
    tank = draw_tank(tmp_path / "tank")
    next((tank / "valid").glob("crab*")).write_text("no picture")
    assert "valid/crab_valid_0.jpg" in (said := shown(capsys, "evaluate", finished_run, "--data-dir", tank))
    assert "n=2" in said
    run = shutil.copytree(finished_run, tmp_path / "run")
    catalog = (run / "catalog.csv").read_text().replace("/tank/", "/tank/nowhere/")
    (run / "catalog.csv").write_text(catalog)
    assert main(["evaluate", str(run)]) == 1
    printed = capsys.readouterr()
    assert "3 of 3 images left out; the first, valid/" in printed.out
    assert "error: None of these images can be read. If they have moved" in printed.err


def with_seed(folder, copy, seed, **changes):
    """A copy of a run as if it had been trained with another seed."""
    copy = shutil.copytree(folder, copy)
    recipe = json.loads((copy / "recipe.json").read_text())
    recipe["training"]["seed"] = seed
    (copy / "recipe.json").write_text(json.dumps(recipe | changes))
    return copy


def test_a_row_holds_what_compare_runs_says_and_nothing_is_printed(finished_run, tmp_path, capsys):
    other = with_seed(finished_run, tmp_path / "other", 0, name="other")
    table = mcv.read_predictions(other / "predictions.csv")
    table["predicted_class"] = np.roll(table["predicted_class"], 1)
    scores = [column for column in table if column.startswith("p_")]
    table[scores] = np.roll(table[scores], 1, axis=0)
    write_predictions(table, other / "predictions.csv")
    comparison = mcv.compare(mcv.Run(finished_run), str(other), split="test")
    assert capsys.readouterr() == ("", "")
    [row] = comparison.table.to_dict("records")
    oracle = compare_runs(mcv.read_predictions(finished_run / "predictions.csv"), table, "test")
    names = ("accuracy_a", "accuracy_b", "difference", "low", "high", "n", "p")
    assert [row[name] for name in names] == [oracle[name] for name in names]
    assert (row["run_a"], row["run_b"], row["seeds"]) == (str(finished_run), str(other), 1)
    assert main(["compare", str(finished_run), str(other), "--split", "test"]) == 0
    assert capsys.readouterr().out == "\n".join(comparison.sentences) + "\n" == f"{comparison}\n"


def with_two_cameras(folder):
    """Give the images of a run two groups."""
    table = pd.read_csv(folder / "catalog.csv", keep_default_na=False)
    cameras = ["left" if "crab" in name else "right" for name in table["image_id"]]
    table.assign(group=cameras).to_csv(folder / "catalog.csv", index=False)


def test_compare_resamples_the_groups_of_the_catalogs(finished_run, run_copy, tmp_path, capsys):
    other = shutil.copytree(finished_run, tmp_path / "other")
    for folder in (run_copy, other):
        with_two_cameras(folder)
    said = shown(capsys, "compare", run_copy, other)
    assert "all 3 images come from 2 groups of related images: no interval" in said and "95%" not in said
    said = shown(capsys, "compare", run_copy, finished_run)  # whose catalog has no groups
    accuracy = Run(finished_run).metrics["validation"]["accuracy"]["value"]
    assert "over 2 groups" not in said and f"accuracy {accuracy:.3f} and {accuracy:.3f} (n=3), difference 0.000" in said
    experiment = tmp_path / "experiment"
    cells = [shutil.copytree(finished_run, experiment / name).name for name in ("a", "b")]
    Experiment.create(experiment, "s", "s", cells)
    assert shown(capsys, "compare", experiment, run_copy).count("against") == 3


@pytest.mark.slow
def test_of_two_cameras_no_page_line_or_file_has_an_interval(run_copy, tmp_path, capsys):
    """But the table of the page, which names it."""
    with_two_cameras(run_copy)
    (run_copy / "related.csv").write_text("image_id,split,related_image,kind,similarity\n")
    (run_copy / "metrics.json").unlink()
    no_interval = "from 2 groups of related images: no interval"
    said = shown(capsys, "pretrain", "--resume", run_copy)
    assert said.count(f"({no_interval}, n=3)") == 2 and "95%" not in said
    for split in ("validation", "test"):
        figure = Run(run_copy).metrics[split]["accuracy"]
        assert figure["low"] is figure["high"] is None and figure["by_image"]["low"] < figure["by_image"]["high"]
    leakage = pd.read_csv(run_copy / "leakage.csv")
    assert leakage[["low", "high"]].isna().all(axis=None) and leakage["value"].notna().all()
    page = (run_copy / "report.html").read_text(encoding="utf-8")
    lead = page.partition('<p class="lead">')[2].partition("</p>")[0]
    assert f"({no_interval})" in lead and "%" in lead and "95%" not in lead
    assert 'title="by image, assumes independent images">by image: 0.' in page.partition('id="figures"')[2]
    said = shown(capsys, "evaluate", run_copy, "--split", "test", "--output-dir", tmp_path / "again")
    assert no_interval in said and "95%" not in said and "NaN" not in said
    said = shown(capsys, "export", run_copy, "--format", "savedmodel")
    assert "fewer than six groups of related images: no interval" in said and "(0." not in said
    parity = json.loads((run_copy / "exports" / "savedmodel" / "parity.json").read_text())
    for of in (parity["accuracy"], parity["agreement"], parity["original"]["accuracy"]):
        assert of["low"] is of["high"] is None and of["n"] == 3
    said = shown(capsys, "latent", run_copy, "--split", "train", "validation", "--clusters", "2")
    assert " to " not in said and "accuracy" not in said


def test_compare_takes_seeds_of_one_recipe_together(finished_run, tmp_path, capsys):
    folders = [with_seed(finished_run, tmp_path / f"a{seed}", seed, name="a") for seed in range(3)]
    said = shown(capsys, "compare", *folders)
    assert said.startswith("a on validation: mean ") and "over 3 seeds (n=3, the same images)" in said
    assert "against" not in said
    folders += [with_seed(finished_run, tmp_path / f"b{seed}", seed, name="b") for seed in range(3)]
    said = shown(capsys, "compare", *folders)
    assert said.count("over 3 seeds") == 2 and said.count("against") == 1
    assert "a\n  against b on validation: 0.000 apart on average" in said and "in 0 of 3 seeds" in said
    Experiment.create(tmp_path, "s", "s", [folder.name for folder in folders])
    [row] = mcv.compare(Experiment(tmp_path)).table.to_dict("records")
    assert (row["run_a"], row["run_b"], row["difference"], row["n"], row["seeds"]) == ("a", "b", 0, 3, 3)
    assert np.isnan(row["p"])
    single = with_seed(finished_run, tmp_path / "c", 7, name="c")
    said = shown(capsys, "compare", *folders[:2], single)
    assert said.count("against") == 2 and f"{folders[1]}\n  against {single}" in said


@pytest.fixture
def fold_studies(finished_run, tmp_path):
    """Two experiments of three folds each, as if trained: the same images, and of each fold another one in
    validation."""
    experiments = []
    for name in ("a", "b"):
        experiment = tmp_path / name
        for place in range(3):
            data = Run(finished_run).read("recipe.json")["data"] | {"fold": f"{place + 1}/3"}
            fold = with_seed(finished_run, experiment / f"fold{place + 1}", 0, name=name, data=data)
            table = pd.read_csv(fold / "predictions.csv", keep_default_na=False)
            table = table[table["split"] == "train"].assign(split="train")
            table.loc[table.index[place::3], "split"] = "validation"
            table.to_csv(fold / "predictions.csv", index=False)
        Experiment.create(experiment, name, name, [f"fold{place}" for place in (1, 2, 3)])
        experiments.append(experiment)
    return experiments


def test_compare_takes_the_folds_of_a_study_together(fold_studies, capsys):
    first, second = fold_studies
    said = shown(capsys, "compare", first, second)
    images = (read_predictions(first / "fold1" / "predictions.csv")["split"] != "test").sum()
    assert said.count("against") == 1 and f"a difference of 0 of {images} images; not distinguishable" in said
    assert f"{first / 'fold1'} and 2 more folds\n  against {second / 'fold1'} and 2 more folds on validation" in said
    assert "These are 3 folds of one recipe and one seed" in refused(capsys, "compare", first)
    assert "Leave out --split train" in refused(capsys, "compare", first, second, "--split", "train")


def test_compare_refuses_what_cannot_be_compared_and_only_then_counts_a_test_evaluation(
    finished_run, run_copy, tmp_path, capsys
):
    assert "Received: 1" in refused(capsys, "compare", finished_run, finished_run)
    before = (run_copy / "log.txt").read_text()
    other = shutil.copytree(run_copy, tmp_path / "other")
    table = (other / "predictions.csv").read_text()
    (other / "predictions.csv").write_text(table.replace("test/crab", "test/unknown"))
    error = refused(capsys, "compare", run_copy, other, "--split", "test")
    assert (
        f"{run_copy} and {other}: " in error
        and "differ in 2 images of split 'test'" in error
        and "--split-by RUN/split.csv" in error
    )
    assert (run_copy / "log.txt").read_text() == before
    (other / "predictions.csv").write_text(table)
    shown(capsys, "compare", run_copy, other, "--split", "test")
    shown(capsys, "evaluate", run_copy, "--split", "test")
    assert (run_copy / "log.txt").read_text().count("test evaluation") == before.count("test evaluation") + 2
    (other / "metrics.json").unlink()
    assert f"Go on with --resume {other}" in refused(capsys, "compare", finished_run, other)
    make_demonstration(run_copy)
    assert "generated images cannot be compared" in refused(capsys, "compare", finished_run, run_copy)


def test_evaluate_and_report_refuse_what_is_not_finished_and_report_writes_the_page_again(
    run_copy, shared_tank, tmp_path, capsys
):
    assert "never overwritten" in refused(capsys, "evaluate", run_copy, "--output-dir", run_copy)
    shutil.rmtree(run_copy / "figures")
    assert shown(capsys, "report", run_copy).strip() == str(run_copy / "report.html")
    assert (run_copy / "figures" / "curves.png").is_file()
    (run_copy / "model.keras").unlink()
    assert "has no model.keras" in refused(capsys, "evaluate", run_copy)
    for name in ("metrics.json", "predictions.csv"):
        (run_copy / name).unlink()
    assert "has no predictions.csv" in refused(capsys, "report", run_copy)
    Experiment.create(tmp_path, "s", "s", ["copy"])
    assert f"Go on with --resume {tmp_path}" in refused(capsys, "report", tmp_path)
    make_demonstration(run_copy)
    assert "Train on real images" in refused(capsys, "evaluate", run_copy, "--data-dir", shared_tank)


def test_runs_lists_runs_with_their_score(finished_run, tmp_path, monkeypatch, capsys):
    accuracy = Run(finished_run).read("metrics.json")["validation"]["accuracy"]["value"]
    assert f"{finished_run}  validation accuracy {accuracy:.3f} (n=3)" in shown(capsys, "runs", finished_run.parent)
    monkeypatch.chdir(tmp_path)
    assert "no run below runs" in shown(capsys, "runs")
