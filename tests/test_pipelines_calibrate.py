"""What every training of a classifier says of its own probabilities, and what `predict` and the page make of it."""

import json
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import COLOURS, draw_image
from PIL import Image
from scipy.special import softmax

from marinecv.data.held import calibration_rows
from marinecv.data.user_tables import usable
from marinecv.evaluation.calibration import calibrated, temperature_sentence
from marinecv.evaluation.conformal import coverage_range, prediction_sets
from marinecv.evaluation.predictions import read_predictions
from marinecv.export.certificate import calibration_of
from marinecv.features.distance import fit_distance
from marinecv.hashes import sha256
from marinecv.inputs.pixels import read_pixels
from marinecv.recipes.aquarium import BEST
from marinecv.report.page import write_run_report
from marinecv.runs import Run
from marinecv.training.fit import load_run
from marinecv.training.recipe import Recipe
from marinecv.workflows import calibrate, predict, train_runs
from marinecv.workflows import prepare as plan
from pipelines.cli import main

COUNTS = {"train": 8, "valid": 20, "test": 1}
TOLD = "prediction_set", "doubt", "review"


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Three classes in folders, twenty validation images of each."""
    root = tmp_path_factory.mktemp("photos")
    for part, (split, count) in enumerate(COUNTS.items()):
        for place, name in enumerate(COLOURS):
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
    """Two images of the kinds that were learned, one of noise, and one file that is no picture."""
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


def calibrated_again(run, recipe):
    """The end of a training once more, with another recipe."""
    rows = usable(run.catalog)
    pixels, table = load_run(run, recipe), read_predictions(run.path("predictions.csv"))
    calibrate.calibrate(run, recipe, run.load_model(), rows, pixels, table, print)
    return run.calibration


def test_a_training_leaves_what_its_probabilities_mean_and_names_what_it_is_of(sure_run):
    run = Run(sure_run)
    found = run.calibration
    assert Recipe.of(run).training.calibration == pytest.approx(1 / 3) and found.unseen
    assert (found.n_chosen, found.n_held, found.review.n, found.sets.n) == (40, 20, 20, 20)
    assert found.contract_sha256 == sha256(run.path("contract.json"))
    assert found.model_sha256 == sha256(run.path("model.keras"))
    assert found.codes_sha256 == sha256(run.path("codes.npz"))
    assert found.ece.after <= 1 and found.sets.coverage == 0.9
    assert (found.sets.low, found.sets.high) == coverage_range(20)
    assert found.sets.meaning.startswith("marginal: over images like those of validation, not class by class")


def test_no_image_and_no_place_is_in_it(sure_run, photos):
    text = (sure_run / "calibration.json").read_text()
    assert not any(word in text for word in (".jpg", str(photos), "valid_"))
    assert b".jpg" not in (sure_run / "codes.npz").read_bytes()


def test_validation_is_scored_whole_all_the_same(sure_run):
    assert Run(sure_run).metrics["validation"]["n"] == 60


def test_the_console_the_page_and_predict_say_whether_the_temperature_is_used(copy, mixed, tmp_path, capsys):
    """Of a network that is as sure as it should be, and of one that is three times too sure."""
    recipe, rows, table = Recipe.of(copy), usable(copy.catalog), read_predictions(copy.path("predictions.csv"))
    pixels, model = load_run(copy, recipe), copy.load_model()
    names = [f"p_{name}" for name in copy.class_names]
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(len(table), 3))
    true = (rng.random((len(table), 1)) > softmax(logits, axis=1).cumsum(axis=1)).sum(axis=1)
    table["true_class"] = np.array(copy.class_names)[true.clip(max=2)]
    for factor, said in (
        (1, "probabilities are left as they are (ECE 0."),
        (6, "lowers cross-validated log loss from "),
    ):
        table[names] = softmax(factor * logits, axis=1)
        table["predicted_class"] = np.array(copy.class_names)[logits.argmax(axis=1)]
        capsys.readouterr()
        calibrate.calibrate(copy, recipe, model, rows, pixels, table, print)
        found, sentence = copy.calibration, capsys.readouterr().out.strip()
        assert said in sentence and sentence == temperature_sentence(found)
        assert (found.temperature == 1) == (factor == 1)
        assert sentence in write_run_report(copy.folder).read_text(encoding="utf-8")
        rows_of_predict = predicted(copy, mixed, tmp_path / f"{factor}.csv")
        assert sentence in capsys.readouterr().out
        seen, _ = read_pixels([str(mixed / "crab.png")], copy.spec)
        given = calibrated(model.predict(seen.astype(np.float32), verbose=0), found.temperature)
        good = rows_of_predict[rows_of_predict["problem"] == ""]
        np.testing.assert_allclose(good[names].astype(float).iloc[:1], given, atol=1e-5)


def test_the_same_training_gives_the_same_files(copy):
    before = {name: copy.path(name).read_bytes() for name in ("calibration.json", "codes.npz")}
    calibrated_again(copy, Recipe.of(copy))
    assert before == {name: copy.path(name).read_bytes() for name in before}


@pytest.mark.parametrize("room", [calibrate, train_runs], ids=["before calibration.json", "before metrics.json"])
def test_killed_at_any_instant_a_run_is_unfinished_and_goes_on_to_the_same_calibration(
    copy, room, monkeypatch, no_pages
):
    def killed(*args):
        raise KeyboardInterrupt

    expected = copy.path("calibration.json").read_bytes()
    for name in ("calibration.json", "metrics.json", "codes.npz"):
        copy.path(name).unlink()
    monkeypatch.setattr(train_runs, "fit_recipe", lambda *args, **options: pytest.fail("trained again"))
    with monkeypatch.context() as patch:
        patch.setattr(room, "write_json", killed)
        assert main(["pretrain", "--resume", str(copy.folder)]) == 130
    assert not copy.finished and copy.path("calibration.json").is_file() == (room is train_runs)
    assert main(["pretrain", "--resume", str(copy.folder)]) == 0
    assert copy.finished and copy.path("calibration.json").read_bytes() == expected


def test_where_nothing_was_held_out_it_says_that_the_training_stopped_by_all_of_it(copy, capsys):
    found = calibrated_again(copy, Recipe.of(copy).with_training(calibration=0.0))
    assert not found.unseen and found.sets is None and "the training stopped by" in found.no_sets
    assert (found.n_chosen, found.n_held) == (40, 20)
    page = write_run_report(copy.folder).read_text(encoding="utf-8")
    assert "The training stopped by these too" in page and "None are stated: the training stopped by" in page
    assert predict.calibration_of(copy, print) == found
    said = capsys.readouterr().out
    assert "20 other images of validation, by which the training stopped" in said and "prediction_set" not in said


@pytest.mark.parametrize(
    ("temperature", "after", "said"),
    [(1.5, 0.3, "overconfident"), (0.5, 0.3, "underconfident"), (1.05, 0.3, "calibrated"), (1.5, 0.5, "calibrated")],
)
def test_the_page_calls_a_network_too_sure_only_where_the_temperature_helps(copy, temperature, after, said):
    found = copy.read("calibration.json")
    for when, value in (("before", 0.4), ("after", after)):
        found["log_loss"][when]["value"] = value
    copy.path("calibration.json").write_text(json.dumps(found | {"temperature": temperature}))
    page = write_run_report(copy.folder).read_text(encoding="utf-8")
    assert f"The network by itself is {said}; the temperature is {temperature:.2f}." in page


def test_the_distance_from_which_an_image_is_unlike_is_not_of_the_images_it_is_checked_on(copy):
    rows, recipe = usable(copy.catalog), Recipe.of(copy)
    pixels, table = load_run(copy, recipe), read_predictions(copy.path("predictions.csv"))
    before = copy.calibration.review
    held = calibration_rows(rows, recipe.training.calibration, recipe.training.seed).to_numpy()
    strange = np.where(held[:, None, None, None], 255 - pixels, pixels)
    calibrate.calibrate(copy, recipe, copy.load_model(), rows, strange, table, print)
    after = copy.calibration.review
    assert after.distance == before.distance and after.looked_at > before.looked_at


def test_the_certificate_of_an_export_names_the_temperature(sure_run):
    run = Run(sure_run)
    expected = {
        "temperature": run.calibration.temperature,
        "calibration_sha256": sha256(run.path("calibration.json")),
    }
    assert calibration_of(run) == expected


def test_few_images_held_out_are_too_few_for_sets(copy):
    found = calibrated_again(copy, Recipe.of(copy).with_training(calibration=0.2))
    assert found.sets is None and found.no_sets == "12 images are held out, and a coverage is stated on 20 at least"
    assert found.temperature > 0 and not found.reason


def test_sets_of_images_in_groups_are_said_to_hold_but_roughly(copy):
    catalog = copy.catalog
    grouped = catalog.assign(group=catalog["class_name"] + (catalog.index % 8).astype(str))
    recipe = Recipe.of(copy).with_training(calibration=0.5)
    rows = usable(grouped)
    pixels, table = load_run(copy, recipe), read_predictions(copy.path("predictions.csv"))
    calibrate.calibrate(copy, recipe, copy.load_model(), rows, pixels, table, print)
    assert copy.calibration.sets.meaning.endswith("images of one group are alike, so it holds but roughly")


def test_of_a_handful_of_images_no_temperature_is_used(finished_run):
    run = Run(finished_run)
    found = run.calibration
    assert found.temperature == 1 and "(1, expected 10 at least)" in found.reason and found.sets is None
    assert not run.path("codes.npz").exists()
    assert "Too few validation images are held out (1, expected 10" in (finished_run / "report.html").read_text()


def test_predict_calibrates_and_states_sets(sure_run, mixed, tmp_path, capsys):
    run = Run(sure_run)
    rows = predicted(run, mixed, tmp_path / "out.csv")
    said = capsys.readouterr().out
    assert said.count(temperature_sentence(run.calibration)) == 1
    assert (
        "true class of about 90% of images or more; with 20 held out it may be 75% to 99% (marginal:" in said
        and "look at" not in said
    )
    pixels, _ = read_pixels([str(mixed / name) for name in ("crab.png", "eel.png", "noise.png")], run.spec)
    raw = run.load_model().predict(pixels.astype(np.float32), verbose=0)
    expected = calibrated(raw, run.calibration.temperature)
    good = rows[rows["problem"] == ""]
    np.testing.assert_allclose(good[["p_crab", "p_eel", "p_ray"]].astype(float), expected, atol=1e-5)
    inside = prediction_sets(expected, run.calibration.sets.threshold)
    names = np.array(run.class_names)
    assert good["prediction_set"].tolist() == ["|".join(names[row]) for row in inside]
    assert (rows.loc[rows["problem"] != "", ["prediction_set", "probability"]] == "").all(axis=None)
    assert "doubt" not in rows and list(rows)[-1] == "problem"


def test_predict_flags_what_to_look_at(sure_run, mixed, tmp_path, capsys):
    run = Run(sure_run)
    rows = predicted(run, mixed, tmp_path / "out.csv", "--review")
    good = rows[rows["problem"] == ""].set_axis(["crab", "eel", "noise"])
    assert list(rows)[-4:] == [*TOLD, "problem"]
    assert (
        good["review"].tolist() == ["", "", "unlike the training images"] and good["doubt"].astype(float)["noise"] == 1
    )
    assert good["doubt"].astype(float)["crab"] == pytest.approx(1 - float(good["probability"]["crab"]), abs=2e-6)
    assert (rows.loc[rows["problem"] != "", list(TOLD)] == "").all(axis=None)
    assert "look at these 1 of 3; of the rest at least 95% should be right (on " in capsys.readouterr().out


def test_predict_flags_all_where_no_threshold_is_good_enough(copy, mixed, tmp_path, capsys):
    found = copy.read("calibration.json")
    found["review"]["probability"] = None
    copy.path("calibration.json").write_text(json.dumps(found))
    rows = predicted(copy, mixed, tmp_path / "out.csv", "--review")
    assert rows["review"].tolist() == ["doubtful", "doubtful", "unlike the training images", ""]
    assert "look at all 3: on the 40 images" in capsys.readouterr().out


def test_a_review_without_distance_goes_by_probability_alone(copy, mixed, tmp_path):
    found = copy.read("calibration.json")
    found["review"] |= {"probability": 1.0, "distance": None}
    copy.path("calibration.json").write_text(json.dumps(found))
    copy.path("codes.npz").unlink()
    rows = predicted(copy, mixed, tmp_path / "out.csv", "--review")
    assert set(rows["review"]) <= {"doubtful", ""} and "doubtful" in set(rows["review"])


def test_another_question_begins_anew(copy, mixed):
    files = sorted(mixed.iterdir())
    plain, review = (predict.key_of(copy, files, asked) for asked in (False, True))
    copy.path("calibration.json").write_text(copy.path("calibration.json").read_text() + "\n")
    assert len({plain, review, predict.key_of(copy, files, False)}) == 3


def test_a_run_of_before_is_predicted_as_before_and_can_be_calibrated(copy, mixed, tmp_path, capsys, no_pages):
    found = copy.path("calibration.json").read_bytes()
    copy.path("calibration.json").unlink()
    rows = predicted(copy, mixed, tmp_path / "raw.csv")
    assert "probabilities are not calibrated: " in capsys.readouterr().out and not set(TOLD) & set(rows)
    rows = predicted(copy, mixed, tmp_path / "empty.csv", "--review")
    assert f"delete its metrics.json and go on with --resume {copy.folder}" in capsys.readouterr().out
    assert (rows[["doubt", "review"]] == "").all(axis=None)
    copy.path("metrics.json").unlink()
    assert main(["pretrain", "--resume", str(copy.folder)]) == 0
    assert copy.path("calibration.json").read_bytes() == found


def test_of_too_few_images_a_review_is_an_empty_column_and_a_sentence(finished_run, mixed, tmp_path, capsys):
    rows = predicted(Run(finished_run), mixed, tmp_path / "out.csv", "--review")
    said = capsys.readouterr().out
    assert "Too few validation images are held out (1, expected 10 at least)" in said
    assert "The column review is empty: which images to look at is not known without calibration images." in said
    assert list(rows)[-3:] == ["doubt", "review", "problem"] and (rows[["doubt", "review"]] == "").all(axis=None)
    assert (rows["predicted_class"] != "").sum() == 3
    none = tmp_path / "none"
    none.mkdir()
    (none / "text.jpg").write_text("no picture")
    words = ["predict", str(finished_run), str(none), "--review", "--output", str(tmp_path / "none.csv")]
    assert main(words) == 1 and (tmp_path / "none.csv").is_file()


@pytest.mark.parametrize("name", ["contract.json", "model.keras"])
def test_a_calibration_of_another_model_or_contract_is_refused(copy, name, mixed, capsys):
    with open(copy.path(name), "ab") as file:
        file.write(b"\n")
    with pytest.raises(ValueError, match=f"was measured with another {name} .*Delete metrics.json, and it too.*Resume"):
        _ = copy.calibration
    assert main(["predict", str(copy.folder), str(mixed), "--output", str(mixed / "out.csv")]) == 1


def test_codes_of_another_training_are_refused(copy, mixed, tmp_path, capsys):
    fitted = fit_distance(np.eye(4, 9), list("abab"))
    np.savez(copy.path("codes.npz"), **fitted)
    words = ["predict", str(copy.folder), str(mixed), "--output", str(tmp_path / "out.csv")]
    assert main([*words, "--review"]) == 1
    assert "codes.npz is another file than the one that calibration.json was measured with" in capsys.readouterr().err
    assert main(words) == 0  # what is not asked for is not needed


@pytest.mark.parametrize(
    ("way", "value", "said"),
    [
        (("temperature",), 0, "'temperature' of .*calibration.json is 0. Expected `float` > 0"),
        (("temperature",), None, "'temperature' of .*calibration.json is None. Expected `float`"),
        (("ece",), None, "'ece' is missing, and there is no reason"),
        (("log_loss", "after", "low"), "x", "'log_loss.after.low' of .* is 'x'"),
        (("reliability", "before"), [], r"'reliability.before' of .* is \[\]. Expected `array` of length >= 1"),
        (("review", "curve"), [{"share": 0.1}], "'review.curve.0' of .*Object missing required field"),
        (("review", "rest"), {}, "'review.rest' of .*Object missing required field"),
        (("sets", "threshold"), "x", "'sets.threshold' of .* is 'x'. Expected `float`"),
        (("unseen",), 1, "'unseen' of .* is 1. Expected `bool`"),
    ],
)
def test_a_broken_calibration_is_named_and_gives_no_page(copy, way, value, said):
    found = copy.read("calibration.json")
    holder = found
    for key in way[:-1]:
        holder = holder[key]
    holder[way[-1]] = value
    copy.path("calibration.json").write_text(json.dumps(found))
    with pytest.raises(ValueError, match=f"{said}.*Delete metrics.json"):
        _ = copy.calibration
    with pytest.raises(ValueError, match=said):
        write_run_report(copy.folder)


def test_a_run_whose_model_is_gone_still_has_its_page(copy):
    copy.path("model.keras").unlink()
    page = write_run_report(copy.folder).read_text(encoding="utf-8")
    assert "What a probability means" not in page and '<h2 id="errors">' in page


def test_what_is_null_for_a_reason_is_read(copy):
    found = copy.read("calibration.json")
    found["review"]["rest"] = found["sets"] = None
    copy.path("calibration.json").write_text(json.dumps(found))
    assert copy.calibration.review.rest is copy.calibration.sets is None
    assert "and none is left." in write_run_report(copy.folder).read_text(encoding="utf-8")


def test_the_page_says_in_words_what_a_probability_means(sure_run):
    page = (sure_run / "report.html").read_text(encoding="utf-8")
    for words in (
        "What a probability means",
        "fitted on 40 calibration images",
        "Beside the 40 calibration images, 20 others of validation check it",
        "neither the weights nor the epoch was chosen by them",
        "Which images to look at",
        "for about\n90% of images",
        "With 20 held out it may be 75% to 99%.",
        "calibrated(probabilities",
    ):
        assert words in page
    assert (sure_run / "figures" / "reliability.png").is_file() and (sure_run / "figures" / "triage.png").is_file()


@pytest.mark.parametrize(
    ("name", "validation", "asked", "share"),
    [
        ("aquarium", 127, None, 0.0),
        ("tank", 59, None, 0.0),
        ("tank", 60, None, 1 / 3),
        ("tank", 60, 0.0, 0.0),
        ("aquarium", 127, 0.5, 0.5),
    ],
)
def test_of_other_images_than_the_recipes_own_a_third_is_held_out_where_there_are_many(name, validation, asked, share):
    changes = {} if asked is None else {"training.calibration": asked}
    recipe = plan.adjusted(BEST, replace(BEST.data, name=name, split_by="published"), changes, validation)
    assert recipe.training.calibration == share
    assert bool(recipe.published) == (name == "aquarium" and share == 0)


@pytest.mark.parametrize("share", ["1", "-0.1", "x"])
def test_a_share_that_is_none_is_refused(share, capsys):
    with pytest.raises(SystemExit):
        main(["pretrain", "--calibration-share", share])
    assert "--calibration-share" in capsys.readouterr().err


def test_nothing_that_travels_with_a_model_names_a_place_or_an_image(sure_run):
    run = Run(sure_run)
    names = {name.encode() for path in run.catalog["path"] for name in (path, Path(path).name, str(Path(path).parent))}
    travels = [
        run.path(name).read_bytes() for name in ("model.keras", "contract.json", "calibration.json", "codes.npz")
    ]
    with zipfile.ZipFile(run.path("model.keras")) as model:
        travels += [model.read(part) for part in model.namelist()]
    with np.load(run.path("codes.npz")) as codes:
        assert {name: len(codes[name]) for name in codes.files}["means"] == len(
            run.class_names
        )  # of classes, no image's
        travels += [codes[name].tobytes() for name in codes.files]
    assert names and not [name for name in names for content in travels if name in content]
