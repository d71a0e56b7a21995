"""Findings about images that belong together: copies, neighbouring frames, and what a score owes to them."""

import numpy as np
import pandas as pd

from marinecv.audit.findings import HYPOTHETICAL, Finding, agree, counted, make_cases
from marinecv.audit.leak import APART, AS_SPLIT
from marinecv.choices import SPLITS
from marinecv.data.groups import COPY, NEAR_COPY, NEIGHBOUR, group_catalog, relatives_in_train
from marinecv.data.user_tables import usable

LEAK = 0.05  # of accuracy, from which a leak is serious
GROUPED = "Split with --split-by grouped"


def crossing_pairs(catalog: pd.DataFrame, links: pd.DataFrame, thumbs: np.ndarray) -> pd.DataFrame:
    """Return `relatives_in_train` with how much the two `differ` (grey levels a pixel of `tiny`), the least first."""
    pairs = relatives_in_train(catalog, links)
    place = pd.Index(usable(catalog)["image_id"])
    first, second = (thumbs[place.get_indexer(pairs[side])] for side in ("image_id", "relative"))
    pairs = pairs.assign(differ=np.abs(first - second).mean(axis=1))
    return pairs.sort_values(["differ", "image_id"], ignore_index=True)


def relative_findings(
    catalog: pd.DataFrame,
    links: pd.DataFrame,
    crossing: pd.DataFrame,
    votes: pd.DataFrame,
    leak: dict,
    published: bool = True,
) -> list[Finding]:
    """Say where relatives make a score too good; `crossing`, `votes` and `leak` are of the split of the catalog.

    `published` is False for a random split that nobody has made yet: what lies across it is then no fault of the data.
    """
    rows = usable(catalog).set_index("image_id")
    pairs = _pairs_of_copies(catalog, links)
    found = [
        _leak(votes, leak, crossing, published),
        _frames(rows, crossing, published),
        _across(pairs, published),
        _two_labels(pairs),
        _within(pairs, published),
    ]
    return [finding for finding in found if finding]


def _pairs_of_copies(catalog: pd.DataFrame, links: pd.DataFrame) -> pd.DataFrame:
    """Each pair once, the likest first, with the splits and labels of both.

    Exact copies are chained: two that are linked through a third were found as near copies, and are exact all the same.
    """
    rows = usable(catalog).set_index("image_id")
    pairs = links[links["first"].isin(rows.index) & links["second"].isin(rows.index)]
    exact = group_catalog(catalog.assign(group=""), pairs[pairs["kind"] == COPY]).set_index("image_id")["group"]
    pairs = pairs[pairs["kind"].isin([COPY, NEAR_COPY])]
    same = pairs["first"].map(exact) == pairs["second"].map(exact)
    pairs = pairs.assign(kind=pairs["kind"].mask(same, COPY)).sort_values(["kind", "likeness"], ascending=[True, False])
    pairs = pairs.drop_duplicates(["first", "second"])
    sides = {"split": "split", "label": "class_name"}
    return pairs.assign(
        **{name: pairs["first"].map(rows[column]) for name, column in sides.items()},
        **{f"other_{name}": pairs["second"].map(rows[column]) for name, column in sides.items()},
    )


def _leak(votes: pd.DataFrame, leak: dict, crossing: pd.DataFrame, published: bool) -> Finding | None:
    """Serious where the difference is; `leak["low"]` is missing where nothing is split."""
    if not (leak["low"] > 0 and leak["difference"] >= LEAK):
        return None
    right = votes.assign(right=votes["true_class"] == votes["predicted_class"])
    first, second = (right[right["vote"] == vote].set_index("image_id") for vote in (AS_SPLIT, APART))
    both = first.join(second[["right", "predicted_class"]].add_suffix("_apart"), how="inner")
    judged = " and ".join(split for split in SPLITS if split in set(both["split"]))
    most = both["true_class"].value_counts(normalize=True).iloc[0]
    named, apart = f"{both['right'].mean():.1%}", f"{both['right_apart'].mean():.1%}"
    low, high = (f"{100 * leak[bound]:.0f}" for bound in ("low", "high"))
    said = (
        f"a memory of 16x16 thumbnails, which learns nothing, names {named} of the {len(both):,} {judged} images; with "
        f"relatives kept apart {apart} of the same images (the most frequent class alone: {most:.0%}). So about "
        f"{100 * leak['difference']:.0f} points of that score come from relatives (95%: {low} to {high}). A network's "
        "share may be smaller or larger: evaluate RUN --folds 5 measures it."
    )
    relative = crossing.drop_duplicates("image_id").set_index("image_id")["relative"]
    owed = both[both["right"] & ~both["right_apart"]]
    owed = owed.reindex([*relative.index.intersection(owed.index), *owed.index.difference(relative.index, sort=False)])
    beside = [relative.get(image, "") for image in owed.index]
    notes = "taken for " + owed["predicted_class_apart"] + " without its relatives"
    return Finding(
        name="score that comes from relatives",
        serious=published,
        count=int(both["right"].sum() - both["right_apart"].sum()),
        of=len(both),
        unit="images",
        what=_under(said, published),
        why="A model that remembers pictures looks as good as one that knows animals. On a new dive or another camera "
        "there is nothing to remember, and such points are gone.",
        todo=f"{GROUPED}, and believe what evaluate says of images without a relative in train.",
        cases=make_cases(owed.index.to_series(), notes, beside),
    )


def _frames(rows: pd.DataFrame, crossing: pd.DataFrame, published: bool) -> Finding | None:
    pairs = crossing[crossing["kind"] == NEIGHBOUR].drop_duplicates("image_id")
    if pairs.empty:
        return None
    notes = pairs["differ"].map("{:.0f} of 255 grey levels apart".format)
    counts, judged = pairs["split"].value_counts(), rows["split"].value_counts()
    parts = [f"{counts[split]:,} of {judged[split]:,} {split} images" for split in SPLITS[1:] if split in counts]
    return Finding(
        name="neighbouring frames across splits",
        serious=published,
        count=len(pairs),
        of=int(judged[judged.index.isin(SPLITS[1:])].sum()),
        unit="images",
        what=_under(f"{' and '.join(parts)} were taken right before or after a train image.", published),
        why="Two frames of one scene show nearly the same. A model that remembers the one names the other, so the "
        "score says little about scenes it has not seen.",
        todo=f"{GROUPED}: frames taken together stay on one side.",
        cases=make_cases(pairs["image_id"], notes, pairs["relative"]),
    )


def _across(pairs: pd.DataFrame, published: bool) -> Finding | None:
    across = pairs[(pairs["split"] != pairs["other_split"]) & (pairs["split"] != "") & (pairs["other_split"] != "")]
    return _of_copies(
        across,
        pairs,
        ("lies", "lie"),
        "in different splits.",
        published,
        name="copies across splits",
        serious=published,
        why="What was shown in training is asked again in the test: such an image tells nothing of what was learned.",
        todo=_parting(across),
    )


def _parting(across: pd.DataFrame) -> str:
    """What to do about copies across splits: links that make groups hold none that only codes find."""
    unknown = (across["found_by"] == "embedding").sum()
    if unknown == len(across):
        return "Remove one of each pair: found by embedding alone, a grouped split does not know these."
    todo = f"{GROUPED}, or remove one of each pair"
    if unknown:
        todo += f"; of those found by embedding alone ({unknown:,}) remove one, a grouped split does not know these"
    return f"{todo}."


def _two_labels(pairs: pd.DataFrame) -> Finding | None:
    return _of_copies(
        pairs[pairs["label"] != pairs["other_label"]],
        pairs,
        ("has", "have"),
        "two different labels.",
        name="one picture under two labels",
        serious=True,
        why="One of the two is wrong, or the picture shows both: training pulls both ways, and a score counts a right "
        "answer as wrong.",
        todo="Decide which label is right, or remove one of each pair.",
    )


def _within(pairs: pd.DataFrame, published: bool) -> Finding | None:
    return _of_copies(
        pairs[pairs["split"] == pairs["other_split"]],
        pairs,
        ("lies", "lie"),
        "in one split.",
        published,
        name="copies within a split",
        serious=False,
        why="A picture that is there twice counts twice, in training and in a score, and makes an interval too narrow.",
        todo="Remove one of each pair, if it is no more than a copy.",
    )


def _of_copies(
    some: pd.DataFrame, pairs: pd.DataFrame, verbs: tuple[str, str], rest: str, published: bool = True, **words
) -> Finding | None:
    """The finding that some of the pairs of copies do or have something; None where none does."""
    if some.empty:
        return None
    what = _under(f"{_copies(some)} {agree(len(some), *verbs)} {rest}", published)
    return Finding(count=len(some), of=len(pairs), unit="pairs", what=what, cases=_cases(some), **words)


def _under(said: str, published: bool) -> str:
    return said[0].upper() + said[1:] if published else HYPOTHETICAL + said


def _copies(pairs: pd.DataFrame) -> str:
    """ "3 pairs of near copies"; where there are both, how many of either."""
    kinds = [f"{(pairs['kind'] == kind).sum():,} {word}" for kind, word in ((COPY, "exact"), (NEAR_COPY, "near"))]
    told = [kind for kind in kinds if not kind.startswith("0 ")]
    if len(told) > 1:
        return f"{counted(len(pairs), 'pair')} of copies ({', '.join(told)})"
    return f"{counted(len(pairs), 'pair')} of {told[0].partition(' ')[2]} copies"


def _cases(pairs: pd.DataFrame) -> pd.DataFrame:
    near = "near copy, likeness " + pairs["likeness"].map("{:.2f}".format) + ", found by " + pairs["found_by"]
    return make_cases(pairs["first"], near.where(pairs["kind"] == NEAR_COPY, "exact copy"), pairs["second"])
