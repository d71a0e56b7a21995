"""`mcv.latent`: the tables of a run's inner space from Python."""

import shutil

import pandas as pd
import pytest

import marinecv as mcv
from marinecv.workflows.run import Run


@pytest.fixture
def run(finished_run, tmp_path, monkeypatch):
    monkeypatch.setattr("marinecv.evaluation.latent.HALVES", 5)
    return Run(shutil.copytree(finished_run, tmp_path / "copy"))


def test_the_tables_are_those_beside_the_page_and_nothing_is_told_unasked(run, shared_tank, capsys):
    space = run.latent(("train", "test"), clusters=2, log=None)
    assert capsys.readouterr() == ("", "") and space.report.is_file()
    tables = {"points": space.points, "clusters": space.clusters, "measures": space.measures}
    for name, table in (tables | {"neighbours": space.neighbors}).items():
        kept = pd.read_csv(space.report.with_name(f"{name}.csv"))
        pd.testing.assert_frame_equal(kept, table.reset_index(drop=True), check_dtype=False, atol=1e-6)
    assert str(space).splitlines()[-1] == str(space.report) and set(space.points["split"]) == {"train", "test"}
    catalog = mcv.read_catalog(mcv.locate(None, shared_tank))
    alone = mcv.latent(run.folder, "train", clusters=2, data=catalog, log=None)
    assert set(alone.points["split"]) == {"train"} and len(alone.points) == 6


def test_an_image_that_is_not_chosen_is_refused(run):
    with pytest.raises(ValueError, match="'nothing.jpg' is not among the 3 images of these splits"):
        run.latent("test", neighbors=["nothing.jpg"], log=None)
