"""`mcv.explain`: heat maps and figures of a run from Python, and a name that the package of the same name leaves."""

import shutil

import pandas as pd
import pytest

import marinecv as mcv
from marinecv.explain import cam  # after which `mcv.explain` is still the function
from marinecv.explain.figures import read_figures
from marinecv.workflows.run import Run


@pytest.fixture
def run(finished_run, tmp_path):
    return Run(shutil.copytree(finished_run, tmp_path / "copy"))


def test_a_split_is_explained_and_nothing_is_told_unasked(run, capsys):
    explanation = mcv.explain(run, log=None)
    assert capsys.readouterr() == ("", "") and cam.__name__ == "marinecv.explain.cam"
    known = mcv.read_predictions(run.path("predictions.csv")).query("split == 'validation'")
    assert sorted(explanation.cases["image_id"]) == sorted(known["image_id"])
    kept = read_figures(run)
    pd.testing.assert_frame_equal(explanation.localization.reset_index(drop=True), kept, check_exact=False)
    assert explanation.report == run.path("explanations", "gradcam", "explanation.html")
    assert explanation.report.is_file() and str(explanation) == f"3 explained\n{explanation.report}"


def test_files_of_ones_own_and_a_catalog_have_no_boxes(run, shared_tank, capsys):
    explanation = run.explain(str(shared_tank / "test"), "saliency")
    assert len(explanation.cases) == 3 and explanation.localization is None
    assert "3/3 images explained" in capsys.readouterr().out
    catalog = mcv.read_catalog(mcv.locate(None, shared_tank))
    assert run.explain(data=catalog, limit=2).localization is None
    assert "No boxes are known" in capsys.readouterr().out
    with pytest.raises(ValueError, match=r"None of the images of .* lies in this catalog\. Expected those that"):
        run.explain(data=catalog.assign(image_id="other-" + catalog["image_id"]), log=None)


def test_an_error_speaks_of_arguments(run, shared_tank):
    with pytest.raises(ValueError, match=r"explained as they are\. Leave them out, or data=\."):
        mcv.explain(run, shared_tank / "test", data=shared_tank)
    with pytest.raises(ValueError, match="Expected method to be one of"):
        mcv.explain(run, method="gradcam2", log=None)
    run.path("predictions.csv").unlink()
    with pytest.raises(ValueError, match=r'Go on with resume\(".*"\), or name images of your own'):
        mcv.explain(run, log=None)
