"""Links make groups, and say which images have a relative where one trains."""

import pandas as pd

from marinecv.data.catalog import CATALOG_COLUMNS
from marinecv.data.groups import LINK_COLUMNS, group_catalog, relatives_in_train


def catalog_of(splits, groups=None, problems=None):
    rows = [
        (name, f"{name}.jpg", split, "ray", (groups or {}).get(name, ""), 9, 9, 1.0, (problems or {}).get(name, ""))
        for name, split in splits.items()
    ]
    return pd.DataFrame(rows, columns=CATALOG_COLUMNS)


def links_of(*rows):
    return pd.DataFrame([(*row, 0.9, "hash") for row in rows], columns=LINK_COLUMNS)


def groups_of(catalog):
    return dict(zip(catalog["image_id"], catalog["group"], strict=True))


def test_copies_near_copies_and_blocks_are_followed_and_the_group_is_named_after_its_first_image():
    links = links_of(("b", "c", "copy"), ("c", "d", "near copy"), ("d", "a", "block"))
    assert groups_of(group_catalog(catalog_of(dict.fromkeys("abcde", "")), links)) == {
        **dict.fromkeys("abcd", "a"),
        "e": "e",
    }


def test_mere_neighbours_are_not_followed():
    links = links_of(("a", "b", "neighbour"), ("b", "c", "neighbour"))
    assert groups_of(group_catalog(catalog_of(dict.fromkeys("abc", "")), links)) == {"a": "a", "b": "b", "c": "c"}


def test_groups_of_before_stay_as_they_are_whatever_links_cross_them():
    catalog = catalog_of(dict.fromkeys("abcdef", ""), groups=dict(a="cam 1", b="cam 1", c="cam 2", d="cam 2"))
    expected = dict(a="cam 1", b="cam 1", c="cam 2", d="cam 2", e="e", f="e")
    links = links_of(("b", "c", "near copy"), ("e", "f", "copy"), ("a", "f", "copy"))
    grouped = group_catalog(catalog, links)
    assert groups_of(grouped) == expected and group_catalog(grouped, links).equals(grouped)


def test_unusable_images_keep_what_they_had_and_link_nothing():
    catalog = catalog_of(dict.fromkeys("abc", ""), problems={"b": "cannot be read"})
    links = links_of(("a", "b", "copy"), ("b", "c", "copy"), ("a", "elsewhere", "copy"))
    assert groups_of(group_catalog(catalog, links)) == {"a": "a", "b": "", "c": "c"}


def test_a_catalog_without_a_usable_image_has_no_group():
    catalog = catalog_of({"a": ""}, problems={"a": "broken"})
    assert groups_of(group_catalog(catalog, links_of())) == {"a": ""}


def test_a_judged_image_and_its_relative_in_train_are_listed_whichever_comes_first_the_worst_on_top():
    catalog = catalog_of(dict(a="train", b="test", c="validation", d="train", e="test"))
    links = links_of(("a", "b", "neighbour"), ("c", "d", "copy"), ("a", "d", "copy"), ("b", "e", "near copy"))
    assert relatives_in_train(catalog, links).to_numpy().tolist() == [
        ["c", "validation", "d", "copy", 0.9],
        ["b", "test", "a", "neighbour", 0.9],
    ]


def test_blocks_and_unusable_images_give_nothing_away():
    catalog = catalog_of(dict(a="train", b="test", c="test"), problems={"c": "broken"})
    found = relatives_in_train(catalog, links_of(("a", "b", "block"), ("a", "c", "copy")))
    assert found.empty and list(found) == ["image_id", "split", "relative", "kind", "likeness"]
