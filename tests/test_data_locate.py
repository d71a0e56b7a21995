import argparse
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from marinecv.data import locate as room
from marinecv.data.locate import locate
from marinecv.data.manifests import load_manifest, manifest_at
from marinecv.data.store import store_path
from pipelines.commands import data as command


@pytest.fixture(autouse=True)
def drawn_reef(monkeypatch, roboflow_folder):
    """The reef takes a while to draw: here it is the fake tank."""

    monkeypatch.setattr("marinecv.data.demo.dataset.make_reef", lambda folder, say=None: roboflow_folder)


def no_network(monkeypatch):
    monkeypatch.setattr(room, "network_reachable", lambda manifest: False)


def refuse_fetch(monkeypatch):
    def fetch(manifest, progress):
        raise ConnectionError(f"{manifest.name} cannot be fetched")

    monkeypatch.setattr(room, "fetch", fetch)


def store(name, folder):
    store_path("data").mkdir(parents=True)
    store_path("data", name).symlink_to(folder)


def test_a_folder_is_taken_as_it_lies(roboflow_folder):
    manifest = locate(data_dir=roboflow_folder)
    assert (manifest.name, manifest.layout, manifest.class_names) == ("tank", "roboflow", ())


def test_a_folder_with_a_name_has_that_names_facts(roboflow_folder):
    manifest = locate("aquarium", roboflow_folder)
    assert (manifest.name, manifest.layout, manifest.licence) == ("aquarium", "roboflow", "CC BY 4.0")
    assert manifest.root == roboflow_folder


def test_a_named_set_comes_from_the_store_even_through_a_link(roboflow_folder, monkeypatch):
    refuse_fetch(monkeypatch)
    store("aquarium", roboflow_folder)
    for asked in ("aquarium", None):
        manifest = locate(asked)
        assert manifest.root == store_path("data", "aquarium") and manifest.layout == "roboflow"


def test_a_link_to_a_folder_that_is_gone_is_said(tmp_path):
    store("aquarium", tmp_path / "gone")
    with pytest.raises(ValueError, match="is a link to a folder that is gone. Remove the link"):
        locate("aquarium")


def test_a_named_set_that_cannot_be_fetched_is_an_error_not_a_reef(monkeypatch):
    no_network(monkeypatch)
    refuse_fetch(monkeypatch)
    with pytest.raises(ConnectionError, match="aquarium cannot be fetched"):
        locate("aquarium")


def test_nothing_named_is_fetched_where_a_network_answers(monkeypatch, roboflow_folder):
    monkeypatch.setattr(room, "network_reachable", lambda manifest: True)
    monkeypatch.setattr(room, "fetch", lambda manifest, progress: replace(manifest, root=roboflow_folder))
    assert locate().name == "aquarium"
    refuse_fetch(monkeypatch)
    with pytest.raises(ConnectionError, match="cannot be fetched"):
        locate()


def test_nothing_named_and_no_network_is_a_demonstration_that_says_so(monkeypatch, roboflow_folder):
    no_network(monkeypatch)
    told = []
    manifest = locate(say=told.append)
    assert (manifest.name, manifest.demonstration, manifest.root) == ("reef", True, roboflow_folder)
    assert "DEMONSTRATION on drawn pictures" in told[0] and "data_dir" in told[0]
    with pytest.warns(UserWarning, match="DEMONSTRATION on drawn pictures"):  # unasked too
        locate()


def test_the_reef_by_name_is_no_surprise():
    told = []
    assert locate("reef", say=told.append).demonstration
    assert not told


def test_a_toml_of_the_users_may_know_its_root(tmp_path, roboflow_folder):
    (tmp_path / "mine.toml").write_text('name = "mine"\nlayout = "folders"\nroot = "tank"\n')
    manifest = locate(str(tmp_path / "mine.toml"))
    assert (manifest.name, manifest.root, manifest.layout) == ("mine", roboflow_folder, "roboflow")


def run_command(*words):
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.run(parser.parse_args(words))


def test_list_shows_every_set_and_whether_it_is_here(capsys, roboflow_folder):
    store("aquarium", roboflow_folder)
    assert run_command("list") == 0
    shown = capsys.readouterr().out
    assert str(store_path("data", "aquarium")) in shown and "not here yet: data fetch reef" in shown
    assert "licence: CC BY 4.0" in shown


def test_fetch_brings_a_set_and_says_how_to_cite_it(capsys, tmp_path, roboflow_folder):
    (tmp_path / "mine.toml").write_text('name = "mine"\nlayout = "roboflow"\n')
    words = ["fetch", str(tmp_path / "mine.toml"), "--from", str(roboflow_folder)]
    with pytest.raises(ValueError, match="states no licence"):
        run_command(*words)
    assert run_command(*words, "--accept-unknown-licence") == 0
    assert "cite: nothing stated" in capsys.readouterr().out and store_path("data", "mine").is_dir()
    assert run_command("fetch", "reef") == 0
    assert "drawn, not fetched" in capsys.readouterr().out


def test_materialise_links_and_counts_what_is_left_out(capsys, tmp_path, roboflow_folder):
    (roboflow_folder / "train" / "text.jpg").write_text("no picture")
    assert run_command("materialise", "--data-dir", str(roboflow_folder), "--output-dir", str(tmp_path / "out")) == 0
    shown = capsys.readouterr().out
    assert "12 images linked" in shown and "1 left out: cannot be read" in shown and "train/text.jpg" in shown
    assert len(list((tmp_path / "out").rglob("*.jpg"))) == 12


def test_the_command_module_and_the_list_of_sets_are_light_to_import():
    code = "import sys, pipelines.commands.data; from marinecv.data.manifests import list_manifests; list_manifests()"
    code += "; sys.exit(sum(name in sys.modules for name in ('pandas', 'numpy', 'PIL', 'yaml')))"
    root = Path(command.__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0


def test_a_place_in_the_store_keeps_the_manifests_facts(roboflow_folder):
    assert manifest_at(load_manifest("aquarium"), roboflow_folder).class_names[0] == "fish"
