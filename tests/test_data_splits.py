"""Splits, folds, groups, calibration sets and label fractions: the seed decides, groups stay whole."""

from hashlib import sha256

import numpy as np
import pandas as pd
import pytest
from scenes import catalog_of_classes, catalog_of_splits, pairs_of

from marinecv.choices import SPLITS
from marinecv.data.groups import group_catalog, leave_out_duplicates, related_in_train
from marinecv.data.layouts import folder_splits
from marinecv.data.splits.calibration import calibration_mask
from marinecv.data.splits.label_fractions import keep_labels, keep_unlabeled, labeled_rows
from marinecv.data.splits.partition import allocate
from marinecv.data.splits.split_catalog import default_split_by, kfold, save_split, split_catalog, write_split


def counts(catalog):
    return catalog.groupby("split", sort=False).size().to_dict()


def assert_groups_are_whole(split):
    assert (split.groupby("group")["split"].nunique() == 1).all()


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (("Train", "val", "test"), ("train", "validation", "test")),
        (("train2017", "VALID", "test_set"), ("train", "validation", "test")),
        (("dev", "crab"), ("validation", None)),
        (("seg_train", "seg_test", "seg_pred"), ("train", "test", None)),
        (("steam_train", "bus_test"), (None, None)),
        (("01_train", "02_test", "03_extra"), ("train", "test", None)),
        (("train", "eval"), ("train", "validation")),
        (("train", "Validation Images", "eval"), ("train", "validation", "test")),
        (("train", "test", "eval"), ("train", "test", "validation")),
        (("trains", "value", "devil", "train station"), (None,) * 4),
    ],
)
def test_names_of_folders_are_splits_by_what_stands_beside_them(names, splits):
    assert tuple(map(folder_splits(names).get, names)) == splits


def test_parts_are_whole_numbers_and_at_least_one_where_there_are_enough():
    assert [allocate(total, [0.7, 0.15, 0.15]) for total in (100, 4, 2)] == [[70, 15, 15], [2, 1, 1], [1, 1, 0]]
    assert allocate(5, [90, 5, 5]) == [3, 1, 1] and allocate(0, [1, 1]) == [0, 0]


@pytest.mark.parametrize("split_by", ["random", "stratified", "grouped"])
def test_every_image_falls_in_one_split_and_the_seed_decides(split_by):
    catalog = catalog_of_classes(groups=20, eel=140, ray=60)
    catalog.loc[7, "problem"] = "no box"
    split = split_catalog(catalog, split_by, seed=3)
    assert sorted(split["image_id"]) == sorted(catalog["image_id"])
    assert list(counts(split)) == ["train", "validation", "test", ""] and counts(split)[""] == 1
    assert counts(split)["train"] == pytest.approx(140, abs=10)
    assert split.equals(split_catalog(catalog, split_by, seed=3))
    assert not split.equals(split_catalog(catalog, split_by, seed=4))


@pytest.mark.parametrize(
    ("fractions", "expected"),
    [
        ((0.7, 0.15, 0.15), {"eel": [70, 15, 15], "ray": [1, 1, 1], "crab": [4, 1, 1], "auk": [15, 2, 2]}),
        ((0.8, 0.2, 0.0), {"eel": [3, 1, 0], "ray": [1335, 333, 0], "crab": [1, 0, 0]}),
        ((0.71, 0.29, 0.0), {"eel": [71, 29, 0]}),
        ((0.01, 0.98, 0.01), {"eel": [1, 1, 1]}),
    ],
)
def test_a_class_gives_whole_images_and_at_least_one_where_there_are_enough(fractions, expected):
    catalog = catalog_of_classes(**{name: sum(parts) for name, parts in expected.items()})
    split = split_catalog(catalog, "stratified", fractions=fractions)
    found = pd.crosstab(split["class_name"], split["split"]).reindex(columns=SPLITS, fill_value=0)
    assert found.T.to_dict("list") == expected


@pytest.mark.parametrize("split_by", ["random", "stratified", "grouped", "published"])
def test_without_a_fraction_for_test_there_is_none(split_by):
    catalog = catalog_of_classes(groups=10, split="train", eel=70, ray=30)
    split = split_catalog(catalog, split_by, fractions=(0.8, 0.2, 0.0))
    assert counts(split) == {"train": 80, "validation": 20}


@pytest.mark.parametrize(("groups", "fractions"), [(2, (0.5, 0.5, 0.0)), *((n, (0.7, 0.15, 0.15)) for n in (3, 7))])
def test_groups_stay_whole_and_fill_all_splits(groups, fractions):
    split = split_catalog(catalog_of_classes(groups=groups, eel=50, ray=30), "grouped", fractions=fractions)
    assert_groups_are_whole(split)
    assert split["split"].nunique() == sum(fraction > 0 for fraction in fractions)


def test_published_splits_are_kept_in_whatever_word():
    words = ["Train"] * 5 + ["val"] * 2 + ["test", ""]
    catalog = catalog_of_classes(eel=9)
    catalog.loc[0, "problem"] = "no box"
    split = split_catalog(catalog.assign(split=words))
    assert split["split"].tolist() == ["train"] * 5 + ["validation"] * 2 + ["test", ""]
    assert split["problem"].tolist() == ["no box", *[""] * 7, "lies in no split folder"]
    with pytest.raises(ValueError, match='Row 008.jpg: "later" is no split'):
        split_catalog(catalog.assign(split=[*words[:-1], "later"]))


SPLITTERS = [
    lambda rows: split_catalog(rows, "stratified"),
    lambda rows: split_catalog(rows, "grouped", pairs=pairs_of(("a", "b", "copy"))),
    lambda rows: kfold(rows, 2),
]


@pytest.mark.parametrize("split", SPLITTERS)
def test_an_image_that_is_there_twice_is_refused(split):
    catalog = pd.DataFrame({"image_id": [*"abcdef"], "class_name": "crab"})
    assert split(catalog) is not None
    with pytest.raises(ValueError, match="a is there twice"):
        split(pd.concat([catalog, catalog]))


def test_missing_published_splits_are_taken_from_train():
    train, test = catalog_of_classes(split="train", eel=100, ray=40), catalog_of_classes(split="test", eel=8)
    both = pd.concat([train, test.assign(image_id="t" + test["image_id"])], ignore_index=True)
    split = split_catalog(both)
    assert counts(split) == {"train": 119, "validation": 21, "test": 8}
    assert split[split["split"] == "test"]["image_id"].str.startswith("t").all()
    assert split[split["split"] == "validation"]["class_name"].value_counts().to_dict() == {"eel": 15, "ray": 6}
    assert counts(split_catalog(train)) == {"train": 98, "validation": 21, "test": 21}
    assert counts(split_catalog(test)) == {"test": 8}


def test_missing_splits_are_taken_in_whole_groups_where_every_usable_train_row_has_one():
    train = catalog_of_classes(groups=7, split="train", eel=50, ray=30)
    test = train.assign(image_id="t" + train["image_id"], split="test", group="harbour")
    for rows in (train, pd.concat([train, test], ignore_index=True)):
        split = split_catalog(rows)
        assert_groups_are_whole(split)
        assert split["split"].nunique() == 3
    partly = catalog_of_classes(groups=7, split="train", eel=100, ray=40)
    partly.loc[0, "group"] = ""
    for rows in (partly, catalog_of_classes(groups=2, split="train", eel=100, ray=40)):
        assert counts(split_catalog(rows)) == {"train": 98, "validation": 21, "test": 21}  # stratified
    broken = partly.assign(problem=["no box", *partly["problem"][1:]])  # the one without a group cannot be used
    assert_groups_are_whole(split_catalog(broken).query("problem == ''"))


def test_the_default_is_published_then_grouped_and_never_random():
    assert default_split_by(catalog_of_classes(split="train", eel=2)) == "published"
    assert default_split_by(catalog_of_classes(groups=3, eel=9)) == "grouped"
    assert default_split_by(catalog_of_classes(eel=2)) == "grouped"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split_by": "color"}, 'Cannot split by "color". Expected one of published'),
        ({"split_by": "published"}, 'no published split. Expected split_by="grouped"'),
        ({"split_by": "grouped", "groups": 0}, "0 of 9 images have a group, and there are 0 groups"),
        ({"split_by": "grouped", "groups": 2}, "there are 2 groups"),
        ({"split_by": "random", "fractions": (0.7, 0.7, 0.1)}, "three that sum to 1"),
        ({"split_by": "random", "fractions": (0.0, 0.5, 0.5)}, "some train"),
        ({"split_by": "random", "problem": "torn"}, "None of the 9 images can be used, the first: torn"),
    ],
)
def test_what_cannot_be_split_is_refused(options, message):
    catalog = catalog_of_classes(groups=options.pop("groups", None), eel=9).assign(problem=options.pop("problem", ""))
    with pytest.raises(ValueError, match=message):
        split_catalog(catalog, **options)


def test_a_written_split_is_followed_to_the_letter(tmp_path):
    catalog = catalog_of_classes(eel=30, ray=20)
    catalog.loc[4, "problem"] = "no box"
    split = split_catalog(catalog, "stratified", seed=5)
    digest = write_split(split, tmp_path / "mine.csv")
    lines = (tmp_path / "mine.csv").read_text().splitlines()
    assert lines[0] == "image_id,split,class_name" and lines[1:] == sorted(lines[1:]) and len(lines) == 50
    assert digest == sha256((tmp_path / "mine.csv").read_bytes()).hexdigest()
    assert digest == write_split(split.sample(frac=1, random_state=0), tmp_path / "same.csv")
    assert digest != write_split(split_catalog(catalog, "stratified", seed=6), tmp_path / "other.csv")
    again = split_catalog(catalog, str(tmp_path / "mine.csv"), seed=9, fractions=(0.5, 0.5, 0.0))
    assert again.equals(split)


def test_names_in_a_split_file_are_compared_in_one_form(tmp_path):
    catalog = catalog_of_classes(split="train", eel=3).assign(image_id=["caf\u00e9/0.jpg", "b\\1.JPG", "2.jpg"])
    rows = " image_id,split \ncafe\u0301/0.jpg, Val \nb/1.jpg,TEST\n2,train\n"
    (tmp_path / "a.csv").write_text(rows, encoding="utf-8")
    split = split_catalog(catalog, tmp_path / "a.csv").set_index("image_id")["split"]
    assert split.to_dict() == {"caf\u00e9/0.jpg": "validation", "b\\1.JPG": "test", "2.jpg": "train"}


def test_images_that_a_split_file_does_not_name_are_rows_that_say_so(tmp_path):
    catalog = catalog_of_classes(split="train", eel=4)
    catalog.loc[2, "problem"] = "no box"
    (tmp_path / "a.csv").write_text("split,image_id\nVal,000.jpg\ntest,002.jpg\n")
    split = split_catalog(catalog, tmp_path / "a.csv").sort_values("image_id")
    assert split["split"].tolist() == ["validation", "", "", ""]
    assert split["problem"].tolist() == ["", "is not in the split file", "no box", "is not in the split file"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "There is no split file .*a.csv"),
        ("image_id,class_name\n000.jpg,eel\n", "lacks the column 'split'"),
        ("image_id,split\n000.jpg,train\nx.jpg,test\n", "1 of 2 rows .*: 'x.jpg', in row 2 .* is no image"),
        ("image_id,split\n000.jpg,train\n,test\n", "'', in row 2 below the header, is no image"),
        ("image_id,split\n000.jpg,train\n000.jpg,test\n", "'000.jpg', in row 2 .* is there twice"),
        ("image_id,split\n000.jpg,holdout\n", "'000.jpg', in row 1 .* another split than train, validation"),
        ("image_id,split\n000.jpg\n", "is no table of marinecv"),
    ],
)
def test_a_split_file_that_cannot_be_followed_is_refused(tmp_path, text, message):
    if text is not None:
        (tmp_path / "a.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        split_catalog(catalog_of_classes(eel=4), str(tmp_path / "a.csv"))


def camera_tree(shared=0, **cameras):
    """Images of 3 days of each camera: by class, how many cameras of its own, and `shared` by all classes."""
    rows = [
        (f"{name}/{camera}/{day}/{n}.jpg", name, "", f"{camera}/{day}", "")
        for name, count in cameras.items()
        for camera in [*(f"cam{n}" for n in range(shared)), *(f"{name}{n}" for n in range(count))]
        for day in ("2021-05-03", "2021-05-04", "2021-05-05")
        for n in range(2)
    ]
    return pd.DataFrame(rows, columns=["image_id", "class_name", "split", "group", "problem"])


@pytest.mark.parametrize(
    ("tree", "depth", "groups"),
    [
        (camera_tree(cat=3, dog=4), 1, 7),
        (camera_tree(cat=0, dog=0, shared=5), 1, 5),  # named alike under two classes, it is one camera
        (camera_tree(cat=0, dog=0, shared=2), 2, 6),  # two cameras leave none for test
        (camera_tree(cat=6, dog=1), 2, 21),  # one camera of dogs leaves none to validate or test
    ],
)
def test_sub_folders_are_split_at_the_first_depth_that_leaves_groups_on_each_side(tree, depth, groups):
    for pairs in (None, pairs_of()):
        said = []
        split = split_catalog(tree, "grouped", pairs=pairs, log=said.append)
        assert_groups_are_whole(split)
        assert split["group"].nunique() == groups and (split["group"].str.count("/") == depth - 1).all()
        assert (split.groupby(["split", "class_name"]).size().unstack(fill_value=0) > 0).all(axis=None)
        assert said[0].startswith(f"split in {groups} groups of {len(tree)} images by sub-folder (depth {depth}, ")


def test_a_class_of_one_camera_without_days_stays_in_train():
    tree = camera_tree(cat=6, dog=1)
    split = split_catalog(tree.assign(group=tree["group"].str.split("/").str[0]), "grouped", pairs=pairs_of())
    assert set(split[split["class_name"] == "dog"]["split"]) == {"train"} and split["split"].nunique() == 3


@pytest.mark.parametrize("by_class", [False, True])
def test_where_no_depth_leaves_every_class_in_train_related_images_are_split(by_class):
    catalog, said = catalog_of_classes(eel=12, ray=12, crab=12), []
    pairs = pairs_of(("000.jpg", "001.jpg", "copy"), ("000.jpg", "012.jpg", "near copy"))
    catalog = catalog.assign(group=catalog["class_name"] if by_class else "")
    split = split_catalog(catalog, "grouped", pairs=pairs, log=said.append).set_index("image_id")
    assert (split["problem"] == "").all() and split.groupby("split")["class_name"].nunique().tolist() == [3, 3, 3]
    assert split.loc[["000.jpg", "001.jpg", "012.jpg"], "split"].nunique() == 1
    assert said[0].startswith("split in 34 groups of 36 images by related images")
    assert ("no depth of sub-folders leaves every class" in said[0]) == by_class


def test_near_duplicates_in_other_groups_leave_train_and_no_group_grows():
    tree, said = camera_tree(cat=6, dog=6), []
    before = split_catalog(tree, "grouped", pairs=pairs_of()).set_index("image_id")["split"]
    train, validation, test = (before.index[before == split] for split in ("train", "validation", "test"))
    crossing = [(train[0], test[0], "copy"), (validation[1], train[1], "near copy")]
    harmless = [(train[2], train[3], "copy"), (train[4], test[1], "block"), (validation[2], test[2], "copy")]
    pairs = pairs_of(*crossing, *harmless, (train[5], test[3], "neighbor"))
    split = split_catalog(tree, "grouped", pairs=pairs, log=said.append)
    assert "left out of train: 2 near-duplicates" in said[1]
    rows = split.set_index("image_id")
    out = rows.loc[[train[0], train[1]]]
    reasons = [f"near-duplicate of {test[0]} in test", f"near-duplicate of {validation[1]} in validation"]
    assert list(out["split"]) == ["", ""] and list(out["problem"]) == reasons
    others = rows.drop(out.index)
    assert (others["problem"] == "").all() and others["split"].equals(before.drop(out.index).loc[others.index])
    again = split_catalog(tree, save_split(split, "tree-grouped"), pairs=pairs).set_index("image_id")
    assert again["split"].to_dict() == rows["split"].to_dict()
    folds = kfold(split, 4, by="grouped")
    validation = pd.concat(fold[fold["split"] == "validation"] for fold in folds)
    assert sorted(validation["image_id"]) == sorted(tree["image_id"])  # folds use images again that the split left out
    for fold in folds:
        assert related_in_train(leave_out_duplicates(fold, pairs), pairs[pairs["kind"] != "neighbor"]).empty


def test_a_depth_at_which_duplicates_leave_a_class_out_of_train_is_not_used():
    tree, said = camera_tree(cat=0, dog=0, shared=2), []
    cats = tree[tree["class_name"] == "cat"]["image_id"]
    pairs = pairs_of(*((first, second, "near copy") for first in cats for second in cats if first < second))
    split = split_catalog(tree, "grouped", pairs=pairs, log=said.append)
    assert set(split[split["class_name"] == "cat"]["split"]) == {"train"} and (split["problem"] == "").all()
    assert "no depth of sub-folders leaves every class in train" in said[0]


@pytest.mark.parametrize(("by", "k"), [("stratified", 2), ("stratified", 5), ("grouped", 5), ("grouped", 20)])
def test_each_usable_image_is_validation_exactly_once(by, k):
    catalog = catalog_of_classes(groups=20, eel=141, ray=60)
    catalog.loc[7, "problem"] = "no box"
    folds = kfold(catalog, k, seed=3, by=by)
    assert len(folds) == k
    in_validation = [image_id for fold in folds for image_id in fold["image_id"][fold["split"] == "validation"]]
    assert sorted(in_validation) == sorted(set(catalog["image_id"]) - {"007.jpg"})
    for fold in folds:
        assert sorted(fold["image_id"]) == sorted(catalog["image_id"])
        assert fold.set_index("image_id").loc["007.jpg", "split"] == "" and fold["split"].nunique() == 3
        assert by != "grouped" or (fold.query("split != ''").groupby("group")["split"].nunique() == 1).all()


@pytest.mark.parametrize("by", ["stratified", "grouped"])
def test_the_seed_decides_and_the_order_of_the_images_does_not(by):
    catalog = catalog_of_classes(groups=12, eel=40, ray=20)
    first, turned, other = kfold(catalog, 4, 0, by), kfold(catalog[::-1], 4, 0, by), kfold(catalog, 4, 1, by)
    for fold, same in zip(first, turned, strict=True):
        pd.testing.assert_frame_equal(fold, same)
    assert not any(fold.equals(another) for fold, another in zip(first, other, strict=True))


@pytest.mark.parametrize("k", [2, 3, 7])
def test_classes_and_folds_are_even_within_one(k):
    folds = kfold(catalog_of_classes(eel=101, ray=33, crab=2), k)
    in_validation = [fold[fold["split"] == "validation"]["class_name"].value_counts() for fold in folds]
    counts = pd.DataFrame(in_validation).fillna(0)
    assert ((counts.max() - counts.min()) <= 1).all()
    assert counts.sum(axis=1).max() - counts.sum(axis=1).min() <= 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 3, "by": "color"}, "Expected by to be one of .*'stratified', 'grouped'.*color"),
        ({"k": 1}, "9 usable images for 1 folds"),
        ({"k": 10}, "9 usable images for 10 folds"),
        ({"k": 3, "by": "grouped"}, "there are 2 groups. .* at least 3"),
    ],
)
def test_folds_that_cannot_be_made_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        kfold(catalog_of_classes(groups=2, eel=9), **options)


def groups_of(catalog, pairs):
    grouped = group_catalog(catalog, pairs)
    assert group_catalog(grouped, pairs).equals(grouped)
    return dict(zip(grouped["image_id"], grouped["group"], strict=True))


def test_copies_near_copies_and_blocks_are_followed_and_neighbors_are_not():
    pairs = pairs_of(("b", "c", "copy"), ("c", "d", "near copy"), ("d", "a", "block"), ("d", "e", "neighbor"))
    catalog = catalog_of_splits(dict.fromkeys("abcde", ""))
    assert groups_of(catalog, pairs) == {**dict.fromkeys("abcd", "a"), "e": "e"}  # named after the first image


def test_images_with_a_group_keep_it_whatever_pairs_cross_it():
    catalog = catalog_of_splits(dict.fromkeys("abcdef", ""), groups=dict(a="cam 1", b="cam 1", c="cam 2", d="cam 2"))
    pairs = pairs_of(("b", "c", "near copy"), ("e", "f", "copy"), ("a", "f", "copy"))
    assert groups_of(catalog, pairs) == dict(a="cam 1", b="cam 1", c="cam 2", d="cam 2", e="e", f="e")


def test_unusable_images_get_no_group_and_link_nothing():
    catalog = catalog_of_splits(dict.fromkeys("abc", ""), problems={"b": "cannot be read"})
    pairs = pairs_of(("a", "b", "copy"), ("b", "c", "copy"), ("a", "elsewhere", "copy"))
    assert groups_of(catalog, pairs) == {"a": "a", "b": "", "c": "c"}
    assert groups_of(catalog[1:2], pairs_of()) == {"b": ""}


def test_images_related_to_a_train_image_are_listed_whichever_comes_first_copies_on_top():
    catalog = catalog_of_splits(dict(a="train", b="test", c="validation", d="train", e="test"))
    pairs = pairs_of(("a", "b", "neighbor"), ("c", "d", "copy"), ("a", "d", "copy"), ("b", "e", "near copy"))
    expected = [["c", "validation", "d", "copy", 0.9], ["b", "test", "a", "neighbor", 0.9]]
    assert related_in_train(catalog, pairs).to_numpy().tolist() == expected


def test_blocks_and_unusable_images_are_no_leakage():
    catalog = catalog_of_splits(dict(a="train", b="test", c="test"), problems={"c": "broken"})
    pairs = related_in_train(catalog, pairs_of(("a", "b", "block"), ("a", "c", "copy")))
    assert pairs.empty and list(pairs) == ["image_id", "split", "related_image", "kind", "similarity"]


@pytest.mark.parametrize("fraction", [0.1, 1 / 3, 0.5, 0.8])
def test_the_fraction_is_met_to_one_image_in_all_and_of_each_class(fraction):
    rows = catalog_of_classes(split="validation", crab=31, eel=7, ray=22)
    mask = calibration_mask(rows, fraction)
    assert abs(mask.sum() - fraction * 60) < 1
    for _, of_class in mask.groupby(rows["class_name"]):
        assert abs(of_class.sum() - fraction * len(of_class)) <= 1


def test_only_usable_images_of_validation_are_held_out_and_none_without_a_fraction():
    rows = catalog_of_classes(crab=9, eel=9).assign(split=["validation"] * 9 + ["train"] * 9)
    rows.loc[:2, "problem"] = "no box"
    mask = calibration_mask(rows, 0.99)
    assert list(mask.index) == list(rows.index)
    assert set(rows.index[mask]) < set(range(3, 9))
    assert not calibration_mask(rows, 0.0).any()


def test_the_order_of_rows_does_not_matter_and_the_seed_does():
    rows = catalog_of_classes(split="validation", crab=30, eel=30)
    mask, mixed = calibration_mask(rows, 0.4, 7), calibration_mask(rows.sample(frac=1, random_state=1), 0.4, 7)
    assert mixed.sort_index().equals(mask) and not mask.equals(calibration_mask(rows, 0.4, 8))


def test_groups_are_held_out_whole_unless_they_have_one_image_each_or_some_rows_have_none():
    rows = catalog_of_classes(6, "validation", crab=30, eel=30)
    mask = calibration_mask(rows, 1 / 3)
    assert mask.sum() == 20 and set(mask.groupby(rows["group"]).mean()) == {0.0, 1.0}
    single = catalog_of_classes(18, "validation", crab=9, eel=9)
    assert calibration_mask(single, 1 / 3).equals(calibration_mask(single.assign(group=""), 1 / 3))
    partly = catalog_of_classes(2, "validation", crab=9, eel=9)
    partly.loc[0, "group"] = ""
    mask = calibration_mask(partly, 1 / 3)
    assert mask.sum() == 6 and np.ptp(mask.groupby(partly["group"]).mean()) > 0


FRACTIONS = (0.001, 0.1, 0.25, 0.3, 0.5, 0.75, 0.999, 1.0)
TRAIN = {"eel": 37, "ray": 12, "crab": 1}
BROKEN = ["005.jpg", "040.jpg"]


@pytest.fixture(scope="module")
def catalog():
    """50 train images of which two cannot be used, and five of each class in validation and test."""
    train = catalog_of_classes(split="train", **TRAIN)
    train.loc[train["image_id"].isin(BROKEN), "problem"] = "truncated"
    others = [catalog_of_classes(split=split, **dict.fromkeys(TRAIN, 5)) for split in ("validation", "test")]
    others = [part.assign(image_id=f"{number}" + part["image_id"]) for number, part in enumerate(others)]
    return pd.concat([train, *others], ignore_index=True)


def ids(catalog, rows):
    return set(catalog["image_id"][rows])


@pytest.mark.parametrize("seed", range(3))
def test_fractions_are_nested_and_of_each_class_to_one_image(catalog, seed):
    labeled = [labeled_rows(catalog, fraction, seed) for fraction in FRACTIONS]
    assert all((smaller <= larger).all() for smaller, larger in zip(labeled, labeled[1:], strict=False))
    usable = (catalog["split"] == "train") & (catalog["problem"] == "")
    assert labeled[-1].equals(usable)
    totals = catalog[usable]["class_name"].value_counts()
    for fraction, rows in zip(FRACTIONS, labeled, strict=True):
        counts = catalog[rows]["class_name"].value_counts()
        assert set(counts.index) == set(TRAIN)
        for name, count in counts.items():
            assert abs(count - fraction * totals[name]) <= (0.5 if fraction * totals[name] >= 1 else 1)


def test_the_seed_decides_and_the_order_of_the_rows_does_not(catalog):
    one = labeled_rows(catalog, 0.3, seed=7)
    assert one.dtype == bool and one.index.equals(catalog.index)
    assert ids(catalog, one) != ids(catalog, labeled_rows(catalog, 0.3, seed=8))
    shuffled = catalog.sample(frac=1, random_state=0)
    pd.testing.assert_series_equal(labeled_rows(shuffled, 0.3, seed=7).sort_index(), one)
    renumbered = shuffled.reset_index(drop=True)
    assert ids(renumbered, labeled_rows(renumbered, 0.3, seed=7)) == ids(catalog, one)


@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.75])
def test_labeled_and_unlabeled_images_partition_train(catalog, fraction):
    before = catalog.copy()
    labeled, unlabeled = keep_labels(catalog, fraction, seed=2), keep_unlabeled(catalog, fraction, seed=2)
    pd.testing.assert_frame_equal(catalog, before)
    train = catalog["split"] == "train"
    for part in (labeled, unlabeled):  # nothing but the split of train images changes
        pd.testing.assert_frame_equal(part.drop(columns="split"), catalog.drop(columns="split"))
        assert part["split"][~train].equals(catalog["split"][~train]) and set(part["split"][train]) == {"train", ""}
    assert ((labeled["split"] == "train") ^ (unlabeled["split"] == "train"))[train].all()
    assert ids(catalog, labeled["split"] == "train") == ids(catalog, labeled_rows(catalog, fraction, seed=2))


def test_a_fraction_out_of_range_or_without_an_unlabeled_image_is_refused(catalog):
    for fraction in (0, -0.1, 1.01, float("nan")):
        with pytest.raises(ValueError, match="above 0 and at most 1. Received: "):
            labeled_rows(catalog, fraction)
    for fraction in (1.0, 0.999):
        with pytest.raises(ValueError, match="100% of the labels no train image is without one"):
            keep_unlabeled(catalog, fraction)
