"""Data sets, weights and the aquarium's fine-tuning as a new user gets them: from the network. `pytest -m network`."""

import os
import subprocess
import sys
from urllib.parse import urlsplit

import pytest

from marinecv.data.catalog import read_catalog
from marinecv.data.download.fetch import DRIVE, fetch
from marinecv.data.download.network import reachable
from marinecv.data.manifests import list_manifests, load_manifest
from marinecv.files.csv_tables import read_table
from marinecv.models.backbone_table import WEIGHTS_URL
from marinecv.recipes.registry import RECIPES
from marinecv.training.model_config import BackboneModel
from pipelines.cli import main

pytestmark = pytest.mark.network

ADDRESSES = [(manifest.name, url) for manifest in list_manifests() for url in (manifest.url, *manifest.mirrors) if url]
BACKBONES = {  # a recipe for each weights file
    (recipe.model.backbone, recipe.model.alpha): name
    for name, recipe in reversed(RECIPES.items())
    if type(recipe.model) is BackboneModel and recipe.model.weights == "imagenet"
}


def skip_unless_reachable(url):
    url = "https://drive.google.com" if url.startswith(DRIVE) else url
    if not reachable(url):
        pytest.skip(f"{urlsplit(url).hostname} does not answer")


@pytest.mark.parametrize(("name", "url"), ADDRESSES)
def test_a_data_set_is_fetched_from_each_of_its_addresses(name, url):
    skip_unless_reachable(url)
    manifest = fetch(load_manifest(name), url, accept_unknown_license=True)  # verifies hashes and counts
    usable = read_catalog(manifest).query("problem == ''")
    assert len(usable) > 100 and usable["class_name"].nunique() > 4


@pytest.mark.parametrize("name", BACKBONES.values())
def test_weights_are_downloaded_into_an_empty_home(name, tmp_path):
    skip_unless_reachable(WEIGHTS_URL)
    code = "import sys, marinecv as mcv; from marinecv.recipes.registry import recipe_named as named\n"
    code += "print(mcv.build_model(named(sys.argv[1]), 7).count_params())"
    environment = os.environ | {"KERAS_HOME": str(tmp_path)}
    words = [sys.executable, "-c", code, name]
    said = subprocess.run(words, env=environment, capture_output=True, text=True, check=True).stdout
    assert int(said.split()[-1]) > 100_000 and list((tmp_path / "models").glob("*.h5"))


def test_the_aquarium_is_fine_tuned_with_imagenet_weights(tmp_path, monkeypatch):
    skip_unless_reachable(load_manifest("aquarium").url)
    skip_unless_reachable(WEIGHTS_URL)
    words = ["finetune", "--grid", "--backbone", "mobilenetv3large", "--epochs", "2"]
    assert main([*words, "--output-dir", str(tmp_path / "out")]) == 0
    table = read_table(tmp_path / "out" / "table.csv")
    assert len(table) == 3 and not table["name"].str.contains("untrained").any()
    for run in table["name"]:
        predictions = read_table(tmp_path / "out" / run / "predictions.csv").query("split == 'validation'")
        right = (predictions["true_class"] == predictions["predicted_class"]).mean()
        assert len(predictions) == 127 and right > predictions["true_class"].value_counts(normalize=True).max()
