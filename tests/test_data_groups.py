"""Pairs of related images make groups, and tell which images are related to a train image."""

from scenes import catalog_of_splits, links_of

from marinecv.data.groups import group_catalog, related_in_train


def groups_of(catalog, links):
    grouped = group_catalog(catalog, links)
    assert group_catalog(grouped, links).equals(grouped)
    return dict(zip(grouped["image_id"], grouped["group"], strict=True))


def test_copies_near_copies_and_blocks_are_followed_and_neighbors_are_not():
    links = links_of(("b", "c", "copy"), ("c", "d", "near copy"), ("d", "a", "block"), ("d", "e", "neighbor"))
    catalog = catalog_of_splits(dict.fromkeys("abcde", ""))
    assert groups_of(catalog, links) == {**dict.fromkeys("abcd", "a"), "e": "e"}  # named after the first image


def test_images_with_a_group_keep_it_whatever_pairs_cross_it():
    catalog = catalog_of_splits(dict.fromkeys("abcdef", ""), groups=dict(a="cam 1", b="cam 1", c="cam 2", d="cam 2"))
    links = links_of(("b", "c", "near copy"), ("e", "f", "copy"), ("a", "f", "copy"))
    assert groups_of(catalog, links) == dict(a="cam 1", b="cam 1", c="cam 2", d="cam 2", e="e", f="e")


def test_unusable_images_get_no_group_and_link_nothing():
    catalog = catalog_of_splits(dict.fromkeys("abc", ""), problems={"b": "cannot be read"})
    links = links_of(("a", "b", "copy"), ("b", "c", "copy"), ("a", "elsewhere", "copy"))
    assert groups_of(catalog, links) == {"a": "a", "b": "", "c": "c"}
    assert groups_of(catalog[1:2], links_of()) == {"b": ""}


def test_images_related_to_a_train_image_are_listed_whichever_comes_first_copies_on_top():
    catalog = catalog_of_splits(dict(a="train", b="test", c="validation", d="train", e="test"))
    links = links_of(("a", "b", "neighbor"), ("c", "d", "copy"), ("a", "d", "copy"), ("b", "e", "near copy"))
    assert related_in_train(catalog, links).to_numpy().tolist() == [
        ["c", "validation", "d", "copy", 0.9],
        ["b", "test", "a", "neighbor", 0.9],
    ]


def test_blocks_and_unusable_images_are_no_leakage():
    catalog = catalog_of_splits(dict(a="train", b="test", c="test"), problems={"c": "broken"})
    pairs = related_in_train(catalog, links_of(("a", "b", "block"), ("a", "c", "copy")))
    assert pairs.empty and list(pairs) == ["image_id", "split", "related_image", "kind", "similarity"]
