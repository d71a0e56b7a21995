"""Broken and hostile image files: each ends as the right pixels or as a row with its reason."""

import errno
import os
import socket
import struct
import sys
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from conftest import draw_image
from PIL import Image, PngImagePlugin, features
from scenes import saved

from marinecv.data import formats, images
from marinecv.data.catalog import read_catalog
from marinecv.data.formats import NOT_UTF8
from marinecv.data.images import DEAD_LINK, FOLDER_LINK, MAX_PIXELS, MAX_TEXT_BYTES, read_header
from marinecv.data.layouts import image_files, paths_below
from marinecv.data.manifests import manifest_of_folder
from marinecv.data.shards.records import MAX_BYTES, read_bytes, record_path
from marinecv.data.user_tables import usable
from marinecv.inputs.decode import decode, decode_with_pillow
from marinecv.inputs.pipeline import make_dataset
from marinecv.inputs.pixel_cache import load_pixels, read_pixels
from marinecv.inputs.spec import ImageSpec
from marinecv.inputs.to_rgb import open_rgb

SPEC = ImageSpec(height=24, width=32, letterbox_px=64)
UNKNOWN = "cannot be read: not an image of a known kind, or its header is cut short"
CRAB = draw_image("crab", seed=1)
SECOND = {"save_all": True, "append_images": [draw_image("ray", seed=9)]}
EXIF = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
KINDS = {
    "baseline JPEG": saved(CRAB, "JPEG", quality=95),
    "progressive JPEG": saved(CRAB, "JPEG", quality=95, progressive=True),
    "JPEG with EXIF": saved(CRAB, "JPEG", exif=EXIF),
    "PNG": saved(CRAB, "PNG"),
    "animated PNG": saved(CRAB, "PNG", **SECOND),
    "GIF": saved(CRAB, "GIF"),
    "animated GIF": saved(CRAB, "GIF", **SECOND),
    "WebP": saved(CRAB, "WEBP"),
    "lossless WebP": saved(CRAB, "WEBP", lossless=True),
    "animated WebP": saved(CRAB, "WEBP", **SECOND),
    "BMP": saved(CRAB, "BMP"),
    "TIFF": saved(CRAB, "TIFF"),
    "compressed TIFF": saved(CRAB, "TIFF", compression="tiff_lzw"),
    "TIFF of two pages": saved(CRAB, "TIFF", **SECOND),
}


def decoded(data: bytes) -> np.ndarray:
    return decode(tf.constant(data)).numpy()


def put(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def catalog_of(folder: Path) -> pd.DataFrame:
    return read_catalog(manifest_of_folder(folder))


def loaded(folder: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Pixels by image id, and reasons by image id."""
    pixels, catalog = load_pixels(catalog_of(folder), SPEC)
    problems = catalog.set_index("image_id")["problem"]
    return dict(zip(usable(catalog)["image_id"], pixels, strict=True)), problems[problems != ""].to_dict()


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_cut_anywhere_is_a_row_with_a_reason_or_has_lost_no_pixel(tmp_path, kind):
    whole = KINDS[kind]
    lengths = [len(whole) * tenth // 10 for tenth in range(10)] + [len(whole) - 1, len(whole)]
    for number, length in enumerate(lengths):
        put(tmp_path / "crab" / f"{number:02}.img.jpg", whole[:length])
    pixels, reasons = loaded(tmp_path)
    assert len(pixels) + len(reasons) == len(lengths) and all(reasons.values())
    for image in pixels.values():
        np.testing.assert_array_equal(image, pixels["crab/11.img.jpg"])
    first_half_is_needed = "animated" not in kind and "pages" not in kind
    assert len(reasons) >= (9 if first_half_is_needed else 4)


def in_twelve_bits(marker: int) -> bytes:
    data = bytearray(KINDS["baseline JPEG"])
    start = data.index(b"\xff\xc0")
    data[start + 1], data[start + 4] = marker, 12
    return bytes(data)


NO_IMAGES = {
    "empty": b"",
    "zeros": b"\0" * 5000,
    "text": b"Dear diary, today we saw a ray.",
    "video": b"\0\0\0\x18ftypmp42\0\0\0\0isommp42" + b"\0" * 200,
    "zip": b"PK\x03\x04" + b"\0" * 200,
    "PostScript is never run": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 48\nshowpage\n%%EOF\n",
    "PPM": b"P6 64 48 255\n" + b"\x80" * (64 * 48 * 3),
    **{f"JPEG of 12 bits {marker:x}": in_twelve_bits(marker) for marker in (0xC0, 0xC1, 0xC2)},
}


@pytest.mark.parametrize("data", NO_IMAGES.values(), ids=NO_IMAGES)
def test_what_is_no_image_of_a_known_kind_is_a_row_that_says_so(tmp_path, data):
    path = put(tmp_path / "crab" / "a.jpg", data)
    assert loaded(tmp_path) == ({}, {"crab/a.jpg": UNKNOWN})
    assert read_pixels([path], SPEC)[1] == {0: UNKNOWN}


FOREIGN = {
    "JPEG 2000": saved(CRAB, "JPEG2000"),
    "AVIF": b"\0\0\0\x1cftypavif\0\0\0\0avifmif1" + b"\0" * 200,
    "HEIF": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 200,
    "JPEG XL": b"\xff\x0a" + b"\0" * 200,
}


@pytest.fixture
def only_pillow_of_old(monkeypatch):
    """Without pillow-heif, and as Pillow before 11.3, which read no AVIF."""
    monkeypatch.setattr(formats, "find_spec", lambda name: None)
    monkeypatch.setattr(features, "get_supported_modules", list)
    caches = formats.how_to_read, images._formats
    for cached in caches:
        cached.cache_clear()
    yield
    monkeypatch.undo()
    for cached in caches:
        cached.cache_clear()


@pytest.mark.parametrize("name", FOREIGN)
@pytest.mark.parametrize("suffix", [".jpg", ".heic", ".jp2", ""])
def test_a_format_that_is_not_read_is_named_by_the_content_of_the_file(tmp_path, name, suffix, only_pillow_of_old):
    put(tmp_path / "crab" / f"a{suffix}", FOREIGN[name])
    problem = loaded(tmp_path)[1][f"crab/a{suffix}"]
    assert name in problem and "convert it to JPEG or PNG" in problem
    assert ("pip install 'marinecv[heif]'" in problem) == (name in ("HEIF", "AVIF"))
    with pytest.raises(ValueError, match=f"its content is {name}"):
        decode_with_pillow(FOREIGN[name])


@pytest.mark.parametrize("kind", ["HEIF", "AVIF"])
@pytest.mark.parametrize(("suffix", "turn"), [(".heic", 1), (".avif", 3), (".jpg", 6), ("", 8)])
def test_heif_and_avif_are_read_as_they_are_shown(tmp_path, kind, suffix, turn):
    if formats.how_to_read(kind):
        pytest.skip(f"{kind} needs the extra heif")
    images._formats()  # so that Pillow writes it too
    exif = Image.Exif()
    exif[0x0112], exif[0x8769] = turn, {0x9003: "2023:04:12 18:30:15"}
    for name, form in (("crab/a", kind), ("eel/b", "JPEG")):
        put(tmp_path / f"{name}{suffix}", saved(CRAB, form, quality=95, exif=exif.tobytes()))
    (read, jpeg), reasons = loaded(tmp_path)[0].values(), loaded(tmp_path)[1]
    assert not reasons and abs(read.astype(int) - jpeg).mean() < 3
    catalog = catalog_of(tmp_path)
    assert catalog[["width", "height"]].nunique().tolist() == [1, 1] and set(catalog["time_source"]) == {"exif"}


SUFFIXES = ["", ".jfif", ".jpe", ".mpo", ".JP2", ".heic", ".cr2", ".2021", ".jpg", ".png", ".webp", ".tif"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_photo_is_read_by_its_content_whatever_its_name_says(tmp_path, suffix):
    lossless = ["PNG", "lossless WebP", "BMP", "animated PNG", *["TIFF"] * (suffix != ".cr2")]  # a raw photo is one
    photos = KINDS | {"stereo": saved(CRAB, "MPO", quality=95, save_all=True, append_images=[CRAB])}
    for kind in ("baseline JPEG", "stereo", *lossless):
        put(tmp_path / kind / f"a{suffix}", photos[kind])
    (tmp_path / "PNG" / "notes").write_text("BMW, GIF and other words")
    pixels, reasons = loaded(tmp_path)
    assert len(pixels) == 2 + len(lossless) and not reasons
    of_kind = {image_id.split("/")[0]: image.astype(int) for image_id, image in pixels.items()}
    np.testing.assert_array_equal(of_kind["stereo"], of_kind["baseline JPEG"])
    assert abs(of_kind["stereo"] - of_kind["PNG"]).mean() < 3
    for kind in lossless:
        np.testing.assert_array_equal(of_kind[kind], of_kind["PNG"])


def test_a_png_with_much_text_is_read_and_a_bomb_of_text_is_not(tmp_path):
    for name, length in (("much", 2_000_000), ("bomb", MAX_TEXT_BYTES + 1)):
        text = PngImagePlugin.PngInfo()
        text.add_itxt("XML:com.adobe.xmp", "x" * length, zip=True)
        put(tmp_path / "crab" / f"{name}.png", saved(CRAB, "PNG", pnginfo=text))
    before = PngImagePlugin.MAX_TEXT_CHUNK
    pixels, reasons = loaded(tmp_path)
    assert list(pixels) == ["crab/much.png"] and "longer than 16,777,216 bytes" in reasons["crab/bomb.png"]
    assert before == PngImagePlugin.MAX_TEXT_CHUNK


@pytest.mark.parametrize("kind", KINDS)
def test_random_damage_ends_in_pixels_or_in_a_reason(tmp_path, kind):
    rng, whole = np.random.default_rng(0), KINDS[kind]
    for _ in range(25):
        damaged = np.frombuffer(whole, np.uint8).copy()
        damaged[rng.integers(0, min(len(whole), 400), 4)] = rng.integers(0, 256, 4)
        with warnings.catch_warnings(action="ignore"):  # a reader may warn of what it reads all the same
            width, height, problem = read_header(put(tmp_path / "a.jpg", damaged.tobytes()))
            assert problem or width * height > 0
            try:
                assert decode_with_pillow(damaged.tobytes()).shape[2] == 3
            except ValueError as error:
                assert str(error).startswith("cannot be decoded: ")


def png(width: int, height: int, bits: int, colors: int, pixels: bytes) -> bytes:
    """Return a PNG of compressed rows, each with a leading zero."""
    header = struct.pack(">IIBBBBB", width, height, bits, colors, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in ((b"IHDR", header), (b"IDAT", pixels), (b"IEND", b""))
    )


SIDE = 30_000


def huge(format: str) -> bytes:
    """Return a file whose header states 30,000 x 30,000 pixels."""
    data = bytearray(saved(Image.new("RGB", (64, 48)), format))
    if format == "JPEG":
        start = data.index(b"\xff\xc0")
        data[start + 5 : start + 9] = struct.pack(">HH", SIDE, SIDE)
    elif format == "PNG":
        data[16:24] = struct.pack(">II", SIDE, SIDE)
        data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    elif format == "GIF":
        data[6:10] = struct.pack("<HH", SIDE, SIDE)
    elif format == "BMP":
        data[18:26] = struct.pack("<ii", SIDE, SIDE)
    else:
        for tag, length in ((256, 64), (257, 48)):
            data = data.replace(struct.pack("<HHIHH", tag, 4, 1, length, 0), struct.pack("<HHIHH", tag, 4, 1, SIDE, 0))
    return bytes(data)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "BMP", "TIFF"])
def test_a_bomb_is_a_row_with_its_size_and_is_not_decoded(tmp_path, monkeypatch, format):
    path = put(tmp_path / "crab" / "a.jpg", huge(format))
    reason = f"30000x30000 pixels are more than {MAX_PIXELS:,}"
    assert catalog_of(tmp_path)["problem"].tolist() == [f"cannot be read: {reason}"]
    assert read_pixels([path], SPEC)[1] == {0: f"cannot be read: {reason}"}
    for decoder in ("tensorflow.io.decode_jpeg", "marinecv.inputs.to_rgb.as_rgb"):
        monkeypatch.setattr(decoder, lambda *_, **__: pytest.fail("decoded"))
    with pytest.raises((ValueError, tf.errors.InvalidArgumentError), match=reason):
        decoded(huge(format))


def test_a_bomb_that_would_unfold_takes_no_memory():
    row = zlib.compressobj(9)
    pixels = b"".join(row.compress(bytes(1 + SIDE // 8)) for _ in range(SIDE)) + row.flush()
    bomb = png(SIDE, SIDE, 1, 0, pixels)
    resource = pytest.importorskip("resource")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises((ValueError, tf.errors.InvalidArgumentError), match="30000x30000 pixels are more than"):
        decoded(bomb)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown * (1 if sys.platform == "darwin" else 1024) < 100_000_000  # decoded it has 2,700,000,000 bytes


def segments(jpeg: bytes, *leave_out: int, first: bytes = b"") -> bytes:
    """Return a JPEG without the segments of some markers, and with others put first."""
    kept, place = b"", 2
    while jpeg[place + 1] != 0xDA:
        end = place + 2 + int.from_bytes(jpeg[place + 2 : place + 4])
        kept += b"" if jpeg[place + 1] in leave_out else jpeg[place:end]
        place = end
    return jpeg[:2] + first + kept + jpeg[place:]


def segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


FOUR_INKS = saved(CRAB.convert("CMYK"), "JPEG", quality=95)
PROFILE = segment(0xE2, b"ICC_PROFILE\0\x01\x01" + bytes(5000))
XMP = b'http://ns.adobe.com/xap/1.0/\0<x:xmpmeta xmlns:x="adobe:ns:meta/"><a tiff:Orientation="6"/></x:xmpmeta>'
HEADERS = {
    "four inks": FOUR_INKS,
    "four inks without Adobe's marker": segments(FOUR_INKS, 0xEE),
    "four inks with a profile": segments(FOUR_INKS, first=PROFILE),
    "four inks with a profile and no marker": segments(FOUR_INKS, 0xEE, first=PROFILE),
    "EXIF behind a long profile": segments(KINDS["JPEG with EXIF"], first=PROFILE),
    "orientation in XMP": segments(KINDS["baseline JPEG"], first=segment(0xE1, XMP)),
    "odd EXIF": segments(KINDS["baseline JPEG"], first=segment(0xE1, b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\0\0")),
    "RGB without conversion": saved(CRAB, "JPEG", quality=95, keep_rgb=True),
    "gray": saved(CRAB.convert("L"), "JPEG", quality=95),
    "progressive": KINDS["progressive JPEG"],
    "without JFIF": segments(KINDS["baseline JPEG"], 0xE0),
    "restart markers": saved(CRAB, "JPEG", quality=95, restart_marker_rows=1),
}


@pytest.mark.parametrize("header", HEADERS)
def test_every_kind_of_jpeg_is_decoded_as_pillow_does_and_as_its_header_says(tmp_path, header):
    data = HEADERS[header]
    found = decoded(data).astype(int)
    np.testing.assert_allclose(found, decode_with_pillow(data), atol=6)
    assert read_header(put(tmp_path / "a.jpg", data)) == (found.shape[1], found.shape[0], "")
    upright = np.asarray(CRAB).astype(int)
    picture = np.rot90(upright, -1) if found.shape[0] == 64 else upright
    assert abs(found - (picture if header != "gray" else picture.mean(axis=-1, keepdims=True))).mean() < 10


def test_sixteen_bits_a_color_keep_their_shades(tmp_path):
    shades = np.linspace(0, 65535, 48 * 64 * 3).reshape(48, 64, 3).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in shades)
    np.testing.assert_allclose(decoded(png(64, 48, 16, 2, zlib.compress(rows))), shades / 257, atol=1)


@pytest.mark.parametrize("top", [1.0, 255.0, 65535.0])
def test_floating_numbers_are_grey_levels_out_of_1_255_or_65535(top):
    ramp = np.linspace(0, top, 48 * 64, dtype=np.float32).reshape(48, 64)
    found = decode_with_pillow(saved(Image.fromarray(ramp), "TIFF"))
    np.testing.assert_allclose(found[..., 1], ramp * (255 / top), atol=0.51)


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [(-1, 1, "-1 to 1;"), (0, 70000, "0 to 70000;"), (np.nan, 1, "nan to"), (0, np.inf, "0 to inf")],
)
def test_numbers_that_are_no_grey_levels_are_refused(low, high, text):
    values = np.full((48, 64), high, np.float32)
    values[0, 0] = low
    with pytest.raises(ValueError, match=f"run from {text}"):
        decode_with_pillow(saved(Image.fromarray(values), "TIFF"))


def test_an_error_without_words_is_named(monkeypatch):
    monkeypatch.setattr("marinecv.inputs.to_rgb.as_rgb", Mock(side_effect=MemoryError))
    with pytest.raises(ValueError, match="cannot be decoded: MemoryError"):
        decode_with_pillow(KINDS["PNG"])


def test_many_threads_leave_the_warnings_and_bounds_of_the_process_alone(tmp_path):
    path = put(tmp_path / "a.jpg", HEADERS["odd EXIF"])
    before, bound = list(warnings.filters), Image.MAX_IMAGE_PIXELS
    with ThreadPoolExecutor(8) as threads:
        assert {*threads.map(read_header, [path] * 400)} == {(64, 48, "")}
    assert warnings.filters == before and bound == Image.MAX_IMAGE_PIXELS


@pytest.mark.parametrize(
    "name",
    ["海" * 83 + ".jpg", "é" * 120 + ".jpg", " a  b .jpg", "🐠\n'\"=1.jpg", "a" * 251 + ".jpg"],
    ids=["Chinese", "accents", "spaces", "marks", "letters"],
)
def test_long_and_odd_names_are_no_trouble(tmp_path, name):
    places = [f"{class_name}/{'deep' * 50}/{name}" for class_name in ("crab", "eel")]
    for place in places:
        put(tmp_path / place, KINDS["PNG"])
    pixels, reasons = loaded(tmp_path)
    assert list(pixels) == places and not reasons


@pytest.mark.skipif(os.name == "nt", reason="there every name is text")
@pytest.mark.parametrize("place", [b"crab/r\xe9cif.jpg", b"r\xe9cif/a.jpg", b"r\xe9cif.jpg"])
def test_a_name_that_is_not_utf8_is_a_row_that_can_be_written_down(tmp_path, place):
    put(tmp_path / "crab" / "b.jpg", KINDS["PNG"])
    path = put(Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + place)), KINDS["PNG"])
    pixels, reasons = loaded(tmp_path)
    assert reasons == {place.decode("utf-8", "backslashreplace"): NOT_UTF8} and list(pixels) == ["crab/b.jpg"]
    catalog_of(tmp_path).to_csv(tmp_path / "catalog.csv", encoding="utf-8")
    assert read_pixels([str(path)], SPEC)[1] == {0: NOT_UTF8}


def test_links_that_loop_or_lead_nowhere_are_rows_and_links_to_images_serve(tmp_path):
    tank = tmp_path / "tank"
    image = put(tank / "crab" / "a.jpg", KINDS["PNG"])
    put(tmp_path / "elsewhere" / "b.jpg", KINDS["PNG"])
    pairs = {
        "eel": tmp_path / "elsewhere",  # a class folder that is a link is read
        "crab/good.jpg": image,
        "crab/gone.jpg": tmp_path / "gone.jpg",
        "crab/one.jpg": tank / "crab" / "other.jpg",
        "crab/other.jpg": tank / "crab" / "one.jpg",
        "crab/up": tank,
        "crab/camera": tmp_path / "elsewhere",
        "round": tank,
        "a": tank / "b",
        "b": tank / "a",
    }
    for name, target in pairs.items():
        (tank / name).symlink_to(target)
    pixels, reasons = loaded(tank)
    assert list(pixels) == ["crab/a.jpg", "crab/good.jpg", "eel/b.jpg"]
    nowhere = dict.fromkeys(("crab/gone.jpg", "crab/one.jpg", "crab/other.jpg"), DEAD_LINK)
    assert reasons == nowhere | dict.fromkeys(("crab/up", "crab/camera", "round"), FOLDER_LINK)


def test_folders_nested_deeper_than_a_path_can_say_are_a_row(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for _ in range(20):
        os.mkdir("d" * 250)
        os.chdir("d" * 250)
    monkeypatch.chdir(tmp_path)
    [deepest] = image_files(tmp_path, deep=True)
    assert read_header(deepest)[2] == "cannot be read: File name too long"
    with pytest.raises(ValueError, match="^The folder .* cannot be read: File name too long"):
        list(paths_below(tmp_path))  # of labels


@pytest.mark.parametrize("place", ["crab/closed", "closed", "train/closed"])
def test_a_folder_that_cannot_be_read_costs_its_own_images(tmp_path, monkeypatch, place):
    real = os.scandir

    def scandir(path="."):  # nobody may look into `closed`, be it root
        if os.path.basename(os.fspath(path)) == "closed":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path)

    split = "train/" if place.startswith("train") else ""
    for name in (f"{split}crab/a.jpg", f"{split}eel/b.jpg", f"{place}/c.jpg"):
        put(tmp_path / name, KINDS["PNG"])
    monkeypatch.setattr(os, "scandir", scandir)
    monkeypatch.setattr(os, "listdir", lambda path=".": [entry.name for entry in scandir(path)])  # for Path.iterdir
    pixels, reasons = loaded(tmp_path)
    assert list(pixels) == [f"{split}crab/a.jpg", f"{split}eel/b.jpg"]
    assert list(reasons) == [place] and "cannot be read" in reasons[place]


@pytest.mark.skipif(os.name == "nt", reason="there are no such files")
def test_what_is_no_regular_file_is_a_row_and_is_never_opened(tmp_path, monkeypatch):
    put(tmp_path / "crab" / "a.jpg", KINDS["PNG"])
    crab = tmp_path / "crab"
    os.mkfifo(crab / "pipe.jpg")
    (crab / "zero.jpg").symlink_to("/dev/zero")
    with open(crab / "large.jpg", "wb") as file:
        file.write(KINDS["baseline JPEG"])
        file.truncate(10 * 2**30)  # sparse
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("crab/socket.jpg")
    reasons = dict.fromkeys(("large.jpg", "pipe.jpg", "socket.jpg", "zero.jpg"), "no regular file")
    reasons["large.jpg"] = f"10,737,418,240 bytes are more than the {MAX_BYTES:,}"
    found = loaded(tmp_path)[1]
    assert [*found] == [f"crab/{name}" for name in reasons]
    assert all(f"cannot be read: {why}" in found[f"crab/{name}"] for name, why in reasons.items())
    paths = [crab / name for name in reasons]
    assert list(read_pixels(paths, SPEC)[1].values()) == list(found.values())
    later = catalog_of(tmp_path).assign(problem="")  # they were images when the catalog was made
    problems = load_pixels(later, SPEC)[1]["problem"][1:]
    for path, why, problem in zip(paths, reasons.values(), problems, strict=True):
        assert problem.startswith(why)
        with pytest.raises(OSError, match=why):
            read_bytes(path)
        with pytest.raises(ValueError, match=f"cannot be decoded: {why}"):
            open_rgb(path)
    with pytest.raises(ValueError, match="cannot be read: no regular file"):
        os.mkfifo(tmp_path / "images.tfrecord")
        read_bytes(record_path(tmp_path / "images.tfrecord", 0, 10, 0))


def test_an_address_never_reaches_tensorflow(tmp_path):
    put(tmp_path / "crab" / "a.jpg", KINDS["PNG"])
    catalog = catalog_of(tmp_path)
    catalog.loc[1] = catalog.loc[0].to_dict() | {"image_id": "b.jpg", "path": "gs://tank/b.jpg"}
    reason = "the path is an address; expected a file on this machine"
    for budget in (2**30, 0):
        assert load_pixels(catalog, SPEC, memory_budget_bytes=budget)[1]["problem"].tolist() == ["", reason]
    with pytest.raises(ValueError, match=f"the first is b.jpg .{reason}"):
        make_dataset(catalog, SPEC, ("crab",))
