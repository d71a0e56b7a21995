"""Every public function gives the same result for a user's table, whatever its index and the types of its columns."""

import io
import os
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression

import marinecv as mcv
from marinecv.audit.leakage_findings import nearest_neighbor_baseline
from marinecv.audit.pairs import find_pairs
from marinecv.audit.run_audit import audit_images, list_findings
from marinecv.audit.tables import describe_data_set
from marinecv.console import silent
from marinecv.data.boxes import CORNERS
from marinecv.data.catalog import CATALOG_COLUMNS, limit_catalog
from marinecv.data.groups import group_catalog, related_in_train
from marinecv.data.manifests import manifest_of_folder
from marinecv.data.materialize import materialize
from marinecv.data.splits.calibration import calibration_mask
from marinecv.data.splits.split_catalog import kfold, read_split, write_split
from marinecv.data.user_tables import TEXT, as_text, usable
from marinecv.evaluation.compare import compare_runs
from marinecv.evaluation.latent import cluster_table, latent_measures, latent_points, nearest_images, neighbor_measures
from marinecv.evaluation.leakage import leakage_index, leakage_scores
from marinecv.evaluation.metrics import confused_pairs
from marinecv.evaluation.predictions import write_predictions
from marinecv.explain.localization import measure_boxes
from marinecv.features.embeddings import embed
from marinecv.inputs.synthesize import synthesize

NAMES = ("1", "2", "3")  # which read_csv takes for numbers
SPEC = mcv.ImageSpec(height=8, width=8)
CONTRACT = {"class_names": NAMES, "image": {}, "demonstration": False}


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
    good = usable(catalog)
    chances = rng.dirichlet([1, 1, 1], len(good))
    predictions = mcv.make_table(good["image_id"], good["split"], good["class_name"], chances, NAMES)
    predictions.loc[[3, 20], "true_class"] = ""
    pairs = [("000.png", "013.png", "near copy", 0.9, "hash"), ("020.png", "021.png", "copy", 1.0, "content")]
    pairs = pd.DataFrame(pairs, columns=["image_a", "image_b", "kind", "similarity", "method"])
    return dict(catalog=catalog, boxes=mcv.read_boxes(boxes), predictions=predictions, pairs=pairs)


FORMS = {
    "a CSV": lambda table: pd.read_csv(io.StringIO(table.to_csv(index=False))),
    "a repeated index": lambda table: table.set_axis(np.arange(len(table)) // 2),
    "missing text": lambda table: table.replace("", None).set_axis([0] * len(table)),
    "nullable columns": lambda table: table.replace("", pd.NA).convert_dtypes(),
    "categories": lambda table: table.astype({name: "category" for name in (*TEXT, "kind") if name in table}),
}


@pytest.fixture(scope="module")
def model():
    image = keras.Input((8, 8, 3))
    maps = keras.layers.Conv2D(4, 3, activation="relu")(image)
    pooled = keras.layers.GlobalAveragePooling2D()(maps)
    return keras.Model(image, keras.layers.Dense(3, activation="softmax")(pooled))


def pixels_of(t):
    return mcv.load_pixels(t.catalog, SPEC)[0]


def embeddings_of(t):
    return np.random.default_rng(0).random((len(usable(t.catalog)), 4))


def written(t):
    write_predictions(t.predictions, t.folder / "p.csv")
    return (t.folder / "p.csv").read_text()


def splits_of_file(t):
    write_split(t.catalog, t.folder / "split.csv")
    return read_split(t.catalog, t.folder / "split.csv")


def latent(t):
    points = latent_points(usable(t.catalog), embeddings_of(t))
    return points, cluster_table(t.form(points)), latent_measures(t.form(points), embeddings_of(t))


def neighbors(t):
    nearest = nearest_images(usable(t.catalog), embeddings_of(t))
    return nearest, neighbor_measures(usable(t.catalog), t.form(nearest))


def leakage(t):
    rows = group_catalog(t.catalog, t.pairs)
    votes = nearest_neighbor_baseline(t.form(usable(rows)), embeddings_of(t))
    scores = leakage_index(t.form(votes))
    leakage = leakage_scores(t.predictions, rows.set_index("image_id")["group"], related_in_train(rows, t.pairs))
    return votes, scores, leakage


def audit(t):
    catalog, tables, sentence = audit_images(t.catalog, t.boxes)
    leak = leakage_index(tables["votes"])
    tables = {name: t.form(table) for name, table in tables.items()}
    return catalog, tables["pairs"], sentence, len(list_findings(t.form(catalog), t.boxes, tables, leak))


def run(t):
    catalog = mcv.Run.create(t.folder / "run", {}, CONTRACT, t.catalog).catalog
    return catalog.drop(columns="dominance").astype(str)


def ids(t, batches):
    return [np.concatenate(part) for part in zip(*((x.numpy(), y.numpy()) for x, y in batches), strict=True)]


FUNCTIONS = {
    "usable": lambda t: usable(t.catalog),
    "class_names_of": lambda t: mcv.class_names_of(t.catalog),
    "limit_catalog": lambda t: limit_catalog(t.catalog, 4, 0),
    "split_catalog random": lambda t: mcv.split_catalog(t.catalog, "random", log=silent),
    "split_catalog stratified": lambda t: mcv.split_catalog(t.catalog, "stratified", log=silent),
    "split_catalog grouped": lambda t: mcv.split_catalog(t.catalog, "grouped", pairs=t.pairs, log=silent),
    "write_split, read_split": splits_of_file,
    "kfold": lambda t: kfold(t.catalog, 3),
    "group_catalog": lambda t: group_catalog(t.catalog, t.pairs),
    "related_in_train": lambda t: related_in_train(t.catalog, t.pairs),
    "calibration_mask": lambda t: calibration_mask(t.catalog, 0.5).to_numpy(),
    "find_pairs": lambda t: find_pairs(t.catalog, log=silent),
    "materialize": lambda t: sorted(p.name for p in materialize(t.catalog, t.folder / "pairs").rglob("*")),
    "dominant_class": lambda t: mcv.dominant_class(t.boxes),
    "read_boxes": lambda t: mcv.read_boxes(t.boxes, sizes=t.catalog),
    "synthesize": lambda t: synthesize(t.catalog, t.boxes, t.folder / "made").drop(columns="path"),
    "explore": lambda t: describe_data_set(t.catalog, t.boxes),
    "audit_images, list_findings": audit,
    "thumbnail_votes, leak_index, honest_scores": leakage,
    "make_dataset": lambda t: ids(t, mcv.make_dataset(t.catalog, SPEC, NAMES)),
    "predict_table": lambda t: mcv.predict_table(t.model, t.catalog, SPEC, NAMES),
    "embed": lambda t: embed(t.model, t.catalog, SPEC, pixels_of(t), keep=False),
    "measure_boxes": lambda t: measure_boxes(t.model, pixels_of(t), t.catalog, t.boxes, SPEC, NAMES, np.zeros(3)),
    "latent_points, cluster_table, latent_measures": latent,
    "nearest_images, neighbor_measures": neighbors,
    "classification_metrics": lambda t: mcv.classification_metrics(t.predictions),
    "per_class_metrics": lambda t: mcv.per_class_metrics(t.predictions),
    "confusion": lambda t: mcv.confusion(t.predictions),
    "confused_pairs": lambda t: confused_pairs(t.predictions),
    "compare_runs": lambda t: compare_runs(t.predictions, t.predictions, "test"),
    "write_predictions": written,
    "Run.create": run,
}

SLOW = {name for name, call in FUNCTIONS.items() if call in (latent, leakage, audit)}
SLOW |= {"make_dataset", "predict_table", "embed", "measure_boxes", "explore"}


def assert_same(found, expected):
    if isinstance(expected, pd.DataFrame):
        tables = (each.reset_index(drop=True).rename_axis(None, axis=1) for each in (found, expected))
        pd.testing.assert_frame_equal(*tables, check_dtype=False, check_categorical=False, rtol=1e-12)
    elif isinstance(expected, dict):
        assert_same(list(found.items()), list(expected.items()))
    elif isinstance(expected, list | tuple):
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other)
    else:
        np.testing.assert_equal(found, expected)


def answer(name, tables, form, model, folder):
    folder.mkdir()
    keras.utils.set_random_seed(0)
    tables = {key: form(table) for key, table in tables.items()}
    return FUNCTIONS[name](SimpleNamespace(**tables, form=form, model=model, folder=folder))


CALLS = [pytest.param(name, marks=[pytest.mark.slow] * ("latent" in name)) for name in FUNCTIONS]


@pytest.mark.parametrize("name", CALLS)
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


def test_missing_text_is_empty_and_names_that_a_csv_made_numbers_are_text_again():
    for missing in (None, pd.NA, np.nan):
        assert as_text(pd.Series([0.5, 2.0, Path("a.jpg"), missing])).tolist() == ["0.5", "2", "a.jpg", ""]
    assert as_text(pd.Series([1, None], dtype="Int64")).tolist() == ["1", ""]


def test_what_is_no_table_is_refused(ours):
    catalog, predictions, pairs = ours["catalog"], ours["predictions"], ours["pairs"]
    model = keras.Sequential([keras.Input(SPEC.shape), keras.layers.Flatten(), keras.layers.Dense(3)])
    for call, message in (
        (lambda: mcv.predict_table(model, catalog.drop(columns="path"), SPEC, NAMES), "catalog lacks.* 'path'"),
        (lambda: usable("catalog.csv"), "DataFrame. Received: str"),
        (lambda: limit_catalog(catalog.drop(columns="image_id"), 3, 0), "catalog lacks.* 'image_id'"),
        (lambda: describe_data_set(catalog.drop(columns=["width"]), ours["boxes"]), "lacks .* 'width'"),
        (lambda: usable(pd.concat([catalog, catalog], axis=1)), "'image_id' twice"),
        (lambda: group_catalog(catalog, pairs[["image_a"]]), "lacks.* 'image_b', 'kind'"),
        (lambda: mcv.confusion(catalog), "no predictions table"),
        (lambda: mcv.confusion(predictions.head(0)), "no row"),
        (lambda: mcv.confusion(predictions.assign(true_class="")), "None of the 23 rows has a true class"),
        (lambda: mcv.make_dataset(catalog[catalog["split"] == "trian"], SPEC, NAMES), "catalog has no row"),
        (lambda: mcv.make_dataset(catalog.assign(problem="torn"), SPEC, NAMES), "None of the 24 .* first: torn"),
        (lambda: mcv.split_catalog(catalog.assign(split=None), log=silent), "no published split"),
        (lambda: mcv.read_catalog("my_photos"), r"that find_data\(...\) returns. Received: 'my_photos'"),
        (lambda: mcv.read_boxes("my_photos"), r"that find_data\(...\) returns. Received: 'my_photos'"),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_a_catalog_needs_no_manifest_and_no_column_that_says_nothing(ours):
    bare = ours["catalog"].head(23)[["image_id", "path", "class_name"]].set_axis([7] * 23)
    assert mcv.class_names_of(bare) == NAMES and len(usable(bare)) == 23
    split = mcv.split_catalog(bare.assign(class_name=[1.0, 2.0, 3.0] * 7 + [1.0, np.nan]), "stratified", log=silent)
    assert mcv.class_names_of(split) == NAMES and set(split["split"]) == {"train", "validation", "test"}


class TestCatalogOf:
    """Of lists, Series and DataFrames."""

    @pytest.fixture
    def files(self, tmp_path):
        """Of different sizes in two folders."""
        files = [tmp_path / "pool" / camera / f"{name}.png" for camera in ("cam1", "cam2") for name in "abc"]
        for number, file in enumerate(files):
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (16 + number, 12), (40 * number, 0, 0)).save(file)
        return files

    def test_paths_make_rows_in_their_order(self, files, monkeypatch):
        expected = mcv.catalog_of(files, "eel", "val", ["x"] * 6)
        assert list(expected) == CATALOG_COLUMNS
        assert expected["image_id"].tolist()[3:] == ["cam2/a.png", "cam2/b.png", "cam2/c.png"]
        assert expected["width"].tolist() == [16, 17, 18, 19, 20, 21] and set(expected["height"]) == {12}
        first = expected.iloc[0][["split", "class_name", "group", "dominance", "problem"]]
        assert first.tolist() == ["validation", "eel", "x", 1.0, ""]
        monkeypatch.chdir(files[0].parent)
        relative = [os.path.relpath(file) for file in files]
        table = pd.DataFrame({"File ": relative, "Label": "eel", "Split": "valid", "Group": "x"}, index=[3] * 6)
        for paths in (relative, tuple(map(Path, relative)), pd.Series(relative, index=[0] * 6), (f for f in files)):
            pd.testing.assert_frame_equal(mcv.catalog_of(paths, ["eel"] * 6, "validation", "x"), expected)
        pd.testing.assert_frame_equal(mcv.catalog_of(table), expected)
        assert (table.columns == ["File ", "Label", "Split", "Group"]).all()

    def test_every_path_is_a_row_with_a_reason_if_it_cannot_be_used(self, files):
        files[1].write_bytes(b"no image")
        catalog = mcv.catalog_of([*files, files[0].with_name("gone.png")], ["eel", "ray", None, *["eel"] * 4])
        found = catalog["problem"].tolist()
        assert found[0] == "" and found[1].startswith("cannot be read") and found[2] == "no class"
        assert found[3:6] == [""] * 3 and found[6] == "the file is absent"
        assert (mcv.catalog_of(files)["class_name"] == "").all() and len(usable(mcv.catalog_of(files))) == 5
        assert mcv.catalog_of(pd.DataFrame({"path": files, "problem": ["blurred"] + [None] * 5})).loc[0, "problem"]

    def test_one_file_and_ids_of_ones_own(self, files):
        assert mcv.catalog_of(files[:1])["image_id"].tolist() == ["a.png"]
        table = pd.DataFrame({"path": files, "image_id": range(6), "camera": list("pqrpqr")})
        catalog = mcv.catalog_of(table)
        assert catalog["image_id"].tolist() == list("012345") and catalog["group"].tolist() == list("pqrpqr")

    def test_own_columns_travel_to_the_predictions(self, files, model, tmp_path):
        table = pd.DataFrame({"path": files, "class": list("123123"), "order": range(6), "site": list("aabbcc")})
        catalog = mcv.catalog_of(table)
        split = limit_catalog(mcv.split_catalog(catalog, "random", fractions=(0.5, 0.5, 0), log=silent), 5, 0)
        pixels, loaded = mcv.load_pixels(split, SPEC)
        predictions = mcv.predict_table(model, loaded, SPEC, NAMES, pixels=pixels)
        assert list(predictions)[4:] == ["p_1", "p_2", "p_3", "order", "site"]
        assert predictions["order"].tolist() == [files.index(Path(path)) for path in split["path"]]
        write_predictions(predictions, tmp_path / "p.csv")
        back = mcv.read_predictions(tmp_path / "p.csv", NAMES)
        pd.testing.assert_frame_equal(back.iloc[:, :7], predictions.iloc[:, :7])
        assert back["order"].tolist() == [*map(str, predictions["order"])]
        assert mcv.classification_metrics(back) == mcv.classification_metrics(predictions.drop(columns="site"))
        run = mcv.Run.create(tmp_path / "run", {}, CONTRACT, loaded)
        assert run.catalog["site"].tolist() == loaded["site"].tolist()

    def test_other_things_are_refused(self, files):
        table = pd.DataFrame({"path": files})
        for call, message in (
            (lambda: mcv.catalog_of("photos"), "paths to be a list.*'photos'"),
            (lambda: mcv.catalog_of(3), "paths to be a list"),
            (lambda: mcv.catalog_of({*files}), "paths to be a list"),
            (lambda: mcv.catalog_of([]), "There is no path"),
            (lambda: mcv.catalog_of([files[0], None]), "Path 1 is None"),
            (lambda: mcv.catalog_of(["gs://bucket/a.jpg"]), "Path 0, .* is an address"),
            (lambda: mcv.catalog_of([Path("https://x.org/a.jpg")]), "is an address"),
            (lambda: mcv.catalog_of(files, ["eel"]), "classes of the 6 images.*Received: 1"),
            (lambda: mcv.catalog_of(files, {"eel", "ray"}), "classes to be a list"),
            (lambda: mcv.catalog_of(files, split="trian"), '"trian" is no split'),
            (lambda: mcv.catalog_of([*files, files[2]]), "1 of 7 images .*c.png"),
            (lambda: mcv.catalog_of(table.assign(image_id="a")), "5 of 6 images"),
            (lambda: mcv.catalog_of(table.rename(columns={"path": "photo"})), "lacks the column 'path'"),
            (lambda: mcv.catalog_of(files, ["eel", "Eel", "ray"] * 2), "differ only in case"),
            (lambda: mcv.catalog_of(table.assign(p_eel=1)), "'p_eel' cannot travel"),
            (lambda: mcv.catalog_of(table.assign(species="eel"), "species"), "classes='species'"),
        ):
            with pytest.raises(ValueError, match=message):
                call()


class TestBoxesOfAUser:
    """`read_boxes` of a DataFrame."""

    def test_roboflows_own_columns_suffice(self, shared_tank):
        table = pd.read_csv(shared_tank / "train" / "_annotations.csv")
        boxes = mcv.read_boxes(manifest_of_folder(shared_tank))
        ours = boxes[boxes["image_id"].str.startswith("train/")].reset_index(drop=True)
        found, keys = mcv.read_boxes(table), ["class_name", *CORNERS, "problem", "clipped"]
        pd.testing.assert_frame_equal(found[keys], ours[keys])
        labels = mcv.dominant_class(table)
        pd.testing.assert_frame_equal(labels.assign(image_id="train/" + labels["image_id"]), mcv.dominant_class(ours))

    def test_every_row_comes_back_with_its_reason(self):
        rows = [
            ("a.jpg", "eel", 0, 0, 40, 30),
            ("a.jpg", "eel", np.nan, 0, 4, 3),
            ("a.jpg", None, 0, 0, 4, 3),
            (None, "eel", 0, 0, 4, 3),
            ("B.JPG", "ray", "wide", 0, 4, 3),
            ("B.JPG", "ray", 0, 0, np.inf, 3),
            ("B.JPG", "ray", 5, 5, 5, 9),
            ("c.jpg", "ray", 1, 2, 3, 4),
        ]
        table = pd.DataFrame(rows, columns=["File", "Label", *CORNERS], index=[0] * 8).assign(by="kim")
        sizes = pd.DataFrame({"image_id": ["a.jpg", "b.jpg"], "width": 32, "height": 24})
        boxes = mcv.read_boxes(table, sizes=sizes)
        corner, missing = "a corner is no number of pixels", ["its class is missing", "its image is missing"]
        absent = "its image is not in the catalog"
        assert boxes["problem"].tolist() == ["", corner, *missing, corner, corner, "no area", absent]
        assert boxes.loc[0, [*CORNERS, "clipped", "source", "by"]].tolist() == [0, 0, 32, 24, True, "boxes:0", "kim"]
        assert boxes["image_id"].tolist() == ["a.jpg"] * 3 + ["", "b.jpg", "b.jpg", "b.jpg", "c.jpg"]
        assert mcv.dominant_class(boxes)["image_id"].tolist() == ["a.jpg"]
        assert not mcv.read_boxes(table)["clipped"].any()

    def test_boxes_of_other_images_are_refused(self):
        boxes = pd.DataFrame([("a.jpg", "eel", 0, 0, 4, 3)], columns=["image_id", "class_name", *CORNERS])
        sizes = pd.DataFrame({"image_id": ["train/b.jpg"], "width": 32, "height": 24})
        for call, message in (
            (lambda: mcv.read_boxes(boxes, sizes=sizes), "None of the 1 boxes .*'a.jpg'.*train/b.jpg"),
            (lambda: mcv.read_boxes(boxes.drop(columns=["class_name", "xmax"])), "lacks .* 'class_name', 'xmax'"),
            (lambda: mcv.read_boxes(boxes.assign(xmax=0), "error"), r"row 0 of boxes \(a.jpg, eel 0,0,0,3\)"),
        ):
            with pytest.raises(ValueError, match=message):
                call()


def test_a_classifier_of_scikit_learn_is_scored():
    rng = np.random.default_rng(0)
    values, labels = rng.random((60, 4)), rng.integers(0, 3, 60)
    classifier = LogisticRegression().fit(values, labels)
    chances, extra = classifier.predict_proba(values), pd.DataFrame({"site": ["a", "b"] * 30}, index=[0] * 60)
    table = mcv.make_table(range(60), "test", labels, chances, classifier.classes_, extra)
    assert mcv.classification_metrics(table)["accuracy"]["value"] == classifier.score(values, labels)
    assert list(mcv.confusion(table).index) == ["0", "1", "2"] and table["site"].tolist() == ["a", "b"] * 30
    for extra, message in (
        (pd.DataFrame({"split": [1]}), "'split' cannot travel"),
        (pd.DataFrame({"p_age": [1]}), "'p_age' cannot travel"),
        (pd.DataFrame({"site": [1, 2]}), "1 images. Received: 2 rows"),
    ):
        with pytest.raises(ValueError, match=message):
            mcv.make_table(["a"], "test", ["0"], [[1.0]], ["0"], extra)
