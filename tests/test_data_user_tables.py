"""A user's own tables: whatever way they took (a CSV, pd.concat, other kinds of columns), every public function answers
as it does for ours."""

import io
from types import SimpleNamespace

import keras
import numpy as np
import pandas as pd
import pytest
from PIL import Image

import marinecv as mcv
from marinecv.evaluation.leaks import leak_index

NAMES = ("1", "2", "3")  # which read_csv takes for numbers
SPEC = mcv.ImageSpec(height=8, width=8)
TEXT = [
    "image_id",
    "path",
    "split",
    "class_name",
    "group",
    "problem",
    "source",
    "true_class",
    "predicted_class",
    "kind",
]


def quiet(line):
    pass


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    """Tables as this package makes them: 24 small images, one that cannot be used, and what is made of them."""
    folder, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for number in range(24):
        noise = rng.integers(0, 256, (12, 16, 3)).astype(np.uint8)
        Image.fromarray(noise).save(folder / f"{number:03}.png")
    files, labels = sorted(folder.glob("*.png")), [NAMES[number % 3] for number in range(24)]
    groups = [f"{number // 4}" if number < 20 else "" for number in range(24)]
    catalog = mcv.catalog_of(files, labels, ["train"] * 12 + ["validation"] * 6 + ["test"] * 6, groups)
    catalog.loc[23, ["class_name", "split", "problem"]] = "", "", "no box"
    corners = [[2, 2, 9, 9 - number % 3, "source", ""] for number in range(24)]
    boxes = [[row.image_id, name, *corners[row.Index]] for row in catalog.itertuples() for name in "12"]
    boxes = pd.DataFrame(boxes, columns=["image_id", "class_name", "xmin", "ymin", "xmax", "ymax", "source", "problem"])
    boxes.loc[5, "problem"] = "no area"
    good = mcv.usable(catalog)
    chances = rng.dirichlet([1, 1, 1], len(good))
    predictions = mcv.make_table(good["image_id"], good["split"], good["class_name"], chances, NAMES)
    predictions.loc[[3, 20], "true_class"] = ""
    links = pd.DataFrame(
        [("000.png", "013.png", "near copy", 0.9, "hash"), ("020.png", "021.png", "copy", 1.0, "content")],
        columns=["first", "second", "kind", "likeness", "found_by"],
    )
    heat = dict.fromkeys(("heat", "centre_heat", "area", "pointing", "centre_pointing", "accuracy"), 0.5)
    heat |= {"animal_only": 1.0, "background_only": 0.0, "problem": ""}
    measured = good[["image_id", "class_name"]].assign(**heat).reset_index(drop=True)
    return dict(catalog=catalog, boxes=mcv.read_boxes(boxes), predictions=predictions, links=links, measured=measured)


FORMS = {
    "a CSV": lambda table: pd.read_csv(io.StringIO(table.to_csv(index=False))),
    "one index for all": lambda table: table.set_axis([0] * len(table)),
    "a repeated index": lambda table: table.set_axis(np.arange(len(table)) // 2),
    "a shuffled index": lambda table: table.set_axis(np.random.default_rng(1).permutation(len(table))),
    "missing text": lambda table: table.replace("", None),
    "nullable columns": lambda table: table.replace("", pd.NA).convert_dtypes(),
    "objects": lambda table: table.astype({name: object for name in TEXT if name in table}),
    "categories": lambda table: table.astype({name: "category" for name in TEXT if name in table}),
}


@pytest.fixture(scope="module")
def model():
    image = keras.Input((8, 8, 3))
    maps = keras.layers.Conv2D(4, 3, activation="relu")(image)
    pooled = keras.layers.GlobalAveragePooling2D()(maps)
    return keras.Model(image, keras.layers.Dense(3, activation="softmax")(pooled))


def pixels_of(t):
    return mcv.load_pixels(t.catalog, SPEC)[0]


def codes_of(t):
    return np.random.default_rng(0).random((len(mcv.usable(t.catalog)), 4))


def written(t):
    mcv.write_predictions(t.predictions, t.folder / "p.csv")
    return (t.folder / "p.csv").read_text()


def splits_of_file(t):
    mcv.write_split(t.catalog, t.folder / "split.csv")
    return mcv.read_split(t.catalog, t.folder / "split.csv")


def latent(t):
    points = mcv.latent_points(mcv.usable(t.catalog), codes_of(t))
    return points, mcv.cluster_table(t.form(points)), mcv.latent_measures(t.form(points), codes_of(t))


def neighbors(t):
    nearest = mcv.nearest_images(mcv.usable(t.catalog), codes_of(t))
    return nearest, mcv.neighbour_measures(mcv.usable(t.catalog), t.form(nearest))


def leakage(t):
    rows = mcv.group_catalog(t.catalog, t.links)
    votes = mcv.thumbnail_votes(t.form(mcv.usable(rows)), codes_of(t))
    scores = leak_index(t.form(votes))
    honest = mcv.honest_scores(
        t.predictions, rows.set_index("image_id")["group"], mcv.relatives_in_train(rows, t.links)
    )
    return votes, scores, honest


def audit(t):
    catalog, tables, sentence = mcv.audit_images(t.catalog, t.boxes)
    leak = mcv.leak_index(tables["votes"])
    tables = {name: t.form(table) for name, table in tables.items()}
    return catalog, tables["links"], sentence, len(mcv.list_findings(t.form(catalog), t.boxes, tables, leak))


def run(t):
    catalog = mcv.Run.create(t.folder / "run", {}, {}, t.catalog).catalog
    return catalog.drop(columns="share").astype(str)


def ids(t, batches):
    return [np.concatenate(part) for part in zip(*((x.numpy(), y.numpy()) for x, y in batches), strict=True)]


FUNCTIONS = {
    "usable": lambda t: mcv.usable(t.catalog),
    "class_names_of": lambda t: mcv.class_names_of(t.catalog),
    "limit_catalog": lambda t: mcv.limit_catalog(t.catalog, 4, 0),
    "split_catalog published": lambda t: mcv.split_catalog(t.catalog, log=quiet),
    "split_catalog random": lambda t: mcv.split_catalog(t.catalog, "random", log=quiet),
    "split_catalog stratified": lambda t: mcv.split_catalog(t.catalog, "stratified", log=quiet),
    "split_catalog grouped": lambda t: mcv.split_catalog(t.catalog, "grouped", links=t.links, log=quiet),
    "write_split, read_split": splits_of_file,
    "keep_split": lambda t: mcv.keep_split(t.catalog, "mine"),
    "kfold": lambda t: mcv.kfold(t.catalog, 3),
    "group_catalog": lambda t: mcv.group_catalog(t.catalog, t.links),
    "kfold grouped": lambda t: mcv.kfold(mcv.group_catalog(t.catalog, t.links), 3, by="grouped"),
    "relatives_in_train": lambda t: mcv.relatives_in_train(t.catalog, t.links),
    "calibration_rows": lambda t: mcv.calibration_rows(t.catalog, 0.5).to_numpy(),
    "find_white": lambda t: mcv.find_white(t.catalog),
    "find_links": lambda t: mcv.find_links(t.catalog, say=quiet),
    "materialise": lambda t: sorted(p.name for p in mcv.materialise(t.catalog, t.folder / "links").rglob("*")),
    "dominant_class": lambda t: mcv.dominant_class(t.boxes),
    "ranked_classes": lambda t: mcv.ranked_classes(t.boxes, "union"),
    "read_boxes": lambda t: mcv.read_boxes(t.boxes, sizes=t.catalog),
    "synthesise": lambda t: mcv.synthesise(t.catalog, t.boxes, t.folder / "made").drop(columns="path"),
    "explore": lambda t: mcv.explore(t.catalog, t.boxes),
    "audit_images, list_findings": audit,
    "measure_quality": lambda t: mcv.measure_quality(mcv.usable(t.catalog), mcv.load_thumbs(t.catalog)[0]),
    "thumbnail_votes, leak_index, honest_scores": leakage,
    "make_dataset": lambda t: ids(t, mcv.make_dataset(t.catalog, SPEC, NAMES)),
    "predict_table": lambda t: mcv.predict_table(t.model, t.catalog, SPEC, NAMES),
    "embed": lambda t: mcv.embed(t.model, t.catalog, SPEC, pixels_of(t), keep=False),
    "measure_boxes": lambda t: mcv.measure_boxes(t.model, pixels_of(t), t.catalog, t.boxes, SPEC, NAMES, np.zeros(3)),
    "box_figures": lambda t: mcv.box_figures(t.measured, NAMES),
    "latent_points, cluster_table, latent_measures": latent,
    "nearest_images, neighbour_measures": neighbors,
    "linear_probe": lambda t: mcv.linear_probe(mcv.usable(t.catalog), codes_of(t)),
    "restoration_metrics": lambda t: mcv.restoration_metrics(
        t.form(mcv.usable(t.catalog)[["image_id", "split"]].assign(mse=1.0, mse_of_input=2.0, mse_of_mean=3.0))
    ),
    "classification_metrics": lambda t: mcv.classification_metrics(t.predictions),
    "per_class_metrics": lambda t: mcv.per_class_metrics(t.predictions),
    "confusion": lambda t: mcv.confusion(t.predictions),
    "confused_pairs": lambda t: mcv.confused_pairs(t.predictions),
    "worst_losses": lambda t: mcv.worst_losses(t.predictions),
    "compare_runs": lambda t: mcv.compare_runs(t.predictions, t.predictions, "test"),
    "seed_spread": lambda t: mcv.seed_spread({0: t.predictions, 1: t.predictions}, "test"),
    "compare_seeds": lambda t: mcv.compare_seeds({0: t.predictions}, {0: t.predictions}, "test"),
    "write_predictions": written,
    "Run.create": run,
}


SLOW = [name for name, call in FUNCTIONS.items() if call in (latent, leakage, audit)]
SLOW += [
    "make_dataset",
    "predict_table",
    "embed",
    "measure_boxes",
    "box_figures",
    "explore",
    "measure_quality",
    "restoration_metrics",
]


def assert_same(found, expected):
    if isinstance(expected, pd.DataFrame):
        tables = (each.reset_index(drop=True).rename_axis(None, axis=1) for each in (found, expected))
        pd.testing.assert_frame_equal(*tables, check_dtype=False, check_categorical=False, rtol=1e-12)
    elif isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key in expected:
            assert_same(found[key], expected[key])
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other)
    else:
        np.testing.assert_equal(found, expected)


def answer(name, tables, form, model, folder):
    folder.mkdir()
    keras.utils.set_random_seed(0)
    tables = {key: form(table) for key, table in tables.items()}
    return FUNCTIONS[name](SimpleNamespace(**tables, form=form, model=model, folder=folder))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_answers_do_not_depend_on_the_way_a_table_took(name, ours, model, tmp_path):
    expected = answer(name, ours, lambda table: table, model, tmp_path / "ours")
    before = {key: table.copy() for key, table in ours.items()}
    for number, (form, change) in enumerate(FORMS.items()):
        if name in SLOW and form not in ("a CSV", "a repeated index"):
            continue
        try:
            assert_same(answer(name, ours, change, model, tmp_path / str(number)), expected)
        except Exception as error:
            raise AssertionError(f"{name} of {form}: {error}") from error
    assert_same(ours, before)
