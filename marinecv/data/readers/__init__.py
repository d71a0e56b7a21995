"""The layouts that are read: a module each, which holds its `READER` and is found by lying here."""

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from marinecv.checked import one_of


@dataclass(frozen=True, kw_only=True)
class Reader:
    """How a folder of one layout is recognized and read.

    Attributes:
        detects: whether a layout begins in a folder.
        read: return the images (`IMAGE_COLUMNS`) and boxes (`BOX_COLUMNS`) of a manifest.
        holds: what the folder holds, for the message that lists what was looked for.
        rank: the readers are asked in this order.
        has_table: a file says what the images are, so that no folder below is looked for.
        class_from_boxes: the boxes of an image decide its class; else `read` states it.
        class_order: the class names of a manifest in the order that the data give them; none where they give none.
        tables: the files of a manifest that are read beside the images, if they are there.
        notes: sentences on what a manifest's files name and lack.
        sentence: how the images of a manifest were read where that is a choice, else "".
        facts: what a folder says of itself: fields of its manifest.
        source: the layout of the files that a folder was made of; "" where it is its own.
        beside: names of files that the published archive holds beside the folder and that belong in it.
        attributes: as `read_attributes`; None where there are none.
    """

    detects: Callable[[Path], bool]
    read: Callable
    holds: str
    rank: int = 5
    has_table: bool = True
    class_from_boxes: bool = False
    class_order: Callable = lambda manifest: []
    tables: Callable = lambda manifest: []
    notes: Callable = lambda manifest: []
    sentence: Callable = lambda manifest, images: ""
    facts: Callable[[Path], dict] = lambda root: {}
    source: Callable[[Path], str] = lambda root: ""
    beside: tuple[str, ...] = ()
    attributes: Callable | None = None


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
