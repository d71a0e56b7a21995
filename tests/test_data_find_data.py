"""Find the data that a user asks for; the command `data`."""

import argparse
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import pytest

from marinecv.data import find_data as module
from marinecv.data.cache_dir import cache_path
from marinecv.data.find_data import find_data
from pipelines.commands import data as command


@pytest.fixture(autouse=True)
def drawn_images(monkeypatch, roboflow_folder):
    """Demo images take a while to draw: here they are the fake tank."""
    monkeypatch.setattr("marinecv.data.demo.dataset.write_demo_images", lambda folder, log=None: roboflow_folder)


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    monkeypatch.setattr(module, "fetch", Mock(side_effect=ConnectionError("aquarium cannot be fetched")))
    monkeypatch.setattr(module, "network_reachable", lambda manifest: False)


def store(name, folder):
    cache_path("data").mkdir(parents=True)
    cache_path("data", name).symlink_to(folder)


def test_a_folder_is_read_as_it_lies_with_the_facts_of_a_named_data_set(roboflow_folder):
    manifest = find_data(data_dir=roboflow_folder)
    assert (manifest.name, manifest.layout, manifest.class_names) == ("tank", "roboflow", ())
    manifest = find_data("aquarium", roboflow_folder)
    assert (manifest.name, manifest.layout, manifest.license) == ("aquarium", "roboflow", "CC BY 4.0")
    assert manifest.root == roboflow_folder and manifest.class_names[0] == "fish"


def test_a_named_set_comes_from_the_store_even_through_a_link(roboflow_folder):
    store("aquarium", roboflow_folder)
    for asked in ("aquarium", None):
        manifest = find_data(asked)
        assert manifest.root == cache_path("data", "aquarium") and manifest.layout == "roboflow"


def test_the_default_is_fetched_where_a_network_answers_and_demo_images_never_replace_named_data(
    monkeypatch, roboflow_folder
):
    with pytest.raises(ConnectionError, match="aquarium cannot be fetched"):
        find_data("aquarium")
    monkeypatch.setattr(module, "network_reachable", lambda manifest: True)
    with pytest.raises(ConnectionError, match="cannot be fetched"):
        find_data()
    monkeypatch.setattr(module, "fetch", lambda manifest, progress: replace(manifest, root=roboflow_folder))
    assert find_data().name == "aquarium"


def test_nothing_named_and_no_network_is_a_demonstration_that_says_so(roboflow_folder):
    said = []
    manifest = find_data(log=said.append)
    assert (manifest.name, manifest.demonstration, manifest.root) == ("reef", True, roboflow_folder)
    assert "DEMONSTRATION on drawn pictures" in said[0] and "data_dir" in said[0]
    with pytest.warns(UserWarning, match="DEMONSTRATION"):
        find_data()
    assert find_data("reef", log=said.append).demonstration and len(said) == 1


def test_a_toml_of_the_users_may_know_its_root(tmp_path, roboflow_folder):
    (tmp_path / "mine.toml").write_text('name = "mine"\nlayout = "folders"\nroot = "tank"\n')
    manifest = find_data(str(tmp_path / "mine.toml"))
    assert (manifest.name, manifest.root, manifest.layout) == ("mine", roboflow_folder, "roboflow")


def run_command(*words):
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.run(parser.parse_args(words))


def test_list_shows_every_set_and_whether_it_is_here(capsys, roboflow_folder):
    store("aquarium", roboflow_folder)
    assert run_command("list") == 0
    shown = capsys.readouterr().out
    assert str(cache_path("data", "aquarium")) in shown and "data fetch reef" in shown
    assert "CC BY 4.0" in shown


def test_fetch_brings_a_set_and_says_how_to_cite_it(capsys, tmp_path, roboflow_folder):
    (tmp_path / "mine.toml").write_text('name = "mine"\nlayout = "roboflow"\n')
    words = ["fetch", str(tmp_path / "mine.toml"), "--from", str(roboflow_folder)]
    with pytest.raises(ValueError, match="states no licen[sc]e"):
        run_command(*words)
    assert run_command(*words, "--accept-unknown-license") == 0
    assert "cite: " in capsys.readouterr().out and cache_path("data", "mine").is_dir()
    assert run_command("fetch", "reef") == 0
    assert "generated, not fetched" in capsys.readouterr().out


def test_materialize_links_and_counts_what_is_left_out(capsys, tmp_path, roboflow_folder):
    (roboflow_folder / "train" / "text.jpg").write_text("no picture")
    assert run_command("materialize", "--data-dir", str(roboflow_folder), "--output-dir", str(tmp_path / "out")) == 0
    shown = capsys.readouterr().out
    assert "12 images linked" in shown and "1 left out: cannot be read" in shown and "train/text.jpg" in shown
    assert len(list((tmp_path / "out").rglob("*.jpg"))) == 12


def test_the_command_module_and_the_list_of_sets_are_light_to_import():
    code = "import sys, pipelines.commands.data; from marinecv.data.manifests import list_manifests; list_manifests()"
    code += "; sys.exit(sum(name in sys.modules for name in ('pandas', 'numpy', 'PIL', 'yaml')))"
    root = Path(command.__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0
