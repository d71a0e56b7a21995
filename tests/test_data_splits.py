from hashlib import sha256

import pandas as pd
import pytest

from marinecv.data.deal import allocate
from marinecv.data.groups import LINK_COLUMNS, leave_out_duplicates, relatives_in_train
from marinecv.data.splits import (
    NOT_LISTED,
    default_split_by,
    folder_splits,
    keep_split,
    kfold,
    split_catalog,
    write_split,
)


def catalog_of(groups=None, split="", **classes):
    names = [name for name, count in classes.items() for _ in range(count)]
    ids = [f"{number:03}.jpg" for number in range(len(names))]
    group = [f"camera {number % groups}" for number in range(len(names))] if groups else ""
    return pd.DataFrame({"image_id": ids, "class_name": names, "split": split, "group": group, "problem": ""})


def counts(catalog):
    return catalog.groupby("split", sort=False).size().to_dict()


@pytest.mark.parametrize(("name", "split"), [("Train", "train"), ("val", "validation"), ("VALID", "validation"),
                                              ("dev", "validation"), ("test", "test"), ("train2017", "train"),
                                              ("test_set", "test"), ("Validation Images", "validation")])  # fmt: skip
def test_split_names_are_mapped(name, split):
    assert folder_splits([name]) == {name: split}


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (("seg_train", "seg_test", "seg_pred"), ("train", "test", None)),
        (("steam_train", "bus_test"), (None, None)),
        (("01_train", "02_test", "03_extra"), ("train", "test", None)),
        (("train", "eval"), ("train", "validation")),
        (("train", "val", "eval"), ("train", "validation", "test")),
        (("train", "test", "eval"), ("train", "test", "validation")),
        (("trains", "value", "devil", "train station"), (None,) * 4),
    ],
)
def test_names_of_folders_are_splits_by_what_stands_beside_them(names, splits):
    found = folder_splits(names)
    assert tuple(map(found.get, names)) == splits


def test_other_names_are_no_split():
    assert folder_splits(["crab"]) == {}


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


@pytest.mark.parametrize(("n", "train", "validation"), [(1115, 892, 223), (11788, 9430, 2358)])
def test_a_random_fifth_leaves_train_the_whole_images_in_four_fifths(n, train, validation):
    split = split_catalog(catalog_of(bird=n), "random", fractions=(0.8, 0.2, 0.0))
    assert counts(split) == {"train": train, "validation": validation} and train == int(0.8 * n)


def test_a_stratified_fifth_is_rounded_down_in_each_class():
    totals = {"butterfly": 2112, "cat": 1668, "chicken": 3098, "elephant": 1446, "spider": 4821}
    split = split_catalog(catalog_of(**totals), "stratified", fractions=(0.8, 0.2, 0.0))
    held = split[split["split"] == "validation"]["class_name"].value_counts()
    assert held.to_dict() == {"butterfly": 422, "cat": 333, "chicken": 619, "elephant": 289, "spider": 964}
    assert counts(split) == {"train": 13145 - 2627, "validation": 2627}


@pytest.mark.parametrize(
    ("fractions", "total", "shares"),
    [
        ((0.7, 0.15, 0.15), 6, [4, 1, 1]),
        ((0.7, 0.15, 0.15), 19, [15, 2, 2]),
        ((0.8, 0.2, 0.0), 4, [3, 1, 0]),
        ((0.8, 0.2, 0.0), 1, [1, 0, 0]),
        ((0.71, 0.29, 0.0), 100, [71, 29, 0]),
        ((0.01, 0.98, 0.01), 3, [1, 1, 1]),
    ],
)
def test_a_class_gives_up_whole_images_and_one_at_least_where_there_are_enough(fractions, total, shares):
    split = split_catalog(catalog_of(eel=total), "stratified", fractions=fractions)["split"]
    assert [(split == name).sum() for name in ("train", "validation", "test")] == shares


@pytest.mark.parametrize("split_by", ["random", "stratified", "grouped", "published"])
def test_without_a_fraction_for_test_there_is_none(split_by):
    catalog = catalog_of(groups=10, split="train", eel=70, ray=30)
    split = split_catalog(catalog, split_by, fractions=(0.8, 0.2, 0.0))
    assert counts(split) == {"train": 80, "validation": 20}


def test_two_groups_are_enough_for_two_splits():
    split = split_catalog(catalog_of(groups=2, eel=8), "grouped", fractions=(0.5, 0.5, 0.0))
    assert (split.groupby("group")["split"].nunique() == 1).all() and counts(split) == {"train": 4, "validation": 4}


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


def test_other_words_for_a_published_split_are_that_split():
    catalog = pd.DataFrame({"image_id": [*"abcdef"], "class_name": "crab", "split": [*["Train"] * 4, "val", "test"]})
    assert split_catalog(catalog)["split"].tolist() == [*["train"] * 4, "validation", "test"]
    with pytest.raises(ValueError, match='Row e: "later" is no split'):
        split_catalog(catalog.replace("val", "later"))


@pytest.mark.parametrize("deal", [lambda rows: split_catalog(rows, "stratified"), lambda rows: kfold(rows, 2)])
def test_an_image_that_is_there_twice_would_stand_on_both_sides_and_is_refused(deal):
    catalog = pd.DataFrame({"image_id": [*"abcdef"], "class_name": "crab"})
    assert deal(catalog) is not None
    with pytest.raises(ValueError, match="a is there twice. Expected each image once"):
        deal(pd.concat([catalog, catalog]))


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
    assert default_split_by(catalog_of(eel=2)) == "grouped"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split_by": "colour"}, 'Cannot split by "colour". Expected one of published'),
        ({"split_by": "published"}, 'no published split. Expected split_by="grouped"'),
        ({"split_by": "grouped"}, "0 of 9 images have a group, and there are 0 groups"),
        ({"split_by": "random", "fractions": (0.7, 0.7, 0.1)}, "Expected three that sum to 1"),
        ({"split_by": "random", "fractions": (0.0, 0.5, 0.5)}, "Expected three that sum to 1, and some train"),
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


def test_a_written_split_is_followed_to_the_letter(tmp_path):
    catalog = catalog_of(eel=30, ray=20)
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
    catalog = catalog_of(split="train", eel=3)
    catalog["image_id"] = ["caf\u00e9/0.jpg", "b\\1.JPG", "2.jpg"]
    (tmp_path / "a.csv").write_text(
        " image_id,split \ncafe\u0301/0.jpg, Val \nb/1.jpg,TEST\n2,train\n", encoding="utf-8"
    )
    split = split_catalog(catalog, tmp_path / "a.csv").set_index("image_id")["split"]
    assert split.to_dict() == {"caf\u00e9/0.jpg": "validation", "b\\1.JPG": "test", "2.jpg": "train"}


def test_images_that_a_split_file_does_not_name_are_rows_that_say_so(tmp_path):
    catalog = catalog_of(split="train", eel=4)
    catalog.loc[2, "problem"] = "no box"
    (tmp_path / "a.csv").write_text("split,image_id\nVal,000.jpg\ntest,002.jpg\n")
    split = split_catalog(catalog, tmp_path / "a.csv").set_index("image_id")
    assert split["split"].to_dict() == {"000.jpg": "validation", "001.jpg": "", "002.jpg": "", "003.jpg": ""}
    assert split["problem"].to_dict() == {
        "000.jpg": "", "001.jpg": NOT_LISTED, "002.jpg": "no box", "003.jpg": NOT_LISTED,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "There is no split file .*a.csv. Expected a CSV with image_id and split"),
        (
            "image_id,class_name\n000.jpg,eel\n",
            "lacks the column 'split'. Expected image_id, split; found image_id, cl",
        ),
        (
            "image_id,split\n000.jpg,train\nx.jpg,test\n",
            "1 of 2 rows .*: 'x.jpg', in row 2 below the header, is no image",
        ),
        ("image_id,split\n000.jpg,train\n,test\n", "'', in row 2 below the header, is no image of these data"),
        ("image_id,split\n000.jpg,train\n000.jpg,test\n", "'000.jpg', in row 2 below the header, is there twice"),
        (
            "image_id,split\n000.jpg,holdout\n",
            "Row 1 .* puts 000.jpg into 'holdout'. Expected one of train, validation",
        ),
        ("image_id,split\n000.jpg\n", "is no table of marinecv"),
    ],
)
def test_a_split_file_that_cannot_be_followed_is_refused(tmp_path, text, message):
    if text is not None:
        (tmp_path / "a.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        split_catalog(catalog_of(eel=4), str(tmp_path / "a.csv"))


def camera_tree(**cameras):
    """Images of 3 days of each camera: by class, how many cameras of its own, and `shared` by both classes."""
    rows, shared = [], cameras.pop("shared", 0)
    for name, count in cameras.items():
        for camera in [f"cam{n}" for n in range(shared)] + [f"{name}{n}" for n in range(count)]:
            for day in ("2021-05-03", "2021-05-04", "2021-05-05"):
                rows += [(f"{name}/{camera}/{day}/{n}.jpg", name, "", f"{camera}/{day}", "") for n in range(2)]
    return pd.DataFrame(rows, columns=["image_id", "class_name", "split", "group", "problem"])


def links_of(*rows):
    return pd.DataFrame([(*row, 1.0, "hash") for row in rows], columns=LINK_COLUMNS)


@pytest.mark.parametrize(
    ("tree", "depth", "groups"),
    [
        (camera_tree(cat=3, dog=4), 1, 7),
        (camera_tree(cat=0, dog=0, shared=5), 1, 5),  # named alike under two classes, it is one camera
        (camera_tree(cat=0, dog=0, shared=2), 2, 6),  # two cameras leave none for test
        (camera_tree(cat=6, dog=1), 2, 21),  # of one camera no dog is left to judge by
    ],
)
def test_sub_folders_are_split_at_the_first_depth_that_leaves_groups_on_each_side(tree, depth, groups, capsys):
    for links in (None, links_of()):
        split = split_catalog(tree, "grouped", links=links, log=print)
        assert (split.groupby("group")["split"].nunique() == 1).all() and split["group"].nunique() == groups
        assert (split["group"].str.count("/") == depth - 1).all()
        assert (split.groupby(["split", "class_name"]).size().unstack(fill_value=0) > 0).all(axis=None)
        line = f"split in {groups} groups of {len(tree)} images by sub-folder (depth {depth}, such as "
        assert capsys.readouterr().out.startswith(line)


def test_of_one_camera_without_days_a_class_stays_in_train():
    tree = camera_tree(cat=6, dog=1)
    split = split_catalog(tree.assign(group=tree["group"].str.split("/").str[0]), "grouped", links=links_of())
    assert set(split[split["class_name"] == "dog"]["split"]) == {"train"} and split["split"].nunique() == 3


def test_where_no_depth_leaves_every_class_in_train_related_images_are_split_and_that_is_said(capsys):
    catalog = catalog_of(eel=12, ray=12, crab=12)
    links = links_of(("000.jpg", "001.jpg", "copy"), ("000.jpg", "012.jpg", "near copy"))
    for group, said in (("", "stay together\n"), (catalog["class_name"], "no depth of sub-folders leaves every class")):
        split = split_catalog(catalog.assign(group=group), "grouped", links=links, log=print)
        split = split.set_index("image_id")
        assert (split["problem"] == "").all() and split.groupby("split")["class_name"].nunique().tolist() == [3, 3, 3]
        assert split.loc[["000.jpg", "001.jpg", "012.jpg"], "split"].nunique() == 1
        shown = capsys.readouterr().out
        assert shown.startswith("split in 34 groups of 36 images by related images: near-duplicates") and said in shown


def test_near_duplicates_in_other_groups_leave_train_and_no_group_grows(capsys):
    tree = camera_tree(cat=6, dog=6)
    before = split_catalog(tree, "grouped", links=links_of()).set_index("image_id")["split"]
    of = {split: before.index[before == split] for split in ("train", "validation", "test")}
    crossing = [(of["train"][0], of["test"][0], "copy"), (of["validation"][1], of["train"][1], "near copy")]
    harmless = [(of["train"][2], of["train"][3], "copy"), (of["train"][4], of["test"][1], "block")]
    harmless += [(of["validation"][2], of["test"][2], "copy"), (of["train"][5], of["test"][3], "neighbour")]
    capsys.readouterr()
    links = links_of(*crossing, *harmless)
    split = split_catalog(tree, "grouped", links=links, log=print)
    assert "left out of train: 2 near-duplicates of images in validation or test" in capsys.readouterr().out
    rows = split.set_index("image_id")
    out = rows.loc[[of["train"][0], of["train"][1]]]
    assert list(out["split"]) == ["", ""] and list(out["problem"]) == [
        f"near-duplicate of {of['test'][0]} in test",
        f"near-duplicate of {of['validation'][1]} in validation",
    ]
    kept = rows.drop(out.index)
    assert (kept["problem"] == "").all() and kept["split"].equals(before.drop(out.index).loc[kept.index])
    name = keep_split(split, "tree-grouped")
    again = split_catalog(tree, name, links=links).set_index("image_id")
    assert again["split"].to_dict() == rows["split"].to_dict()
    judged = pd.concat(part[part["split"] == "validation"] for part in kfold(split, 4, by="grouped"))
    assert sorted(judged["image_id"]) == sorted(tree["image_id"])  # in folds they are judged like the others
    for part in kfold(split, 4, by="grouped"):
        assert relatives_in_train(leave_out_duplicates(part, links), links[links["kind"] != "neighbour"]).empty


def test_a_depth_at_which_a_class_would_be_left_out_of_train_whole_is_none_to_split_at(capsys):
    tree = camera_tree(cat=0, dog=0, shared=2)
    cats = tree[tree["class_name"] == "cat"]["image_id"]
    links = links_of(*((first, second, "near copy") for first in cats for second in cats if first < second))
    split = split_catalog(tree, "grouped", links=links, log=print)
    assert set(split[split["class_name"] == "cat"]["split"]) == {"train"} and (split["problem"] == "").all()
    assert "no depth of sub-folders leaves every class in train" in capsys.readouterr().out
