import numpy as np
import pandas as pd
import pytest
from scipy.stats import t
from sklearn.linear_model import PoissonRegressor

from marinecv.evaluation.predictions import make_table
from marinecv.evaluation.sample_size import REFUSALS, _seed_moves, estimate_sample_size, next_class

NAMES = ("eel", "crab", "ray")  # an order that sorting would break
LABELLED = {"eel": 40, "crab": 80, "ray": 120}
SHARES = (0.1, 0.25, 0.5, 1.0)
NO_LAW = ["required_images", "low", "high", "additional_images"]


def made_curve(error, judged=400, shares=SHARES, seeds=3, seed=0, labeled=LABELLED):
    """Cells and counts of a line `a`: each class is wrong as often as error(class, its labeled images) says."""
    rng = np.random.default_rng(seed)
    true = np.repeat(np.arange(3), judged)
    cells, counts = [], []
    for share in shares:
        images = {name: round(share * most) for name, most in labeled.items()}
        often = np.array([error(name, images[name]) for name in NAMES])
        for draw in range(seeds):
            predicted = np.where(rng.random(len(true)) < often[true], (true + 1) % 3, true)
            ids = [f"{number:04}.jpg" for number in range(len(true))]
            cell = make_table(ids, "validation", [NAMES[i] for i in true], np.eye(3)[predicted], NAMES)
            about = {"recipe": "a", "label_fraction": share, "images": sum(images.values()), "seed": draw}
            cells.append(pd.DataFrame(about, cell.index).join(cell))
            counts += [(share, draw, name, of_class) for name, of_class in images.items()]
    counts = pd.DataFrame(counts, columns=["label_fraction", "seed", "class_name", "images"])
    return pd.concat(cells, ignore_index=True), counts


LEVELS = {"eel": 1.0, "crab": 2.0, "ray": 0.5}


def root_law(name, images):
    return LEVELS[name] * images**-0.5


@pytest.fixture(scope="module")
def root_curve():
    return made_curve(root_law)


def test_the_law_that_made_the_errors_is_found(root_curve):
    table = estimate_sample_size(*root_curve, "a").set_index("class_name")
    assert table.index.tolist() == ["", "eel", "crab", "ray"] and (table["note"] == "").all()  # the largest gain first
    assert next_class(table.reset_index()) == "eel" and table.loc["", ["images", "judged"]].tolist() == [240, 1200]
    assert (table["exponent_low"] < 0.5).all() and (table["exponent_high"] > 0.5).all()
    assert table["exponent"].tolist() == pytest.approx([0.5] * 4, abs=0.05)
    for name, images in LABELLED.items():
        row = table.loc[name]
        assert (row["images"], row["judged"]) == (images, 400)
        assert row["fitted"] == pytest.approx(root_law(name, images), abs=0.015)
        assert row["error"] == pytest.approx(root_law(name, images), abs=0.03)
        assert row["goal"] == row["fitted"] / 2
        assert row["low"] < 4 * images < row["high"]  # half the error takes 2**(1 / 0.5) times the images
        assert row["additional_images"] == np.ceil(row["required_images"] - images)
        assert row["gain"] == pytest.approx(row["exponent"] * row["fitted"] / images)


def test_the_fit_is_a_poisson_regression(root_curve):
    cells, counts = root_curve
    judged = cells["image_id"].nunique()
    wrong = cells["predicted_class"] != cells["true_class"]
    points = cells.assign(wrong=wrong).groupby(["label_fraction", "seed", "images"])["wrong"].sum().reset_index()
    regression = PoissonRegressor(alpha=0, solver="newton-cholesky", tol=1e-10)
    regression.fit(np.log(points[["images"]].to_numpy()), points["wrong"] / judged)
    row = estimate_sample_size(cells, counts, "a").iloc[0]
    assert row["exponent"] == pytest.approx(-regression.coef_[0], abs=1e-6)
    assert row["fitted"] == pytest.approx(regression.predict(np.log([[240]]))[0], abs=1e-6)

    images = counts.sort_values(["label_fraction", "seed", "class_name"])["images"]
    by_class = cells.assign(wrong=wrong).groupby(["label_fraction", "seed", "true_class"])["wrong"].mean()
    columns = np.column_stack([np.log(images), np.tile(np.eye(3), (len(points), 1))])
    regression = PoissonRegressor(alpha=0, fit_intercept=False, solver="newton-cholesky", tol=1e-10)
    regression.fit(columns, by_class)
    table = estimate_sample_size(cells, counts, "a").set_index("class_name").loc[sorted(NAMES)]
    assert table["exponent"].to_numpy() == pytest.approx(-regression.coef_[0], abs=1e-6)
    assert table["fitted"].to_numpy() == pytest.approx(regression.predict(columns[-3:]), abs=1e-6)


def test_a_goal_is_an_accuracy_and_a_recall(root_curve):
    table = estimate_sample_size(*root_curve, "a", goal=0.9).set_index("class_name")
    assert table["goal"].tolist() == pytest.approx([0.1] * 4)
    for name, most in (("eel", 100), ("crab", 400)):  # (level / 0.1) ** 2
        assert table.loc[name, "low"] < most < table.loc[name, "high"]
    assert table.loc["ray", NO_LAW].tolist() == [120, 120, 120, 0]  # has it


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    rows = [estimate_sample_size(*made_curve(root_law, judged=60, seed=seed), "a").iloc[:2] for seed in range(20)]
    covered = [(row["exponent_low"] <= 0.5) & (row["exponent_high"] >= 0.5) for row in rows]
    assert np.mean(covered) >= 0.85


def test_seeds_that_differ_widen_the_interval_and_equal_ones_do_not(root_curve):
    cells, counts = root_curve
    same = cells[cells["seed"] == 0]
    same = pd.concat([same.assign(seed=seed) for seed in range(3)], ignore_index=True)
    apart = cells.assign(predicted_class=cells["predicted_class"])
    spoiled = (cells["seed"] == 2) & (cells["label_fraction"] == 1) & (np.arange(len(cells)) % 10 == 0)
    apart["predicted_class"] = cells["predicted_class"].mask(
        spoiled, cells["true_class"].map(dict(zip(NAMES, NAMES[1:] + NAMES[:1], strict=True)))
    )
    widths = []
    for each in (same, cells, apart):
        row = estimate_sample_size(each, counts, "a").iloc[0]
        widths.append(row["exponent_high"] - row["exponent_low"])
    assert widths[2] > 2 * widths[1] > widths[1] > 0
    moves = _seed_moves(np.full(3, 0.5), np.full((3, 2), 0.1), 0)
    np.testing.assert_allclose(np.column_stack(moves), [[0, 1, 1]] * len(moves[0]), atol=1e-12)
    moves = _seed_moves(np.array([0.4, 0.5, 0.6]), np.full((3, 2), 0.1), 0)[0]
    np.testing.assert_allclose(np.quantile(moves, 0.975), t.ppf(0.975, 2) * 0.1 / 3**0.5, rtol=0.15)


def test_a_class_without_an_error_is_refused_and_spoils_no_other():
    cells, counts = made_curve(lambda name, images: 0 if name == "crab" else root_law(name, images))
    table = estimate_sample_size(cells, counts, "a").set_index("class_name")
    assert table.loc["crab", ["note", "error", "fitted", "gain"]].tolist() == [REFUSALS["perfect"], 0, 0, 0]
    assert table.loc["eel", "exponent"] == pytest.approx(0.5, abs=0.05)
    assert next_class(table.reset_index()) == "eel"


def test_a_class_that_is_not_judged_or_not_labeled_keeps_its_row(root_curve):
    cells, counts = root_curve
    for pair in ((cells[cells["true_class"] != "ray"], counts), (cells, counts[counts["class_name"] != "ray"])):
        table = estimate_sample_size(*pair, "a")
        row = table.iloc[-1]
        assert (row["class_name"], row["note"]) == ("ray", REFUSALS["absent"])
        assert row[[*NO_LAW, "fitted", "gain"]].isna().all() and table["note"].tolist().count("") >= 2


def test_two_numbers_of_images_are_refused_whatever_their_shares():
    said = "Line 'a' was trained on 2 numbers of labeled images"
    with pytest.raises(ValueError, match=said):
        estimate_sample_size(*made_curve(root_law, judged=20, shares=(0.1, 1.0)), "a")
    cells, counts = made_curve(root_law, judged=20, shares=(0.1, 0.5, 1.0))
    half, whole = (cells.loc[cells["label_fraction"] == share, "images"].iloc[0] for share in (0.5, 1.0))
    with pytest.raises(ValueError, match=said):
        estimate_sample_size(cells.assign(images=cells["images"].replace(half, whole)), counts, "a")


@pytest.mark.parametrize(
    ("why", "law", "options", "rows"),
    [
        ("flat", lambda name, images: 0.2 + images / 400, {}, slice(None)),
        ("wide", lambda name, images: 0.3, {"judged": 20, "seed": 1}, slice(0, 1)),
        ("few", root_law, {"judged": 9, "shares": (0.1, 0.2, 0.3, 0.5, 0.7, 1.0)}, slice(1, None)),
        ("perfect", lambda name, images: 0, {}, slice(None)),
        ("seeds", root_law, {"seeds": 2}, slice(None)),
    ],
)
def test_without_a_law_there_is_a_reason_and_no_number(why, law, options, rows):
    table = estimate_sample_size(*made_curve(law, **options), "a")
    part = table[rows]
    assert (part["note"] == REFUSALS[why]).all() and part[NO_LAW].isna().all(axis=None) and part["error"].notna().all()
    assert next_class(table) == ""


def test_an_impossible_goal_and_an_unknown_line_are_refused(root_curve):
    for goal in (0, 1, 95):
        with pytest.raises(ValueError, match=f"between 0 and 1. Received: {goal}."):
            estimate_sample_size(*root_curve, "a", goal=goal)
    with pytest.raises(ValueError, match="no line 'b'"):
        estimate_sample_size(*root_curve, "b")
