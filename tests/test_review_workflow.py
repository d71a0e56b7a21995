"""`review` and `train --corrections`: the list, the answers as labels, the same split, and the proof."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from conftest import refused, shown

import marinecv as mcv
from marinecv.data.user_tables import usable
from marinecv.files.hashes import sha256
from marinecv.review.corrections import CLASS, EMPTY, UNKNOWN, Corrections
from marinecv.review.folder import ITEM_COLUMNS
from marinecv.runs import CORRECTIONS, Run
from marinecv.workflows import corrections  # after which `mcv.review` is still the function
from marinecv.workflows import review as workflow


@pytest.fixture(scope="module")
def demo_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("review")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MARINECV_HOME", str(folder / "home"))
        return mcv.train(
            mcv.demo_images(), "aquarium_four_conv", folder=folder / "run", epochs=1, limit=40, size=32, log=None
        )


@pytest.fixture
def run(demo_run, tmp_path, monkeypatch):
    monkeypatch.setenv("MARINECV_HOME", str(demo_run.folder.parent / "home"))  # the images are drawn once
    monkeypatch.chdir(tmp_path)
    likely = usable(demo_run.catalog).query("split == 'train'")["image_id"].iloc[[7, 3]]
    monkeypatch.setattr(workflow, "label_errors_of_run", lambda run, log: pd.DataFrame({"image_id": likely}))
    shutil.copytree(demo_run.folder, tmp_path / "reef")
    return mcv.Run(tmp_path / "reef")


@pytest.fixture
def photos(run, tmp_path):
    """A folder of 30 images that the run has not seen, with an event of three."""
    folder, known = tmp_path / "new photos", {*run.catalog["path"]}
    folder.mkdir()
    files = [file for file in sorted(mcv.demo_images().root.rglob("*.jpg")) if str(file) not in known][:30]
    for number, file in enumerate(files):
        shutil.copy(file, folder / f"photo_{number:02d}.jpg")
    return folder


def answer(review, rows, name):
    Corrections(review.corrections).add(rows["image_id"].tolist(), CLASS, name)


@pytest.mark.slow
def test_own_images_are_listed_once_and_drawn_at_random_from_held_out_splits(run):
    lines = []
    review = mcv.review(run, page=False, log=lines.append)
    items, catalog = review.items, usable(run.catalog)
    assert [*items] == ITEM_COLUMNS and review.folder == run.path("review")
    assert sorted(items["image_id"]) == sorted(catalog[catalog["split"] != ""]["image_id"])
    random = items[items["drawn"] == "random"]
    assert {*random["split"]} == {"validation", "test"} and len(random) >= 0.2 * len(items)
    assert (items["drawn"].iloc[:100:5] == "random").all()
    assert (items["drawn"] == "label error").sum() == 2
    predictions = pd.read_csv(run.path("predictions.csv")).set_index("image_id")
    assert items["predicted_class"].tolist() == predictions.loc[items["image_id"], "predicted_class"].tolist()
    nearest = review.neighbors
    assert {*nearest["neighbor_id"]} <= {*catalog.query("split == 'train'")["image_id"]}
    assert (nearest["image_id"] != nearest["neighbor_id"]).all() and nearest["path"].map(Path).map(Path.is_file).all()
    assert "120 images to look at, 0 have an answer" in lines[-1]


def test_a_review_is_continued_and_never_taken_for_another_one(run, photos):
    review = mcv.review(run, page=False, log=None)
    answer(review, review.items.head(3), "fish")
    lines = []
    assert len(mcv.review(run, page=False, seed=5, log=lines.append).answered()) == 3
    assert "3 have an answer" in lines[-1]
    with pytest.raises(ValueError, match="is a review of other images or of another run"):
        mcv.review(run, photos, folder=review.folder, page=False, log=None)


def test_a_review_inside_its_run_moves_with_it(run):
    answer(review := mcv.review(run, page=False, log=None), review.items.head(3), "fish")
    moved = mcv.Run(run.folder.rename("moved"))
    assert len((review := mcv.review(moved, page=False, log=None)).answered()) == 3
    assert mcv.train(corrections=review.corrections, log=None).folder.name == "moved-corrected-1"


def test_where_label_errors_cannot_be_searched_a_line_says_why(run, monkeypatch):
    def fail(run, log):
        raise ValueError("No pretrained weights are here.")

    monkeypatch.setattr(workflow, "label_errors_of_run", fail)
    lines = []
    review = mcv.review(run, page=False, log=lines.append)
    assert {*review.items["drawn"]} == {"random", "uncertain"}
    assert "Label errors are not searched: No pretrained weights are here." in lines


@pytest.mark.slow
def test_answers_become_labels_of_a_new_run_with_the_same_split(run):
    before = {path: sha256(path) for path in map(Path, run.catalog["path"])}
    review = mcv.review(run, page=False, log=None)
    items = review.items
    wrong = items.query("split == 'train' and given_class == 'shark'").head(2)
    answer(review, wrong, "fish")
    answers = Corrections(review.corrections)
    of_test = items.query("split == 'test' and drawn == 'random'")
    answers.add(
        of_test["image_id"].tolist()[:1], CLASS, "puffin" if of_test["given_class"].iloc[0] == "fish" else "fish"
    )
    for row in items.query("drawn == 'random'").iloc[1:].itertuples():
        if row.image_id not in answers.answers:
            answers.add([row.image_id], CLASS, row.given_class)
    train = items.query("split == 'train' and given_class != 'shark' and drawn != 'random'")["image_id"].tolist()
    answers.add(train[:1], EMPTY)
    answers.add(train[1:2], UNKNOWN)
    answers.add(train[2:3], CLASS, "walrus")
    lines = []
    new = mcv.train(corrections=review.corrections, log=lines.append)
    assert new.folder.name == "reef-corrected-1" and new.finished
    assert "3 labels corrected (" in lines[0] and "train 2" in lines[0] and ", 3 images left out, by" in lines[0]
    old, now = run.catalog.set_index("image_id"), new.catalog.set_index("image_id")
    assert (now.loc[wrong["image_id"], "class_name"] == "fish").all()
    reasons = ["nothing is there", "nobody can say what it is", "of class walrus, which the run does not know"]
    assert now.loc[train[:3], "problem"].tolist() == reasons
    kept = usable(new.catalog)["image_id"]
    assert (now.loc[kept, "split"] == old.loc[kept, "split"]).all() and len(kept) == len(usable(run.catalog)) - 3
    assert {path: sha256(path) for path in before} == before
    scores, proof = new.correction_sentences
    assert scores.startswith("test, 1 of 40 labels corrected: accuracy by the corrected labels 0.")
    assert " randomly drawn images: " in proof and "use reef." in proof
    assert new.correction_sentences == lines[-2:] and proof in new.path("report.html").read_text(encoding="utf-8")
    for each in (run, new):
        assert "test evaluation: random images of a review" in each.path("log.txt").read_text()
    assert mcv.evaluate(new, log=None).metrics["accuracy"]["n"] == 40  # of labels that its data have otherwise


@pytest.mark.slow
def test_images_of_a_folder_join_train_and_the_random_ones_stay_out(run, photos, capsys):
    review = mcv.review(run, photos, page=False, log=None)
    items = review.items
    assert len(items) == 30 and {*items["drawn"]} <= {"random", "informative"}
    assert (items["split"] == "").all() and {*review.neighbors["image_id"]} == {*items["image_id"]}
    answer(review, items, "fish")
    new = mcv.train(corrections=review.corrections, log=None)
    added = new.catalog[~new.catalog["image_id"].isin(run.catalog["image_id"])]
    expected = items.query("drawn != 'random'")["image_id"]
    assert sorted(added["image_id"]) == sorted("new photos/" + expected)
    shutil.copy(added["path"].iloc[0], photos / "later.jpg")
    mcv.review(run, photos, page=False)
    assert "had 30 images when this review began and has 31 now" in capsys.readouterr().out
    (photos / "later.jpg").unlink()
    assert (added["split"] == "train").all() and (added["class_name"] == "fish").all()
    assert f"of {(items['drawn'] == 'random').sum()} randomly drawn images" in new.correction_sentences[-1]
    again = mcv.review(new, photos, page=False, log=None)
    assert sorted(again.items["image_id"]) == sorted(items.query("drawn == 'random'")["image_id"])
    answer(again, again.items, "fish")
    twice = mcv.train(corrections=again.corrections, log=None)  # ids begin with the same folder
    assert twice.catalog["image_id"].is_unique and "new photos-2" in {*twice.catalog["image_id"].str.partition("/")[0]}
    new.path("metrics.json").unlink()
    (saved := new.path(CORRECTIONS)).write_text(saved.read_text().replace("better on", "lost"))
    mcv.resume(new.folder, log=None)
    assert "better on" in Run(new.folder).correction_sentences[-1]


def test_an_answer_for_an_image_that_was_replaced_or_removed_since_is_not_used(run, photos):
    review = mcv.review(run, photos, page=False, log=None)
    assert review.changed() == []
    answer(review, review.items, "fish")
    other, replaced, removed = review.items.query("drawn != 'random'").head(3).itertuples()
    shutil.copy(other.path, replaced.path)
    Path(removed.path).unlink()
    assert {*review.changed()} == {replaced.image_id, removed.image_id}
    new = mcv.train(corrections=review.corrections, log=(lines := []).append)
    assert any("WARNING: 2 answers are left out: the file has changed since the review" in line for line in lines)
    assert len(new.catalog) - len(run.catalog) == (review.items["drawn"] != "random").sum() - 2


def test_a_folder_of_one_new_image_is_looked_at_too(run, photos):
    for photo in sorted(photos.iterdir())[1:]:
        photo.unlink()
    assert len(mcv.review(run, photos, page=False, log=None).items) == 1


def test_a_folder_of_train_images_alone_has_nothing_new(run, tmp_path, monkeypatch):
    monkeypatch.setattr(workflow, "find_images", lambda folder: [Path(run.catalog["path"].iloc[0])])
    with pytest.raises(ValueError, match="was trained on all images of .*Leave the folder out"):
        mcv.review(run, tmp_path, page=False, log=None)


@pytest.mark.slow
def test_the_commands_export_import_and_train(run, photos, capsys, tmp_path):
    table = tmp_path / "answers.csv"
    printed = shown(capsys, "review", run.folder, photos, "--export", table)
    assert "30 images with their answers written to" in printed
    rows = pd.read_csv(table, encoding="utf-8-sig", keep_default_na=False)
    rows.assign(class_name="crab", answer=CLASS)[["path", "class_name"]].to_csv(table, index=False)
    assert "30 answers taken from" in shown(capsys, "review", run.folder, photos, "--import", table)
    file = next(Path("reviews").glob("*/corrections.csv"))
    assert "does not know" not in shown(capsys, "train", "--corrections", file, "--epochs", "2")
    rows.assign(path="elsewhere.jpg", class_name="crab").head(1)[["path", "class_name"]].to_csv(table, index=False)
    assert "names elsewhere.jpg, which is no image of" in refused(
        capsys, "review", run.folder, photos, "--import", table
    )


def test_what_corrections_cannot_do(run, tmp_path):
    review = mcv.review(run, page=False, log=None)
    refuse = "is not the corrections.csv of a review"
    with pytest.raises(ValueError, match=refuse):
        mcv.train(corrections=review.corrections, log=None)
    items = review.items
    answer(review, items[items["given_class"] == "shark"], "fish")
    with pytest.raises(ValueError, match="no train image of shark is left"):
        mcv.train(corrections=review.corrections, log=None)
    with pytest.raises(ValueError, match="image.height stays as in"):
        mcv.train(corrections=review.corrections, height=64, log=None)
    for data in ("photos", run.catalog):
        with pytest.raises(ValueError, match="Leave out data, recipe"):
            mcv.train(data, corrections=review.corrections, log=None)
    about = (review.folder / "review.json").read_text()
    (review.folder / "review.json").write_text(about.replace('"review"', '"estimate"'))
    with pytest.raises(ValueError, match="is of an estimate: its images measure a run"):
        mcv.train(corrections=review.corrections, log=None)
    (review.folder / "review.json").write_text(about)
    Corrections(review.corrections).undo()
    with pytest.raises(ValueError, match="has no answer yet"):
        mcv.train(corrections=review.corrections, log=None)
    assert not (tmp_path / "runs").exists() or not [*Path("runs").iterdir()]


def crops_of(**crops):
    """A catalog of crops, of the classes of each photograph."""
    each = [(photo, number, name) for photo, names in crops.items() for number, name in enumerate(names, start=1)]
    rows = [(f"{photo}.jpg#{number}", f"{photo}.jpg", name) for photo, number, name in each]
    table = pd.DataFrame(rows, columns=["image_id", "photo", "class_name"])
    return table.assign(photo_class="fox", box="1,1,9,9", split="train", group="", problem="")


def test_a_photograph_has_the_class_of_its_corrected_crops_where_they_agree():
    crops = crops_of(a=["fox", "fox"], b=["fox", "fox"], c=["fox"], d=["cat", "cat"], e=["fox", "cat"])
    answers = pd.DataFrame({"image_id": ["a.jpg#1", "a.jpg#2", "b.jpg#1", "c.jpg#1"], "label": "cat", "problem": ""})
    answers.loc[4] = "e.jpg#1", "", "nothing is there"
    new = corrections.with_corrected(SimpleNamespace(catalog=crops), answers, log=str)
    assert new.groupby("photo")["photo_class"].unique().map(list).to_dict() == {
        "a.jpg": ["cat"],
        "b.jpg": ["fox"],
        "c.jpg": ["cat"],
        "d.jpg": ["fox"],
        "e.jpg": ["cat"],
    }


def test_whole_images_that_join_crops_are_photographs_of_their_own(photos):
    files = sorted(photos.iterdir())[:3]
    answers = pd.DataFrame(
        {"image_id": ["x.jpg", "y.jpg", "z.jpg#2"], "path": list(map(str, files)), "event": ["", "", "z.jpg"]}
    )
    answers = answers.assign(box=["", "", "1,1,40,40"], label="fox", drawn="informative")
    new = corrections.with_added(SimpleNamespace(catalog=crops_of(a=["fox"])), answers, "new/", log=str)
    assert new["photo"].tolist() == ["a.jpg", "new/x.jpg", "new/y.jpg", "new/z.jpg"]
    assert new["group"].tolist() == ["", "", "", "new/z.jpg"]  # not that of an image of the run of the same id


def test_a_proof_says_which_run_to_use(run):
    result = {"only_a": 7, "only_b": 2, "n": 61, "difference": 0.08, "low": 0.01, "high": 0.16, "distinguishable": True}
    sentence = corrections.proof_sentence(result, run)
    assert sentence == "better on 7, worse on 2 of 61 randomly drawn images: +8 points (95% CI +1 to +16)."
    worse = result | {"only_a": 2, "only_b": 7, "difference": -0.08, "low": -0.16, "high": -0.01}
    assert corrections.proof_sentence(worse, run).endswith("That does not show that it is better: use reef.")
    few = result | {"low": float("nan"), "high": float("nan"), "distinguishable": False}
    assert "(too few groups: no interval). That does not show" in corrections.proof_sentence(few, run)


def test_a_split_without_images_has_no_sentence_on_its_labels():
    table = mcv.make_table(["a", "b"], "validation", ["crab", "eel"], [[0.9, 0.1], [0.6, 0.4]], ["crab", "eel"])
    assert corrections.both_scores(table, table, "test", pd.Series({"a": "", "b": ""})) == []
