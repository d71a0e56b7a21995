"""Calibration by every training of a classifier, and its use by `predict` and the page."""

import json
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import COLORS, draw_image, killed
from PIL import Image
from scipy.special import softmax

import marinecv as mcv
from marinecv.data.splits.calibration import calibration_mask
from marinecv.data.user_tables import usable
from marinecv.evaluation.calibration import calibrated, temperature_sentence
from marinecv.evaluation.conformal import coverage_range, prediction_sets
from marinecv.evaluation.predictions import read_predictions
from marinecv.export.parity import calibration_of
from marinecv.features import inference_engine
from marinecv.features.out_of_distribution import fit_distance
from marinecv.files.hashes import sha256
from marinecv.inputs.pixel_cache import read_pixels
from marinecv.recipes.aquarium import BEST
from marinecv.report.run_page import write_run_report
from marinecv.runs import Run
from marinecv.training.fit import load_run
from marinecv.training.recipe import Recipe
from marinecv.workflows import calibrate, predict, train_runs
from marinecv.workflows import prepare as plan
from pipelines.cli import main

COUNTS = {"train": 8, "valid": 20, "test": 1}
REVIEW = ["prediction_set", "doubt", "review"]


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Three classes in folders, twenty validation images of each."""
    root = tmp_path_factory.mktemp("photos")
    for part, (split, count) in enumerate(COUNTS.items()):
        for place, name in enumerate(COLORS):
            (root / split / name).mkdir(parents=True)
            for number in range(count):
                seed = 1000 * part + 100 * place + number
                draw_image(name, seed).save(root / split / name / f"{split}_{number}.jpg", quality=95)
    return root


@pytest.fixture(scope="module")
def sure_run(photos, tmp_path_factory):
    """A CNN trained until it is right, with a third of validation held out. Only to be read."""
    folder = tmp_path_factory.mktemp("sure") / "run"
    words = ["--epochs", "12", "--batch-size", "8", "--image-size", "32", "--output-dir", str(folder)]
    assert main(["pretrain", "--data-dir", str(photos), *words]) == 0
    return folder


@pytest.fixture
def copy(sure_run, tmp_path):
    return Run(shutil.copytree(sure_run, tmp_path / "copy"))


@pytest.fixture
def mixed(tmp_path):
    """Two images of trained classes, one of noise, and one file that is no image."""
    folder = tmp_path / "mixed"
    folder.mkdir()
    draw_image("crab", 501).save(folder / "crab.png")
    draw_image("eel", 502).save(folder / "eel.png")
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3)).astype(np.uint8)
    Image.fromarray(noise).save(folder / "noise.png")
    (folder / "text.jpg").write_text("no picture")
    return folder


def predicted(run, folder, out, *words):
    assert main(["predict", str(run.folder), str(folder), "--output", str(out), *words]) == 0
    return pd.read_csv(out, keep_default_na=False).set_index("path")


def calibrated_again(run, recipe=None, rows=None, pixels=None, table=None):
    """The end of a training once more, with other arguments."""
    recipe = Recipe.of(run) if recipe is None else recipe
    rows = usable(run.catalog) if rows is None else rows
    pixels = load_run(run, recipe) if pixels is None else pixels
    table = read_predictions(run.path("predictions.csv")) if table is None else table
    calibrate.calibrate(run, recipe, run.load_model(), rows, pixels, table, print)
    return run.calibration


def change(run, **entries):
    """Change entries of the calibration, those of a part by `part__name`."""
    found = run.read("calibration.json")
    for name, value in entries.items():
        *part, last = name.split("__")
        (found[part[0]] if part else found)[last] = value
    run.path("calibration.json").write_text(json.dumps(found))


@pytest.mark.slow
def test_a_training_calibrates_on_held_out_images_and_names_the_model_it_is_of(sure_run):
    run = Run(sure_run)
    found = run.calibration
    assert Recipe.of(run).training.calibration == pytest.approx(1 / 3) and found.unseen
    assert (found.n_chosen, found.n_calibration, found.review.n, found.sets.n) == (40, 20, 20, 20)
    assert run.metrics["validation"]["n"] == 60  # all of validation is scored
    hashes = [sha256(run.path(name)) for name in ("preprocessing.json", "model.keras", "embeddings.npz")]
    assert hashes == [found.preprocessing_sha256, found.model_sha256, found.embeddings_sha256]
    assert found.ece.after <= 1 and found.sets.coverage == 0.9
    assert (found.sets.low, found.sets.high) == coverage_range(20) and found.sets.meaning.startswith("marginal")
    temperature = {"temperature": found.temperature, "calibration_sha256": sha256(run.path("calibration.json"))}
    assert calibration_of(run) == temperature


@pytest.mark.slow
def test_console_page_and_predict_say_whether_the_temperature_is_used(copy, mixed, tmp_path, capsys):
    """Of a calibrated network and of an overconfident one."""
    table, model = read_predictions(copy.path("predictions.csv")), copy.load_model()
    names = [f"p_{name}" for name in copy.class_names]
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(len(table), 3))
    true = (rng.random((len(table), 1)) > softmax(logits, axis=1).cumsum(axis=1)).sum(axis=1)
    table["true_class"] = np.array(copy.class_names)[true.clip(max=2)]
    table["predicted_class"] = np.array(copy.class_names)[logits.argmax(axis=1)]
    for factor, said in ((1, "left as they are (ECE 0."), (6, "lowers cross-validated log loss from ")):
        table[names] = softmax(factor * logits, axis=1)
        capsys.readouterr()
        found = calibrated_again(copy, table=table)
        sentence = capsys.readouterr().out.strip()
        assert said in sentence == temperature_sentence(found) and (found.temperature == 1) == (factor == 1)
        assert sentence in write_run_report(copy.folder).read_text(encoding="utf-8")
        rows = predicted(copy, mixed, tmp_path / f"{factor}.csv")
        assert sentence in capsys.readouterr().out
        pixels, _ = read_pixels([str(mixed / "crab.png")], copy.spec)
        expected = calibrated(model.predict(pixels.astype(np.float32), verbose=0), found.temperature)
        np.testing.assert_allclose(rows[rows["problem"] == ""][names].astype(float).iloc[:1], expected, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("room", [calibrate, train_runs], ids=["before calibration.json", "before metrics.json"])
def test_killed_at_any_instant_a_run_is_unfinished_and_goes_on_to_the_same_calibration(
    copy, room, monkeypatch, no_pages
):
    expected = [copy.path(name).read_bytes() for name in ("calibration.json", "embeddings.npz")]
    for name in ("calibration.json", "metrics.json", "embeddings.npz"):
        copy.path(name).unlink()
    monkeypatch.setattr(train_runs, "fit_recipe", lambda *args, **options: pytest.fail("trained again"))
    with monkeypatch.context() as patch:
        patch.setattr(room, "write_json", killed)
        assert main(["pretrain", "--resume", str(copy.folder)]) == 130
    assert not copy.finished and copy.path("calibration.json").is_file() == (room is train_runs)
    assert main(["pretrain", "--resume", str(copy.folder)]) == 0
    assert copy.finished
    assert [copy.path(name).read_bytes() for name in ("calibration.json", "embeddings.npz")] == expected


def test_images_that_early_stopping_used_give_no_sets(copy, capsys):
    found = calibrated_again(copy, Recipe.of(copy).with_training(calibration=0.0))
    assert not found.unseen and found.sets is None and "the training stopped by" in found.no_sets
    assert (found.n_chosen, found.n_calibration) == (40, 20)
    page = write_run_report(copy.folder).read_text(encoding="utf-8")
    assert "None are stated: the training stopped by" in page
    assert predict.calibration_of(copy, print) == found
    said = capsys.readouterr().out
    assert "which also chose the model" in said and "prediction_set" not in said


@pytest.mark.parametrize(
    ("temperature", "after", "said"),
    [(1.5, 0.3, "overconfident"), (0.5, 0.3, "underconfident"), (1.05, 0.3, "calibrated"), (1.5, 0.5, "calibrated")],
)
def test_the_page_calls_a_network_overconfident_only_where_the_temperature_helps(copy, temperature, after, said):
    losses = copy.read("calibration.json")["log_loss"]
    losses["before"]["value"], losses["after"]["value"] = 0.4, after
    change(copy, temperature=temperature, log_loss=losses)
    page = write_run_report(copy.folder).read_text(encoding="utf-8")
    assert f"is {said}; the temperature is {temperature:.2f}." in page


def test_the_out_of_distribution_distance_is_not_chosen_on_the_images_it_is_measured_on(copy):
    rows, recipe, before = usable(copy.catalog), Recipe.of(copy), copy.calibration.review
    pixels = load_run(copy, recipe)
    mask = calibration_mask(rows, recipe.training.calibration, recipe.training.seed).to_numpy()
    after = calibrated_again(copy, pixels=np.where(mask[:, None, None, None], 255 - pixels, pixels)).review
    assert after.distance == before.distance and after.reviewed > before.reviewed


def test_few_or_related_calibration_images_give_no_or_approximate_sets(copy):
    found = calibrated_again(copy, Recipe.of(copy).with_training(calibration=0.2))
    assert found.sets is None and found.no_sets.startswith("12 images are held out") and "20" in found.no_sets
    assert found.temperature > 0 and not found.reason
    catalog = copy.catalog
    grouped = usable(catalog.assign(group=catalog["class_name"] + (catalog.index % 8).astype(str)))
    found = calibrated_again(copy, Recipe.of(copy).with_training(calibration=0.5), grouped)
    assert "approximate" in found.sets.meaning


def test_of_a_handful_of_images_nothing_is_calibrated(finished_run, mixed, tmp_path, capsys):
    run = Run(finished_run)
    found = run.calibration
    assert found.temperature == 1 and "(1, expected 10 at least)" in found.reason and found.sets is None
    assert not run.path("embeddings.npz").exists()
    assert "(1, expected 10 at least)" in run.path("report.html").read_text()
    rows = predicted(run, mixed, tmp_path / "out.csv", "--review")
    said = capsys.readouterr().out
    assert "(1, expected 10 at least)" in said and "The column review is empty" in said
    assert list(rows)[-3:] == ["doubt", "review", "problem"] and (rows[["doubt", "review"]] == "").all(axis=None)
    assert (rows["predicted_class"] != "").sum() == 3
    none = tmp_path / "none"
    none.mkdir()
    (none / "text.jpg").write_text("no picture")
    words = ["predict", str(finished_run), str(none), "--review", "--output", str(tmp_path / "none.csv")]
    assert main(words) == 1 and (tmp_path / "none.csv").is_file()


def test_predict_calibrates_states_sets_and_with_review_flags_images(sure_run, mixed, tmp_path, capsys):
    run = Run(sure_run)
    rows = predicted(run, mixed, tmp_path / "out.csv")
    said = capsys.readouterr().out
    assert said.count(temperature_sentence(run.calibration)) == 1 and "with 20 held out it may be 75% to 99%" in said
    pixels, _ = read_pixels([str(mixed / name) for name in ("crab.png", "eel.png", "noise.png")], run.spec)
    raw = run.load_model().predict(pixels.astype(np.float32), verbose=0)
    expected = calibrated(raw, run.calibration.temperature)
    good = rows[rows["problem"] == ""]
    np.testing.assert_allclose(good[["p_crab", "p_eel", "p_ray"]].astype(float), expected, atol=1e-5)
    inside = prediction_sets(expected, run.calibration.sets.threshold)
    assert good["prediction_set"].tolist() == ["|".join(np.array(run.class_names)[row]) for row in inside]
    assert (rows.loc[rows["problem"] != "", ["prediction_set", "probability"]] == "").all(axis=None)
    assert "doubt" not in rows and list(rows)[-1] == "problem" and "check these" not in said
    rows = predicted(run, mixed, tmp_path / "review.csv", "--review")
    good = rows[rows["problem"] == ""].set_axis(["crab", "eel", "noise"])
    assert list(rows)[-4:] == [*REVIEW, "problem"] and good["review"].tolist()[:2] == ["", ""]
    assert good["review"]["noise"] == "unlike the training images" and float(good["doubt"]["noise"]) == 1
    assert float(good["doubt"]["crab"]) == pytest.approx(1 - float(good["probability"]["crab"]), abs=2e-6)
    assert (rows.loc[rows["problem"] != "", REVIEW] == "").all(axis=None)
    assert "check these 1 of 3" in capsys.readouterr().out


def test_a_review_without_threshold_flags_all_and_without_distance_goes_by_probability(copy, mixed, tmp_path, capsys):
    change(copy, review__probability=None)
    rows = predicted(copy, mixed, tmp_path / "all.csv", "--review")
    assert rows["review"].tolist() == ["doubtful", "doubtful", "unlike the training images", ""]
    assert "check all 3: on the 40 images" in capsys.readouterr().out
    change(copy, review__probability=1.0, review__distance=None)
    copy.path("embeddings.npz").unlink()
    rows = predicted(copy, mixed, tmp_path / "out.csv", "--review")
    assert set(rows["review"]) <= {"doubtful", ""} and "doubtful" in set(rows["review"])


def test_an_image_unlike_training_is_unknown_and_few_known_ones_are(copy, mixed, tmp_path, capsys):
    held_out = copy.calibration.held_out
    assert len(held_out.confidence) == len(held_out.distance) == 20
    rows = predicted(copy, mixed, tmp_path / "out.csv", "--unknown", "10%")
    assert rows["predicted_class"].tolist() == ["crab", "eel", "unknown", ""]
    assert "1 of 3 are unknown, at most 10.0% of known images like the 20 calibration" in capsys.readouterr().out
    known = copy.catalog.query("split == 'validation'")["path"].tolist()
    table = mcv.predict(copy, known, unknown=0.1, log=None)
    assert 0 < (table["predicted_class"] == "unknown").mean() <= 0.2
    change(copy, held_out__distance=None)
    copy.path("embeddings.npz").unlink()
    assert "unknown" in {*mcv.predict(copy, known, unknown=0.1, log=None)["predicted_class"]}
    preprocessing = copy.path("preprocessing.json")
    preprocessing.write_text(preprocessing.read_text().replace('"crab"', '"unknown"'))
    change(copy, preprocessing_sha256=sha256(preprocessing))
    with pytest.raises(ValueError, match='has a class "unknown" of its own'):
        mcv.predict(copy, mixed, unknown=0.1, log=None)


def test_another_calibration_or_question_starts_the_predictions_again(copy, mixed):
    files = sorted(mixed.iterdir())
    keys = {predict.key_of(copy, files, *asked) for asked in ((False, None), (True, None), (False, "flip"))}
    copy.path("calibration.json").write_text(copy.path("calibration.json").read_text() + "\n")
    assert len(keys | {predict.key_of(copy, files, False, None)}) == 4


def test_litert_predicts_and_reviews_as_tensorflow_does(sure_run, mixed, monkeypatch):
    pytest.importorskip("ai_edge_litert")
    whole, converted = inference_engine._in_litert, []
    monkeypatch.setattr(inference_engine, "_in_litert", lambda *args: converted.append(args) or whole(*args))
    options = {"review": True, "tta": "flip", "log": None}
    expected = mcv.predict(sure_run, mixed, **options)
    monkeypatch.setattr(inference_engine, "MIN_VIEWS_FOR_LITERT", 1)
    assert not converted
    found = mcv.predict(sure_run, mixed, **options)
    assert len(converted) == 1
    pd.testing.assert_frame_equal(found, expected, rtol=0, atol=1.1e-5)


def test_tta_flip_is_the_mean_of_the_calibrated_probabilities_of_an_image_and_its_mirror_image(sure_run, mixed, capsys):
    run, names = Run(sure_run), ["crab.png", "eel.png", "noise.png"]
    rows = mcv.predict(run, [mixed / name for name in names], tta="flip").iloc[:, 3:6]
    assert "mean of those of the image and its mirror image, after any calib" in capsys.readouterr().out
    pixels = read_pixels([str(mixed / name) for name in names], run.spec)[0].astype(np.float32)
    ways = [run.load_model().predict(each, verbose=0) for each in (pixels, pixels[:, :, ::-1])]
    expected = np.mean([calibrated(way, run.calibration.temperature) for way in ways], axis=0)
    np.testing.assert_allclose(rows, expected, atol=1e-5)


def test_a_run_without_calibration_predicts_and_can_be_calibrated(copy, mixed, tmp_path, capsys, no_pages):
    found = copy.path("calibration.json").read_bytes()
    copy.path("calibration.json").unlink()
    rows = predicted(copy, mixed, tmp_path / "raw.csv")
    assert "probabilities are not calibrated: " in capsys.readouterr().out and not set(REVIEW) & set(rows)
    rows = predicted(copy, mixed, tmp_path / "empty.csv", "--review")
    assert f"--resume {copy.folder}" in capsys.readouterr().out and (rows[["doubt", "review"]] == "").all(axis=None)
    copy.path("metrics.json").unlink()
    assert main(["pretrain", "--resume", str(copy.folder)]) == 0
    assert copy.path("calibration.json").read_bytes() == found


@pytest.mark.parametrize("name", ["preprocessing.json", "model.keras"])
def test_a_calibration_of_another_model_or_contract_is_refused(copy, name, mixed, capsys):
    with open(copy.path(name), "ab") as file:
        file.write(b"\n")
    with pytest.raises(ValueError, match=f"another {name} .*Delete metrics.json"):
        _ = copy.calibration
    assert main(["predict", str(copy.folder), str(mixed), "--output", str(mixed / "out.csv")]) == 1


def test_embeddings_of_another_training_are_refused(copy, mixed, tmp_path, capsys):
    np.savez(copy.path("embeddings.npz"), **fit_distance(np.eye(4, 9), list("abab")))
    words = ["predict", str(copy.folder), str(mixed), "--output", str(tmp_path / "out.csv")]
    assert main([*words, "--review"]) == 1
    assert "embeddings.npz is another file" in capsys.readouterr().err
    assert main(words) == 0  # without --review it is not needed


@pytest.mark.parametrize(
    ("way", "value", "said"),
    [
        ("temperature", 0, "'temperature' of .* is 0"),
        ("temperature", None, "'temperature' of .* is None"),
        ("ece", None, "'ece' is missing"),
        ("log_loss", {"before": {}, "after": {}}, "'log_loss.before' of .*required field"),
        ("reliability__before", [], "'reliability.before' of .*length >= 1"),
        ("review__curve", [{"fraction": "x"}], "'review.curve.0.fraction' of .* is 'x'"),
        ("review__unflagged", {}, "'review.unflagged' of .*required field"),
        ("sets__threshold", "x", "'sets.threshold' of .* is 'x'"),
        ("unseen", 1, "'unseen' of .* is 1"),
    ],
)
def test_a_broken_calibration_is_named_and_gives_no_page(copy, way, value, said):
    change(copy, **{way: value})
    with pytest.raises(ValueError, match=f"{said}.*Delete metrics.json"):
        _ = copy.calibration
    with pytest.raises(ValueError, match=said):
        write_run_report(copy.folder)


def test_the_page_has_a_section_on_calibration_unless_the_model_is_gone(sure_run, copy):
    page = (sure_run / "report.html").read_text(encoding="utf-8")
    assert "fitted on 40 calibration images" in page and "With 20 held out it may be 75% to 99%." in page
    assert (sure_run / "figures" / "reliability.png").is_file() and (sure_run / "figures" / "triage.png").is_file()
    change(copy, review__unflagged=None, sets=None)
    assert copy.calibration.review.unflagged is copy.calibration.sets is None
    assert "in 15 bins" in write_run_report(copy.folder).read_text(encoding="utf-8")
    copy.path("model.keras").unlink()
    page = write_run_report(copy.folder).read_text(encoding="utf-8")
    assert "in 15 bins" not in page and '<h2 id="errors">' in page


@pytest.mark.parametrize(
    ("name", "validation", "asked", "share"),
    [("aquarium", 127, None, 0), ("tank", 59, None, 0), ("tank", 60, None, 1 / 3), ("tank", 60, 0.0, 0)]
    + [("aquarium", 127, 0.5, 0.5)],
)
def test_with_other_data_and_many_images_a_third_of_validation_is_held_out(name, validation, asked, share):
    changes = {} if asked is None else {"training.calibration": asked}
    recipe = plan.adapted_recipe(BEST, replace(BEST.data, name=name, split_by="published"), changes, validation)
    assert recipe.training.calibration == share
    assert bool(recipe.published) == (name == "aquarium" and share == 0)


def test_nothing_that_travels_with_a_model_names_a_path_or_an_image(sure_run):
    run = Run(sure_run)
    names = {name.encode() for path in run.catalog["path"] for name in (path, Path(path).name, str(Path(path).parent))}
    files = [run.path(name) for name in ("model.keras", "preprocessing.json", "calibration.json", "embeddings.npz")]
    travels = [path.read_bytes() for path in files]
    with zipfile.ZipFile(run.path("model.keras")) as model:
        travels += [model.read(part) for part in model.namelist()]
    with np.load(run.path("embeddings.npz")) as embeddings:
        assert len(embeddings["means"]) == len(run.class_names)  # of classes, not of images
        travels += [embeddings[name].tobytes() for name in embeddings.files]
    assert names and not [name for name in names for content in travels if name in content]
