"""The file of answers: what counts, what is undone, and what survives a stop at any byte."""

import unicodedata

import pandas as pd
import pytest

from marinecv.review.corrections import CLASS, EMPTY, UNKNOWN, Answer, Corrections, read_corrections
from marinecv.review.folder import ITEM_COLUMNS, ReviewFolder


def test_the_last_answer_counts_and_undo_takes_back_one_batch_at_a_time(tmp_path):
    answers = Corrections(tmp_path / "corrections.csv")
    answers.add(["a", "b"], CLASS, "fox")
    answers.add(["b"], EMPTY)
    answers.add(["c"], UNKNOWN, "fox")
    assert answers.answers == {"a": Answer(CLASS, "fox"), "b": Answer(EMPTY), "c": Answer(UNKNOWN)}
    assert answers.undo() == ["c"] and answers.undo() == ["b"]
    reopened = Corrections(answers.path)  # undo survives a new start
    assert reopened.of("b") == Answer(CLASS, "fox") and reopened.of("c") == Answer()
    assert read_corrections(answers.path)["image_id"].tolist() == ["a", "b"]
    assert reopened.undo() == ["a", "b"] and reopened.undo() == []
    reopened.add(["a"], CLASS, "=1+1")
    assert read_corrections(answers.path).to_numpy().tolist() == [["a", CLASS, "=1+1"]]
    assert Corrections(answers.path).undo() == ["a"]


def test_a_file_may_lack_lines_that_a_person_deleted(tmp_path):
    answers = Corrections(tmp_path / "corrections.csv")
    answers.add(["a.jpg"], CLASS, "crab")
    answers.undo()
    answers.add(["b.jpg"], CLASS, "eel")
    header, first, *others = answers.path.read_text().splitlines(keepends=True)
    answers.path.write_text("".join([header, *others]))
    again = Corrections(answers.path)
    assert again.of("b.jpg").class_name == "eel" and again.undo() == ["b.jpg"] and again.undo() == []


@pytest.mark.slow
def test_a_file_that_ends_at_any_byte_keeps_every_whole_line(tmp_path):
    answers = Corrections(tmp_path / "whole.csv")
    for name in ("a", "b, the first", "c"):
        answers.add([name], CLASS, "red fox")
    data = answers.path.read_bytes()
    for length in range(len(data)):
        cut = tmp_path / "cut.csv"
        cut.write_bytes(data[:length])
        opened = Corrections(cut)
        assert len(opened.answers) == max(0, data[:length].count(b"\n") - 1)
        opened.add(["d"], EMPTY)
        assert Corrections(cut).answers == opened.answers


def test_tables_of_other_tools_are_read_and_wrong_ones_refused(tmp_path):
    path = tmp_path / "corrections.csv"
    pd.DataFrame({"image_id": ["a", "b"], "class_name": ["fox", ""], "note": ["", "?"]}).to_csv(path, index=False)
    assert read_corrections(path).to_numpy().tolist() == [["a", CLASS, "fox"]]
    with pytest.raises(ValueError, match="lacks the column 'answered_at'"):
        Corrections(path)
    pd.DataFrame({"image_id": ["a"], "class_name": [""], "answer": [CLASS]}).to_csv(path, index=False)
    with pytest.raises(ValueError, match="has the answer 'class' of class '' for a. Expected one of"):
        read_corrections(path)
    Corrections(tmp_path / "new.csv").add(["a"], EMPTY)
    text = (tmp_path / "new.csv").read_text().replace(",1,0,", ",x,0,")
    (tmp_path / "new.csv").write_text(text)
    with pytest.raises(ValueError, match="is no list of answers: .*Restore it"):
        Corrections(tmp_path / "new.csv")
    with pytest.raises(ValueError, match="answer"):
        answers = Corrections(tmp_path / "other.csv")
        answers.add(["a"], "maybe")


def test_a_table_with_two_answers_for_an_image_is_refused(tmp_path):
    table = pd.DataFrame({"image_id": ["a", "b", "a"], "class_name": ["fox", "deer", "deer"]})
    with pytest.raises(ValueError, match="the table has several answers for a. Expected one an image"):
        read_corrections(table)
    assert len(read_corrections(table.assign(class_name="fox"))) == 2
    assert len(read_corrections(table.assign(class_name=["", "deer", "fox"]))) == 2
    numbers = pd.DataFrame({"image_id": ["a", "b"], "label": [7, None]})  # a column of floats
    assert read_corrections(numbers).to_numpy().tolist() == [["a", CLASS, "7"]]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_classes_and_names_that_a_spreadsheet_or_a_person_wrote_otherwise_are_those_of_the_run(tmp_path, delimiter):
    ids = ["Río, 1/a.jpg", "Río, 1/b.jpg", "c.jpg", "d.jpg"]
    items = pd.DataFrame("", index=range(4), columns=ITEM_COLUMNS).assign(image_id=ids, probability=0.5)
    about = {"kind": "review", "run": "runs/x-1", "class_names": ("Red fox", "deer")}
    folder = ReviewFolder.create(tmp_path / "review", items, **about)
    written = [unicodedata.normalize("NFD", ids[0]), ids[1].replace("/", "\\"), *ids[2:]]
    table = pd.DataFrame({"image_id": written, "class_name": ["red fox", "Deer ", "Red  fox", "lynx"]})
    table.to_csv(tmp_path / "a.csv", index=False, sep=delimiter, encoding="utf-8-sig", lineterminator="\r\n")
    assert folder.take(tmp_path / "a.csv") == 4
    given = folder.answered()[["image_id", "class_name"]].to_numpy().tolist()
    assert given == [*map(list, zip(ids, ["Red fox", "deer", "Red fox", "lynx"], strict=True))]
    for none in (table.head(0), table.assign(class_name="")):
        with pytest.raises(ValueError, match="The table has no answer. Expected image_id as in items.csv"):
            folder.take(none, ignore_others=True)


def test_the_classes_that_a_person_fills_into_an_exported_table_are_answers(tmp_path):
    items = pd.DataFrame("", index=range(3), columns=ITEM_COLUMNS).assign(image_id=[*"abc"], probability=0.5)
    folder = ReviewFolder.create(tmp_path / "review", items, kind="review", run="runs/x-1", class_names=("fox",))
    Corrections(folder.corrections).add(["a"], EMPTY)
    folder.export(tmp_path / "a.csv")
    table = pd.read_csv(tmp_path / "a.csv", keep_default_na=False, encoding="utf-8-sig")
    table.loc[1, "class_name"] = "fox"
    table.to_csv(tmp_path / "a.csv", index=False)
    assert folder.take(tmp_path / "a.csv") == folder.take(table) == 2 and table["answer"].tolist() == [EMPTY, "", ""]
    assert folder.answered()[["image_id", "answer"]].to_numpy().tolist() == [["a", EMPTY], ["b", CLASS]]
    table.loc[0, "class_name"] = "fox"  # and its answer is still "empty"
    with pytest.raises(ValueError, match="has the answer 'empty' of class 'fox' for a. Expected one of"):
        folder.take(table)


def test_a_path_that_several_crops_share_names_none_of_them(tmp_path):
    items = pd.DataFrame("", index=range(3), columns=ITEM_COLUMNS)
    items = items.assign(image_id=["a#1", "a#2", "b#1"], path=["/a", "/a", "/b"], probability=0.5)
    folder = ReviewFolder.create(tmp_path / "review", items, kind="review", run="runs/x-1", class_names=("fox",))
    with pytest.raises(ValueError, match="names /a, which is no image of .* Expected image_id as in items.csv"):
        folder.take(pd.DataFrame({"path": ["/a", "/b"], "class_name": "fox"}))
    assert folder.take(pd.DataFrame({"path": ["/b"], "class_name": "fox"})) == 1


@pytest.mark.parametrize(("own", "meant"), [("Blank", "Blank"), ("empty", "empty"), ("deer", "empty")])
def test_nothing_there_is_the_class_that_the_run_has_for_it(tmp_path, own, meant):
    items = pd.DataFrame("", index=range(1), columns=ITEM_COLUMNS).assign(image_id="a", probability=0.5)
    about = {"kind": "review", "run": "runs/x-1", "class_names": ("fox", own)}
    folder = ReviewFolder.create(tmp_path / "review", items, **about)
    Corrections(folder.corrections).add(["a"], EMPTY)
    assert folder.answered()["class_name"].tolist() == [meant]


def test_a_folder_of_images_joins_its_answers_in_their_order(tmp_path):
    items = pd.DataFrame("", index=range(3), columns=ITEM_COLUMNS).assign(image_id=["b", "a", "c"], probability=0.5)
    about = {"kind": "review", "run": "runs/x-1", "class_names": ("fox", "deer")}
    folder = ReviewFolder.create(tmp_path / "review", items, **about)
    assert folder.answered().empty
    answers = Corrections(folder.corrections)
    answers.add(["a"], CLASS, "fox")
    answers.add(["b"], EMPTY)
    opened = ReviewFolder(folder.folder)
    assert opened.answered()[["image_id", "answer", "class_name"]].to_numpy().tolist() == [
        ["b", EMPTY, "empty"],
        ["a", CLASS, "fox"],
    ]
    assert opened.about.class_names == ("fox", "deer") and opened.neighbors.empty
    with pytest.raises(ValueError, match="is no review"):
        ReviewFolder(tmp_path)
