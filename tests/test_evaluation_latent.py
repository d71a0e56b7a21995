"""The inner space: laws of the map, its clusters and neighbours on codes that were made."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score, normalized_mutual_info_score

from marinecv.evaluation.latent import (
    NEIGHBOURS,
    cluster_table,
    latent_measures,
    latent_points,
    nearest_images,
    neighbour_measures,
    perplexity_of,
    purity,
    some_images,
)
from marinecv.evaluation.probe import linear_probe

NAMES = ("crab", "eel", "ray")


def make_rows(n=60, classes=NAMES, splits=("train", "train", "validation", "test")):
    rows = {"image_id": [f"{number * 7 % n:03d}.jpg" for number in range(n)], "class_name": np.resize(classes, n)}
    return pd.DataFrame(rows | {"split": np.sort(np.resize(splits, n))}, index=np.arange(n) + 100)


def make_codes(rows, apart=9.0, values=6):
    rng = np.random.default_rng(0)
    middles = np.eye(values) * apart + 1
    places = pd.factorize(rows["class_name"], sort=True)[0]
    return (middles[places] + rng.normal(size=(len(rows), values))).astype(np.float32)


ROWS = make_rows()
CODES = make_codes(ROWS)


@pytest.fixture(autouse=True)
def few_halves(monkeypatch):
    monkeypatch.setattr("marinecv.evaluation.latent.HALVES", 60)


@pytest.fixture(scope="module")
def points():
    return latent_points(ROWS, CODES, seed=3)


@pytest.fixture(scope="module")
def mixed():
    """Points of classes that lie upon each other."""
    return latent_points(ROWS, make_codes(ROWS, apart=1.5), clusters=4)


def test_classes_that_lie_apart_are_found_by_both_clusterings(points):
    measures = latent_measures(points, CODES).set_index(["of", "measure"])
    for of in ("points", "code"):
        for name in ("ari", "ami", "nmi", "purity"):
            assert measures.loc[(of, name), "value"] == pytest.approx(1)
        assert (cluster_table(points).query("of == @of")["share"] == 1).all()
        assert measures.loc[(of, "silhouette"), "value"] > 0.5
    assert list(points.index) == list(ROWS.index) and list(points["image_id"]) == list(ROWS["image_id"])


def test_one_seed_gives_one_map(points):
    pd.testing.assert_frame_equal(latent_points(ROWS, CODES, seed=3), points)


def test_the_order_of_the_images_changes_nothing(mixed):
    order = np.random.default_rng(1).permutation(len(ROWS))
    codes = make_codes(ROWS, apart=1.5)
    other = latent_points(ROWS.iloc[order], codes[order], clusters=4)
    pd.testing.assert_frame_equal(other, mixed.iloc[order])
    pd.testing.assert_frame_equal(latent_measures(other, codes[order]), latent_measures(mixed, codes))
    pd.testing.assert_frame_equal(cluster_table(other), cluster_table(mixed))
    pd.testing.assert_frame_equal(nearest_images(ROWS.iloc[order], codes[order]), nearest_images(ROWS, codes))


def test_measures_are_those_of_scikit_learn_within_their_intervals(mixed):
    measures = latent_measures(mixed, CODES, seed=1).set_index(["of", "measure"])
    scores = {"ari": adjusted_rand_score, "ami": adjusted_mutual_info_score, "nmi": normalized_mutual_info_score}
    for of in ("points", "code"):
        for name, score in scores.items():
            assert measures.loc[(of, name), "value"] == pytest.approx(
                score(mixed["class_name"], mixed[f"cluster_{of}"])
            )
    bounded = measures.drop(index="nmi", level="measure")
    assert ((bounded["low"] <= bounded["value"]) & (bounded["value"] <= bounded["high"])).all()
    assert measures.loc[(slice(None), "nmi"), ["low", "high"]].isna().all(axis=None) and (measures["n"] == 60).all()


def test_chance_rises_with_the_clusters_for_purity_and_not_for_what_is_adjusted():
    rng = np.random.default_rng(0)
    chance = []
    for clusters in (2, 30):
        points = ROWS.assign(x=rng.random(60), y=rng.random(60), cluster_points=np.resize(range(clusters), 60))
        measures = latent_measures(points.assign(cluster_code=points["cluster_points"]), CODES)
        chance.append(measures.query("of == 'points'").set_index("measure")["chance"])
    assert chance[1]["purity"] > chance[0]["purity"] + 0.2 and chance[1]["nmi"] > chance[0]["nmi"]
    assert chance[0]["ari"] == chance[1]["ami"] == 0 and np.isnan(chance[0]["silhouette"])


def test_the_interval_of_clusters_that_know_nothing_holds_zero():
    rng = np.random.default_rng(2)  # small clusters, where images drawn twice would agree with themselves
    points = make_rows(200, [f"c{number}" for number in range(40)])
    points = points.assign(x=rng.random(200), y=rng.random(200), cluster_points=rng.permutation(200) % 40)
    codes = rng.random((200, 3))
    measures = latent_measures(points.assign(cluster_code=points["cluster_points"]), codes).set_index(["of", "measure"])
    for name in ("ari", "ami"):
        assert measures.loc[("code", name), "low"] < 0 < measures.loc[("code", name), "high"] < 0.1


def test_purity_counts_the_most_frequent_class_of_each_cluster():
    assert purity(np.array([0, 0, 1, 1, 1, 2]), np.array([1, 1, 1, 2, 2, 2])) == pytest.approx(4 / 6)


def test_clusters_are_numbered_from_the_largest_and_told_by_their_class(mixed):
    table = cluster_table(mixed)
    for of in ("points", "code"):
        part = table.query("of == @of")
        assert part["cluster"].tolist() == [1, 2, 3, 4] and part["size"].is_monotonic_decreasing
        assert part["size"].sum() == 60
        first = mixed.loc[mixed[f"cluster_{of}"] == 1, "class_name"].value_counts(normalize=True)
        assert (
            part["share"].iloc[0] == pytest.approx(first.iloc[0]) and first[part["class_name"].iloc[0]] == first.iloc[0]
        )


def test_of_classes_equally_frequent_the_first_by_name_is_told():
    points = pd.DataFrame({"class_name": ["ray", "eel"], "cluster_points": 1, "cluster_code": 1})
    assert set(cluster_table(points)["class_name"]) == {"eel"}


def test_neighbours_are_others_of_train_by_the_angle_of_the_code():
    nearest = nearest_images(ROWS, CODES)
    assert (nearest["image_id"] != nearest["neighbour_id"]).all() and set(nearest["neighbour_split"]) == {"train"}
    assert (nearest.groupby("image_id").size() == NEIGHBOURS).all()
    codes = dict(zip(ROWS["image_id"], CODES / np.linalg.norm(CODES, axis=1, keepdims=True), strict=True))
    train = ROWS["image_id"][ROWS["split"] == "train"]
    for image in ROWS["image_id"]:
        expected = sorted((float(codes[image] @ codes[other]) for other in train if other != image), reverse=True)
        found = nearest[nearest["image_id"] == image]
        np.testing.assert_allclose(found["similarity"], expected[:NEIGHBOURS], atol=1e-5)
        assert found["rank"].tolist() == [1, 2, 3, 4, 5]


def test_without_train_neighbours_are_searched_among_all():
    rows = ROWS[ROWS["split"] != "train"]
    nearest = nearest_images(rows, CODES[ROWS["split"] != "train"])
    assert set(nearest["neighbour_split"]) == {"validation", "test"}
    assert (nearest["image_id"] != nearest["neighbour_id"]).all()


def test_one_image_of_train_alone_is_not_searched_for_all():
    rows = ROWS[ROWS["split"] != "train"].assign(split=["train", *["test"] * 29])
    nearest = nearest_images(rows, CODES[:30])
    assert set(nearest["neighbour_split"]) == {"train", "test"} and nearest["image_id"].nunique() == 30


def test_an_image_with_many_copies_is_still_not_its_own_neighbour():
    nearest = nearest_images(ROWS, np.ones((60, 2), np.float32))
    assert (nearest["image_id"] != nearest["neighbour_id"]).all() and nearest["similarity"].to_numpy() == pytest.approx(
        1
    )


def test_the_share_of_right_neighbours_is_told_by_split_beside_blind_ones():
    nearest = nearest_images(ROWS, CODES)
    measures = neighbour_measures(ROWS, nearest).set_index("split")
    assert list(measures.index) == ["train", "validation", "test"] and (measures["value"] == 1).all()
    assert measures["n"].to_dict() == ROWS["split"].value_counts().to_dict() and (measures["low"] < 1).all()
    counts = ROWS[ROWS["split"] == "train"]["class_name"].value_counts()
    test = ROWS[ROWS["split"] == "test"]["class_name"].map(counts).mean() / counts.sum()
    assert measures.loc["test", "chance"] == pytest.approx(test)
    own = (counts * (counts - 1)).sum() / (counts.sum() * (counts.sum() - 1))
    assert measures.loc["train", "chance"] == pytest.approx(own)


def test_images_to_look_at_are_of_both_kinds_and_drawn_by_the_seed():
    nearest = nearest_images(ROWS, make_codes(ROWS, apart=0.5))
    first = nearest.query("rank == 1").set_index("image_id")
    same = (first["class_name"] == first["neighbour_class"])[some_images(nearest, seed=1)]
    assert same.tolist() == [True] * 3 + [False] * 3
    assert some_images(nearest, seed=1) == some_images(nearest, seed=1) != some_images(nearest, seed=2)


@pytest.mark.parametrize(
    ("n", "classes", "clusters", "said"),
    [
        (1, NAMES, None, "1 clusters cannot be made of 1 images of 1 classes"),
        (12, ("crab",), None, "1 clusters cannot be made of 12 images of 1 classes"),
        (12, NAMES, 12, "12 clusters .* with 12 different codes. Expected at least 2 clusters, and more codes"),
        (12, NAMES, 20, "20 clusters cannot be made"),
    ],
)
def test_too_few_images_for_the_clusters_are_an_error(n, classes, clusters, said):
    rows = make_rows(n, classes)
    with pytest.raises(ValueError, match=said):
        latent_points(rows, make_codes(rows), clusters)


@pytest.mark.parametrize("place", [latent_points, nearest_images, linear_probe])
def test_codes_of_other_images_are_refused(place):
    with pytest.raises(ValueError, match="a row of codes for each of the 59 images. Received: 60"):
        place(ROWS.iloc[1:], CODES)


def test_codes_of_other_images_are_not_measured(points):
    with pytest.raises(ValueError, match="a row of codes for each of the 60 images. Received: 59"):
        latent_measures(points, CODES[1:])


def test_a_network_that_gives_every_image_the_same_code_is_an_error():
    with pytest.raises(ValueError, match="with 1 different codes"):
        latent_points(ROWS, np.ones((60, 4), np.float32))


@pytest.mark.parametrize(("n", "values"), [(4, 6), (3, 6), (9, 1)])
def test_few_images_and_a_code_of_one_number_are_laid_out(n, values):
    rows = make_rows(n, ("crab",))
    points = latent_points(rows, np.random.default_rng(0).random((n, values)).astype(np.float32), clusters=2)
    measures = latent_measures(points, np.ones((n, 1))).set_index(["of", "measure"])
    assert np.isfinite(points[["x", "y"]]).all(axis=None) and measures.loc[("points", "purity"), "value"] == 1


def test_perplexity_is_lowered_for_few_images():
    assert [perplexity_of(n) for n in (1000, 91, 61, 4, 2)] == [30, 30, 20, 1, 1]


def test_none_of_it_imports_tensorflow():
    tell = (
        "import sys, marinecv.evaluation.latent; sys.exit('tensorflow' in sys.modules or 'matplotlib' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", tell], check=False).returncode == 0


def test_images_in_groups_widen_the_intervals_and_few_groups_have_none():
    rows = make_rows(240)
    codes = make_codes(rows, apart=1.5)
    points, near = latent_points(rows, codes, clusters=3), nearest_images(rows, codes)
    alone = [latent_measures(points, codes), neighbour_measures(rows, near)]
    for count in (24, 5):
        groups = {name: place * count // 240 for place, name in enumerate(rows.sort_values("class_name")["image_id"])}
        grouped = [latent_measures(points, codes, groups=groups), neighbour_measures(rows, near, groups)]
        for one, other in zip(alone, grouped, strict=True):
            assert one["value"].tolist() == pytest.approx(other["value"].tolist()) and list(one) == list(other)
            if count == 5:
                assert other[["low", "high"]].isna().all(axis=None) and other["low"].dtype == float
            else:
                ari = one["measure"].isin(["ari", "purity", "nearest"])
                assert ((other["high"] - other["low"]) > (one["high"] - one["low"]))[ari].mean() > 0.5
