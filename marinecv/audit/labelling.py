"""Findings about classes, boxes and labels: what is absent or rare, which boxes are odd, which labels are unsure."""

import pandas as pd

from marinecv.audit.findings import Finding, agree, counted, finding_of, make_cases
from marinecv.audit.tables import OTHER_RULES, UNSURE_BELOW
from marinecv.data.boxes import CORNERS, is_bad_row
from marinecv.data.labels import ranked_classes
from marinecv.data.user_tables import is_usable, usable

BOXES, UNSURE, FLIPS = "odd boxes", "labels that hardly won", "labels that another rule changes"
FEW = 20  # train images of a class
UNEVEN = 10.0  # times as many images in the largest class as in the smallest
SPECK, WHOLE = 0.001, 0.999  # of the image that a box covers


def label_findings(catalog: pd.DataFrame, boxes: pd.DataFrame, flips: pd.DataFrame | None = None) -> list[Finding]:
    """Say what is odd about classes, boxes and labels; of a catalog without a train split all images are counted.

    Boxes may be none; flips, of `label_flips`, are None where boxes do not decide on labels.
    """
    good = usable(catalog)
    train = good[good["split"] == "train"] if (good["split"] == "train").any() else good
    found = [_absent(good, train), _few(train), _uneven(good)]
    if not boxes.empty:
        bad = is_bad_row(boxes["problem"])
        found += [_bad_rows(boxes[bad], len(boxes)), _boxes(boxes[~bad], catalog)]
    if flips is not None:
        found += [_unsure(good, boxes), _flips(flips, len(good))]
    return [finding for finding in found if finding]


def _absent(good: pd.DataFrame, train: pd.DataFrame) -> Finding | None:
    strange = good[~good["class_name"].isin(train["class_name"])]
    names = sorted(strange["class_name"].unique())
    if not names:
        return None
    return Finding(
        name="classes that train lacks",
        serious=True,
        count=len(names),
        of=good["class_name"].nunique(),
        unit="classes",
        what=f"{', '.join(names)}: {counted(len(strange), 'image')} to be judged, and none to learn from.",
        why="A model cannot name what it was never shown: every such image is an error that no training mends.",
        todo="Put images of each class into train, or split again with --split-by stratified or grouped.",
        cases=make_cases(strange["image_id"], strange["class_name"] + ", which train lacks"),
    )


def _few(train: pd.DataFrame) -> Finding | None:
    counts = train["class_name"].value_counts()
    few = counts[counts < FEW].sort_values(kind="stable")
    if few.empty:
        return None
    first = train.drop_duplicates("class_name").set_index("class_name").loc[few.index, "image_id"]
    shown = [f"{name} ({count})" for name, count in few.head(10).items()]
    more = f" and {len(few) - 10} more" if len(few) > 10 else ""
    return Finding(
        name="classes with few train images",
        serious=False,
        count=len(few),
        of=len(counts),
        unit="classes",
        what=f"{counted(len(few), 'class') if len(few) == 1 else f'{len(few):,} classes'} "
        f"{agree(len(few), 'has', 'have')} fewer than {FEW} images to learn from: {', '.join(shown)}{more}.",
        why="A class is learned from its own images, and its score from so few says little.",
        todo="Add photographs of them; the command learning-curve says what more would bring.",
        cases=make_cases(first, [f"{name}, train images: {count}" for name, count in few.items()]),
    )


def _uneven(good: pd.DataFrame) -> Finding | None:
    counts = good["class_name"].value_counts()
    if len(counts) < 2 or counts.iloc[0] < UNEVEN * counts.iloc[-1]:
        return None
    times = counts.iloc[0] / counts.iloc[-1]
    return Finding(
        name="uneven classes",
        serious=False,
        count=int((counts * UNEVEN <= counts.iloc[0]).sum()),
        of=len(counts),
        unit="classes",
        what=f"{counts.index[0]} has {counts.iloc[0]:,} images, {times:.0f} times as many as {counts.index[-1]} "
        f"with {counts.iloc[-1]:,}.",
        why="Accuracy then speaks of the large classes, and a model that never names the small ones looks good.",
        todo="Judge by balanced accuracy; try --balanced or --class-weights.",
        cases=make_cases(pd.Series([], dtype=str), ""),
    )


def _bad_rows(bad: pd.DataFrame, total: int) -> Finding | None:
    return finding_of(
        bad,
        total,
        ("cannot", "cannot"),
        "be read from their annotation rows.",
        name="annotation rows that cannot be read",
        serious=True,
        unit="boxes",
        why="The images are labeled from their other boxes, and the class of a lost box may be the right one.",
        todo="Correct the rows; each case quotes one, with its file and line.",
        cases=make_cases(bad["image_id"], bad["problem"] + " (" + bad["source"] + ")"),
    )


def _boxes(boxes: pd.DataFrame, catalog: pd.DataFrame) -> Finding | None:
    sizes = catalog.set_index("image_id").reindex(boxes["image_id"])
    area = (boxes["xmax"] - boxes["xmin"]) * (boxes["ymax"] - boxes["ymin"])
    share = area / (sizes["width"] * sizes["height"]).where(sizes["width"] > 0).to_numpy()
    known = is_usable(boxes) & share.notna()
    twice = boxes.duplicated(["image_id", "class_name", *CORNERS]) & is_usable(boxes)
    odd = {  # the worst first
        "unusable": ~is_usable(boxes),
        "there twice": twice,
        "cut at the edge": boxes["clipped"].astype(bool),
        "tiny": known & (share < SPECK),
        "all of the image": known & (share > WHOLE),
    }
    marks = pd.DataFrame(odd)
    if not marks.to_numpy().any():
        return None
    remark = marks.idxmax(axis=1)[marks.any(axis=1)]
    order = remark.map({name: number for number, name in enumerate(odd)})
    rows = boxes.loc[remark.index].assign(remark=remark, order=order, share=share)
    rows = rows.sort_values(["order", "share"], kind="stable")
    counts = remark.value_counts().reindex(odd, fill_value=0)
    words = {
        "unusable": "without area or outside the image",
        "there twice": "there twice",
        "cut at the edge": "beyond the edge of the image, where they are cut",
        "tiny": f"on less than {SPECK:.1%} of the image",
        "all of the image": "on all of the image",
    }
    said = ", ".join(f"{counts[name]:,} {words[name]}" for name in odd if counts[name])
    notes = [f"{row.class_name}: {row.problem or row.remark} ({row.source})" for row in rows.itertuples()]
    return finding_of(
        rows,
        len(boxes),
        ("is", "are"),
        f"odd: {said}.",
        name=BOXES,
        unit="boxes",
        why="Boxes decide on the label and on where a model should look. A slip of the mouse or a second click counts "
        "like an animal.",
        todo="Mend them where they were drawn; each case names its row.",
        cases=make_cases(rows["image_id"], notes),
    )


def _unsure(good: pd.DataFrame, boxes: pd.DataFrame) -> Finding | None:
    unsure = good[good["share"] < UNSURE_BELOW].sort_values(["share", "image_id"])
    if unsure.empty:
        return None
    ranked = ranked_classes(boxes[boxes["image_id"].isin(unsure["image_id"])])
    said = ranked["class_name"] + ranked["share"].map(" {:.0%}".format)
    notes = unsure["image_id"].map(said.groupby(ranked["image_id"]).agg(", ".join))
    return finding_of(
        unsure,
        len(good),
        ("has", "have"),
        f"a label that won with less than {UNSURE_BELOW:.0%} of its image.",
        name=UNSURE,
        why="They show two animals about equally: naming the second counts as an error, which caps any score.",
        todo="Look at them before you believe a few errors; leave out what is a draw.",
        cases=make_cases(unsure["image_id"], notes),
    )


def _flips(flips: pd.DataFrame, total: int) -> Finding | None:
    notes = [
        f"{row['dominant']}; by " + ", by ".join(f"{r} {row[r]}" for r in OTHER_RULES if row[r] != row["dominant"])
        for row in flips.to_dict("records")
    ]
    by_rule = [f"{(flips[rule] != flips['dominant']).sum():,} by {rule}" for rule in OTHER_RULES]
    return finding_of(
        flips,
        total,
        ("would", "would"),
        f"have another label under another rule: {', '.join(by_rule)}.",
        name=FLIPS,
        why="What counts as the right answer is then a choice, and scores by different rules cannot be compared.",
        todo="Choose the rule once, with --label-rule, and state it beside every score.",
        cases=make_cases(flips["image_id"], notes),
    )
