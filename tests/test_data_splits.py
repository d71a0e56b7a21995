import pandas as pd
import pytest

from marinecv.data.splits import allocate, canonical_split, default_split_by, split_catalog


def catalog_of(groups=None, split="", **classes):
    names = [name for name, count in classes.items() for _ in range(count)]
    ids = [f"{number:03}.jpg" for number in range(len(names))]
    group = [f"camera {number % groups}" for number in range(len(names))] if groups else ""
    return pd.DataFrame({"image_id": ids, "class_name": names, "split": split, "group": group, "problem": ""})


def counts(catalog):
    return catalog.groupby("split", sort=False).size().to_dict()


@pytest.mark.parametrize(("name", "split"), [("Train", "train"), ("val", "validation"), ("VALID", "validation"),
                                              ("dev", "validation"), ("test", "test")])  # fmt: skip
def test_split_names_are_mapped(name, split):
    assert canonical_split(name) == split


def test_other_names_are_no_split():
    with pytest.raises(ValueError, match='"crab" is no split. Expected one of train'):
        canonical_split("crab")


@pytest.mark.parametrize(
    ("total", "weights", "shares"),
    [
        (100, [0.7, 0.15, 0.15], [70, 15, 15]),
        (4, [0.7, 0.15, 0.15], [2, 1, 1]),
        (2, [0.7, 0.15, 0.15], [1, 1, 0]),
        (1, [0.7, 0.15, 0.15], [1, 0, 0]),
        (10, [0.8, 0.2, 0], [8, 2, 0]),
        (5, [90, 5, 5], [3, 1, 1]),
        (0, [1, 1], [0, 0]),
    ],
)
def test_shares_are_whole_and_leave_nobody_out(total, weights, shares):
    assert allocate(total, weights) == shares


@pytest.mark.parametrize("split_by", ["random", "stratified", "grouped"])
def test_every_image_falls_in_one_split_and_the_seed_decides(split_by):
    catalog = catalog_of(groups=20, eel=140, ray=60)
    split = split_catalog(catalog, split_by, seed=3)
    assert sorted(split["image_id"]) == sorted(catalog["image_id"])
    assert list(counts(split)) == ["train", "validation", "test"]
    assert counts(split)["train"] == pytest.approx(140, abs=10)
    assert split.equals(split_catalog(catalog, split_by, seed=3))
    assert not split.equals(split_catalog(catalog, split_by, seed=4))


def test_stratified_keeps_every_class_in_every_split():
    table = split_catalog(catalog_of(eel=100, ray=20, crab=3), "stratified").groupby(["class_name", "split"]).size()
    assert table["eel"].to_dict() == {"test": 15, "train": 70, "validation": 15}
    assert table["ray"].to_dict() == {"test": 3, "train": 14, "validation": 3}
    assert table["crab"].to_dict() == {"test": 1, "train": 1, "validation": 1}


def test_groups_stay_whole_and_fill_three_splits():
    for groups in (3, 7):
        split = split_catalog(catalog_of(groups=groups, eel=50, ray=30), "grouped")
        assert (split.groupby("group")["split"].nunique() == 1).all() and split["split"].nunique() == 3


def test_unusable_rows_belong_to_no_split_except_as_published():
    catalog = catalog_of(eel=10)
    catalog.loc[0, "problem"] = "no box"
    assert split_catalog(catalog, "random").set_index("image_id").loc["000.jpg", "split"] == ""
    published = split_catalog(catalog.assign(split="train"), "published").set_index("image_id")
    assert published.loc["000.jpg", "split"] == "train"


def test_published_splits_are_kept():
    catalog = catalog_of(eel=9).assign(split=["train"] * 5 + ["validation"] * 2 + ["test"] * 2)
    assert split_catalog(catalog).equals(catalog)


def test_missing_published_splits_are_carved_from_train():
    train, test = catalog_of(split="train", eel=100, ray=40), catalog_of(split="test", eel=8)
    both = pd.concat([train, test.assign(image_id="t" + test["image_id"])], ignore_index=True)
    split = split_catalog(both)
    assert counts(split) == {"train": 119, "validation": 21, "test": 8}
    assert split[split["split"] == "test"]["image_id"].str.startswith("t").all()
    assert split[split["split"] == "validation"]["class_name"].value_counts().to_dict() == {"eel": 15, "ray": 6}
    assert counts(split_catalog(train)) == {"train": 98, "validation": 21, "test": 21}
    assert counts(split_catalog(test)) == {"test": 8}


def test_missing_splits_are_carved_in_whole_groups_where_every_train_row_has_one():
    for groups in (3, 7):
        train = catalog_of(groups=groups, split="train", eel=50, ray=30)
        split = split_catalog(train)
        assert (split.groupby("group")["split"].nunique() == 1).all() and split["split"].nunique() == 3
    test = train.assign(image_id="t" + train["image_id"], split="test", group="harbour")
    both = split_catalog(pd.concat([train, test], ignore_index=True))
    assert (both.groupby("group")["split"].nunique() == 1).all() and counts(both)["test"] == 80
    assert both["split"].nunique() == 3 and set(both.query("split == 'test'")["group"]) == {"harbour"}


def test_missing_splits_are_stratified_where_groups_are_too_few_or_some_rows_have_none():
    partly = catalog_of(groups=7, split="train", eel=100, ray=40)
    partly.loc[0, "group"] = ""
    for train in (partly, catalog_of(groups=2, split="train", eel=100, ray=40)):
        assert counts(split_catalog(train)) == {"train": 98, "validation": 21, "test": 21}
    broken = partly.assign(problem=["no box", *partly["problem"][1:]])  # the one without a group cannot be used
    assert (split_catalog(broken).query("problem == ''").groupby("group")["split"].nunique() == 1).all()


def test_the_default_is_published_then_grouped_and_never_random():
    assert default_split_by(catalog_of(split="train", eel=2)) == "published"
    assert default_split_by(catalog_of(groups=3, eel=9)) == "grouped"
    with pytest.raises(ValueError, match="neighbouring frames.*--split-by stratified"):
        default_split_by(catalog_of(eel=2))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split_by": "colour"}, 'Cannot split by "colour". Expected one of published'),
        ({"split_by": "published"}, "no published split. Expected --split-by grouped"),
        ({"split_by": "grouped"}, "0 of 9 images have a group, and there are 0 groups"),
        ({"split_by": "random", "fractions": (0.7, 0.7, 0.1)}, "Expected three that sum to 1"),
    ],
)
def test_what_cannot_be_split_is_said(options, message):
    with pytest.raises(ValueError, match=message):
        split_catalog(catalog_of(eel=9), **options)


def test_two_groups_are_too_few():
    with pytest.raises(ValueError, match="there are 2 groups"):
        split_catalog(catalog_of(groups=2, eel=9), "grouped")


def test_rows_beside_the_published_splits_are_rows_with_a_reason():
    rows = pd.DataFrame({"image_id": list("abcd"), "split": ["train", "validation", "test", ""], "problem": ""})
    split = split_catalog(rows.assign(class_name="eel", group=""), "published").set_index("image_id")
    assert split["problem"].to_dict() == {"a": "", "b": "", "c": "", "d": "lies in no split folder"}
