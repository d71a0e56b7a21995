"""Copies: the same file and the same picture are paired, whatever was done to it; other pictures are not."""

import imagehash
import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageDraw, ImageFilter, ImageOps
from scenes import CHANGES, barred, catalog_of_files, draw_scene, padded, save

from marinecv.audit import near_duplicates, neighbor_search, template_match, thumbnails
from marinecv.audit.near_duplicates import MIN_SIMILARITY, exact_copies, find_near_duplicates, perceptual_hashes
from marinecv.audit.neighbor_search import close_hashes, nearest
from marinecv.audit.rims import trim_rims
from marinecv.audit.thumbnails import aspect_ratios, color_histograms, load_thumbs, resize_by_area
from marinecv.data.groups import PAIR_COLUMNS

PLACES = 40


def thumbs_of(pictures):
    return np.stack([picture.convert("RGB").resize((128, 128), Image.Resampling.BOX) for picture in pictures])


def search(pictures):
    return find_near_duplicates(
        thumbs_of(pictures), ratios=np.array([w / h for w, h in (each.size for each in pictures)])
    )


def pairs_of(pairs):
    return set(zip(pairs["image_a"], pairs["image_b"], strict=True))


def test_files_of_the_same_bytes_are_chained_and_others_of_their_size_are_not(tmp_path):
    contents = {"a": b"one", "b": b"two", "c": b"one", "d": b"six", "e": b"one", "f": b"longer"}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    pairs = exact_copies(pd.DataFrame({"path": [str(tmp_path / name) for name in contents]}))
    assert list(pairs) == PAIR_COLUMNS and pairs_of(pairs) == {(0, 2), (2, 4)}
    assert pairs[["kind", "method", "similarity"]].drop_duplicates().to_numpy().tolist() == [["copy", "content", 1]]
    assert exact_copies(pd.DataFrame({"path": [str(tmp_path / name) for name in "bd"]})).empty


@pytest.fixture(scope="module")
def scenes():
    return [draw_scene(place, place) for place in range(PLACES)]


@pytest.mark.parametrize("change", CHANGES)
def test_nearly_all_copies_of_each_kind_are_found_and_nothing_else(scenes, change):
    pairs = search([*scenes, *map(CHANGES[change], scenes)])
    right, found = {(number, PLACES + number) for number in range(PLACES)}, pairs_of(pairs)
    assert len(found & right) >= 0.95 * len(right) and len(found & right) >= 0.97 * len(found)
    assert (pairs["similarity"] > MIN_SIMILARITY).all() and set(pairs["method"]) <= {"hash", "colors"}


def test_other_frames_of_one_place_and_pictures_of_one_gray_are_no_copies():
    frames = [draw_scene(place, 10 * place + frame) for place in range(5) for frame in range(6)]
    assert find_near_duplicates(thumbs_of(frames)).empty
    assert find_near_duplicates(thumbs_of([Image.new("RGB", (60, 40), (90, 90, 90))] * 3)).empty


def animal(seed):
    """A plain animal of nearly one form on its own plain ground, as two specimens or two demo images."""
    rng = np.random.default_rng(seed)
    ground = np.full((120, 160, 3), (30, 100, 140)) + 20 * rng.normal(size=(120, 160, 1))
    picture = Image.fromarray(ground.clip(0, 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(1))
    corners = np.array([(30, 60), (100, 45), (120, 62), (90, 75), (35, 80)]) + rng.uniform(-1, 1, (5, 2))
    ImageDraw.Draw(picture).polygon([*map(tuple, corners)], fill=(200, 190, 170))
    return picture


def test_two_animals_of_one_form_on_plain_ground_are_no_copies_and_their_copies_are():
    animals = [animal(1), animal(2)]
    assert overlap_of(*animals) > MIN_SIMILARITY and search(animals).empty
    assert pairs_of(search([*animals, *map(CHANGES["re_encoded"], animals)])) == {(0, 2), (1, 3)}


RIMS = {
    "letterbox": lambda picture, n: padded(ImageOps.fit(picture, (160, 60))),
    "white pillarbox": lambda picture, n: ImageOps.pad(ImageOps.fit(picture, (60, 160)), (160, 160), color="white"),
    "frame": lambda picture, n: ImageOps.expand(picture, 12, "gray"),
    "information bar": lambda picture, n: barred(picture, f"CAM3 2023-05-{n % 28 + 1:02d} 12:{n:02d}"),
    "bar in a letterbox": lambda picture, n: padded(barred(picture, f"CAM{n:02d} 2023-05-01")),
}


@pytest.mark.parametrize("rim", RIMS)
def test_distinct_pictures_in_one_kind_of_rim_are_no_copies_and_each_is_one_of_itself_without(scenes, rim):
    in_rims = [RIMS[rim](scene, number) for number, scene in enumerate(scenes)]
    assert search(in_rims).empty
    scenes = [
        ImageOps.fit(scene, (60, 160) if "pillar" in rim else (160, 60) if rim == "letterbox" else scene.size)
        for scene in scenes
    ]
    assert len(pairs_of(search([*scenes, *in_rims])) & {(n, PLACES + n) for n in range(PLACES)}) >= 0.95 * PLACES


def test_rims_are_cut_off_and_plain_ground_is_not():
    scene = draw_scene(1, 1)
    letterbox, framed, bar = padded(scene), ImageOps.expand(scene, 20, "white"), barred(scene, "CAM3 12C")
    plain, ground = Image.new("RGB", (90, 90), "navy"), Image.new("RGB", (160, 120), "white")
    ground.paste(scene.resize((40, 30)).rotate(45, expand=True, fillcolor="white"), (50, 40))
    thumbs = thumbs_of([scene, letterbox, framed, bar, plain, ground])
    trimmed, rims = trim_rims(thumbs)
    assert np.array_equal(trimmed[[0, 4, 5]], thumbs[[0, 4, 5]])
    assert np.abs(trimmed[1:4].astype(int) - thumbs[0]).mean(axis=(1, 2, 3)).max() < 12
    assert rims[0].tolist() == [0, 0, 0, 0] and rims[1] == pytest.approx([16, 16, 0, 0], abs=1)


def test_embeddings_find_what_hashes_and_colors_do_not(scenes):
    bright_crops = [CHANGES["cropped"](scene).point(lambda x: min(255, x * 1.6)) for scene in scenes]
    embeddings = np.random.default_rng(0).normal(size=(PLACES, 16)).astype(np.float32)
    thumbs = thumbs_of([*scenes, *bright_crops])
    without, pairs = (find_near_duplicates(thumbs, each) for each in (None, np.tile(embeddings, (2, 1))))
    assert pairs_of(without) < pairs_of(pairs)
    assert set(pairs["method"]) - {"hash", "colors"} == {"embedding"}


def test_embeddings_are_computed_only_if_weights_are_cached(monkeypatch, tmp_path):
    rows, thumbnails = pd.DataFrame({"image_id": ["a", "b"]}), np.zeros((2, 128, 128, 3), np.uint8)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert near_duplicates.duplicates_by_embedding(rows, thumbnails) is None
    monkeypatch.setattr(near_duplicates, "weights_file", lambda *_: tmp_path)
    monkeypatch.setattr(type(tmp_path), "is_file", lambda _: True)
    assert near_duplicates.duplicates_by_embedding(rows.head(0), thumbnails[:0]) is None
    pairs = [(0, 1, "near copy", 0.9, "embedding"), (0, 1, "near copy", 0.9, "hash")]
    pairs = {("mobilenet", 0.25, False): pd.DataFrame(pairs, columns=PAIR_COLUMNS)}
    monkeypatch.setattr(near_duplicates, "backbone_features", lambda *_, **options: options)
    monkeypatch.setattr(near_duplicates, "embed", lambda model, *_, keep: (model["backbone"], model["alpha"], keep))
    monkeypatch.setattr(near_duplicates, "find_near_duplicates", lambda _, embeddings, ratios: pairs[embeddings])
    found = near_duplicates.duplicates_by_embedding(rows, thumbnails)
    assert found.to_numpy().tolist() == [["a", "b", "near copy", 0.9, "embedding"]]


def test_a_hash_is_that_of_imagehash_and_hardly_changes_with_light(scenes):
    gray = np.stack([np.asarray(scene.convert("L").resize((64, 64)), np.float32) for scene in scenes])
    hashes = perceptual_hashes(gray)
    assert hashes.shape == (PLACES, 63) and np.array_equal(perceptual_hashes(0.5 * gray + 20), hashes)
    theirs = [imagehash.phash(scene.convert("L").resize((64, 64))).hash.ravel()[1:] for scene in scenes]
    # They take the median with the mean level, which we leave out, and shrink by another filter: a few bits differ.
    assert (hashes ^ np.array(theirs)).mean() < 0.03


def overlap_of(*pictures):
    grays = np.stack([picture.convert("L").resize((64, 64)) for picture in pictures]).astype(np.float32)
    details = template_match.remove_broad_structure(grays)
    return float(template_match.template_similarity(details, np.array([[0, 1]]))[0])


def test_overlap_is_1_with_itself_high_after_three_changes_and_low_with_another_picture():
    scene = draw_scene(3, 3)
    assert overlap_of(scene, scene) == pytest.approx(1, abs=1e-3)
    crop = CHANGES["cropped"](scene)
    assert overlap_of(crop, scene) == pytest.approx(overlap_of(scene, crop), abs=1e-4)
    assert overlap_of(scene, CHANGES["brightened"](CHANGES["mirrored"](CHANGES["cropped"](scene)))) > MIN_SIMILARITY
    assert overlap_of(draw_scene(4, 40), draw_scene(4, 41)) < MIN_SIMILARITY
    flat = np.zeros((2, 64, 64), np.float32)
    assert template_match.template_similarity(flat, np.array([[0, 1]]))[0] == 0
    assert template_match.template_similarity(flat, np.empty((0, 2), np.int64)).shape == (0,)
    ramp = np.add.outer(np.arange(64.0), np.arange(64.0))[None]
    assert np.abs(template_match.remove_broad_structure(ramp)[0, 16:-16, 16:-16]).max() < 1e-6


@pytest.mark.parametrize("degrees", [8, -15, 37, 90, 143, 180])
def test_a_picture_turned_by_any_angle_is_similar_to_itself_and_to_no_other(degrees):
    scene, other = draw_scene(3, 3), draw_scene(4, 40)
    turned = ImageOps.mirror(scene.rotate(degrees, Image.Resampling.BICUBIC, expand=degrees % 90 == 0))
    grays = np.stack([each.convert("L").resize((64, 64)) for each in (scene, turned, other)]).astype(np.float32)
    details, ratios = (
        template_match.remove_broad_structure(grays),
        np.array([w / h for w, h in (scene.size, turned.size, other.size)]),
    )
    same, not_same = template_match.rotated_similarity(details, ratios, np.array([[0, 1], [1, 2]]))
    assert same > MIN_SIMILARITY > not_same
    assert template_match.rotated_similarity(details, ratios, np.empty((0, 2), np.int64)).shape == (0,)


def test_of_few_hashes_every_close_pair_is_found_once_and_sorted():
    rng = np.random.default_rng(0)
    hashes = rng.random((40, 63)) < 0.5
    hashes[20:30] = hashes[:10] ^ (rng.random((10, 63)) < 0.03)
    i, j = np.nonzero((hashes[:, None] ^ hashes[None]).sum(axis=2) <= 8)
    assert close_hashes(hashes, 8).tolist() == np.stack([i, j], axis=1)[i < j].tolist()


def test_a_tenth_of_the_bits_apart_is_found_among_many_nearly_always():
    rng = np.random.default_rng(1)
    hashes = rng.random((20_000, 63)) < 0.5
    for number in range(200):
        hashes[10_000 + number] = hashes[number]
        hashes[10_000 + number, rng.choice(63, 6, replace=False)] ^= True
    pairs = set(map(tuple, close_hashes(hashes, 8)))
    assert sum((number, 10_000 + number) in pairs for number in range(200)) >= 194
    assert all((hashes[i] ^ hashes[j]).sum() <= 8 for i, j in pairs)


def test_a_crowd_of_equal_hashes_gives_each_some_pairs_and_not_all(monkeypatch):
    monkeypatch.setattr(neighbor_search, "TABLES", 4)
    pairs = close_hashes(np.zeros((400, 63), bool), 0)
    assert set(pairs.ravel()) == set(range(400)) and len(pairs) <= 400 * 4 * neighbor_search.WINDOW < 400 * 399 / 2


@pytest.mark.parametrize("n", [0, 1, 2])
def test_few_or_no_vectors_are_no_fault(n):
    assert len(close_hashes(np.zeros((n, 63), bool), 3)) == len(nearest(np.ones((n, 4), np.float32), 5)) == n // 2


def test_the_nearest_are_those_of_all_comparisons_and_nearly_those_with_many_vectors(monkeypatch):
    embeddings = np.random.default_rng(0).normal(size=(60, 8)).astype(np.float32)
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    order = np.argsort(2 * np.eye(60) - unit @ unit.T, axis=1)[:, :3]
    expected = sorted({tuple(sorted((i, int(j)))) for i in range(60) for j in order[i]})
    assert list(map(tuple, nearest(embeddings, 3))) == expected == list(map(tuple, nearest(5 * embeddings, 3)))
    monkeypatch.setattr(neighbor_search, "MAX_EXACT", 100)
    rng = np.random.default_rng(2)
    embeddings = rng.normal(size=(600, 32)).astype(np.float32)
    embeddings[300:350] = embeddings[:50] + 0.1 * rng.normal(size=(50, 32))
    pairs = nearest(embeddings, 1)
    assert {(number, 300 + number) for number in range(50)} <= set(map(tuple, pairs))
    assert len(pairs) <= 600 and (pairs[:, 0] < pairs[:, 1]).all()


def test_every_image_becomes_128_pixels_wide_and_high_and_gray_tiny_or_colors(tmp_path):
    paths = [save(draw_scene(1, 1), tmp_path / "a.jpg"), save(draw_scene(2, 2, (50, 200)), tmp_path / "b.jpg")]
    pixels, catalog = load_thumbs(catalog_of_files(paths))
    assert pixels.shape == (2, 128, 128, 3) and pixels.dtype == np.uint8 and (catalog["problem"] == "").all()
    assert aspect_ratios(catalog.assign(width=[64, 0])).tolist() == [64 / 48, 1] and aspect_ratios(
        catalog[["path"]]
    ).tolist() == [1, 1]
    assert np.array_equal(color_histograms(pixels), color_histograms(pixels[:, :, ::-1]))
    assert (color_histograms(pixels) ** 2).sum(axis=1) == pytest.approx([2, 2], rel=1e-5)
    red = np.zeros((1, 128, 128, 3), np.uint8)
    red[..., 0] = 200
    assert thumbnails.gray_pictures(red, 4) == pytest.approx(np.full((1, 4, 4), 0.299 * 200), rel=1e-5)
    assert thumbnails.tiny_pixels(red, 2)[0] == pytest.approx([200] * 4 + [0] * 8)


@pytest.mark.parametrize("side", [1, 3, 4])
def test_shrinking_is_the_mean_of_the_covered_pixels(side, monkeypatch):
    pictures = np.random.default_rng(0).random((2, 8, 8)).astype(np.float32)
    assert resize_by_area(pictures, side).mean(axis=(1, 2)) == pytest.approx(pictures.mean(axis=(1, 2)), rel=1e-5)
    assert resize_by_area(pictures, 4)[0, 0, 0] == pytest.approx(pictures[0, :2, :2].mean())
    monkeypatch.setattr(thumbnails, "CHUNK", 3)
    assert np.array_equal(thumbnails.in_chunks(lambda part: part * 2, np.arange(8.0)), 2 * np.arange(8.0))
