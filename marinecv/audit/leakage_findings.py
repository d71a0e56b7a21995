"""Train-test leakage: related images across splits, and how much of a score a nearest neighbor owes to them."""

from dataclasses import replace

import numpy as np
import pandas as pd
from sklearn.neighbors import KNeighborsClassifier

from marinecv.audit import findings
from marinecv.audit.findings import HYPOTHETICAL, Finding, make_cases, make_finding
from marinecv.audit.thumbnails import tiny_pixels
from marinecv.choices import SPLITS
from marinecv.data.groups import COPY, NEAR_COPY, NEIGHBOR, group_catalog, related_in_train
from marinecv.data.splits.split_catalog import kfold
from marinecv.data.user_tables import as_catalog, usable
from marinecv.language import tr

FOLDS = 5
MAX_PREDICTED_IMAGES = 5000  # images predicted; more would take minutes and change little
AS_SPLIT, RELATED_APART = "as split", "related images apart"
VOTE_COLUMNS = ["protocol", "image_id", "split", "group", "true_class", "predicted_class"]
MIN_LEAKAGE = 0.05  # of accuracy, from which leakage is serious


def nearest_neighbor_baseline(rows: pd.DataFrame, thumbs: np.ndarray, seed: int = 0) -> pd.DataFrame:
    """Predict each image by the nearest-neighbor baseline: the class of the most similar 16x16 thumbnail.

    Args:
        rows: the usable rows of a catalog, each with a `group`.
        thumbs: of the same rows, those of `load_thumbs`, or float `(n, values)`.
        seed: of the folds, and of the 5,000 images that are predicted of a larger split.
    Returns:
        DataFrame `VOTE_COLUMNS`: `protocol` is `as split` (validation and test from train) or `related images apart`
        (each in grouped 5-fold cross-validation). A prediction without train images has no row.
    """
    thumbs = tiny_pixels(thumbs) if thumbs.ndim == 4 else thumbs
    rows = as_catalog(rows).reset_index(drop=True)
    classes, rng, votes = rows["class_name"].to_numpy(), np.random.default_rng(seed), []

    def predict(train, judged, vote):
        if train.any() and judged.any():
            index = np.sort(rng.permutation(np.flatnonzero(judged))[:MAX_PREDICTED_IMAGES])
            model = KNeighborsClassifier(1, algorithm="brute").fit(thumbs[train], classes[train])
            predicted = {"true_class": classes[index], "predicted_class": model.predict(thumbs[index])}
            votes.append(rows.loc[index, ["image_id", "split", "group"]].assign(protocol=vote, **predicted))

    split = rows["split"].to_numpy()
    for name in SPLITS[1:]:
        predict(split == "train", split == name, AS_SPLIT)
    folds = min(FOLDS, rows["group"].nunique())
    for fold in kfold(rows, folds, seed, "grouped") if folds > 1 else []:
        split = fold.set_index("image_id")["split"].reindex(rows["image_id"]).to_numpy()
        predict(split == "train", split == "validation", RELATED_APART)
    return pd.concat(votes, ignore_index=True)[VOTE_COLUMNS] if votes else pd.DataFrame(columns=VOTE_COLUMNS, dtype=str)


def pairs_across_splits(catalog: pd.DataFrame, pairs: pd.DataFrame, thumbs: np.ndarray) -> pd.DataFrame:
    """Return `related_in_train` with `mean_abs_difference` (gray levels a pixel of `tiny_pixels`), the least first."""
    crossing = related_in_train(catalog, pairs)
    index = pd.Index(usable(catalog)["image_id"])
    first, second = (thumbs[index.get_indexer(crossing[side])] for side in ("image_id", "related_image"))
    crossing = crossing.assign(mean_abs_difference=np.abs(first - second).mean(axis=1))
    return crossing.sort_values(["mean_abs_difference", "image_id"], ignore_index=True)


def leakage_findings(
    catalog: pd.DataFrame,
    pairs: pd.DataFrame,
    crossing: pd.DataFrame,
    votes: pd.DataFrame,
    leak: dict,
    published: bool = True,
) -> list[Finding]:
    """Find train-test leakage and duplicates; `crossing`, `votes` and `leak` are of the split of the catalog.

    `published` is False for a random split that the audit made itself: then only two labels of one picture are serious.
    """
    findings_of_split = _baseline_finding(votes, leak, crossing) + _frame_finding(usable(catalog), crossing)
    findings_of_split += _copy_findings(_pairs_of_copies(catalog, pairs))
    if published:
        return findings_of_split
    texts = [tr(HYPOTHETICAL) + each.what[0].lower() + each.what[1:] for each in findings_of_split]
    return [
        each if each.name == findings.TWO_LABELS else replace(each, serious=False, what=what)
        for each, what in zip(findings_of_split, texts, strict=True)
    ]


def _pairs_of_copies(catalog: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """Return each pair once, the most similar first, with the splits and labels of both.

    Exact copies are chained: two that are paired through a third were found as near-duplicates, and are exact too.
    """
    rows = usable(catalog).set_index("image_id")
    copies = pairs[pairs["image_a"].isin(rows.index) & pairs["image_b"].isin(rows.index)]
    exact = group_catalog(catalog.assign(group=""), copies[copies["kind"] == COPY]).set_index("image_id")["group"]
    copies = copies[copies["kind"].isin([COPY, NEAR_COPY])]
    same = copies["image_a"].map(exact) == copies["image_b"].map(exact)
    copies = copies.assign(kind=copies["kind"].mask(same, COPY))
    copies = copies.sort_values(["kind", "similarity"], ascending=[True, False]).drop_duplicates(["image_a", "image_b"])
    first, second = rows.loc[copies["image_a"]], rows.loc[copies["image_b"]]
    labels = {"label": first["class_name"].to_numpy(), "other_label": second["class_name"].to_numpy()}
    return copies.assign(split=first["split"].to_numpy(), other_split=second["split"].to_numpy(), **labels)


def _baseline_finding(votes: pd.DataFrame, leak: dict, crossing: pd.DataFrame) -> list[Finding]:
    """Make the finding of the nearest-neighbor baseline if its loss without related images is above chance."""
    if not (leak["low"] > 0 and leak["difference"] >= MIN_LEAKAGE):
        return []
    votes = votes.assign(right=votes["true_class"] == votes["predicted_class"])
    first, second = (votes[votes["protocol"] == vote].set_index("image_id") for vote in (AS_SPLIT, RELATED_APART))
    both = first.join(second[["right", "predicted_class"]].add_suffix("_apart"), how="inner")
    judged = tr(" and ").join(tr(split) for split in SPLITS if split in set(both["split"]))
    majority = both["true_class"].value_counts(normalize=True).iloc[0]
    points = {name: 100 * leak[name] for name in ("difference", "low", "high")}
    text = (
        "A nearest-neighbor baseline (16x16 thumbnails, nothing learned) classifies {right:.1%} of the {n:,} {judged} "
        "images correctly; with related images kept apart {apart:.1%} of the same images (the most frequent class "
        "alone: {majority:.0%}). So about {difference:.0f} points of that score come from related images (95% CI "
        "{low:.0f} to {high:.0f}). A network's may be fewer or more: evaluate with folds=5 measures it."
    )
    values = {"right": both["right"].mean(), "apart": both["right_apart"].mean(), "majority": majority}
    what = tr(text, **values, **points, n=len(both), judged=judged)
    lost = both[both["right"] & ~both["right_apart"]]
    lost = lost.loc[lost.index.to_series().isin(crossing["image_id"]).sort_values(ascending=False, kind="stable").index]
    text = "predicted as {name} without its related images"
    notes = [tr(text, name=name) for name in lost["predicted_class_apart"]]
    cases = make_cases(lost.index.to_series(), notes)
    count = int(both["right"].sum() - both["right_apart"].sum())
    return [make_finding(findings.LEAKAGE, count, len(both), "images", what, cases)]


def _frame_finding(rows: pd.DataFrame, crossing: pd.DataFrame) -> list[Finding]:
    pairs = crossing[crossing["kind"] == NEIGHBOR].drop_duplicates("image_id")
    if pairs.empty:
        return []
    counts, judged = pairs["split"].value_counts(), rows["split"].value_counts()
    text = "{n:,} of {total:,} {split} images"
    splits = [split for split in SPLITS[1:] if split in counts]
    parts = [tr(text, n=counts[split], total=judged[split], split=tr(split)) for split in splits]
    what = tr("{images} were taken right before or after a train image.", images=tr(" and ").join(parts))
    notes = [tr("{n:.0f} of 255 gray levels apart", n=levels) for levels in pairs["mean_abs_difference"]]
    cases, total = make_cases(pairs["image_id"], notes, pairs["related_image"]), judged.reindex(list(SPLITS[1:])).sum()
    return [make_finding(findings.FRAMES, len(pairs), int(total), "images", what, cases)]


def _copy_findings(pairs: pd.DataFrame) -> list[Finding]:
    """Make the findings about pairs of copies, a pair under the first that fits: two labels, two splits, one split."""
    split, other = pairs["split"], pairs["other_split"]
    pairs, is_left, found = pairs.assign(exact=pairs["kind"] == COPY), pd.Series(True, pairs.index), []
    kinds = {
        findings.TWO_LABELS: (pairs["label"] != pairs["other_label"], tr("with two different labels")),
        findings.ACROSS: ((split != other) & (split != "") & (other != ""), tr("in different splits")),
        findings.WITHIN: (split == other, tr("in one split")),
    }
    for name, (is_of_kind, where) in kinds.items():
        rows, is_left = pairs[is_of_kind & is_left], is_left & ~is_of_kind
        if len(rows):
            exact, text = rows["exact"].sum(), "{n:,} pairs of copies ({exact:,} exact, {near:,} near) {where}."
            text = "1 pair of copies ({exact:,} exact, {near:,} near) {where}." if len(rows) == 1 else text
            what = tr(text, n=len(rows), exact=exact, near=len(rows) - exact, where=where)
            text = "near-duplicate, similarity {similarity:.2f}, method {method}"
            notes = [
                tr("exact copy") if row.exact else tr(text, similarity=row.similarity, method=tr(row.method))
                for row in rows.itertuples()
            ]
            cases = make_cases(rows["image_a"], notes, rows["image_b"])
            found.append(make_finding(name, len(rows), len(pairs), "pairs", what, cases))
    return found
