"""`mcv.predict` from Python: in memory what the CSV holds, nothing said unless asked, errors in arguments' words."""

import json
import shutil
from pathlib import Path

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
    assert sorted(photos.rglob("*")) == before and "  6/6 images" in lines
    assert "5 predicted, 1 failed (column problem)" in lines
    written = mcv.predict(finished_run, [str(photos)], review=True, output=tmp_path / "a.csv", log=None)
    assert capsys.readouterr() == ("", "")
    assert main(["predict", str(finished_run), str(photos), "--review", "--output", str(tmp_path / "b.csv")]) == 0
    pd.testing.assert_frame_equal(table, written)
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    names = ["p_crab", "p_eel", "p_ray"]
    assert list(table) == ["path", "predicted_class", "probability", *names, "doubt", "review", "problem"]
    good = table[table["problem"] == ""]
    assert good["probability"].tolist() == good[names].max(axis=1).tolist()
    assert table["probability"].isna().sum() == 1 and table["doubt"].dtype == float
    pixels = read_pixels(good["path"], Run(finished_run).spec)[0].astype(np.float32)
    np.testing.assert_allclose(good[names], Run(finished_run).model.predict(pixels, verbose=0), atol=1e-5)


def test_a_model_of_drawn_pictures_predicts_photographs_only_when_told(finished_run, photos, tmp_path):
    drawn = shutil.copytree(finished_run, tmp_path / "drawn")
    contract = json.loads((drawn / "contract.json").read_text())
    (drawn / "contract.json").write_text(json.dumps({**contract, "demonstration": True}))
    (drawn / "calibration.json").unlink()  # it is of another contract
    with pytest.raises(ValueError, match="drawn pictures.*add demonstration=True"):
        mcv.predict(drawn, photos, log=None)
    assert len(mcv.predict(drawn, photos, limit=2, demonstration=True, log=None)) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"output": "out.csv"}, "out.csv exists .* Name another with output=."),
        ({"workers": "rya"}, 'Expected workers to be one of .*Did you mean "ray"?'),
        ({"batch_size": 0}, "Expected batch_size"),
        ({"limit": 0}, "Expected limit"),
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
