"""A stream gives what the array of the same images gives, to the last bit, and never a black image."""

import gc
import weakref
from functools import partial
from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from conftest import COLORS, draw_image

import marinecv as mcv
from marinecv.data.manifests import manifest_of_folder
from marinecv.data.shards.write import pack
from marinecv.inputs import decode as decoding
from marinecv.inputs import pixel_cache as room
from marinecv.inputs.decode import read_decodable
from marinecv.inputs.pixel_cache import load_pixels, rows_of, split_of
from marinecv.inputs.spec import Augmentation, ImageSpec
from marinecv.inputs.streamed_pixels import Stream, bind_weakly
from marinecv.training import fit
from marinecv.workflows import train_runs
from pipelines.cli import main

SPEC = ImageSpec(height=20, width=30, letterbox_px=64)
MOVES = Augmentation(flip=0.5, rotation_deg=20, zoom=0.2, crop=0.1)


@pytest.fixture
def catalog(tmp_path):
    """Fourteen images in four formats and two sizes, packed; rows numbered from 100."""
    for number in range(14):
        name, ending = list(COLORS)[number % 3], (".jpg", ".png", ".webp", ".gif")[number % 4]
        place = tmp_path / "shore" / ("valid" if number > 10 else "train") / name
        place.mkdir(parents=True, exist_ok=True)
        image = draw_image(name, seed=number)
        (image.rotate(90, expand=True) if number % 5 == 0 else image).save(place / f"{number:02d}{ending}")
    pack(manifest_of_folder(tmp_path / "shore"), tmp_path / "pack", read_decodable, shard_bytes=9000)
    catalog = mcv.read_catalog(manifest_of_folder(tmp_path / "pack"))
    return catalog.set_index(np.arange(100, 100 + len(catalog)))


def in_memory(catalog, spec=SPEC):
    return load_pixels(catalog, spec)[0]


@pytest.fixture
def streamed(monkeypatch):
    """Load as if every pack were too large to be kept."""
    monkeypatch.setattr(room, "STREAMED_BYTES", 0)

    def load(catalog, spec=SPEC):
        pixels, after = load_pixels(catalog, spec, memory_budget_bytes=0)
        pd.testing.assert_frame_equal(after, catalog)
        assert isinstance(pixels, Stream)
        return pixels

    return load


@pytest.mark.parametrize("spec", [SPEC, ImageSpec(height=20, width=30, fit="stretch", antialias=True)])
def test_a_stream_gives_the_pixels_of_the_array_whatever_is_asked_for(spec, catalog, streamed):
    array, stream = in_memory(catalog, spec), streamed(catalog, spec)
    assert (stream.shape, stream.dtype, len(stream)) == (array.shape, array.dtype, len(array))
    for chosen in (slice(None), slice(3, 8), slice(None, None, -2), [5, 1, 5], np.arange(14) % 2 == 0, -1, slice(0, 0)):
        np.testing.assert_array_equal(stream[chosen], array[chosen])


def test_parts_of_a_stream_are_streams(catalog, streamed):
    array, stream = in_memory(catalog), streamed(catalog)
    for split in ("train", "validation", "test"):
        (rows, expected), (same, part) = split_of(catalog, array, split), split_of(catalog, stream, split)
        assert rows.equals(same) and isinstance(part, Stream)
        np.testing.assert_array_equal(part[:], expected)
    some = rows_of(rows_of(stream, np.array([9, 2, 4, 5])), np.array([3, 1]))
    np.testing.assert_array_equal(some[:], array[[5, 2]])


@pytest.mark.parametrize("how", [{"training": True, "augmentation": MOVES}, {"training": True, "balanced": True}, {}])
def test_epochs_of_a_stream_are_those_of_the_array(how, catalog, streamed):
    epochs = []
    for pixels in (in_memory(catalog), streamed(catalog)):
        batches = mcv.make_dataset(catalog, SPEC, tuple(COLORS), batch_size=4, pixels=pixels, seed=3, **how)
        epochs.append([array for _ in range(2) for batch in batches for array in map(np.asarray, batch)])
    assert len(epochs[0]) == 16
    for array, same in zip(*epochs, strict=True):
        np.testing.assert_array_equal(array, same)


def test_a_pack_is_streamed_where_it_would_take_half_of_the_free_room_unless_it_is_cached(catalog, monkeypatch):
    twice = 2 * 14 * 20 * 30 * 3
    for free, rows, kind in ((twice, catalog, np.memmap), (twice - 2, catalog[::-1], Stream), (0, catalog, np.memmap)):
        monkeypatch.setattr(room.shutil, "disk_usage", lambda place, free=free: SimpleNamespace(free=free))
        assert isinstance(load_pixels(rows, SPEC, memory_budget_bytes=0)[0], kind)


def test_loose_files_are_never_streamed_and_where_they_do_not_fit_a_pack_is_named(tmp_path, monkeypatch):
    draw_image("eel", seed=1).save(tmp_path / "0.png")
    loose = pd.DataFrame({"image_id": ["a", "b"], "path": str(tmp_path / "0.png"), "problem": ""})
    monkeypatch.setattr(room, "STREAMED_BYTES", 0)
    assert isinstance(load_pixels(loose, SPEC, memory_budget_bytes=0)[0], np.memmap)
    monkeypatch.setattr(room, "make_array", Mock(side_effect=OSError(28, "No space left on device")))
    with pytest.raises(ValueError, match="do not fit into .*`data pack`"):
        load_pixels(loose.iloc[:1], SPEC, memory_budget_bytes=0)


@pytest.mark.parametrize("training", [False, True])
def test_a_deleted_dataset_frees_its_stream(catalog, streamed, training):
    stream = streamed(catalog)
    reference = weakref.ref(stream)
    stream[:2]
    batches = mcv.make_dataset(catalog, SPEC, list(COLORS), pixels=stream, batch_size=4, training=training).prefetch(1)
    del stream
    gc.collect()
    assert reference() is not None and len([*batches]) > 1
    del batches
    gc.collect()
    assert reference() is None


def test_an_image_that_pillow_alone_decodes_is_streamed_too(tmp_path, streamed, monkeypatch):
    monkeypatch.setattr(decoding, "_is_plain_jpeg", lambda data: tf.strings.substr(data, 0, 4) == b"RIFF")
    for number, ending in enumerate((".webp", ".jpg", ".webp")):  # TensorFlow takes WebP for JPEG here, and refuses it
        place = tmp_path / "shore" / list(COLORS)[number]
        place.mkdir(parents=True)
        draw_image("eel", seed=number).save(place / f"{number}{ending}")
    pack(manifest_of_folder(tmp_path / "shore"), tmp_path / "pack", read_decodable)
    packed = mcv.read_catalog(manifest_of_folder(tmp_path / "pack"))
    assert packed["path"].str.endswith("-pillow").tolist() == [True, False, True]
    np.testing.assert_array_equal(streamed(packed)[:], in_memory(packed))


def test_a_shard_that_is_found_damaged_in_training_is_an_error_with_its_mend(
    catalog, streamed, tmp_path, monkeypatch, capsys
):
    stream, shard = streamed(catalog), tmp_path / "pack" / "images-00000.tfrecord"
    data = bytearray(shard.read_bytes())
    data[100] ^= 1
    shard.write_bytes(data)
    with pytest.raises(tf.errors.InvalidArgumentError, match="images-00000.tfrecord is damaged at byte 12"):
        stream[:]
    monkeypatch.setattr(train_runs, "note_relatives", lambda folder, recipe, catalog: catalog)  # finds it before
    monkeypatch.setattr(fit, "load_pixels", partial(load_pixels, memory_budget_bytes=0))
    assert main(["pretrain", "--data-dir", str(tmp_path / "pack"), "--output-dir", str(tmp_path / "run")]) == 1
    shown = capsys.readouterr().err
    assert shown.startswith("error: The shard ") and "damaged at byte 12. Bring it back" in shown


def test_what_is_weakly_bound_is_called_as_long_as_it_is_there():
    pixels = np.arange(3)
    call = bind_weakly(pixels, np.ndarray.__getitem__)
    assert call(2) == 2
    del pixels
    with pytest.raises(StopIteration, match="dataset is deleted"):
        call(2)
