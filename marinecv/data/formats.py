"""Tell which files are images: by the suffix of the name, else by the first bytes of the content."""

import os
import re
import stat
from functools import cache
from importlib.util import find_spec
from pathlib import Path

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
CODECS = (".heic", ".heif", ".avif", ".jp2", ".jpx", ".j2k", ".jxl", ".psd")
RAW = (".cr2", ".cr3", ".nef", ".arw", ".dng", ".orf", ".rw2", ".raf", ".raw")
UNSUPPORTED_SUFFIXES = CODECS + RAW
TEXT_SUFFIXES = (".txt", ".csv", ".tsv", ".json", ".xml", ".yaml", ".yml", ".md", ".html", ".log")  # never opened
HEAD_BYTES, TEXT_BYTES = 64, 2**16
_SIGNATURES = {  # of a file; those that are read come first
    "JPEG": rb"\xff\xd8\xff",
    "PNG": rb"\x89PNG\r\n\x1a\n",
    "GIF": rb"GIF8[79]a",
    "WebP": rb"RIFF....WEBP",
    "BMP": rb"BM....\0\0\0\0",
    "TIFF": rb"II[*+]\0|MM\0[*+]",
    "AVIF": rb"....ftyp(?:....){0,8}?avi[fs]",
    "HEIF": rb"....ftyp(?:....){0,8}?(?:hei[cmsx]|hev[cmx]|mif1|msf1)",
    "JPEG 2000": rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51",
    "JPEG XL": rb"\0\0\0\x0cJXL \r\n\x87\n|\xff\x0a",
    "Photoshop": rb"8BPS",
}
NOT_UTF8 = "its name is not UTF-8; rename it"
UNREAD_FORMATS = ("AVIF", "HEIF", "JPEG 2000", "JPEG XL", "Photoshop")  # the first two are with the extra `heif`


@cache
def how_to_read(image_format: str) -> str:
    """Return "" where images of a format are read on this machine, or what to do with them."""
    from PIL import features

    is_readable = {"AVIF": "avif" in features.get_supported_modules(), "HEIF": find_spec("pillow_heif") is not None}
    if image_format not in UNREAD_FORMATS or is_readable.get(image_format):
        return ""
    return "convert it to JPEG or PNG" + ", or pip install 'marinecv[heif]'" * (image_format in is_readable)


def format_of(head: bytes) -> str:
    """Return the format of an image by its first `HEAD_BYTES`, "" for no known one."""
    return next((name for name, pattern in _SIGNATURES.items() if re.match(pattern, head, re.DOTALL)), "")


def content_format(path: Path) -> str:
    """Return the format of a regular file by its first bytes, else ""; nothing else is opened."""
    try:
        if stat.S_ISREG(os.stat(path).st_mode):
            with open(path, "rb", buffering=0) as file:
                return format_of(file.read(HEAD_BYTES))
    except (OSError, ValueError):  # gone, unreadable, or a name that no system takes
        pass
    return ""


def is_image(path: Path) -> bool:
    """Return whether a file is an image by its suffix, even a pipe or dead link, else by its content."""
    suffix = path.suffix.lower()
    if suffix in IMAGE_SUFFIXES + UNSUPPORTED_SUFFIXES:
        return not os.path.isdir(path)
    return suffix not in TEXT_SUFFIXES and bool(content_format(path))


def begins_with(path: Path, suffix: str, pattern: re.Pattern[bytes]) -> bool:
    """Return whether the text of a file of this suffix has a pattern in its first `TEXT_BYTES`."""
    if path.suffix.lower() != suffix or path.name.startswith(".") or not path.is_file():
        return False
    with open(path, "rb") as file:
        return bool(pattern.search(file.read(TEXT_BYTES).replace(b"\0", b"")))  # without the zeros of UTF-16


def printable(path: Path | str) -> str:
    """Return a path as text with bytes that are not UTF-8 as `\\xe9`."""
    text = os.fspath(path)
    return text if text.isascii() else os.fsencode(text).decode("utf-8", "backslashreplace")


def unsupported_reason(path: Path) -> str:
    """Return "", or why an image of this name is not read, unless its content is of a format that is read.

    A raw photograph is not, though it is a TIFF: Pillow would read its thumbnail.
    """
    suffix = path.suffix.lower()
    if printable(path) != str(path):
        return NOT_UTF8
    if suffix not in UNSUPPORTED_SUFFIXES:
        return ""
    content = content_format(path)
    fix = how_to_read(content)
    if content and not fix and (content != "TIFF" or suffix in CODECS):
        return ""
    return f"unsupported format {content if fix else suffix}; {fix or 'convert it to JPEG or PNG'}"
