"""Which images, recipe and weights a workflow is asked for, and what it says where there are none."""

from dataclasses import replace

import pytest
from conftest import draw_image

import marinecv as mcv
from marinecv.console import quiet
from marinecv.data.manifests import manifest_of_folder
from marinecv.recipes.aquarium import BEST, MOBILENET
from marinecv.training.settings import read_recipe, with_changes
from marinecv.workflows.prepare import with_available_weights
from marinecv.workflows.sources import CATALOG, read_early, source_of


def test_a_path_a_name_a_manifest_and_a_catalog_are_found(shared_tank, tmp_path):
    manifest = manifest_of_folder(shared_tank)
    catalog = mcv.read_catalog(manifest)
    for data in (shared_tank, str(shared_tank), manifest, source_of(manifest, BEST.data, quiet)):
        source = source_of(data, BEST.data, quiet)
        assert source.manifest.name == manifest.name and source.read(BEST.data, quiet).equals(catalog)
    source = source_of(catalog.sample(frac=1, random_state=0), BEST.data, quiet)
    assert source.manifest.name == CATALOG and set(source.read(BEST.data, quiet)["image_id"]) == set(
        catalog["image_id"]
    )


def test_a_word_that_names_a_data_set_and_a_folder_or_neither_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "aquarium" / "eel").mkdir(parents=True)
    draw_image("eel", 0).save(tmp_path / "aquarium" / "eel" / "a.jpg")
    with pytest.raises(ValueError, match="names a data set and a folder. Expected './aquarium'"):
        source_of("aquarium", BEST.data, quiet)
    assert source_of("./aquarium", BEST.data, quiet).manifest.root == tmp_path / "aquarium"
    with pytest.raises(ValueError, match="no data set 'aquarum'. Did you mean \"aquarium\""):
        mcv.train("aquarum", log=None)


def test_images_of_which_none_can_be_used_are_an_error_with_its_reason(tmp_path):
    (tmp_path / "mine" / "eel").mkdir(parents=True)
    (tmp_path / "mine" / "eel" / "a.jpg").write_bytes(b"nothing")
    manifest = manifest_of_folder(tmp_path / "mine")
    with pytest.raises(ValueError, match="no usable image.*1 images have a problem, the first: "):
        read_early(manifest, replace(BEST.data, name=manifest.name), quiet)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mcv.grid(None, "aquarium_four_conv", log=None), "makes one run. Expected several"),
        (lambda: with_available_weights(MOBILENET, {"model.weights": "nowhere.h5"}), "no weights file nowhere.h5"),
        (lambda: with_changes(BEST, fold="1/2"), "data.fold is no setting"),
    ],
)
def test_an_argument_that_cannot_be_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("text", ["", "[model]\nkind = 3\n", "model = 3\n", 'name = "a"\n'])
def test_a_file_that_is_no_recipe_is_named(tmp_path, text):
    (tmp_path / "a.toml").write_text(text)
    with pytest.raises(ValueError, match="a.toml: "):
        read_recipe(tmp_path / "a.toml")


def test_without_a_network_the_error_names_the_demo_images(monkeypatch):
    monkeypatch.setattr("marinecv.data.network.reachable", lambda url: False)
    with pytest.raises(ConnectionError, match=r"mcv.demo_images\(\)"):
        mcv.locate("aquarium")
