"""`mcv.evaluate`: a run, other images and a model of one's own are scored from Python as by the command."""

import keras
import pandas as pd
import pytest
from scenes import GUIDE_SPEC as SPEC
from scenes import guide_model as guide

import marinecv as mcv
from marinecv.data.manifests import manifest_of_folder
from marinecv.data.user_tables import PLACE_COLUMNS
from marinecv.evaluation.leakage import leakage_sentences
from marinecv.workflows.run import Run
from pipelines.cli import main
from pipelines.options import in_flags


@pytest.fixture(scope="module")
def catalog(shared_tank):
    return mcv.read_catalog(mcv.find_data(None, shared_tank))


def test_the_score_is_that_of_the_run_and_nothing_is_told_unasked(finished_run, capsys):
    run = Run(finished_run)
    evaluation = run.evaluate("test", log=None)
    assert capsys.readouterr() == ("", "")
    for name, figure in run.metrics["test"].items():
        assert evaluation.metrics[name] == pytest.approx(figure, abs=1e-6)
    pd.testing.assert_frame_equal(evaluation.per_class, mcv.per_class_metrics(evaluation.predictions))
    assert set(evaluation.predictions["split"]) == {"test"} == set(evaluation.leakage["split"])
    assert evaluation.sentences == tuple(leakage_sentences(evaluation.leakage)) and evaluation.folds is None
    assert main(["evaluate", str(finished_run), "--split", "test"]) == 0
    assert capsys.readouterr().out == in_flags(f"{evaluation}\n")


def test_a_catalog_without_splits_is_taken_whole(finished_run, catalog):
    found = mcv.evaluate(finished_run, data=catalog[["image_id", "path", "class_name"]], log=None)
    run = mcv.Run(finished_run)
    catalog = catalog.drop(columns=PLACE_COLUMNS)
    table = mcv.predict_table(run.load_model(), catalog.assign(split="validation"), run.spec, run.class_names)
    pd.testing.assert_frame_equal(found.predictions[table.columns], table, atol=1e-6)
    assert "12 of the 12 validation images have a copy or near-duplicate in train" in str(found)


def test_a_score_by_event_counts_events_of_a_camera(finished_run, catalog, capsys):
    minutes = [f"2025-04-02T05:{number:02}:00" for number in range(len(catalog))]
    placed = catalog.assign(camera=catalog["class_name"], taken_at=minutes, split="")
    found = mcv.evaluate(finished_run, data=placed, event_gap="30m", log=None)
    assert found.events["n"] == 3 and found.events["low"] <= found.events["value"] <= found.events["high"]
    assert f"accuracy by event {found.events['value']:.3f} (95% CI" in str(found)
    assert main(["evaluate", str(finished_run), "--event-gap", "30m"]) == 0
    assert "no accuracy by event: 0 events" in capsys.readouterr().out
    with pytest.raises(ValueError, match="event_gap is '30'"):
        mcv.evaluate(finished_run, event_gap="30", log=None)


def test_a_model_of_ones_own_becomes_a_run_with_a_page(catalog, tmp_path, capsys):
    model, names = guide(keras.layers.Softmax()), ["crab", "eel", "ray"]
    how = {"spec": SPEC, "class_names": names, "folder": tmp_path / "mine", "log": None}
    evaluation = mcv.evaluate(model, "test", catalog, **how)
    assert capsys.readouterr() == ("", "") and evaluation.run.is_external and evaluation.run.folder == tmp_path / "mine"
    table = mcv.predict_table(model, catalog[catalog["split"] == "test"], SPEC, names)
    pd.testing.assert_frame_equal(evaluation.predictions, table, atol=1e-6)
    page = (tmp_path / "mine" / "report.html").read_text(encoding="utf-8")
    assert "a copy, near-duplicate or neighboring frame in train" in page and "--folds" not in str(evaluation)


def test_what_is_kept_is_what_is_returned(finished_run, tmp_path):
    found = mcv.evaluate(finished_run, limit=2, folder=tmp_path / "kept", log=None)
    assert len(found.predictions) == 2
    pd.testing.assert_frame_equal(mcv.read_predictions(tmp_path / "kept" / "predictions.csv"), found.predictions)
    assert {path.name for path in (tmp_path / "kept").iterdir()} == {"predictions.csv", "metrics.json", "leakage.csv"}


@pytest.mark.parametrize(
    ("options", "message", "in_words_of_flags"),
    [
        ({"split_by": "grouped", "frame_order": "time"}, "split_by= and frame_order= would set how", "--split-by"),
        ({"folds": 2, "limit": 3}, "folds= trains on all .* Leave out data= and limit=", "--limit"),
        (
            {"fold_by": "camera", "limit": 3},
            'fold_by="camera" trains on all .* Leave out data= and limit=',
            "--fold-by camera",
        ),
        ({"fold_by": "camera"}, "come from 0 known cameras. Expected at least 2: a folder a camera", "--fold-by group"),
        ({"fold_by": "day"}, "fold_by", "--fold-by"),
        ({"class_names": ["crab", "eel"]}, "A run has its own spec and class_names", "A run has"),
        ({"data": "no_such_folder"}, "no_such_folder is no folder", "no_such_folder"),
    ],
)
def test_errors_speak_of_arguments_and_on_the_command_line_of_flags(finished_run, options, message, in_words_of_flags):
    with pytest.raises(ValueError, match=message) as error:
        mcv.evaluate(finished_run, **options, log=None)
    assert in_words_of_flags in in_flags(str(error.value)) and "=" not in in_flags(str(error.value))


def test_a_model_alone_does_not_say_what_it_was_trained_with(catalog):
    with pytest.raises(ValueError, match="Your own model needs spec= and class_names= and folder="):
        mcv.evaluate(guide(), data=catalog)


def test_drawn_images_say_nothing_of_a_model_of_photographs(finished_run, shared_tank):
    manifest = manifest_of_folder(shared_tank)
    with pytest.raises(ValueError, match="A demonstration model and real photographs say nothing of each other"):
        mcv.evaluate(finished_run, data=mcv.Manifest(**{**vars(manifest), "demonstration": True}))
