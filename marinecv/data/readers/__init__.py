"""The layouts that are read: a module each, which holds its `READER` and is found by lying here."""

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from marinecv.checked import one_of


@dataclass(frozen=True, kw_only=True)
class Reader:
    """How a folder of one layout is recognized and read; what takes a manifest may count on its `root`."""

    detects: Callable[[Path], bool]  # whether the layout begins in a folder
    read: Callable  # from a manifest to its images (`IMAGE_COLUMNS`) and boxes (`BOX_COLUMNS`)
    holds: str  # what the folder holds, for the message that lists what was looked for
    rank: int = 5  # the readers are asked in this order
    has_table: bool = True  # a file says what the images are, so that no folder below is looked for
    class_from_boxes: bool = False  # the boxes of an image decide its class; else `read` states it
    class_order: Callable = lambda manifest: []  # class names in the order that the data give them, if they give one
    tables: Callable = lambda manifest: []  # the files that are read beside the images, whether or not they are there
    notes: Callable = lambda manifest: []  # sentences on what the files name and lack
    sentence: Callable = lambda manifest, images: ""  # how the images were read, where that was a choice
    facts: Callable[[Path], dict] = lambda root: {}  # what a folder says of itself: fields of its manifest
    source: Callable[[Path], str] = lambda root: ""  # the layout of the files that a folder was made of
    beside: tuple[str, ...] = ()  # files that the published archive holds beside the folder and that belong in it
    attributes: Callable | None = None  # as `read_attributes`


def layout_names() -> tuple[str, ...]:
    """Return the names of all layouts, those of the modules; none is imported for it."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


def reader_of(layout: str) -> Reader:
    """Return the reader of a layout; ValueError where there is no such layout."""
    one_of(layout_names(), layout=layout)
    return importlib.import_module(f"{__name__}.{layout}").READER


def all_readers() -> dict[str, Reader]:
    """Return the reader of each layout, in the order in which they are asked."""
    found = {layout: reader_of(layout) for layout in layout_names()}
    return dict(sorted(found.items(), key=lambda pair: pair[1].rank))
