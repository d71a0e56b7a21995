"""Findings about single images: files that do not open, images that are left out, and what is hard to see."""

import pandas as pd

from marinecv.audit.findings import Finding, finding_of, make_cases
from marinecv.data.readers.folders import NO_FOLDER
from marinecv.data.splits import NO_SPLIT
from marinecv.data.user_tables import is_usable

NO_BOX = ("no box", "no usable box")  # problems begin so
NO_PLACE = (NO_FOLDER, NO_SPLIT)
LIGHT, SIZES = ("dark", "bright", "low contrast"), ("small", "long", "large")


def image_findings(catalog: pd.DataFrame, quality: pd.DataFrame) -> list[Finding]:
    """Say which images are lost, and which a person should look at, by what `measure_quality` gives.

    The catalog is as `load_thumbs` returns it, so that a file that does not decode has its problem.
    """
    bad = catalog[~is_usable(catalog)]
    of_box, of_place = bad["problem"].str.startswith(NO_BOX).astype(bool), bad["problem"].isin(NO_PLACE)
    odd = quality[quality["remark"] != ""]
    found = [
        _files(bad[~of_box & ~of_place], len(catalog)),
        _no_place(bad[of_place], len(catalog)),
        _no_box(bad[of_box], len(catalog)),
        _light(_remarked(odd, LIGHT), len(quality)),
        _blurred(_remarked(odd, ("blurred",)), quality),
        _sizes(_remarked(odd, SIZES), len(quality)),
    ]
    return [finding for finding in found if finding]


def _files(bad: pd.DataFrame, total: int) -> Finding | None:
    return finding_of(
        bad,
        total,
        ("cannot", "cannot"),
        "be read with the decoder that training uses.",
        name="files that cannot be read",
        serious=True,
        why="Training and scores leave them out, so classes shrink unseen. Broken files are often the trace of a "
        "broken download or disk, which may have hit others.",
        todo="Fetch or save these files again, or remove them.",
        cases=make_cases(bad["image_id"], bad["problem"]),
    )


def _no_place(bad: pd.DataFrame, total: int) -> Finding | None:
    return finding_of(
        bad,
        total,
        ("lies", "lie"),
        "in no folder of a class or split.",
        name="images outside the folders",
        why="They serve for nothing, and were perhaps meant to be learned from.",
        todo="Move them into the folder of their class, or remove them.",
        cases=make_cases(bad["image_id"], bad["problem"]),
    )


def _no_box(bad: pd.DataFrame, total: int) -> Finding | None:
    return finding_of(
        bad,
        total,
        ("has", "have"),
        "no box that can be used, and so no label.",
        name="images without a box",
        why="They are left out. If they show nothing, a model never learns what nothing looks like.",
        todo="Correct the rows that the cases quote. If the others are empty, train with --no-box empty; if not, draw "
        "their boxes.",
        cases=make_cases(bad["image_id"], bad["problem"]),
    )


def _light(odd: pd.DataFrame, total: int) -> Finding | None:
    odd = odd.sort_values("contrast")
    notes = [
        f"{row.remark}: mean {row.brightness:.0f}, deviation {row.contrast:.0f} of 255" for row in odd.itertuples()
    ]
    return finding_of(
        odd,
        total,
        ("is", "are"),
        "much darker, brighter or flatter than the rest.",
        name="dark, bright or flat images",
        why="Where a person sees nothing, a label is a guess, and a model learns what it must not: darkness itself.",
        todo="Look at them; remove what nobody could name.",
        cases=make_cases(odd["image_id"], notes),
    )


def _blurred(odd: pd.DataFrame, quality: pd.DataFrame) -> Finding | None:
    odd, middle = odd.sort_values("sharpness"), quality["sharpness"].median()
    notes = [f"sharpness {value:.2f}, where the set has {middle:.2f}" for value in odd["sharpness"]]
    return finding_of(
        odd,
        len(quality),
        ("is", "are"),
        "blurred as a whole.",
        name="blurred images",
        why="The marks by which species are told apart are gone, and the label may be a guess.",
        todo="Look at them; remove what nobody could name.",
        cases=make_cases(odd["image_id"], notes),
    )


def _sizes(odd: pd.DataFrame, total: int) -> Finding | None:
    notes = [f"{row.remark}: {row.width}x{row.height} px" for row in odd.itertuples()]
    return finding_of(
        odd,
        total,
        ("is", "are"),
        "much smaller, longer or larger than the rest.",
        name="images of an odd size",
        why="A small image is blown up, a long one shrunk to a strip: a model gets them otherwise than the rest.",
        todo="Look at them: thumbnails, screenshots and panoramas are often there by mistake.",
        cases=make_cases(odd["image_id"], notes),
    )


def _remarked(odd: pd.DataFrame, remarks: tuple[str, ...]) -> pd.DataFrame:
    """The rows with one of some remarks."""
    return odd[odd["remark"].str.split(", ").map(lambda held: not set(held).isdisjoint(remarks)).astype(bool)]
