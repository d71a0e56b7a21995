"""One table has the pairs of related images, and is cached for the files as they are."""

import os
from itertools import product

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scenes import CHANGES, catalog_of_files, draw_scene, save

from marinecv.audit import pairs as links_module
from marinecv.audit.pairs import find_pairs
from marinecv.data.groups import PAIR_COLUMNS, group_catalog


@pytest.fixture
def images(tmp_path):
    """A scene, its exact copy, its mirror image, another scene, and a file that is no image."""
    scene = draw_scene(1, 1)
    paths = [tmp_path / "images" / f"{name}.jpg" for name in "abcde"]
    save(scene, paths[0])
    paths[1].write_bytes(paths[0].read_bytes())
    save(CHANGES["mirrored"](scene), paths[2])
    save(draw_scene(2, 2), paths[3])
    paths[4].write_text("no image")
    return catalog_of_files(paths)


def kinds_of(pairs):
    return {(row.image_a, row.image_b): row.kind for row in pairs.itertuples(index=False)}


def test_copies_are_paired_by_their_ids_and_a_broken_file_has_no_pair(images):
    pairs = find_pairs(images)
    assert list(pairs) == PAIR_COLUMNS
    near = {(name, "c.jpg"): "near copy" for name in ("a.jpg", "b.jpg")}
    assert kinds_of(pairs) == {("a.jpg", "b.jpg"): "copy"} | near
    assert pairs["similarity"].between(0.8, 1.001).all()
    assert find_pairs(images.assign(problem="broken")).empty and find_pairs(images.head(1)).empty


def test_the_cached_pairs_need_no_decoding_and_another_file_label_or_way_does(images, monkeypatch):
    first, decoded, load_thumbs = find_pairs(images), [], links_module.load_thumbs
    monkeypatch.setattr(links_module, "load_thumbs", lambda *words: decoded.append(1) or load_thumbs(*words))
    pd.testing.assert_frame_equal(find_pairs(images), first, check_dtype=False)
    assert kinds_of(find_pairs(images.sample(frac=1, random_state=0))) == kinds_of(first)
    assert kinds_of(find_pairs(images.assign(split="test"))) == kinds_of(first)
    assert not decoded
    find_pairs(images.assign(class_name="eel"))
    find_pairs(images, "none")
    os.utime(images["path"].iloc[0], (1, 1))
    find_pairs(images)
    assert len(decoded) == 3


def test_frames_are_paired_with_their_neighbors_and_along_their_block(tmp_path):
    paths = [save(draw_scene(n // 5, 100 + n), tmp_path / "video" / f"dive_{40 + n:04d}.jpg") for n in range(40)]
    pairs = find_pairs(catalog_of_files(paths))
    assert pairs["kind"].value_counts().to_dict() == {"neighbor": 39, "block": 9 + 29}  # to 0049, and to 0079
    assert (pairs["method"] == "number").all() and pairs["similarity"].isna().all()
    assert find_pairs(catalog_of_files(paths), "none").empty


def still(tmp_path, cameras=2, frames=12):
    """Frames of still cameras, noise and light apart; the last one of each shows an animal."""
    rng, paths = np.random.default_rng(0), []
    for camera, frame in product(range(cameras), range(frames)):
        scene = np.asarray(draw_scene(camera, 50 + camera), float) * rng.uniform(0.8, 1.1)
        pixels = scene + rng.normal(0, 3, scene.shape)
        pixels[30:70, 40:90] *= 0.2 if frame == frames - 1 else 1
        picture = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
        paths.append(save(picture, tmp_path / "empty" / f"cam{camera}" / f"{'abcdefghijkl'[frame]}.jpg"))
    ids = [path.relative_to(tmp_path).as_posix() for path in paths]
    times = [f"2024-05-{1 + n % frames // 6:02d}T{4 + n % 6:02d}:30:00" for n in range(len(paths))]
    return catalog_of_files(paths).assign(image_id=ids, class_name="empty", taken_at=times)


@pytest.mark.parametrize(
    ("change", "groups"),
    [
        ({"camera": "c"}, 2),
        ({}, 4),
        ({"taken_at": ""}, 2),
        ({"image_id": lambda rows: rows["image_id"].str.replace("/", "-")}, 4),
    ],
    ids=["a camera", "folders and days", "folders", "days alone"],
)
def test_frames_of_a_still_camera_are_one_group_a_day_and_no_copies(tmp_path, change, groups):
    catalog = still(tmp_path).assign(**change)
    pairs = find_pairs(catalog)
    assert set(pairs["kind"]) == {"neighbor", "block"} and set(pairs["method"]) == {"camera"}
    assert not pairs.duplicated(["image_a", "image_b", "kind"]).any()
    found = group_catalog(catalog, pairs)
    sizes = found["group"].value_counts()
    assert (sizes > 2).sum() == groups and (
        found.groupby("group")["taken_at"].agg(lambda t: t.str[:10].nunique()) == 1
    ).all()


def test_frames_in_folders_of_classes_are_no_copies_and_a_class_is_no_group(tmp_path):
    frames = still(tmp_path).assign(class_name=["animal", "empty"] * 12, taken_at="")
    others = [save(draw_scene(place, place), tmp_path / f"{place}.jpg") for place in range(60, 66)]
    catalog = pd.concat([frames, catalog_of_files(others).assign(class_name="animal")], ignore_index=True)
    catalog["image_id"] = catalog["class_name"] + "/" + catalog["image_id"].str.replace("/", "-")
    pairs = find_pairs(catalog)
    assert set(pairs["kind"]) == {"neighbor", "block"}
    sizes = group_catalog(catalog, pairs)["group"].value_counts()
    assert sizes.tolist() == [11, 11, *[1] * 8]  # without the frame of an animal that hides much


def test_copies_of_one_moment_and_of_other_cameras_stay_copies(tmp_path):
    catalog = still(tmp_path, frames=3)
    moment = find_pairs(catalog.assign(taken_at="2024-05-01T04:30:00"))
    assert set(moment["kind"]) == {"near copy"}
    others = find_pairs(catalog.assign(camera=catalog["image_id"]))
    assert set(others["kind"]) == {"near copy"} and len(others) == len(moment)


def test_near_duplicates_among_frames_of_one_block_are_neighbors(tmp_path):
    paths = [save(draw_scene(n // 5, 100 + n), tmp_path / f"dive_{n:04d}.jpg") for n in range(40)]
    save(CHANGES["brightened"](Image.open(paths[10])), paths[12])
    pairs = find_pairs(catalog_of_files(paths))
    pair = pairs.query("image_a == 'dive_0010.jpg' and image_b == 'dive_0012.jpg'")
    assert pair[["kind", "method"]].to_numpy().tolist() == [["neighbor", "number"]] and "near copy" not in set(
        pairs["kind"]
    )


def test_an_unknown_order_of_frames_is_refused(images):
    with pytest.raises(ValueError, match="frame_order to be one of .*'none'.*Received: frame_order='exif'"):
        find_pairs(images, "exif")


def test_pictures_of_one_color_and_a_mirrored_version_have_one_kind_of_pair(tmp_path):
    for name, gray in (("a.png", 90), ("b.png", 92)):
        Image.new("RGB", (60, 40), (gray,) * 3).save(tmp_path / name)
    assert find_pairs(catalog_of_files([tmp_path / "a.png", tmp_path / "b.png"])).empty
    scene = draw_scene(500, 700)
    turned = (scene, scene.transpose(Image.Transpose.ROTATE_90), scene.transpose(Image.Transpose.FLIP_TOP_BOTTOM))
    paths = [save(picture, tmp_path / f"reef_jpg.rf.{n:032x}.jpg") for n, picture in enumerate(turned)]
    pairs = find_pairs(catalog_of_files(paths))
    assert len(pairs) == 3 and set(kinds_of(pairs).values()) == {"near copy"}
