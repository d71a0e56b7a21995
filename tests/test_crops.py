"""Crops of boxes: cut out when they are read, kept together by photograph, scored at both levels."""

import json
import os
import re
import shutil

import numpy as np
import pandas as pd
import pytest
from conftest import COLORS, draw_image, killed, refused, shown
from PIL import Image

import marinecv as mcv
from marinecv.data.find_data import find_data
from marinecv.data.groups import PAIR_COLUMNS, group_catalog, leave_out_duplicates, related_in_train
from marinecv.data.images import read_header
from marinecv.data.photos import photos_of
from marinecv.data.shards.write import pack
from marinecv.data.splits.split_catalog import kfold
from marinecv.evaluation.photos import metrics_of
from marinecv.inputs.decode import decode_with_pillow, read_decodable
from marinecv.inputs.pixel_cache import files_key
from marinecv.inputs.streamed_pixels import Stream
from marinecv.inputs.to_rgb import open_rgb
from marinecv.runs import Run
from marinecv.workflows.crops import cropped
from marinecv.workflows.evaluate import evaluate
from marinecv.workflows.outputs import Outputs

CORNERS = ["xmin", "ymin", "xmax", "ymax"]
BOX = (5, 3, 31, 25)
EXACT = mcv.ImageSpec(height=22, width=26, fit="stretch")  # of that box: nothing is resized


def table_of(*rows):
    return pd.DataFrame(rows, columns=["image_id", "class_name", *CORNERS])


def photos_table(*names, size=(64, 48), classes=("eel",), group="", problem=""):
    """A catalog of photographs that are not there."""
    columns = {"image_id": names, "path": [f"/photos/{name}" for name in names], "split": "", "group": group}
    columns |= {"class_name": [classes[index % len(classes)] for index in range(len(names))], "problem": problem}
    size = {"width": size[0], "height": size[1], "number": "a column of the user"}
    return pd.DataFrame({**columns, **size, "dominance": 1.0})


@pytest.fixture
def photos(tmp_path):
    """One picture in several formats, of which one is turned by EXIF."""
    exif = Image.Exif()
    exif[0x0112] = 6
    picture, paths = draw_image("crab", 1), {}
    for name, how in {"a.jpg": {}, "turned.jpg": {"exif": exif}, "a.png": {}, "a.gif": {}}.items():
        paths[name] = tmp_path / name
        picture.save(paths[name], **how)
    return paths


@pytest.mark.parametrize("name", ["a.jpg", "turned.jpg", "a.png", "a.gif"])
def test_a_crop_is_a_slice_of_the_decoded_photograph(name, photos):
    path = f"{photos[name]}#{','.join(map(str, BOX))}"
    whole = decode_with_pillow(photos[name].read_bytes())
    assert whole.shape[:2] == ((64, 48) if name == "turned.jpg" else (48, 64))
    expected = whole[BOX[1] : BOX[3], BOX[0] : BOX[2]]
    np.testing.assert_array_equal(np.asarray(open_rgb(path)), expected)
    assert read_header(path) == (26, 22, "")
    pixels, reasons = mcv.read_pixels([path, str(photos[name])], EXACT)
    assert not reasons
    np.testing.assert_array_equal(pixels[0], expected)
    np.testing.assert_array_equal(pixels[1], mcv.read_pixels([photos[name]], EXACT)[0][0])
    np.testing.assert_array_equal(Stream(pd.Series([path]), EXACT)[0], expected)


@pytest.mark.parametrize("box", ["0,0,64,49", "60,40,70,48"])
@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
def test_a_photograph_that_changed_is_noticed(name, box, photos):
    path = f"{photos[name]}#{box}"
    said = f"its box {box} is not inside the photograph, which has 64x48 pixels now"
    assert read_header(path) == (0, 0, said)
    catalog = photos_table(name).assign(path=path)
    assert said in mcv.load_pixels(catalog, EXACT)[1]["problem"][0]
    with pytest.raises(ValueError, match=said):
        open_rgb(path)
    before = files_key([path], EXACT)
    os.utime(photos[name], ns=(1, 1))
    assert files_key([path], EXACT) != before != files_key([f"{photos[name]}#0,0,9,9"], EXACT)


def test_a_file_whose_name_ends_as_a_crop_s_does_is_a_row_with_the_reason(photos, tmp_path):
    shutil.copy(photos["a.jpg"], tmp_path / "a.jpg#1,2,30,40")
    assert "its name ends as that of a crop" in read_header(tmp_path / "a.jpg#1,2,30,40")[2]
    assert "absent" in read_header(tmp_path / "a.jpg#30,2,1,40")[2]  # no box: a name


def test_crops_of_a_pack_are_those_of_its_files(shared_tank, tmp_path):
    manifest = find_data(data_dir=shared_tank)
    packed = find_data(data_dir=pack(manifest, tmp_path / "pack", read_decodable))
    crops, of_pack = (mcv.crop_catalog(mcv.read_catalog(each), mcv.read_boxes(each)) for each in (manifest, packed))
    spec = mcv.ImageSpec(height=16, width=16)
    np.testing.assert_array_equal(*(mcv.load_pixels(each, spec)[0] for each in (crops, of_pack)))
    assert crops.drop(columns="path").equals(of_pack.drop(columns="path")) and ".tfrecord#" in of_pack["path"][0]


@pytest.mark.parametrize(
    ("corners", "margin", "box", "problem"),
    [
        ((10, 10, 30, 20), 0.0, "10,10,30,20", ""),
        ((10, 10, 30, 20), 0.1, "8,8,32,22", ""),
        ((10.4, 10.6, 30.2, 20.1), 0.0, "10,10,31,21", ""),
        ((-5, -5, 70, 60), 1.0, "0,0,64,48", ""),
        ((50, 10, 100, 20), 0.0, "50,10,64,20", ""),
        ((10, 10, 30, 17), 0.5, "", "a side below 8 pixels"),
        ((62, 10, 100, 30), 0.0, "", "a side below 8 pixels"),
        ((70, 10, 100, 30), 0.0, "", "outside the image"),
        ((10, 10, 10, 20), 0.0, "", "no area"),
        ((30, 10, 10, 20), 0.0, "", "no area"),
        ((float("nan"), 10, 30, 20), 0.0, "", "a corner is no number of pixels"),
        ((10, 10, float("inf"), 20), 0.0, "", "a corner is no number of pixels"),
    ],
)
def test_a_box_with_its_margin_is_clipped_or_a_row_with_the_reason(corners, margin, box, problem):
    good = ("a.jpg", "ray", 0, 0, 20, 20)
    boxes = table_of(good, ("a.jpg", "crab", *corners))
    crops = mcv.crop_catalog(photos_table("a.jpg"), boxes, margin)
    assert crops["image_id"].tolist() == ["a.jpg#1", "a.jpg#2"] and crops["photo"].eq("a.jpg").all()
    row = crops.iloc[1]
    assert row["box"] == box and problem in row["problem"] and bool(problem) == bool(row["problem"])
    assert row["class_name"] == "crab" and row["photo_class"] == "eel" and row["group"] == "a.jpg"
    if box:
        xmin, ymin, xmax, ymax = map(int, box.split(","))
        assert row["path"] == f"/photos/a.jpg#{box}" and (row["width"], row["height"]) == (xmax - xmin, ymax - ymin)


def test_a_photograph_without_a_box_is_a_row_and_an_empty_one_is_used_whole():
    catalog = photos_table("a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg", classes=("eel", "ray", "empty"), group="cam1")
    catalog.loc[3, "problem"], catalog.loc[4, "width"] = "cannot be read", 0
    boxes = table_of(*((name, "", 0, 0, 30, 30) for name in ("b.jpg", "d.jpg", "e.jpg", "other.jpg")))
    crops = mcv.crop_catalog(catalog, boxes, class_from="image").set_index("image_id")
    problems = {"a.jpg": "no box", "d.jpg": "cannot be read", "e.jpg": "its size in pixels is unknown"}
    assert crops["problem"].to_dict() == {"b.jpg#1": "", "c.jpg": ""} | problems
    assert crops["class_name"]["b.jpg#1"] == "ray" and crops["box"]["c.jpg"] == "" and (crops["group"] == "cam1").all()
    assert crops["path"]["c.jpg"] == "/photos/c.jpg" and crops["width"]["c.jpg"] == 64
    back = photos_of(crops.reset_index())
    same = ["image_id", "path", "class_name", "split", "group"]
    assert back[same].equals(catalog[same]) and photos_of(catalog) is catalog


def many_crops(group=""):
    """Thirty photographs of three classes with one to three boxes each."""
    names = [f"p{number:02d}.jpg" for number in range(30)]
    boxes = [(name, "eel", x, 0, x + 20, 20) for number, name in enumerate(names) for x in range(number % 3 + 1)]
    return mcv.crop_catalog(photos_table(*names, classes=[*COLORS], group=group), table_of(*boxes), class_from="image")


def pairs_of(*pairs):
    return pd.DataFrame([(*pair, "near copy", 0.9, "hash") for pair in pairs], columns=PAIR_COLUMNS)


@pytest.mark.parametrize("split_by", ["random", "stratified", "grouped"])
def test_no_split_divides_the_crops_of_a_photograph(split_by):
    crops, pairs = many_crops(), pairs_of(("p00.jpg", "p03.jpg"))
    split = mcv.split_catalog(crops, split_by, pairs=pairs if split_by == "grouped" else None)
    whole = mcv.split_catalog(photos_of(crops), split_by, pairs=pairs if split_by == "grouped" else None)
    assert set(split["image_id"]) == set(crops["image_id"]) and split["split"].nunique() == 3
    of_photo = split.drop_duplicates("photo").set_index("photo")["split"]
    assert of_photo.sort_index().to_dict() == whole.set_index("image_id")["split"].sort_index().to_dict()
    assert (split.groupby("photo")["split"].nunique() == 1).all() and (split["group"] != "").all()
    if split_by == "grouped":
        assert of_photo["p00.jpg"] == of_photo["p03.jpg"]
        assert split.set_index("photo")["group"][["p00.jpg", "p03.jpg"]].nunique() == 1


@pytest.mark.parametrize("by", ["stratified", "grouped"])
def test_no_fold_and_no_limit_divides_the_crops_of_a_photograph(by):
    crops = many_crops()
    folds = kfold(crops, 3, by=by)
    held_out = pd.concat([fold[fold["split"] == "validation"] for fold in folds])
    assert sorted(held_out["image_id"]) == sorted(crops["image_id"])
    assert all((fold.groupby("photo")["split"].nunique() == 1).all() for fold in folds)
    limited = mcv.data.catalog.limit_catalog(crops.assign(split="train"), 6, 0)
    assert limited["photo"].nunique() == 6 and len(limited) == crops["photo"].isin(limited["photo"]).sum() > 6


def test_pairs_of_photographs_group_and_leave_out_their_crops():
    crops = many_crops()
    crops["split"] = crops["photo"].map(lambda name: "train" if name < "p20" else "test")
    pairs = pairs_of(("p02.jpg", "p05.jpg"), ("p05.jpg", "p23.jpg"))
    grouped = group_catalog(crops, pairs).set_index("photo")["group"]
    assert set(grouped[["p02.jpg", "p05.jpg", "p23.jpg"]]) == {"p02.jpg"} and grouped.nunique() == 28
    again = photos_of(group_catalog(crops, pairs)).set_index("image_id")["group"]
    assert again.value_counts().to_dict() == {"": 27, "p02.jpg": 3}
    assert related_in_train(crops, pairs)["image_id"].tolist() == ["p23.jpg"]
    out = leave_out_duplicates(crops, pairs)
    assert set(out["photo"][out["problem"] != ""]) == {"p05.jpg"} and (out["problem"] != "").sum() == 3


def crops_table(probabilities, photos=("a", "a", "b"), classes=("eel", "eel", "ray"), names=("crab", "eel")):
    extra = pd.DataFrame({"photo": photos, "box": "0,0,9,9", "photo_class": classes})
    ids = [f"{photo}#{number}" for number, photo in enumerate(photos)]
    return mcv.make_table(ids, "test", [names[0]] * len(photos), probabilities, names, extra)


def test_a_photograph_has_the_normalized_mean_log_probability_of_its_crops():
    crops = crops_table([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7]])
    table = mcv.photo_table(crops).set_index("image_id")
    odds = np.sqrt((0.9 / 0.1) * (0.6 / 0.4))
    np.testing.assert_allclose(table["p_crab"], [odds / (1 + odds), 0.3], rtol=1e-6)
    assert table["true_class"].to_dict() == {"a": "eel", "b": ""} and table["crops"].tolist() == [2, 1]
    np.testing.assert_allclose(mcv.photo_table(crops, 2.0)["p_crab"][0], odds**0.5 / (1 + odds**0.5), rtol=1e-6)
    assert metrics_of(crops, groups={"a#0": "g"})["photo_accuracy"]["n"] == 1
    assert mcv.photo_table(crops_table([[0.0, 1.0], [1.0, 0.0], [0.5, 0.5]]))["p_crab"].tolist() == [0.5, 0.5]
    with pytest.raises(ValueError, match="Expected the predictions of crops"):
        mcv.photo_table(crops.drop(columns="photo_class"))


def write_detections(path, folder):
    """Three animals and a person in each photograph of test; none in the first, and nothing of the second is known."""
    kinds = [("1", 0.9, 0.1), ("2", 0.9, 0.2), ("1", 0.6, 0.3), ("1", 0.1, 0.4), ("1", 0.5, 0.1001)]
    found = [{"category": kind, "conf": score, "bbox": [left, 0.1, 0.4, 0.5]} for kind, score, left in kinds]
    names = sorted(file.name for file in folder.glob("*.jpg"))
    images = [{"file": name, "detections": found if index else []} for index, name in enumerate(names) if index != 1]
    content = {"detection_categories": {"1": "animal", "2": "person"}, "info": {}, "images": images}
    path.write_text(json.dumps(content), encoding="utf-8")
    return names


@pytest.fixture(scope="module")
def run_of_crops(shared_tank, tmp_path_factory):
    from pipelines.cli import main

    run = tmp_path_factory.mktemp("crops") / "run"
    words = ["--data-dir", str(shared_tank), "--epochs", "1", "--image-size", "16", "--output-dir", str(run)]
    assert main(["pretrain", *words, "--crops", "0.2", "--split-by", "grouped"]) == 0
    return run


@pytest.mark.slow
def test_a_run_of_crops_scores_crops_and_photographs(run_of_crops):
    run = Run(run_of_crops)
    crops, photos = (pd.read_csv(run.path(name)) for name in ("predictions.csv", "photo_predictions.csv"))
    assert {"photo", "box", "photo_class"} <= set(crops) and len(photos) == crops["photo"].nunique()
    assert (crops.groupby("photo")["split"].nunique() == 1).all() and run.preprocessing.crops == 0.2
    for split, metrics in run.metrics.items():
        part = photos[photos["split"] == split]
        value = (part["true_class"] == part["predicted_class"]).mean()
        assert metrics["photo_accuracy"]["value"] == value and metrics["photo_accuracy"]["n"] == len(part)
    page = run.path("report.html").read_text(encoding="utf-8")
    assert re.search(r"crops classified correctly .*; .* photographs classified correctly", page)
    assert "Accuracy of photographs" in page and "#" not in pd.read_csv(run.path("split.csv"))["image_id"].sum()
    assert run.preprocessing.data_dirs == (str(run.catalog["path"][0].partition("/train/")[0].partition("/test/")[0]),)


def test_evaluate_crops_other_images_as_the_run_s_were(run_of_crops, shared_tank, tmp_path):
    evaluate(run_of_crops, "test", log=None)
    folder = tmp_path / "out"
    found = evaluate(run_of_crops, "validation", shared_tank, folder=folder, log=None)
    assert found.predictions["image_id"].str.contains("#1").all() and found.metrics["photo_accuracy"]["n"] == 3
    assert (folder / "photo_predictions.csv").is_file()
    said = []
    evaluate(run_of_crops, "validation", shared_tank, crops=0.0, log=said.append)
    assert any("with a margin of 0" in line for line in said)


def test_predict_writes_a_row_a_crop_and_a_row_a_photograph(run_of_crops, shared_tank, tmp_path, monkeypatch, capsys):
    folder, out = shared_tank / "test", tmp_path / "out.csv"
    names = write_detections(tmp_path / "md.json", folder)
    words = ["predict", run_of_crops, folder, "--boxes", tmp_path / "md.json", "--output", out]
    text = shown(capsys, *words)
    assert "3 of 5 detections are animals" in text and "3 predicted, 1 without an animal, 1 failed" in text
    rows, photos = (pd.read_csv(path, keep_default_na=False) for path in (out, tmp_path / "photo_out.csv"))
    assert [path.rpartition("/")[2] for path in rows["path"]] == [names[0], names[1], *[names[2]] * 3]
    assert [path.rpartition("/")[2] for path in photos["path"]] == names and photos["crops"].tolist() == [0, 0, 3]
    assert rows["problem"].tolist() == ["no box", "no annotation names it", "", "", ""]
    assert rows["predicted_class"].tolist()[:2] == photos["predicted_class"].tolist()[:2] == ["empty", ""]
    assert rows["box"][2] == rows["box"][4] != rows["box"][3]  # two boxes of the same pixels
    pixels = [f"{rows['path'][row]}#{rows['box'][row]}" for row in (2, 3, 4)]
    run = Run(run_of_crops)
    probabilities = run.load_model().predict(mcv.read_pixels(pixels, run.spec)[0].astype("float32"), verbose=0)
    np.testing.assert_allclose(rows.loc[2:, "p_crab"].astype(float), probabilities[:, 0], atol=1e-4)
    logs = np.log(probabilities).mean(axis=0)
    expected = np.exp(logs) / np.exp(logs).sum()
    np.testing.assert_allclose(float(photos["p_crab"][2]), expected[0], atol=1e-4)
    assert "exists and is never overwritten" in refused(capsys, *words)
    words[-1] = tmp_path / "again.csv"
    with monkeypatch.context() as patch:
        patch.setattr(Outputs, "write", killed)  # when the table of photographs is there
        shown(capsys, *words, code=130)
    assert (tmp_path / "photo_again.csv").exists() and not words[-1].exists()
    shown(capsys, *words)
    assert words[-1].read_bytes() == out.read_bytes()
    text = shown(capsys, *words[:-1], tmp_path / "none.csv", "--min-confidence", "0.95", code=1)
    assert "0 predicted, 2 without an animal, 1 failed" in text
    assert "minimum confidence" in (tmp_path / "none.csv").read_text()


def test_what_cannot_act_with_crops_is_said(run_of_crops, finished_run, shared_tank, tmp_path, capsys):
    write_detections(tmp_path / "md.json", shared_tank / "test")
    detections = {"boxes": tmp_path / "md.json", "log": None}
    with pytest.raises(ValueError, match="measured for whole images. Leave out unknown="):
        mcv.predict(run_of_crops, shared_tank / "test", unknown=0.05, **detections)
    with pytest.raises(ValueError, match="trained on whole images, and boxes= gives it crops"):
        mcv.predict(finished_run, shared_tank, **detections)
    assert len(mcv.predict(finished_run, shared_tank / "test", crops=0.1, **detections)) == 5
    with pytest.raises(ValueError, match="boxes= names images below one folder"):
        mcv.predict(run_of_crops, [shared_tank / "test", shared_tank / "train"], **detections)
    with pytest.raises(ValueError, match="Name a file of detections with boxes="):
        mcv.predict(run_of_crops, shared_tank, crops=0.1, log=None)
    said = []
    mcv.predict(run_of_crops, shared_tank / "test", log=said.append)
    assert any("was trained on crops, and whole photographs are given to it" in line for line in said)
    with pytest.raises(ValueError, match=r"Add crops=0\.1, the margin"):
        mcv.DataConfig(name="a", boxes="md.json")
    for setting in ({"synthetic": True}, {"attributes": "image"}, {"label_fraction": 0.5}, {"pseudo_labels": 0.9}):
        with pytest.raises(ValueError, match=f"{next(iter(setting))} is for whole photographs"):
            mcv.DataConfig(name="a", crops=0.1, **setting)
    with pytest.raises(ValueError, match="Expected a margin from 0 to 1"):
        mcv.crop_catalog(photos_table("a.jpg"), table_of(), 2.0)
    with pytest.raises(ValueError, match="a.jpg is there twice"):
        mcv.crop_catalog(photos_table("a.jpg", "a.jpg"), table_of())
    catalog, choice = photos_table("a.jpg"), mcv.DataConfig(name="a", crops=0.1)
    with pytest.raises(ValueError, match=r"pass what crop_catalog\(catalog, boxes\) gives"):
        cropped(catalog, mcv.Manifest(name="catalog", layout="folders"), choice, print)
    with pytest.raises(ValueError, match="These images are crops. State their margin"):
        mcv.train(many_crops(), "aquarium_four_conv", log=None)
    for name in ("eel", "ray"):
        (tmp_path / "plain" / name).mkdir(parents=True)
        draw_image(name, 3).save(tmp_path / "plain" / name / "a.jpg")
    words = ["pretrain", "--data-dir", tmp_path / "plain", "--crops"]
    assert "--crops needs boxes, and" in refused(capsys, *words)
    assert "There is no file of detections NOPE" in refused(capsys, *words, "--boxes", "NOPE")


def test_detections_of_class_folders_have_the_class_of_their_image(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images = []
    for number in range(8):
        name = f"{('eel', 'ray')[number % 2]}/{number}.jpg"
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        draw_image(name[:3], number).save(tmp_path / "photos" / name)
        found = [{"category": "1", "conf": 0.9, "bbox": [0.1, 0.1, 0.6, 0.6]}] * (number < 7)
        images.append({"file": name, "detections": found})
    (tmp_path / "md.json").write_text(json.dumps({"detection_categories": {"1": "Animal"}, "images": images}))
    words = ["pretrain", "--data-dir", "photos", "--crops", "--boxes", "md.json", "--split-by", "stratified"]
    assert "7 crops of 7 photographs" in shown(
        capsys, *words, "--epochs", "1", "--image-size", "16", "--output-dir", "r"
    )
    catalog = Run("r").catalog
    assert (catalog["class_name"] == catalog["photo"].str[:3]).all()
    assert catalog.loc[catalog["problem"] != "", ["image_id", "problem"]].to_numpy().tolist() == [
        ["ray/7.jpg", "no box"]
    ]
