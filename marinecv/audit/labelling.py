"""Findings about classes, boxes and labels: absent or rare classes, odd boxes, ambiguous labels."""

import pandas as pd

from marinecv.audit.findings import Finding, agree, counted, finding_of, make_cases
from marinecv.audit.tables import OTHER_RULES, UNSURE_BELOW
from marinecv.data.boxes import CORNERS, is_bad_row
from marinecv.data.labels import ranked_classes
from marinecv.data.user_tables import is_usable, usable

BOXES, UNSURE, FLIPS = "odd boxes", "low-margin dominant class", "labels that another rule changes"
FEW = 20  # train images of a class
UNEVEN = 10.0  # times as many images in the largest class as in the smallest
SPECK, WHOLE = 0.001, 0.999  # fraction of the image that a box covers


def label_findings(catalog: pd.DataFrame, boxes: pd.DataFrame, flips: pd.DataFrame | None = None) -> list[Finding]:
    """Find what is odd about classes, boxes and labels; without a train split all images count as train.

    `boxes` may be empty; `flips`, of `label_flips`, are None if boxes do not decide on labels.
    """
    good = usable(catalog)
    found = _classes(good)
    if not boxes.empty:
        bad = boxes[is_bad_row(boxes["problem"])]
        found += finding_of(
            bad,
            len(boxes),
            "annotation rows that cannot be parsed",
            bad["problem"] + " (" + bad["source"] + ")",
            unit="boxes",
            name="annotation rows that cannot be read",
            serious=True,
            why="The images are labeled from their other boxes, and the class of a lost box may be the right one.",
            todo="Correct the rows; each case quotes one, with its file and line.",
        )
        found += _boxes(boxes.drop(bad.index), catalog)
    if flips is None:
        return found
    unsure = good[good["share"] < UNSURE_BELOW].sort_values(["share", "image_id"])
    if len(unsure):
        ranked = ranked_classes(boxes[boxes["image_id"].isin(unsure["image_id"])])
        shares = ranked["class_name"] + ranked["share"].map(" {:.0%}".format)
        found += finding_of(
            unsure,
            len(good),
            f"a dominant class with less than {UNSURE_BELOW:.0%} of its image",
            unsure["image_id"].map(shares.groupby(ranked["image_id"]).agg(", ".join)),
            name=UNSURE,
            why="They show two animals about equally: predicting the second counts as an error, which limits any score.",
            todo="Check them before you trust a few errors; leave out what is a draw.",
        )
    by_rule = [f"{(flips[rule] != flips['dominant']).sum():,} by {rule}" for rule in OTHER_RULES]
    notes = [
        f"{row['dominant']}; by " + ", by ".join(f"{r} {row[r]}" for r in OTHER_RULES if row[r] != row["dominant"])
        for row in flips.to_dict("records")
    ]
    return found + finding_of(
        flips,
        len(good),
        f"another label under another rule: {', '.join(by_rule)}",
        notes,
        name=FLIPS,
        why="The right answer is then a choice, and scores under different rules cannot be compared.",
        todo="Choose the rule once, with label_rule=, and state it beside every score.",
    )


def _classes(good: pd.DataFrame) -> list[Finding]:
    train, found = good[good["split"] == "train"] if (good["split"] == "train").any() else good, []
    unknown = good[~good["class_name"].isin(train["class_name"])]
    if names := sorted(unknown["class_name"].unique()):
        found.append(
            Finding(
                name="classes that train lacks",
                serious=True,
                count=len(names),
                of=good["class_name"].nunique(),
                unit="classes",
                what=f"{', '.join(names)}: {counted(len(unknown), 'image')} to score, and none to train on.",
                why="A model cannot predict a class that it was never shown: every such image is an error.",
                todo='Put images of each class into train, or split again with split_by="stratified".',
                cases=make_cases(unknown["image_id"], unknown["class_name"] + ", which train lacks"),
            )
        )
    counts = train["class_name"].value_counts()
    few = counts[counts < FEW].sort_values(kind="stable")
    if len(few):
        first = train.drop_duplicates("class_name").set_index("class_name").loc[few.index, "image_id"]
        shown = [f"{name} ({count})" for name, count in few.head(10).items()]
        more = f" and {len(few) - 10} more" if len(few) > 10 else ""
        found.append(
            Finding(
                name="classes with few train images",
                serious=False,
                count=len(few),
                of=len(counts),
                unit="classes",
                what=f"{len(few)} {agree(len(few), 'class has', 'classes have')} fewer than {FEW} train images: "
                f"{', '.join(shown)}{more}.",
                why="The model learns little of such a class, and its score says little.",
                todo="Add images of them; a learning curve estimates what more images would bring.",
                cases=make_cases(first, [f"{name}, train images: {count}" for name, count in few.items()]),
            )
        )
    counts = good["class_name"].value_counts()
    if len(counts) > 1 and counts.iloc[0] >= UNEVEN * counts.iloc[-1]:
        times = counts.iloc[0] / counts.iloc[-1]
        found.append(
            Finding(
                name="uneven classes",
                serious=False,
                count=int((counts * UNEVEN <= counts.iloc[0]).sum()),
                of=len(counts),
                unit="classes",
                what=f"{counts.index[0]} has {counts.iloc[0]:,} images, {times:.0f} times as many as "
                f"{counts.index[-1]} with {counts.iloc[-1]:,}.",
                why="Accuracy is then that of the large classes, and a model that never predicts the small ones looks "
                "good.",
                todo="Judge by balanced accuracy; try balanced=True or class_weights=True.",
                cases=make_cases(pd.Series([], dtype=str), ""),
            )
        )
    return found


def _boxes(boxes: pd.DataFrame, catalog: pd.DataFrame) -> list[Finding]:
    sizes = catalog.set_index("image_id").reindex(boxes["image_id"])
    area = (boxes["xmax"] - boxes["xmin"]) * (boxes["ymax"] - boxes["ymin"])
    share = area / (sizes["width"] * sizes["height"]).where(sizes["width"] > 0).to_numpy()
    known = is_usable(boxes) & share.notna()
    marks = pd.DataFrame(
        {  # the worst first
            "without area or outside the image": ~is_usable(boxes),
            "duplicated": boxes.duplicated(["image_id", "class_name", *CORNERS]) & is_usable(boxes),
            "cut at the edge of the image": boxes["clipped"].astype(bool),
            "tiny": known & (share < SPECK),
            "all of the image": known & (share > WHOLE),
        }
    )
    marks = marks[marks.any(axis=1)]
    if marks.empty:
        return []
    defect = marks.idxmax(axis=1)
    rows = boxes.loc[defect.index].assign(defect=defect, order=marks.to_numpy().argmax(axis=1), share=share)
    rows = rows.sort_values(["order", "share"], kind="stable")
    counts = defect.value_counts().reindex(marks.columns, fill_value=0)
    return finding_of(
        rows,
        len(boxes),
        ", ".join(f"{count:,} {name}" for name, count in counts.items() if count),
        [f"{row.class_name}: {row.problem or row.defect} ({row.source})" for row in rows.itertuples()],
        unit="boxes",
        name=BOXES,
        why="Boxes decide on the label and on where a model should look. A stray or double click counts like an animal.",
        todo="Fix them in the annotation tool; each case names its row.",
    )
