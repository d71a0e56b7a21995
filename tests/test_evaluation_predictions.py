import numpy as np
import pandas as pd
import pytest

from marinecv.evaluation import predictions

NAMES = ("NA", "a, b", "007")


def small_table(**changes):
    arguments = {
        "image_ids": ["train/b.jpg", "train/a.jpg", "test/a.jpg"],
        "splits": ["train", "train", "test"],
        "true_classes": ["NA", "007", ""],
        "probabilities": np.array([[0.1, 0.6, 0.3], [0.4, 0.4, 0.2], [1 / 3, 1 / 3, 1 / 3]], np.float32),
        "class_names": NAMES,
    }
    return predictions.make_table(**(arguments | changes))


def test_table_keeps_order_and_names_the_likeliest_class():
    table = small_table()
    assert list(table["image_id"]) == ["train/b.jpg", "train/a.jpg", "test/a.jpg"]
    assert list(table["predicted_class"]) == ["a, b", "NA", "NA"]  # ties go to the earlier class
    assert predictions.class_names_of_table(table) == NAMES


def test_table_comes_back_equal_from_csv(tmp_path):
    probabilities = np.random.default_rng(0).dirichlet(np.ones(3), 50).astype(np.float32)
    ids = [f"{number}.jpg" for number in range(50)]
    table = predictions.make_table(ids, "test", ["NA", ""] * 25, probabilities, NAMES)
    predictions.write_predictions(table, tmp_path / "predictions.csv")
    back = predictions.read_predictions(tmp_path / "predictions.csv")
    pd.testing.assert_frame_equal(back, table)
    assert (predictions.probabilities_of_table(back) == probabilities).all()
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["predictions.csv"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"probabilities": np.ones((3, 2)) / 2}, r"shape \(3, 3\).*Received.*shape \(3, 2\)"),
        ({"splits": ["train"]}, "Received: 1 splits"),
        ({"class_names": ("x", "y", "x")}, "'x' is empty or there twice"),
        ({"class_names": {"x", "y", "z"}}, "class_names is the set"),
        ({"probabilities": [[0.2, 0.3, 0.5], [np.nan, 0, 1], [0, 0, 1]]}, r"1 of 3 rows.*train/a.jpg.*diverged"),
        ({"probabilities": [[0.2, 0.3, 0.5], [0, 0, 1], [4.0, -3.0, 0.0]]}, r"first is test/a.jpg.*softmax"),
        ({"true_classes": ["NA", "whale", ""]}, "1 of 3 rows .*unknown class.*train/a.jpg .*'whale'"),
        ({"image_ids": ["a", "a", "b"]}, r"1 of 3 rows repeat.*first is a \(train\)"),
    ],
)
def test_what_is_no_prediction_is_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        small_table(**changes)


def test_another_table_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"no predictions table.*Received: image_id, path"):
        predictions.write_predictions(pd.DataFrame(columns=["image_id", "path"]), tmp_path / "predictions.csv")
