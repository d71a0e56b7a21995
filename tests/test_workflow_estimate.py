"""`estimate` from the command line and from Python: a sample that is checked, begun, continued and finished."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from conftest import COLORS, draw_image, make_demonstration, refused, shown

import marinecv as mcv
from marinecv.files.csv_tables import read_table
from marinecv.review.corrections import CLASS, EMPTY, UNKNOWN, Corrections
from marinecv.review.folder import ESTIMATE, ITEM_COLUMNS, ReviewFolder
from marinecv.workflows import estimate as workflow


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Two cameras with 45 images of three classes, some after each other, and a file that is no picture."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "new photos"
    for number, name in enumerate([*COLORS] * 15):
        camera = folder / f"cam{number % 2 + 1}"
        camera.mkdir(parents=True, exist_ok=True)
        draw_image(name, 100 + number).save(camera / f"{name}_20250402_05{number:02}00.jpg")
    (folder / "text.jpg").write_text("no picture")
    return folder


@pytest.fixture
def labels(photos):
    ids = [path.relative_to(photos).as_posix() for path in sorted(photos.rglob("cam*/*.jpg"))]
    return pd.DataFrame({"image_id": ids, "class_name": [name.split("/")[1].split("_")[0] for name in ids]})


@pytest.fixture
def pages(monkeypatch):
    """The page, answered by a function that gets the review; and what its head said."""

    class Pages(list):
        answer = None

    pages = Pages()

    def serve(review, run, *, hide_predictions, status, log):
        pages.answer(review, status)
        pages.append((hide_predictions, *status()))

    monkeypatch.setattr(workflow, "serve", serve)
    return pages


def test_the_command_estimates_a_folder_from_answers_of_a_file(finished_run, photos, labels, capsys):
    labels.to_csv("labels.csv", index=False)
    words = ["estimate", finished_run, photos, "--check", 20, "--answers", "labels.csv"]
    text = shown(capsys, *words)
    place = photos.parent / "estimates" / "run-new photos"
    assert "20 of 45 images to check, drawn at random by predicted class" in text
    assert "from 20 of 20 checked." in text and "1 files cannot be read and are not part of the estimate." in text
    assert "The intervals are of these 45 images, not of another place or season." in text
    table = read_table(place / "estimate.csv")
    predictions = read_table(place / "predictions.csv").query("problem == ''")
    assert set(table["camera"]) == {"", "cam1", "cam2"} and table["N"].iloc[0] == "45"
    true = [path.rpartition("/")[2].split("_")[0] for path in predictions["path"]]
    low, high = table.loc[0, ["low", "high"]].astype(float)
    assert low <= np.mean(predictions["predicted_class"] == true) <= high
    before = read_table(place / "items.csv")
    assert before["event"].str.startswith("event ").all() and (before["drawn"] == "random").all()
    assert shown(capsys, *words).count("predict") < text.count("predict")  # nothing is predicted or drawn again
    assert read_table(place / "items.csv").equals(before)


def test_all_are_checked_where_there_are_fewer(finished_run, photos, labels):
    result = mcv.estimate(finished_run, photos, answers=labels, log=None)
    assert ReviewFolder(result.folder).about.kind == ESTIMATE
    counts = result.table.query("quantity == 'count' and camera == ''")
    assert counts[["value", "low", "high"]].to_numpy().tolist() == [[15.0] * 3] * 3
    assert "15 (15 to 15)" in str(result) and "precision" in str(result)


def test_the_page_goes_on_with_what_was_begun_and_ends_when_all_is_answered(finished_run, photos, labels, pages):
    truth = labels.set_index("image_id")["class_name"]

    def some(review, status):
        rows = review.items["image_id"][len(review.answered()) :][:15]
        for image in rows:
            Corrections(review.corrections).add([image], CLASS, truth[image])

    pages.answer = some
    how = {"check": 30, "log": None, "hide_predictions": True}
    first = mcv.estimate(finished_run, photos, **how)
    assert pages[0][0] and "from 15 of 30 checked" in pages[0][1] and not pages[0][2]
    second = mcv.estimate(finished_run, photos, **how)
    assert pages[1][2] and second.sentences[0].endswith("from 30 of 30 checked.") and second.folder == first.folder
    mcv.estimate(finished_run, photos, **how)
    assert len(pages) == 2  # all is answered: no page is opened


def test_a_width_ends_the_checking_only_at_a_number_of_answers_fixed_in_advance(
    finished_run, photos, labels, pages, monkeypatch
):
    monkeypatch.setattr(workflow, "LOOKS", range(10, 10**9, 10))
    ends, truth = {}, labels.set_index("image_id")["class_name"]

    def one_by_one(review, status):
        for number, image in enumerate(review.items["image_id"], 1):
            Corrections(review.corrections).add([image], CLASS, truth[image])
            ends[number] = status()[1]

    pages.answer = one_by_one
    mcv.estimate(finished_run, photos, check=25, width=0.9, log=None)
    assert [number for number, end in ends.items() if end][0] == 10
    assert not any(ends[number] for number in range(1, 10))


def test_nothing_there_unknown_and_passed_over_answers(finished_run, photos, labels, pages):
    truth = labels.set_index("image_id")["class_name"]

    def answer(review, status):
        corrections, ids = Corrections(review.corrections), review.items["image_id"].tolist()
        corrections.add(ids[:12], EMPTY)
        corrections.add(ids[12:15], UNKNOWN)
        for image in ids[17:30]:  # two are passed over
            corrections.add([image], CLASS, truth[image])

    pages.answer = answer
    result = mcv.estimate(finished_run, photos, check=40, log=None)
    table = result.table[result.table["camera"] == ""].set_index(["quantity", "class_name"])
    assert table.loc[("accuracy", ""), "n_checked"] == 25 and table.loc[("count", "empty"), "n_checked"] == 12
    assert table.loc[("precision", "empty"), "method"] == "cannot be estimated: never predicted"
    [sentence] = [text for text in result.sentences if "are left out" in text]
    assert sentence.startswith("5 images passed over, or answered as unknown, are left out; the accuracy would be ")
    right, wrong = (float(word.strip(".,")) for word in sentence.split() if word[:2] in ("0.", "1."))
    assert wrong < right


def test_too_few_answers_give_no_number_in_a_sentence_either(finished_run, photos, pages):
    def answer(review, status):
        first, *others = review.items["image_id"]
        corrections = Corrections(review.corrections)
        corrections.add([first], UNKNOWN)
        corrections.add(others, CLASS, "crab")

    pages.answer = answer
    sentences = mcv.estimate(finished_run, photos, check=5, log=None).sentences
    assert "1 images passed over, or answered as unknown, are left out." in sentences
    assert " nan" not in " ".join(sentences)


def test_the_page_can_be_told_whether_enough_is_answered_where_all_are_right(tmp_path):
    batch = pd.DataFrame({"image_id": np.arange(100_000).astype(str), "predicted_class": "fox", "probability": 0.9})
    items = pd.DataFrame("", index=range(100), columns=ITEM_COLUMNS).assign(
        image_id=batch["image_id"][:100], probability=0.9
    )
    about = {"kind": ESTIMATE, "run": "runs/x-1", "class_names": ("fox",)}
    review = ReviewFolder.create(tmp_path / "estimate", items, **about)
    Corrections(review.corrections).add(items["image_id"][:60].tolist(), CLASS, "fox")
    for width, is_enough in ((1e-6, False), (0.9, True)):
        assert json.loads(json.dumps(workflow.progress(review, batch, width)[1])) is is_enough


def test_classes_that_the_run_does_not_know_are_named(finished_run, photos, labels):
    labels.loc[:4, "class_name"] = "zebra"
    sentences = mcv.estimate(finished_run, photos, answers=labels, log=None).sentences
    assert "Answers of classes that the run does not know count as errors: zebra 5." in sentences


def test_images_of_the_training_are_a_warning(finished_run, shared_tank, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "mixed"
    shutil.copytree(shared_tank / "train", folder)  # 6 images
    for number in range(5):
        draw_image("eel", 50 + number).save(folder / f"new_{number}.jpg")
    labels = pd.DataFrame({"path": [str(path) for path in folder.rglob("*.jpg")], "class_name": "crab"})
    result = mcv.estimate(finished_run, folder, answers=labels, log=None)
    [warning] = [text for text in result.sentences if text.startswith("WARNING")]
    assert warning == "WARNING: 6 images are those of train and validation: too good for new images."


def test_what_cannot_be_estimated_is_refused_in_words(finished_run, photos, labels, tmp_path, capsys):
    (tmp_path / "none").mkdir()
    assert "No image in" in refused(capsys, "estimate", finished_run, tmp_path / "none")
    assert "There is no" in refused(capsys, "estimate", finished_run, tmp_path / "absent")
    demo = make_demonstration(shutil.copytree(finished_run, tmp_path / "demo"))
    assert "was trained on drawn pictures" in refused(capsys, "estimate", demo, photos)
    with pytest.raises(ValueError, match="Expected width= between 0 and 1. Received: 2."):
        mcv.estimate(finished_run, photos, width=2)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "a.jpg").write_text("no picture")
    assert "No image of" in refused(capsys, "estimate", finished_run, tmp_path / "broken")
    labels.to_csv("labels.csv", index=False)
    words = ["estimate", finished_run, photos, "--answers", "labels.csv", "--output-dir", "out"]
    shown(capsys, *words, "--check", 20)
    line = refused(capsys, *words, "--check", 21)
    assert "out has another sample: 20 images with --seed 0. Name another folder with --output-dir." in line
    sampled = read_table("out/items.csv")["path"]
    (photo := photos / sampled[0]).rename("kept.jpg")
    shutil.copy(photos / sampled[1], photo)
    assert "has changed since out was begun" in refused(capsys, *words, "--check", 20)
    shutil.move("kept.jpg", photo)
    shown(capsys, *words, "--check", 20)
    draw_image("crab", 1).save(photos / "late.jpg")
    assert "has other images than when out was begun" in refused(capsys, *words, "--check", 20)
    (photos / "text.jpg").unlink()  # as many as before
    assert "has other images than when out was begun" in refused(capsys, *words, "--check", 20)
    labels.assign(image_id="x" + labels["image_id"]).to_csv("labels.csv", index=False)
    words[-1] = "of another"
    (tmp_path / "of another").mkdir()
    (tmp_path / "of another" / "predictions.csv").write_text("of another run")
    assert "predictions.csv exists, perhaps of another run. Delete it, or name" in refused(capsys, *words)
    words[-1] = "new"
    assert "which is no image of" in refused(capsys, *words, "--check", 20)
