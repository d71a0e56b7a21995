"""The latent space: laws of the map, its clusters, neighbors and linear probe on made embeddings."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score, normalized_mutual_info_score

from marinecv.evaluation import linear_probe as probes
from marinecv.evaluation.intervals import wilson
from marinecv.evaluation.latent import (
    MEASURE_COLUMNS,
    NEIGHBORS,
    cluster_table,
    example_images,
    latent_measures,
    latent_points,
    nearest_images,
    neighbor_measures,
    perplexity_of,
    purity,
)
from marinecv.evaluation.linear_probe import linear_probe

NAMES = ("crab", "eel", "ray")


def make_rows(n=60, classes=NAMES, splits=("train", "train", "validation", "test")):
    rows = {"image_id": [f"{number * 7 % n:03d}.jpg" for number in range(n)], "class_name": np.resize(classes, n)}
    return pd.DataFrame(rows | {"split": np.sort(np.resize(splits, n))}, index=np.arange(n) + 100)


def make_codes(rows, apart=9.0):
    middles = np.eye(6)[pd.factorize(rows["class_name"], sort=True)[0]] * apart + 1
    return (middles + np.random.default_rng(0).normal(size=middles.shape)).astype(np.float32)


ROWS = make_rows()
CODES, MIXED = make_codes(ROWS), make_codes(ROWS, apart=1.5)
MANY = make_rows(120)


@pytest.fixture(autouse=True)
def fewer_draws(monkeypatch):
    monkeypatch.setattr("marinecv.evaluation.latent.HALVES", 60)
    monkeypatch.setattr(probes, "STRENGTHS", (1e-2, 1.0))


@pytest.fixture(scope="module")
def points():
    return latent_points(ROWS, CODES, seed=3)


@pytest.fixture(scope="module")
def mixed():
    return latent_points(ROWS, MIXED, clusters=4)


def test_classes_that_are_apart_are_found_by_both_clusterings(points):
    measures = latent_measures(points, CODES).set_index(["space", "measure"])
    for of in ("points", "code"):
        for name in ("ari", "ami", "nmi", "purity"):
            assert measures.loc[(of, name), "value"] == pytest.approx(1)
        assert (cluster_table(points).query("space == @of")["fraction"] == 1).all()
        assert measures.loc[(of, "silhouette"), "value"] > 0.5
    assert list(points.index) == list(ROWS.index) and list(points["image_id"]) == list(ROWS["image_id"])


def test_the_order_of_the_images_changes_nothing(mixed):
    order = np.random.default_rng(1).permutation(len(ROWS))
    rows, embeddings = ROWS.iloc[order], MIXED[order]
    other = latent_points(rows, embeddings, clusters=4)
    pd.testing.assert_frame_equal(other, mixed.iloc[order])
    pd.testing.assert_frame_equal(latent_measures(other, embeddings), latent_measures(mixed, MIXED))
    pd.testing.assert_frame_equal(cluster_table(other), cluster_table(mixed))
    pd.testing.assert_frame_equal(nearest_images(rows, embeddings), nearest_images(ROWS, MIXED))
    pd.testing.assert_frame_equal(linear_probe(rows, embeddings, 3), linear_probe(ROWS, MIXED, 3))


def test_measures_are_those_of_scikit_learn_within_their_intervals(mixed):
    measures = latent_measures(mixed, CODES, seed=1).set_index(["space", "measure"])
    scores = {"ari": adjusted_rand_score, "ami": adjusted_mutual_info_score, "nmi": normalized_mutual_info_score}
    for of in ("points", "code"):
        for name, score in scores.items():
            expected = score(mixed["class_name"], mixed[f"cluster_{of}"])
            assert measures.loc[(of, name), "value"] == pytest.approx(expected)
    bounded = measures.drop(index="nmi", level="measure")
    assert ((bounded["low"] <= bounded["value"]) & (bounded["value"] <= bounded["high"])).all()
    assert measures.loc[(slice(None), "nmi"), ["low", "high"]].isna().all(axis=None) and (measures["n"] == 60).all()
    assert purity(np.array([0, 0, 1, 1, 1, 2]), np.array([1, 1, 1, 2, 2, 2])) == pytest.approx(4 / 6)


def test_the_interval_of_random_clusters_holds_zero():
    rng = np.random.default_rng(2)  # small clusters, where images drawn twice would agree with themselves
    points = make_rows(200, [f"c{number}" for number in range(40)])
    points = points.assign(x=rng.random(200), y=rng.random(200), cluster_points=rng.permutation(200) % 40)
    embeddings = rng.random((200, 3))
    points = points.assign(cluster_code=points["cluster_points"])
    measures = latent_measures(points, embeddings).set_index(["space", "measure"])
    for name in ("ari", "ami"):
        assert measures.loc[("code", name), "low"] < 0 < measures.loc[("code", name), "high"] < 0.1


def test_no_interval_of_an_agreement_exceeds_1():
    points = make_rows(20, ["a", "b", "c", "d"])
    points["cluster_code"] = points["cluster_points"] = pd.factorize(points["class_name"])[0] + 1
    points.iloc[:4, -2:] = 2
    embeddings = np.random.default_rng(0).random((20, 3))
    measures = latent_measures(points.assign(x=embeddings[:, 0], y=embeddings[:, 1]), embeddings)
    assert (measures.set_index("measure").loc[["ari", "ami"], "high"] == 1).all()


def test_clusters_are_numbered_from_the_largest_and_named_by_their_most_frequent_class(mixed):
    table = cluster_table(mixed)
    for of in ("points", "code"):
        part = table.query("space == @of")
        assert part["cluster"].tolist() == [1, 2, 3, 4] and part["size"].is_monotonic_decreasing
        assert part["size"].sum() == 60
        first = mixed.loc[mixed[f"cluster_{of}"] == 1, "class_name"].value_counts(normalize=True)
        assert part["fraction"].iloc[0] == pytest.approx(first.iloc[0]) == first[part["class_name"].iloc[0]]
    ties = pd.DataFrame({"class_name": ["ray", "eel"], "cluster_points": 1, "cluster_code": 1})
    assert set(cluster_table(ties)["class_name"]) == {"eel"}


def test_neighbors_are_other_images_of_train_by_cosine_similarity():
    nearest = nearest_images(ROWS, CODES)
    assert (nearest["image_id"] != nearest["neighbor_id"]).all() and set(nearest["neighbor_split"]) == {"train"}
    embeddings = dict(zip(ROWS["image_id"], CODES / np.linalg.norm(CODES, axis=1, keepdims=True), strict=True))
    train = ROWS["image_id"][ROWS["split"] == "train"]
    for image, found in nearest.groupby("image_id"):
        expected = sorted(-float(embeddings[image] @ embeddings[other]) for other in train if other != image)
        np.testing.assert_allclose(-found["similarity"], expected[:NEIGHBORS], atol=1e-5)
        assert found["rank"].tolist() == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("splits", [("validation", "test"), ("train", *["test"] * 29)])
def test_with_fewer_than_two_images_in_train_neighbors_are_searched_among_all(splits):
    rows = ROWS[:30].assign(split=np.resize(splits, 30))
    nearest = nearest_images(rows, CODES[:30])
    assert set(nearest["neighbor_split"]) == set(splits) and nearest["image_id"].nunique() == 30
    same = nearest_images(ROWS, np.ones((60, 2), np.float32))  # no image is its own neighbor, even among copies
    assert (same["image_id"] != same["neighbor_id"]).all()


def test_the_fraction_of_right_neighbors_has_random_ones_beside_it():
    measures = neighbor_measures(ROWS, nearest_images(ROWS, CODES)).set_index("split")
    assert list(measures.index) == ["train", "validation", "test"] and (measures["value"] == 1).all()
    assert measures["n"].to_dict() == ROWS["split"].value_counts().to_dict() and (measures["low"] < 1).all()
    counts = ROWS[ROWS["split"] == "train"]["class_name"].value_counts()
    test = ROWS[ROWS["split"] == "test"]["class_name"].map(counts).mean() / counts.sum()
    assert measures.loc["test", "chance"] == pytest.approx(test)
    own = (counts * (counts - 1)).sum() / (counts.sum() * (counts.sum() - 1))
    assert measures.loc["train", "chance"] == pytest.approx(own)


def test_example_images_are_of_both_kinds_and_drawn_by_the_seed():
    nearest = nearest_images(ROWS, make_codes(ROWS, apart=0.5))
    first = nearest.query("rank == 1").set_index("image_id").loc[example_images(nearest, seed=1)]
    assert (first["class_name"] == first["neighbor_class"]).tolist() == [True] * 3 + [False] * 3
    assert example_images(nearest, seed=1) == example_images(nearest, seed=1) != example_images(nearest, seed=2)


@pytest.mark.parametrize(
    ("n", "classes", "clusters", "said"),
    [
        (1, NAMES, None, "1 clusters cannot be made of 1 images of 1 classes"),
        (12, ("crab",), None, "1 clusters cannot be made of 12 images of 1 classes"),
        (12, NAMES, 12, "12 clusters .* with 12 different embeddings"),
    ],
)
def test_too_few_images_for_the_clusters_are_refused(n, classes, clusters, said):
    rows = make_rows(n, classes)
    with pytest.raises(ValueError, match=said):
        latent_points(rows, make_codes(rows), clusters)
    with pytest.raises(ValueError, match="with 1 different embeddings"):
        latent_points(ROWS, np.ones((60, 4), np.float32))


@pytest.mark.parametrize("function", [latent_points, nearest_images, linear_probe, latent_measures])
def test_embeddings_of_other_images_are_refused(function):
    with pytest.raises(ValueError, match="each of the 59 images. Received: 60"):
        function(ROWS.iloc[1:], CODES)


@pytest.mark.parametrize(("n", "values"), [(4, 6), (3, 6), (9, 1)])
def test_few_images_and_an_embedding_of_one_number_have_a_map(n, values):
    rows = make_rows(n, ("crab",))
    points = latent_points(rows, np.random.default_rng(0).random((n, values)).astype(np.float32), clusters=2)
    measures = latent_measures(points, np.ones((n, 1))).set_index(["space", "measure"])
    assert np.isfinite(points[["x", "y"]]).all(axis=None) and measures.loc[("points", "purity"), "value"] == 1
    assert [perplexity_of(n) for n in (1000, 91, 61, 4, 2)] == [30, 30, 20, 1, 1]


def test_images_in_groups_widen_the_intervals_and_few_groups_have_none():
    rows = make_rows(240)
    embeddings = make_codes(rows, apart=1.5)
    points, near = latent_points(rows, embeddings, clusters=3), nearest_images(rows, embeddings)

    def measured(groups=None):
        of_points, probe = latent_measures(points, embeddings, groups=groups), linear_probe(rows, embeddings, 0, groups)
        return [of_points, neighbor_measures(rows, near, groups), probe]

    alone = measured()
    for count in (24, 5):
        groups = {name: place * count // 240 for place, name in enumerate(rows.sort_values("class_name")["image_id"])}
        for one, other in zip(alone, measured(groups), strict=True):
            assert one["value"].tolist() == pytest.approx(other["value"].tolist()) and list(one) == list(other)
            if count == 5:
                assert other[["low", "high"]].isna().all(axis=None) and other["low"].dtype == float
            else:
                wider = one["measure"].isin(["ari", "purity", "nearest", "probe"])
                assert ((other["high"] - other["low"]) > (one["high"] - one["low"]))[wider].mean() >= 0.5


def test_the_probe_classifies_classes_that_are_apart_split_by_split():
    found = linear_probe(MANY, make_codes(MANY))
    assert list(found.columns) == MEASURE_COLUMNS and found["split"].tolist() == ["validation", "test"]
    assert (found["value"] == 1).all() and found["n"].tolist() == [30, 30]
    np.testing.assert_allclose(found[["low", "high"]], [wilson(30, 30)] * 2)
    first = MANY["class_name"][MANY["split"] == "train"].mode()[0]
    expected = [(MANY["class_name"][MANY["split"] == split] == first).mean() for split in ("validation", "test")]
    assert found["chance"].tolist() == expected


def test_the_probe_finds_a_direction_that_no_distance_shows_and_nothing_in_noise():
    rng = np.random.default_rng(0)
    signal = np.eye(3)[pd.factorize(MANY["class_name"])[0]] + 0.1 * rng.normal(size=(120, 3))
    embeddings = np.hstack([signal, 500 * rng.normal(size=(120, 3))])
    assert (linear_probe(MANY, embeddings)["value"] > 0.9).all()
    assert (neighbor_measures(MANY, nearest_images(MANY, embeddings))["value"] < 0.6).all()
    rows = make_rows(900)
    found = linear_probe(rows, np.random.default_rng(1).random((900, 5)))
    assert (found["low"] < found["chance"]).all() and (found["chance"] < found["high"]).all()


def test_the_probe_learns_from_train_alone():
    embeddings, validation = make_codes(MANY, apart=1.5), (MANY["split"] == "validation").to_numpy()
    whole = linear_probe(MANY, embeddings)
    other = linear_probe(MANY, np.where(validation[:, np.newaxis], 1e6, embeddings))
    pd.testing.assert_series_equal(other.loc[1], whole.loc[1])


def test_a_long_embedding_is_reduced_and_a_fit_that_stops_early_is_scored(monkeypatch):
    embeddings = np.tile(make_codes(MANY), 60) + np.random.default_rng(0).normal(size=(120, 360))
    for components in (probes.COMPONENTS, 5):
        monkeypatch.setattr(probes, "COMPONENTS", components)
        assert (linear_probe(MANY, embeddings)["value"] == 1).all()
    monkeypatch.setattr(probes, "ITERATIONS", 2)
    assert (linear_probe(MANY, make_codes(MANY, apart=1.5))["value"] > 1 / len(NAMES)).all()


def test_a_class_of_few_train_images_is_not_learned_and_counts_as_wrong():
    rare = MANY.assign(class_name=np.where(MANY["class_name"] == "ray", "crab", MANY["class_name"]))
    train = np.flatnonzero(MANY["split"] == "train")[: probes.FOLDS - 1]
    test = np.flatnonzero(MANY["split"] == "test")[:3]
    rare.iloc[[*train, *test], rare.columns.get_loc("class_name")] = "whale"
    found = linear_probe(rare, make_codes(rare)).set_index("split")["value"]
    assert found["validation"] == 1 and found["test"] == pytest.approx(27 / 30)


@pytest.mark.parametrize(
    "options",
    [
        {"splits": ("validation", "test")},
        {"splits": ("train",)},
        {"classes": ("crab",)},
        {"classes": [f"c{number}" for number in range(20)]},  # of two images each
    ],
)
def test_without_classes_to_learn_or_images_to_score_there_is_no_row(options):
    found = linear_probe(make_rows(40, **options), np.ones((40, 2)))
    assert found.empty and list(found.columns) == MEASURE_COLUMNS
