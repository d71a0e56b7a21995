"""What is wrong with a command line, as far as it can be told within a second and before TensorFlow is imported."""

import argparse
import os
from pathlib import Path

from marinecv.choices import WEIGHTS
from marinecv.data.layouts import printable
from marinecv.data.manifests import load_manifest, manifest_of_folder
from marinecv.data.store import store_home
from marinecv.recipes.aquarium import PRETRAINED
from marinecv.recipes.butterflies import FAMILY
from marinecv.recipes.registry import recipe_for, recipe_named
from marinecv.runs import check_fresh
from marinecv.schema import no_such
from marinecv.search.folder import Search
from marinecv.studies import CURVE, REPRODUCTION, Study, resumable
from marinecv.training.settings import with_changes
from marinecv.workflows.sources import Source, read_early, source_of

from .opened import source
from .options import changes, refuse_beside, say

TRAINING = ("train", "pretrain", "finetune", "autoencode", "learning-curve", "search")
FOLDERS = ("run", "runs", "resume", "encoder")  # of runs, studies and searches
READING = ("class_level", "merge_case", "label_rule", "no_box")  # how folders are read
RESUMABLE = {"learning-curve": Study, "recipes": Study, "search": Search}
MARKS = {"learning-curve": ("curve", CURVE, "learning-curve"), "recipes": ("replay", REPRODUCTION, "recipes replay")}


def check(command: str, args: argparse.Namespace) -> None:
    """Raise ValueError for a wrong path or name, or for images to train nothing on, which stay as `args.source`."""
    asked = {name: value for name, value in vars(args).items() if value is not None}
    if "resume" in asked and command in TRAINING:
        refuse_beside(args, "resume")
    elif "resume" in asked and command == "recipes":
        refuse_beside(args, "resume", tuple({*vars(args)} - {"verb", "report", "seeds"}))
    _check_place(store_home(), "MARINECV_HOME")
    for name, value in asked.items():
        for path in value if isinstance(value, list) else [value]:
            if isinstance(path, Path):
                _check_path(name, path)
    if "output_dir" in asked and command != "data" and "distribute" not in asked:
        check_fresh(args.output_dir)
    _check_names(command, asked)
    if "resume" in asked:
        RESUMABLE.get(command, resumable)(args.resume)
        kind, file, maker = MARKS.get(command, ("", "", ""))
        if not (args.resume / file).exists():
            raise ValueError(f"{args.resume} is no {kind}: it has no {file}. Expected a folder of `{maker}`.")
    elif command in TRAINING and {"data_dir", "images"} & {*asked} and "distribute" not in asked:
        args.source = _read_source(args)


def _check_path(name: str, path: Path) -> None:
    absolute = path.absolute()
    if printable(absolute) != str(absolute) and name not in ("paths", "images"):  # where it is a row with a reason
        raise ValueError(f"The path {printable(absolute)} is not UTF-8. Rename the folder.")
    if name in FOLDERS and not path.is_dir():
        raise ValueError(f"There is no folder {path}. `marinecv runs` lists runs, studies and searches.")
    if name == "data_dir" and not os.path.exists(os.path.expanduser(path)):
        manifest_of_folder(path)  # says what was expected
    if name == "output_dir":
        _check_place(absolute, "--output-dir")


def _check_place(path: Path, option: str) -> None:
    place = next(above for above in (path, *path.parents) if above.exists())
    if not place.is_dir():
        raise ValueError(f"{option} is {path}, and {place} is a file. Name another folder with {option}.")


def _check_names(command: str, asked: dict) -> None:
    recipes, backbones = asked.get("recipe", []), {recipe.model.backbone: None for recipe in PRETRAINED.values()}
    if "data" in asked:
        load_manifest(asked["data"])
    for name in [recipes] if isinstance(recipes, str) else recipes:
        if name != FAMILY:
            recipe_named(name, command)
    for name in asked.get("backbone", []):
        if name not in backbones:
            raise ValueError(no_such("backbone", name, backbones))
    weights, split_by = asked.get("weights", "none"), asked.get("split_by", "")
    if weights not in WEIGHTS and not Path(weights).is_file():
        raise ValueError(f"There is no weights file {weights}. Expected imagenet, none, or a file without top (.h5).")
    if split_by.endswith(".csv") and not Path(split_by).is_file():
        raise ValueError(f"There is no split file {split_by}. Expected a CSV with image_id and split.")


def _read_source(args: argparse.Namespace) -> Source:
    asked = {name.rpartition(".")[2]: value for name, value in changes(args).items()}
    asked = {f"data.{name}": asked[name] for name in READING if name in asked}
    choice = with_changes(recipe_for(None), asked).data
    found = source_of(args.images, choice, say) if "images" in args else source(args, choice)
    return read_early(found.manifest, choice, say)
