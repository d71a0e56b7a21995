"""Label errors from Python, in the audit and beside the folds of a run: the same table, with what stands beside it."""

import keras
import numpy as np
import pandas as pd
import pytest
from conftest import refused
from PIL import Image

import marinecv as mcv
from marinecv.evaluation.label_errors import NEAREST_COLUMNS
from marinecv.evaluation.label_errors import TABLE_COLUMNS as COLUMNS
from marinecv.files.csv_tables import read_table
from marinecv.workflows import prepare
from pipelines.cli import main

WRONG = "eel/crab_3.png"


@pytest.fixture(scope="module")
def network(tmp_path_factory) -> str:
    """A Keras file of a small network with random weights, which stands for a pretrained one."""
    keras.utils.set_random_seed(0)
    pixels = keras.Input((None, None, 3))
    x = keras.layers.Rescaling(1 / 127.5, -1)(pixels)
    x = keras.layers.Conv2D(16, 5, strides=8, activation="relu")(x)
    path = tmp_path_factory.mktemp("networks") / "small.keras"
    keras.Model(pixels, x).save(path)
    return str(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Images of three colors in class folders; one crab lies among the eels, and so does a file that is no image."""
    folder, rng = tmp_path_factory.mktemp("images") / "bay", np.random.default_rng(0)
    for number, name in enumerate(("crab", "eel", "ray")):
        for i in range(10):
            path = folder / ("eel" if (name, i) == ("crab", 3) else name) / f"{name}_{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = rng.integers(0, 120, (48, 64, 3)) + 90 * np.eye(3, dtype=int)[number]
            Image.fromarray(pixels.astype(np.uint8)).save(path)
    (folder / "eel" / "broken.png").write_bytes(b"no image")
    return folder


@pytest.fixture
def weights(network, monkeypatch):
    monkeypatch.setattr(prepare, "backbones_here", lambda: [(network, 1.0)])


def test_a_wrong_label_is_found_from_python_and_by_the_audit(folder, network, weights, tmp_path, monkeypatch, capsys):
    lines = []
    table = mcv.label_errors(folder, log=lines.append)
    assert (
        list(table) == COLUMNS and COLUMNS[:3] == ["image_id", "path", "given_class"] and table["image_id"][0] == WRONG
    )
    assert table.loc[0, ["given_class", "suggested_class"]].tolist() == ["eel", "crab"]
    assert (table.loc[0, NEAREST_COLUMNS].str.partition("/")[0] == "crab").all()
    assert f"Label errors: {len(table)} of 30 labels may be wrong" in lines[-1] and "small" in lines[-1]
    pd.testing.assert_frame_equal(table, mcv.label_errors(folder, backbone=network, log=None))
    monkeypatch.chdir(tmp_path)
    words = ["audit", str(folder), "--label-errors", "--output-dir", "page"]
    assert main(words) == 0
    assert f"probable label errors: {len(table)} of 30 images. Look at them with review" in capsys.readouterr().out
    written = read_table(tmp_path / "page" / "label_errors.csv")
    assert written["image_id"].tolist() == table["image_id"].tolist()
    page = (tmp_path / "page" / "report.html").read_text(encoding="utf-8")
    section = page[page.index("Probable label errors") :]
    section = section[: section.index("</section>")]
    assert section.count("<figure>") == 4 * len(table) and "eel -&gt; crab (" in section
    assert all(f"{image}, no split: crab" in section for image in table.loc[0, NEAREST_COLUMNS])
    assert main(["audit", str(folder), "--output-dir", "plain"]) == 0
    assert not (tmp_path / "plain" / "label_errors.csv").exists()


def test_copies_of_an_image_with_the_same_wrong_label_are_all_found(folder, weights):
    catalog = mcv.read_catalog(mcv.find_data(data_dir=folder))
    wrong = catalog[catalog["image_id"] == WRONG]
    twins = [wrong.assign(image_id=f"eel/copy_{number}.png") for number in range(4)]
    table = mcv.label_errors(pd.concat([catalog, *twins], ignore_index=True), log=None)
    assert set(table["image_id"][:5]) == {WRONG, *(twin["image_id"].item() for twin in twins)}
    assert not table.loc[0, NEAREST_COLUMNS].isin(table["image_id"]).any()


def test_a_class_whose_images_are_one_is_named_as_not_checked(folder, weights):
    catalog = mcv.read_catalog(mcv.find_data(data_dir=folder))
    twins = catalog[catalog["class_name"] == "ray"].head(1)
    twins = pd.concat([twins.assign(image_id=f"ray/{number}", class_name="squid") for number in range(3)])
    lines, catalog = [], catalog[catalog["image_id"] != twins["path"].iloc[0]]
    catalog = catalog[~catalog["path"].isin(twins["path"])]
    mcv.label_errors(pd.concat([catalog, twins], ignore_index=True), log=lines.append)
    assert "Not checked: 3 images of classes whose images are all related (squid)." in lines[-1]


def test_one_class_is_a_sentence_of_the_audit_and_an_error_from_python(folder, weights):
    catalog = mcv.read_catalog(mcv.find_data(data_dir=folder))
    catalog = catalog[catalog["class_name"] == "ray"]
    with pytest.raises(ValueError, match="Expected at least two classes"):
        mcv.label_errors(catalog, log=None)
    audit = mcv.audit(catalog, label_errors=True, log=None)
    assert audit.tables["label_errors"].empty and list(audit.tables["label_errors"]) == COLUMNS
    assert "Label errors: not checked. 10 images, classes: 1" in audit.reviewed
    assert "probable label errors" not in set(audit.findings["finding"])


def test_without_weights_it_is_said_which_file_to_put_where(folder, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(prepare, "backbones_here", list)
    monkeypatch.setattr(prepare, "weights_host_answers", lambda: False)
    monkeypatch.chdir(tmp_path)
    said = refused(capsys, "audit", folder, "--label-errors", "--output-dir", "page")
    assert "No pretrained weights are here" in said and "efficientnetv2-b0" in said
    assert not (tmp_path / "page").exists()


def test_images_of_a_run_are_checked_by_a_pretrained_network_until_it_has_folds(finished_run, network, weights):
    lines = []
    assert list(mcv.label_errors(finished_run, log=lines.append)) == COLUMNS
    assert "small" in lines[-1] and "of 12 labels" in lines[-1]
