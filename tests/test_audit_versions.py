"""Versions of one photograph are linked by name and looks, and prove nothing about the numbers in names."""

import hashlib

import numpy as np
import pytest
from PIL import Image
from scenes import draw_scene, save
from test_audit_links import kinds_of
from test_audit_pictures import catalog_of

from marinecv.audit.frames import find_frames
from marinecv.audit.links import find_links
from marinecv.audit.thumbs import load_thumbs, tiny
from marinecv.audit.versions import MAX_VERSIONS, one_each, photograph_names, versions
from marinecv.data.groups import group_catalog


def hexadecimal(text, digits=32):
    return hashlib.md5(str(text).encode()).hexdigest()[:digits]


def exported(name, version=0):
    return f"{name}_jpg.rf.{hexadecimal((name, version))}.jpg"


def turned(picture, version):
    """The picture as it is, turned by a quarter, by some degrees, mirrored."""
    return (
        picture,
        picture.transpose(Image.Transpose.ROTATE_90),
        picture.rotate(12, Image.Resampling.BILINEAR),
        picture.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
    )[version]


@pytest.mark.parametrize(
    "name",
    [
        exported("IMG_7"),
        "IMG_7_aug1.jpg",
        "IMG_7_tile_0_3.png",
        "IMG_7-crop2.jpg",
        "IMG_7 - Copy.jpg",
        "IMG_7 - Copy (2).jpg",
    ]
    + ["valid/IMG_7_flipped.jpg", "IMG_7 (1).jpg", f"IMG_7_aug3_jpg.rf.{32 * 'a'}.jpg"],
)
def test_what_a_version_is_called(name):
    stems, names, marked = photograph_names(["train/IMG_7.jpg", name, "IMG_8.jpg"])
    assert stems == ["IMG_7", "IMG_7", "IMG_8"] and names[0] == names[1] != names[2]
    assert marked.tolist() == [False, True, False]
    assert one_each(names, marked).tolist() == [True, False, True]


@pytest.mark.parametrize("name", ["dive (1).jpg", "crop_0001.jpg", "_aug1.jpg", "microtile7.jpg", "a.rf.12.jpg"])
def test_what_is_called_like_one_and_is_none(name):
    stems, _, marked = photograph_names([name])
    assert stems == [name.removesuffix(".jpg")] and not marked.any()


def test_one_name_in_two_folders_is_two_photographs_and_of_many_files_no_photograph():
    assert len(set(photograph_names([f"{folder}/1_aug{n}.jpg" for folder in "ab" for n in (1, 2)])[1])) == 2
    assert (
        len(
            set(photograph_names([f"{folder}/1_aug{n}.jpg" for folder in ("seg_train", "seg_test") for n in (1, 2)])[1])
        )
        == 1
    )
    stems, _, marked = photograph_names([f"wheat_crop_{n}.jpg" for n in range(MAX_VERSIONS + 1)])
    assert stems[3] == "wheat_crop_3" and not marked.any()


@pytest.fixture(scope="module")
def photographs():
    return [draw_scene(500 + n, 700 + n) for n in range(40)]


def test_numbers_of_different_photographs_are_no_frames_though_their_versions_are_alike(tmp_path, photographs):
    """Three versions each, in the three splits, numbered by whoever saved them from the web."""
    paths = [
        save(turned(picture, version), tmp_path / exported(f"images-{n}", version))
        for n, picture in enumerate(photographs[:24])
        for version in range(3)
    ]
    catalog = catalog_of(paths)
    links = find_links(catalog)
    assert set(links["kind"]) == {"near copy"}
    assert "name" in set(links["found_by"])
    groups = group_catalog(catalog, links)["group"].to_numpy().reshape(-1, 3)
    assert sum(len(set(three)) == 1 for three in groups) >= 23
    assert len({tuple(three) for three in groups}) >= 23


@pytest.mark.parametrize("name", ["{} (1)_jpg.rf.{}", "{}", "flickr_{}_b", "{0}-1a2b-4c3d-8e7f-12ab34cd56ef"])
def test_digits_of_hexadecimal_names_are_no_numbers(tmp_path, name):
    """They are taken from pictures in a row, so that numbers would be believed."""
    video = [draw_scene(n // 10, 300 + n) for n in range(40)]
    names = [name.format(f"{10 + n}ab3c{n % 10}d", hexadecimal(n)) for n in range(40)]
    catalog = catalog_of([save(picture, tmp_path / f"{name}.jpg") for name, picture in zip(names, video, strict=True)])
    thumbs, catalog = load_thumbs(catalog)
    assert find_frames(catalog, tiny(thumbs)) is None
    numbered = catalog.assign(image_id=[f"cafe{n:04d}.jpg" for n in range(40)])
    assert find_frames(numbered, tiny(thumbs)).by == "number"


def test_versions_of_frames_are_no_evidence_and_frames_are_found_beside_them(tmp_path):
    video = [draw_scene(n // 10, 300 + n) for n in range(40)]
    paths = [save(video[n], tmp_path / f"GOPR{n:04d}{word}.jpg") for n in range(40) for word in ("", "_aug1", "_aug2")]
    thumbs, catalog = load_thumbs(catalog_of(paths))
    found = find_frames(catalog, tiny(thumbs))
    assert set(found.series) == {"/GOPR*"} and found.place.tolist() == [n for n in range(40) for _ in range(3)]
    shuffled = np.random.default_rng(0).permutation(40).repeat(3) * 3 + np.tile(range(3), 40)
    assert find_frames(catalog, tiny(thumbs)[shuffled]) is None


def test_versions_that_do_not_look_alike_are_not_linked(tmp_path, photographs):
    names = [exported("images", n) for n in range(5)]
    paths = [save(picture, tmp_path / name) for name, picture in zip(names, photographs, strict=False)]
    pale = Image.new("RGB", (160, 120), (240, 235, 230))
    paths.append(save(pale, tmp_path / exported("images", 9)))
    thumbs, catalog = load_thumbs(catalog_of(paths))
    found = versions(thumbs, catalog["image_id"])
    assert 5 not in {*found["first"], *found["second"]}
    assert versions(thumbs[:0], []).empty


def test_a_mirrored_version_has_one_link(tmp_path, photographs):
    paths = [save(turned(photographs[0], n), tmp_path / exported("reef", n)) for n in (0, 1, 3)]
    links = find_links(catalog_of(paths))
    assert len(links) == 3 and set(kinds_of(links).values()) == {"near copy"}
    assert links["likeness"].between(0.8, 1.001).all()
