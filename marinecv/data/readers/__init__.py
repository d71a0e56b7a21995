"""The layouts that can be read: each is a module of this folder that defines `READER`."""

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from marinecv.schema import check_choice


@dataclass(frozen=True, kw_only=True)
class Reader:
    """How a folder of one layout is recognized and read; functions of a manifest may rely on its `root`."""

    detects: Callable[[Path], bool]  # whether the layout begins in a folder
    read: Callable  # from a manifest to its images (`IMAGE_COLUMNS`) and boxes (`BOX_COLUMNS`)
    holds: str  # what the folder holds, for messages
    rank: int = 5  # readers are tried in this order
    has_table: bool = True  # a file says what the images are, so that no folder below is tried
    class_from_boxes: bool = True  # the boxes of an image decide its class; else `read` returns it
    class_order: Callable = lambda manifest: []  # class names in the order of the data, if they have one
    tables: Callable = lambda manifest: []  # files that are read beside the images, whether or not they exist
    takes_columns: Callable[[Path], bool] | None = None  # whether a folder has a table whose columns a manifest names
    notes: Callable = lambda manifest: []  # sentences on what the files name and lack
    sentence: Callable = lambda manifest, images: " ".join(images.attrs.get("decisions", ()))  # how images were read
    facts: Callable[[Path], dict] = lambda root: {}  # fields of the manifest that a folder states
    source: Callable[[Path], str] = lambda root: ""  # of a pack: the layout of the files it was made of
    beside: tuple[str, ...] = ()  # files that the published archive has beside the folder
    attributes: Callable | None = None  # see `read_attributes`


def layout_names() -> tuple[str, ...]:
    """Return the names of all layouts, sorted, without importing their modules."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


def reader_of(layout: str) -> Reader:
    """Return the reader of a layout; raise ValueError where there is no such layout."""
    check_choice(layout_names(), layout=layout)
    return importlib.import_module(f"{__name__}.{layout}").READER


def all_readers() -> dict[str, Reader]:
    """Return the reader of each layout, in the order in which they are tried."""
    found = {layout: reader_of(layout) for layout in layout_names()}
    return dict(sorted(found.items(), key=lambda pair: pair[1].rank))
