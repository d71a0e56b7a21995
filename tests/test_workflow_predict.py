"""`mcv.predict` from Python: in memory what the CSV holds, nothing said unless asked, errors in arguments' words."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from conftest import draw_image

import marinecv as mcv
from marinecv.inputs.pixels import read_pixels
from marinecv.workflows import predict
from marinecv.workflows.run import Run
from pipelines.cli import main


@pytest.fixture
def photos(tmp_path):
    """Pictures of three classes and a file that is none."""
    (tmp_path / "photos" / "deep").mkdir(parents=True)
    for number, name in enumerate(("crab", "eel", "ray", "crab", "eel")):
        draw_image(name, number).save(tmp_path / "photos" / "deep" / f"{number}.png")
    (tmp_path / "photos" / "text, 1.jpg").write_text("no picture")
    return tmp_path / "photos"


def test_in_memory_it_is_what_the_file_and_the_command_hold(finished_run, photos, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(predict, "CHUNK", 4)
    lines, before = [], sorted(photos.rglob("*"))
    table = Run(finished_run).predict(photos, review=True, log=lines.append)
    assert capsys.readouterr().out == "" and sorted(photos.rglob("*")) == before
    assert [line.strip() for line in lines][-4:-1] == [
        "4/6 images",
        "6/6 images",
        "5 predicted, 1 failed (column problem)",
    ]
    written = mcv.predict(finished_run, [str(photos)], review=True, output=tmp_path / "a.csv", log=None)
    assert main(["predict", str(finished_run), str(photos), "--review", "--output", str(tmp_path / "b.csv")]) == 0
    pd.testing.assert_frame_equal(table, written)
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    assert list(table) == [
        "path",
        "predicted_class",
        "probability",
        "p_crab",
        "p_eel",
        "p_ray",
        "doubt",
        "review",
        "problem",
    ]
    good = table[table["problem"] == ""]
    assert good["probability"].tolist() == good[["p_crab", "p_eel", "p_ray"]].max(axis=1).tolist()
    assert table["probability"].isna().sum() == 1 and table["doubt"].dtype == float
    model = Run(finished_run).model
    pixels = np.stack([read_pixels(good["path"], Run(finished_run).spec)[0]])[0].astype(np.float32)
    np.testing.assert_allclose(good[["p_crab", "p_eel", "p_ray"]], model.predict(pixels, verbose=0), atol=1e-5)


def test_without_a_log_nothing_is_said(finished_run, photos, capsys):
    assert len(mcv.predict(finished_run, photos / "deep", limit=2, log=None)) == 2
    said = capsys.readouterr()
    assert said.out == said.err == ""


def test_what_it_refuses_is_said_in_words_of_its_arguments(finished_run, photos, tmp_path):
    (tmp_path / "out.csv").write_text("mine")
    drawn = shutil.copytree(finished_run, tmp_path / "drawn")
    contract = json.loads((drawn / "contract.json").read_text())
    (drawn / "contract.json").write_text(json.dumps({**contract, "demonstration": True}))
    for run, options, said in (
        (finished_run, {"output": tmp_path / "out.csv"}, "out.csv exists .* Name another with output=."),
        (drawn, {}, "drawn was trained on drawn pictures.*add demonstration=True"),
        (finished_run, {"workers": "rya"}, 'Expected workers to be one of .*Did you mean "ray"?'),
        (finished_run, {"batch_size": 0}, "Expected batch_size to be a whole number of at least 1"),
        (finished_run, {"limit": 0}, "Expected limit to be a whole number of at least 1"),
        (tmp_path, {}, "is no run: it has no recipe.json"),
    ):
        with pytest.raises(ValueError, match=said):
            mcv.predict(run, photos, log=None, **options)
    with pytest.raises(ValueError, match="There is no nowhere. Expected an image file or a folder."):
        mcv.predict(finished_run, "nowhere", log=None)
    assert (tmp_path / "out.csv").read_text() == "mine"
