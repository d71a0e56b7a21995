"""`predict` from the command line and from Python: a row a file, whatever the file, and nothing overwritten."""

import codecs
import os
import re
import shutil
import threading
from collections import Counter
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from conftest import draw_image, killed, make_demonstration, shown
from PIL import Image

import marinecv as mcv
from marinecv.evaluation.predictions import read_predictions
from marinecv.files.csv_tables import read_table
from marinecv.inputs.pixel_cache import read_pixels
from marinecv.workflows import outputs, predict, predictor
from marinecv.workflows.evaluate import run_of_model
from marinecv.workflows.outputs import count_lines
from marinecv.workflows.run import Run
from marinecv.workflows.sources import find_images
from pipelines.cli import main

PLACES = ["camera", "taken_at", "time_source"]


def rows_of(path):
    return pd.read_csv(path, keep_default_na=False, dtype={"predicted_class": str, "problem": str})


@pytest.fixture
def photos(tmp_path):
    """Folders in folders, other sizes and color modes, names with spaces, and two files that are no pictures."""
    folder = tmp_path / "my photos"
    (folder / "Überfahrt" / "deep").mkdir(parents=True)
    draw_image("crab", 1).save(folder / "a b.JPG")
    draw_image("eel", 2).resize((300, 200)).convert("L").save(folder / "Überfahrt" / "gray.png")
    draw_image("ray", 3).convert("RGBA").save(folder / "Überfahrt" / "deep" / "clear.webp")
    (folder / "Überfahrt" / "cut.jpg").write_bytes((folder / "a b.JPG").read_bytes()[:300])
    (folder / "text.jpg").write_text("no picture")
    (folder / "notes.txt").write_text("not looked at")
    return folder


def test_a_folder_is_searched_to_the_bottom_and_a_broken_file_is_a_row(finished_run, photos, tmp_path, capsys):
    out = tmp_path / "out.csv"
    assert main(["predict", str(finished_run), str(photos), "--output", str(out)]) == 0
    assert "3 predicted, 2 failed (column problem)" in capsys.readouterr().out
    rows = rows_of(out).set_index("path")
    assert sorted(rows.index) == sorted(str(path) for path in photos.rglob("*.*") if path.suffix != ".txt")
    failed = rows[rows["problem"] != ""]
    assert {path.rsplit("/")[-1] for path in failed.index} == {"cut.jpg", "text.jpg"}
    assert (failed["predicted_class"] == "").all() and (failed[["probability", "p_crab"]] == "").all().all()
    good = rows[rows["problem"] == ""]
    probabilities = good[["p_crab", "p_eel", "p_ray"]].astype(float)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert list("p_" + good["predicted_class"]) == list(probabilities.idxmax(axis=1))


@pytest.mark.skipif(os.name == "nt", reason="there are no such files")
@pytest.mark.parametrize("command", ["predict", "explain"])
def test_pipes_devices_and_giants_are_rows(finished_run, photos, tmp_path, command):
    run = shutil.copytree(finished_run, tmp_path / "run")
    os.mkfifo(photos / "pipe.jpg")
    (photos / "zero.jpg").symlink_to("/dev/zero")
    (photos / "gone.jpg").symlink_to("/nowhere/gone.jpg")
    with open(photos / "giant.jpg", "wb") as file:
        file.truncate(10 * 2**30)
    out = tmp_path / "out.csv"
    words = ["predict", str(run), str(photos), "--output", str(out)]
    if command == "explain":
        words, out = ["explain", str(run), str(photos)], run / "explanations" / "gradcam" / "explanations.csv"
    assert main(words) == 0  # to open a pipe would be to wait forever
    rows = rows_of(out)
    problems = {Path(row.iloc[0]).name: row["problem"] for _, row in rows.iterrows()}
    parts = {"pipe.jpg": "no regular file", "zero.jpg": "no regular file", "giant.jpg": "10,737,418,240 bytes"}
    for name, part in (parts | {"gone.jpg": "a link that leads to no file"}).items():
        assert part in problems[name]
    assert problems["a b.JPG"] == ""


def test_predictions_are_those_of_the_run_in_chunks_and_batches(
    finished_run, shared_tank, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(predict, "CHUNK", 5)
    out = tmp_path / "out.csv"
    words = [str(finished_run), str(shared_tank), "--output", str(out), "--batch-size", "2"]
    assert main(["predict", *words]) == 0
    assert "5/12 images\n  10/12 images\n  12/12 images" in capsys.readouterr().out
    ours = rows_of(out).set_index("path").sort_index()
    kept = read_predictions(finished_run / "predictions.csv")
    kept.index = [str(shared_tank / image_id) for image_id in kept["image_id"]]
    assert ours["predicted_class"].to_dict() == kept["predicted_class"].to_dict()
    np.testing.assert_allclose(ours["p_eel"].astype(float), kept["p_eel"].sort_index(), atol=1e-5)


def test_a_folder_gives_every_file_that_is_an_image_by_its_suffix_or_its_content(tmp_path):
    for name in ("a.jfif", "b.jpe", "c.mpo", "photo", "d.dat", "e.jxl", "@eaDir/f.jpg", ".g.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        draw_image("crab", seed=1).save(tmp_path / name, "JPEG")
    for name in ("h.heic", "notes", "notes.txt", "Thumbs.db"):
        (tmp_path / name).write_text("no picture")
    names = ["a.jfif", "b.jpe", "c.mpo", "d.dat", "e.jxl", "h.heic", "photo"]
    assert [path.name for path in find_images([tmp_path])] == names


def test_an_image_of_two_given_folders_is_one_image(photos, monkeypatch):
    monkeypatch.chdir(photos.parent)
    files = find_images(photos)
    assert files and find_images([photos, photos.name, files[0]]) == files
    assert find_images([files[0], files[0]]) == [files[0]] * 2  # as the rows of a table


def test_limit_draws_so_many_by_seed(photos):
    drawn = [tuple(find_images(photos, 2, seed)) for seed in (1, 1, 2, 3, 4)]
    assert drawn[0] == drawn[1] and len(set(drawn)) > 1 and all(len(set(paths)) == 2 for paths in drawn)


def test_an_interrupted_prediction_goes_on_with_the_same_command(
    finished_run, shared_tank, tmp_path, monkeypatch, capsys
):
    whole, asked = predictor.rows_of_files, []

    def interrupted(look, files, *args):
        asked.append(files)
        if len(asked) == 2:
            raise KeyboardInterrupt
        return whole(look, files, *args)

    monkeypatch.setattr(predict, "CHUNK", 5)
    words = ["predict", str(finished_run), str(shared_tank), "--output"]
    assert main([*words, str(tmp_path / "at once.csv")]) == 0
    monkeypatch.setattr(predictor, "rows_of_files", interrupted)
    assert main([*words, str(tmp_path / "out.csv")]) == 130
    assert "go on with the same command again" in capsys.readouterr().err
    [parts] = tmp_path.glob("out.csv.*.parts")
    assert len(rows_of(parts / "000000000.csv")) == 5 and not (tmp_path / "out.csv").exists()
    assert main([*words, str(tmp_path / "out.csv")]) == 0
    assert [len(files) for files in asked] == [5, 5, 5, 2]  # the first five are not looked at again
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "at once.csv").read_bytes()
    assert not parts.exists()


def test_the_next_chunk_and_no_other_is_decoded_while_one_is_predicted():
    read_of = {name: threading.Event() for name in "abc"}

    def read(files):
        read_of[files[0]].set()
        return files[0].upper(), {}

    def text_of(files, pixels, reasons):
        following = {"a": "b", "b": "c"}.get(files[0])
        assert following is None or read_of[following].wait(10)
        assert files[0] != "a" or not read_of["c"].is_set()
        return pixels

    texts = predict.texts_in_turn({0: ["a"], 1: ["b"], 2: ["c"]}, read, text_of)
    assert list(texts) == [(0, "A"), (1, "B"), (2, "C")]


def left_half_run(folder):
    """A run of two classes whose probability of `light` is higher the more red the left half of an image is."""
    image = keras.Input((8, 8, 3))
    left = keras.layers.GlobalAveragePooling2D()(keras.layers.Cropping2D(((0, 0), (0, 4)))(image))
    last = keras.layers.Dense(2, activation="softmax")
    model = keras.Model(image, last(left))
    last.set_weights([np.array([[0, 0.01], [0, 0], [0, 0]]), np.zeros(2)])
    pixels = np.zeros((2, 8, 8, 3), np.uint8)
    pixels[0, :, :4, 0] = 255
    (folder / "photos").mkdir(parents=True)
    paths = [str(folder / "photos" / name) for name in ("left.png", "none.png")]
    for path, each in zip(paths, pixels, strict=True):
        Image.fromarray(each).save(path)
    catalog = mcv.catalog_of(paths, ["light", "dark"]).assign(split="validation")
    return run_of_model(folder / "run", model, catalog, mcv.ImageSpec(height=8, width=8), ["dark", "light"])


def test_tta_flip_shows_a_model_of_the_left_half_the_right_half_too(tmp_path, capsys):
    run, photos = left_half_run(tmp_path), str(tmp_path / "photos")
    once = mcv.predict(run, photos, log=None)["p_light"]
    light = 1 / (1 + np.exp(-2.55))
    np.testing.assert_allclose(once, [light, 0.5], atol=1e-5)
    out = tmp_path / "out.csv"
    assert main(["predict", str(run.folder), photos, "--tta", "flip", "--output", str(out)]) == 0
    np.testing.assert_allclose(pd.read_csv(out)["p_light"], [(light + 0.5) / 2, 0.5], atol=1e-5)


def test_a_file_of_any_suffix_can_be_named_and_the_exit_code_is_1_where_no_file_can_be_read(
    finished_run, photos, tmp_path, capsys
):
    (photos / "a b.JPG").rename(photos / "camera.dat")
    for name, code in (("camera.dat", 0), ("text.jpg", 1)):
        out = tmp_path / f"{name}.csv"
        assert main(["predict", str(finished_run), str(photos / name), "--output", str(out)]) == code
        rows = rows_of(out)
        assert list(rows["path"]) == [str(photos / name)] and (rows["problem"] != "").tolist() == [code == 1]
    assert "0 predicted, 1 failed" in capsys.readouterr().out


def test_in_memory_it_is_what_the_file_and_the_command_hold(finished_run, photos, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(predict, "CHUNK", 4)
    lines, before = [], sorted(photos.rglob("*"))
    table = Run(finished_run).predict(photos, review=True, log=lines.append)
    assert sorted(photos.rglob("*")) == before and "  5/5 images" in lines
    assert "3 predicted, 2 failed (column problem)" in lines
    written = mcv.predict(finished_run, [str(photos)], review=True, output=tmp_path / "a.csv", log=None)
    assert capsys.readouterr() == ("", "")
    assert main(["predict", str(finished_run), str(photos), "--review", "--output", str(tmp_path / "b.csv")]) == 0
    pd.testing.assert_frame_equal(table, written)
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    names = ["p_crab", "p_eel", "p_ray"]
    assert list(table) == ["path", "predicted_class", "probability", *names, *PLACES, "doubt", "review", "problem"]
    good = table[table["problem"] == ""]
    assert good["probability"].tolist() == good[names].max(axis=1).tolist()
    assert table["probability"].isna().sum() == 2 and table["doubt"].dtype == float
    pixels = read_pixels(good["path"], Run(finished_run).spec)[0].astype(np.float32)
    np.testing.assert_allclose(good[names], Run(finished_run).model.predict(pixels, verbose=0), atol=1e-5)


def test_a_model_of_drawn_pictures_predicts_photographs_only_when_told(finished_run, photos, tmp_path):
    drawn = make_demonstration(shutil.copytree(finished_run, tmp_path / "drawn"))
    (drawn / "calibration.json").unlink()  # it is of another preprocessing
    with pytest.raises(ValueError, match="drawn pictures.*add demonstration=True"):
        mcv.predict(drawn, photos, log=None)
    assert len(mcv.predict(drawn, photos, limit=2, demonstration=True, log=None)) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"output": "out.csv"}, "out.csv exists .* Name another with output=."),
        ({"workers": "rya"}, 'Expected workers to be one of .*Did you mean "ray"?'),
        ({"tta": "flop"}, 'Expected tta to be one of .*Did you mean "flip"?'),
        ({"batch_size": 0}, "Expected batch_size"),
        ({"limit": 0}, "Expected limit"),
        ({"top": 0}, "Expected top"),
        ({"unknown": 5}, "Expected unknown to be a fraction between 0 and 1"),
        ({"unknown": 0.05}, "needs calibration images, and .* has none: Too few validation images"),
        ({"formats": "xls", "output": "a.csv"}, "Expected formats to be one of .*Received: formats='xls'"),
        ({"formats": "xlsx"}, "Name that with output="),
        ({"formats": "camtrapdp", "output": "a.csv"}, "Camtrap DP needs deployments=, timezone=, project= too"),
        ({"timezone": "Z"}, 'are of formats="camtrapdp"'),
        ({"event_gap": "1d", "output": "a.csv"}, "Expected a number of seconds, minutes or hours"),
        ({"sort_into": "empty"}, "empty exists. Expected a new folder"),
        ({"sort_into": "my photos/sorted"}, "is below .*my photos, where its links would be taken for images"),
        ({"run": "."}, "is no run"),
        ({"paths": "nowhere"}, "There is no nowhere"),
        ({"paths": "empty"}, "No image in empty"),
    ],
)
def test_what_it_refuses_is_said_in_words_of_its_arguments(
    finished_run, photos, tmp_path, monkeypatch, options, message
):
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("out.csv").write_text("mine")
    with pytest.raises(ValueError, match=message):
        mcv.predict(**{"run": finished_run, "paths": photos, "log": None, **options})
    assert Path("out.csv").read_text() == "mine"


def test_without_output_folders_are_numbered_and_a_stopped_call_is_found_again(
    finished_run, shared_tank, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    words = ["predict", str(finished_run), str(shared_tank)]
    assert [main(words), main(words)] == [0, 0]
    out = capsys.readouterr().out
    assert [line.split(":")[0] for line in out.splitlines()][-1] == "predictions/run-2/predictions.csv"
    with monkeypatch.context() as patch:
        patch.setattr(predict, "join_parts", killed)
        assert main(words) == 130
    assert main([*words, "--top", "2"]) == 0  # another question
    assert main(words) == 0
    tables = sorted(Path("predictions").rglob("*.*"))
    assert [path.as_posix() for path in tables] == [f"predictions/run-{n}/predictions.csv" for n in (1, 2, 3, 4)]
    assert tables[0].read_bytes() == tables[1].read_bytes() == tables[2].read_bytes() != tables[3].read_bytes()
    assert tables[0].read_bytes().startswith(codecs.BOM_UTF8) and read_table(tables[0]).columns[0] == "path"


def test_the_console_tells_the_classes_of_one_image_and_counts_those_of_many(finished_run, photos, tmp_path, capsys):
    assert main(["predict", str(finished_run), str(photos / "a b.JPG"), "--output", str(tmp_path / "a.csv")]) == 0
    assert re.search(
        r"\n  \w+ \d+\.\d%, \w+ \d+\.\d%, \w+ \d+\.\d%\n.*a.csv: 1 predicted$", capsys.readouterr().out.strip()
    )
    counts = Counter({("c1", "fox"): 1200, ("c2", "fox"): 3, ("", "deer"): 7, ("c2", ""): 9})
    lines = ["    1,203  fox", "        7  deer", "  camera unknown: deer 7", "  c1: fox 1,200", "  c2: fox 3"]
    assert count_lines(counts) == lines
    assert count_lines(Counter({("", f"class{n:02}"): 1 for n in range(25)}))[-1] == "  and 5 lines more"


def test_top_adds_the_next_classes(finished_run, photos):
    table = mcv.predict(finished_run, photos, top=9, log=None)
    good = table[table["problem"] == ""]
    names = ["predicted_class", "class_2", "class_3"]
    for _, row in good.iterrows():
        assert {*row[names]} == {"crab", "eel", "ray"}
        chances = row[["probability", "probability_2", "probability_3"]].tolist()
        assert chances == [row[f"p_{name}"] for name in row[names]] == sorted(chances, reverse=True)
    assert (table.loc[table["problem"] != "", names] == "").all(axis=None) and "class_4" not in table


def test_a_call_that_is_stopped_while_it_writes_other_files_goes_on(finished_run, photos, tmp_path, monkeypatch):
    pytest.importorskip("openpyxl")

    def call(name):
        how = {
            "formats": ("csv", "xlsx", "megadetector"),
            "event_gap": "30m",
            "sort_into": tmp_path / name / "by_class",
        }
        (tmp_path / name).mkdir(exist_ok=True)
        mcv.predict(finished_run, photos, output=tmp_path / name / "table.csv", log=None, **how)
        files = [path for path in (tmp_path / name).rglob("*") if path.is_file() and path.suffix != ".xlsx"]
        return {path.relative_to(tmp_path / name).as_posix(): path.read_bytes() for path in files}

    expected = call("at once")
    assert {"table.csv", "table_shared.csv", "table_megadetector.json", "events.csv", "by_class/undo.csv"} < {*expected}
    assert (tmp_path / "at once" / "table_shared.xlsx").is_file() and len(expected) == 8
    for step in ("write_megadetector", "sort_into"):
        with monkeypatch.context() as patch:
            patch.setattr(outputs, step, killed)
            with pytest.raises(KeyboardInterrupt):
                call(step)
        assert call(step) == expected
    with monkeypatch.context() as patch:
        patch.setattr(predict, "join_parts", killed)
        with pytest.raises(KeyboardInterrupt):
            mcv.predict(finished_run, photos, output=tmp_path / "at once" / "b.csv", log=None)
    with pytest.raises(ValueError, match="events.csv exists and is never overwritten"):
        mcv.predict(finished_run, photos, output=tmp_path / "at once" / "b.csv", event_gap="1h", log=None)


def test_time_and_camera_of_each_file_are_told_and_give_events_and_a_package(
    finished_run, tmp_path, camtrap_files, monkeypatch, capsys
):
    monkeypatch.setattr(predict, "CHUNK", 2)
    times = {
        "cam1/b.jpg": "2025:04:02 05:00:00",
        "cam1/IMG_20250402_052000.jpg": "",
        "cam2/c.jpg": "2025:04:02 05:10:00",
    }
    for number, (name, taken_at) in enumerate([*times.items(), ("d.jpg", "")]):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        exif = Image.Exif()
        if taken_at:
            exif[0x8769] = {0x9003: taken_at}
        exif[0x8825] = {2: (46.0, 12.0, 15.84)}
        draw_image("crab", number).save(tmp_path / "photos" / name, exif=exif)
    words = ["--deployments", camtrap_files[0], "--timezone", "+02:00", "--project", camtrap_files[1]]
    words += ["--event-gap", "30m", "--format", "camtrapdp", "csv", "--output", tmp_path / "t.csv"]
    out = shown(capsys, "predict", finished_run, tmp_path / "photos", *words)
    rows = read_table(tmp_path / "t.csv").assign(path=lambda table: [Path(path).name for path in table["path"]])
    rows = rows.set_index("path")[PLACES]
    assert rows.loc["b.jpg"].tolist() == ["cam1", "2025-04-02T05:00:00", "exif"]
    assert rows.loc["IMG_20250402_052000.jpg"].tolist() == ["cam1", "2025-04-02T05:20:00", "name"]
    assert rows.loc["d.jpg"].tolist() == ["", "", ""] and re.search(r"\n  cam1: \w+ \d", out)
    events = read_table(tmp_path / "events.csv")
    assert set(zip(events["event_id"], events["camera"], strict=True)) == {("e1", "cam1"), ("e2", "cam2")}
    assert "2 events (pauses of 30m at most); 1 of 4 images without camera or time are in none" in out
    assert "t_camtrapdp: 1 of 4 rows left out: no time" in out
    package = {path.name: path.read_bytes() for path in (tmp_path / "t_camtrapdp").iterdir()}
    assert len(package) == 4 and len(read_table(tmp_path / "t_camtrapdp" / "media.csv")) == 3
    assert read_table(tmp_path / "t_shared.csv")["file"].tolist()[-1] == "d.jpg"
    for content in (
        *package.values(),
        (tmp_path / "t_shared.csv").read_bytes(),
        (tmp_path / "events.csv").read_bytes(),
    ):
        assert str(tmp_path).encode() not in content and b"15.84" not in content
