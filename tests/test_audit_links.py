"""One table says which images belong together, and is made once for the files as they lie there."""

import os

import pandas as pd
import pytest
from PIL import Image
from scenes import CHANGES, draw_scene, save
from test_audit_pictures import catalog_of

from marinecv.audit import links as links_room
from marinecv.audit.links import find_links
from marinecv.data.groups import LINK_COLUMNS


@pytest.fixture
def images(tmp_path):
    """A scene, its exact copy, its mirror image, another scene, and a file that is no image."""
    scene = draw_scene(1, 1)
    paths = [save(scene, tmp_path / "images" / "a.jpg")]
    paths.append(tmp_path / "images" / "b.jpg")
    paths[1].write_bytes(paths[0].read_bytes())
    paths.append(save(CHANGES["mirrored"](scene), tmp_path / "images" / "c.jpg"))
    paths.append(save(draw_scene(2, 2), tmp_path / "images" / "d.jpg"))
    paths.append(tmp_path / "images" / "e.jpg")
    paths[4].write_text("no image")
    return catalog_of(paths)


def kinds_of(links):
    return {(row.first, row.second): row.kind for row in links.itertuples(index=False)}


def test_copies_are_linked_by_their_ids_and_a_broken_file_is_left_alone(images):
    links = find_links(images)
    assert list(links) == LINK_COLUMNS
    near = links[links["kind"] == "near copy"]
    assert kinds_of(links[links["kind"] == "copy"]) == {("a.jpg", "b.jpg"): "copy"}
    assert {("a.jpg", "c.jpg"), ("b.jpg", "c.jpg")} <= set(kinds_of(near))
    assert not {"d.jpg", "e.jpg"} & {*links["first"], *links["second"]}
    assert near["likeness"].between(0.8, 1.001).all()


def test_a_second_look_decodes_nothing_and_says_the_same(images, monkeypatch):
    first = find_links(images)
    monkeypatch.setattr(links_room, "load_thumbs", lambda *_: pytest.fail("decoded again"))
    again = find_links(images)
    pd.testing.assert_frame_equal(again, first, check_dtype=False)
    assert kinds_of(find_links(images.sample(frac=1, random_state=0))) == kinds_of(first)
    assert kinds_of(find_links(images.assign(split="test"))) == kinds_of(first)  # of images, whatever the split


def test_another_file_another_label_or_another_way_is_another_look(images, monkeypatch):
    find_links(images)
    looks = []
    real = links_room.load_thumbs
    monkeypatch.setattr(links_room, "load_thumbs", lambda *words: looks.append(1) or real(*words))
    find_links(images.assign(class_name="eel"))
    find_links(images, "none")
    os.utime(images["path"].iloc[0], (1, 1))
    find_links(images)
    assert len(looks) == 3


def video(tmp_path, count=40):
    frames = [save(draw_scene(n // 5, 100 + n), tmp_path / "video" / f"dive_{40 + n:04d}.jpg") for n in range(count)]
    return catalog_of(frames)


def test_frames_are_linked_to_their_neighbours_and_along_their_block(tmp_path):
    links = find_links(video(tmp_path))
    kinds = links["kind"].value_counts()
    assert kinds["neighbour"] == 39
    assert kinds["block"] == 9 + 29  # 0040 to 0049, and 0050 to 0079
    assert (links["found_by"] == "number").all() and links["likeness"].isna().all()


def test_who_wants_no_frames_gets_none(tmp_path):
    assert find_links(video(tmp_path), "none").empty


def test_no_image_has_no_link(images):
    assert find_links(images.assign(problem="broken")).empty
    assert find_links(images.head(1)).empty


def test_an_unknown_way_to_tell_frames_is_refused(images):
    with pytest.raises(ValueError, match="Expected frames to be one of .*'none'.*Received: frames='exif'"):
        find_links(images, "exif")


def test_a_picture_of_one_colour_is_no_copy_of_another(tmp_path):
    for name, grey in (("a.png", 90), ("b.png", 92)):
        Image.new("RGB", (60, 40), (grey,) * 3).save(tmp_path / name)
    assert find_links(catalog_of([tmp_path / "a.png", tmp_path / "b.png"])).empty
