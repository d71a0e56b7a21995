"""Checks of a command line that take less than a second, before TensorFlow is imported."""

import argparse
import os
from pathlib import Path

from marinecv import choices
from marinecv.data.cache_dir import cache_home
from marinecv.data.crops import MIN_CONFIDENCE
from marinecv.data.formats import printable
from marinecv.data.manifests import load_manifest, manifest_of_folder
from marinecv.experiments import CURVE, REPRODUCTION, Experiment, resumable
from marinecv.models.backbone_table import backbone_entry, backbone_path
from marinecv.recipes.butterflies import FAMILY
from marinecv.recipes.registry import recipe_for, recipe_named
from marinecv.runs import check_fresh
from marinecv.search.folder import Search
from marinecv.training.settings import with_changes
from marinecv.workflows.sources import check_weights_file, read_catalog_early, source_of

from .opened import source
from .options import changes, print_line, refuse_with

TRAINING = ("train", "pretrain", "finetune", "autoencode", "learning-curve", "search")
FOLDERS = ("run", "runs", "resume", "encoder")  # of runs, experiments and searches
FILES = ("import", "answers", "deployments", "project", "file")  # that a command reads, perhaps after minutes
READING = (*choices.READING, "label_rule", "images_without_boxes")
RESUMABLE = {  # command -> how its folder is opened, what it is, its file and the command that makes it
    "learning-curve": (Experiment, "curve", CURVE, "learning-curve"),
    "recipes": (Experiment, "reproduction", REPRODUCTION, "recipes reproduce"),
    "search": (Search, "search", "search.json", "search"),
}


def check(command: str, args: argparse.Namespace) -> None:
    """Raise ValueError for a wrong path, name or folder of images; images that are read stay as `args.source`."""
    given = {name: value for name, value in vars(args).items() if value is not None}
    resumed, is_training = given.get("resume"), command in TRAINING
    if resumed and is_training:
        refuse_with(args, "resume")
    elif resumed:
        refuse_with(args, "resume", tuple({*vars(args)} - {"verb", "report", "seeds"}))
    elif vars(args).get("accept_changes") and "resume" in vars(args):
        raise ValueError("--accept-changes is for the images of a run. Add --resume RUN, or leave it out.")
    if given.get("min_confidence", MIN_CONFIDENCE) != MIN_CONFIDENCE and "boxes" not in given:
        raise ValueError("--min-confidence is of the detections that --boxes names. Add --boxes FILE, or leave it out.")
    _check_parent(cache_home(), "MARINECV_HOME")
    for name, value in given.items():
        for path in value if isinstance(value, list) else [value]:
            if isinstance(path, Path):
                _check_path(name, path)
    if "output_dir" in given and command not in ("data", "review", "estimate") and "distribute" not in given:
        check_fresh(args.output_dir)
    _check_names(command, given)
    if resumed:
        opens, kind, file, maker = RESUMABLE.get(command, (resumable, "", "", ""))
        opens(resumed)
        if not (resumed / file).exists():
            raise ValueError(f"{resumed} is no {kind}: it has no {file}. Expected a folder of `{maker}`.")
    elif is_training and {"data_dir", "images"} & {*given} and "distribute" not in given:
        settings = {name.rpartition(".")[2]: value for name, value in changes(args).items()}
        settings = {f"data.{name}": settings[name] for name in READING if name in settings}
        choice = with_changes(recipe_for(None), settings).data
        images = source_of(args.images, choice, print_line) if "images" in given else source(args, choice)
        args.source = read_catalog_early(images.manifest, choice, print_line)


def _check_path(name: str, path: Path) -> None:
    absolute = path.absolute()
    if printable(absolute) != str(absolute) and name not in ("paths", "images"):  # those are rows with a problem
        raise ValueError(f"The path {printable(absolute)} is not UTF-8. Rename the folder.")
    if name in FOLDERS and not path.is_dir():
        raise ValueError(f"There is no folder {path}. `marinecv runs` lists runs, experiments and searches.")
    if name in FILES and not path.is_file():
        raise ValueError(f"There is no file {path} ({name}). Correct its name.")
    if name == "data_dir" and not os.path.exists(os.path.expanduser(path)):
        manifest_of_folder(path)  # raises and says what was expected
    if name == "output_dir":
        _check_parent(absolute, "--output-dir")


def _check_parent(path: Path, option: str) -> None:
    parent = next(above for above in (path, *path.parents) if above.exists())
    if not parent.is_dir():
        raise ValueError(f"{option} is {path}, and {parent} is a file. Name another folder with {option}.")


def _check_names(command: str, given: dict) -> None:
    recipes = given.get("recipe", [])
    if "data" in given:
        load_manifest(given["data"])
    for name in [recipes] if isinstance(recipes, str) else recipes:
        if name != FAMILY:
            recipe_named(name, command)
    backbones = given.get("backbone", [])
    for name in backbones if backbones != ["list"] else ():
        backbone_path(name) or backbone_entry(name)
    check_weights_file(given.get("weights", "none"))
    if not Path(given.get("boxes", __file__)).is_file():
        raise ValueError(f"There is no file of detections {given['boxes']}. Expected a JSON file of MegaDetector.")
    split_by = given.get("split_by", "")
    if split_by.endswith(".csv") and not Path(split_by).is_file():
        raise ValueError(f"There is no split file {split_by}. Expected a CSV with image_id and split.")
