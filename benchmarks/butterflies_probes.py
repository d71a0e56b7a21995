"""Linear probes of an encoder at every fraction of the labels, on the images and labels of the learning curve.

    python benchmarks/butterflies_probes.py --encoders runs/unet runs/unet-without-skips       runs of `autoencode`

Each image is embedded once by `encoder.keras`. For each fraction and seed the train images with a label are those of
`learning-curve`; a logistic regression on their embeddings, its penalty chosen by cross-validation in them, is scored
on validation and test (see `marinecv.evaluation.linear_probe`). It says how accurate the frozen encoder is where
the head is trained to the end, beside classifier B1. Writes results/butterflies_probes.csv: a row a seed with its 95%
interval over images, and one of all seeds: mean, smallest and largest. Some 20 seconds a probe with all labels.
"""

import argparse
from pathlib import Path

import pandas as pd
from machine import command, machine

import marinecv as mcv
from marinecv.choices import LABEL_FRACTIONS
from marinecv.data.splits.label_fractions import keep_labels
from marinecv.data.user_tables import usable
from marinecv.environment import commit
from marinecv.evaluation.linear_probe import linear_probe
from marinecv.features.embeddings import embed
from marinecv.files.csv_tables import write_table
from marinecv.inputs.pixel_cache import load_pixels
from marinecv.models.safe_load import load_model
from marinecv.training.recipe import Recipe

RESULTS = Path(__file__).resolve().parents[1] / "results" / "butterflies_probes.csv"


def main() -> None:
    """Embed the images, fit the probes and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoders", nargs="+", type=Path, required=True, metavar="RUN")
    parser.add_argument("--label-fractions", nargs="+", type=float, default=[*LABEL_FRACTIONS])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=RESULTS)
    args = parser.parse_args()
    rows = []
    for run in map(mcv.Run, args.encoders):
        recipe = Recipe.of(run)
        catalog = mcv.split_catalog(mcv.read_catalog(mcv.find_data(recipe.data.name)))
        pixels, catalog = load_pixels(catalog, recipe.image)
        embeddings = embed(load_model(run.path("encoder.keras")), catalog, recipe.image, pixels)
        place = pd.Series(range(len(embeddings)), index=usable(catalog)["image_id"])
        for fraction in args.label_fractions:
            of_seeds = []
            for seed in range(args.seeds):
                labeled = usable(keep_labels(catalog, fraction, seed))
                labeled = labeled[labeled["split"] != ""].reset_index(drop=True)
                scores = linear_probe(labeled, embeddings[place[labeled["image_id"]]], seed)
                about = {"recipe": recipe.name, "recipe_hash": recipe.base_hash or "", "label_fraction": fraction}
                about |= {"image_size": recipe.image.height}
                about |= {"n_train": int((labeled["split"] == "train").sum()), "seed": str(seed)}
                of_seeds += [
                    {**about, "split": row.split, "accuracy": row.value, "low": row.low, "high": row.high, "n": row.n}
                    for row in scores.itertuples()
                ]
                print(*of_seeds[-2:], sep="\n")
            rows += [*of_seeds, *of_all_seeds(pd.DataFrame(of_seeds))]
    write_table(args.output, pd.DataFrame(rows).assign(command=command(), commit=commit(), machine=machine()))


def of_all_seeds(table: pd.DataFrame) -> list[dict]:
    """Return the mean of each split over seeds, between the smallest and the largest."""
    return [
        {**part.iloc[0], "seed": "all", "accuracy": of.mean(), "low": of.min(), "high": of.max()}
        for part, of in ((part, part["accuracy"]) for _, part in table.groupby("split", sort=False))
    ]


if __name__ == "__main__":
    main()
