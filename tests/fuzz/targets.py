"""What the fuzzers feed: a target puts bytes where a file stands, reads it, and lets only a refusal in our words pass.

A target is a function of the bytes and of a folder, which `make_place` has made. It returns where the bytes were read,
and then states what must hold of them; it returns too where they were refused. Anything else it raises is a finding.
"""

import contextlib
import hashlib
import io
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from marinecv.atomic import write_json
from marinecv.choices import SPLITS
from marinecv.data.catalog import read_catalog
from marinecv.data.images import read_header
from marinecv.data.manifests import Manifest, load_manifest
from marinecv.data.splits import split_catalog
from marinecv.data.verify import verify
from marinecv.evaluation.metrics import classification_metrics
from marinecv.evaluation.predictions import make_table, read_predictions, write_predictions
from marinecv.inputs.spec import Augmentation, ImageSpec
from marinecv.runs import Run, list_runs
from marinecv.studies import Study, run_row
from marinecv.tables import write_table
from marinecv.training.model_choice import ScratchModel
from marinecv.training.recipe import DataChoice, Recipe, Training
from marinecv.workflows.folders import list_work, state

NAMES = ("crab", "eel", "=NA")
CATALOG = pd.DataFrame(
    {
        "image_id": ["train/a.jpg", "train/b.jpg", "valid/c.jpg", "test/d.jpg"],
        "path": ["/x/a.jpg", "/x/b.jpg", "/x/c.jpg", "/x/d.jpg"],
        "split": ["train", "train", "validation", "test"],
        "class_name": ["crab", "=NA", "eel", ""],
        "group": ["", "001", "", "nan"],
        "width": [64, 64, 64, 0],
        "height": [48, 48, 48, 0],
        "share": [0.75, 1.0, 1.0, np.nan],
        "problem": ["", "", "", "no box"],
    }
)
RECIPE = Recipe(
    name="tank",
    title="Tank, Größe 64",
    data=DataChoice(name="tank", limit=5),
    image=ImageSpec(height=48, width=64),
    model=ScratchModel(filters=(4, 8), kernels=(3, 3), pools=(2, 2)),
    training=Training(augmentation=Augmentation(zoom=0.1)),
    published={"validation": {"accuracy": "0.7480", "n": 127}},
)
TIMING = {"epochs": 2, "best_epoch": 1, "train_seconds": 1.5, "latency_ms_per_image": 3.0, "device": "2 CPU cores"}
TIMING |= {"seconds_per_epoch": 0.75, "parameters": 1000, "trainable_parameters": 900}
TARGETS: dict[str, Callable[[bytes, Path], None]] = {}
SEEDS: dict[str, Callable[[Path], list[bytes]]] = {}


class Finding(AssertionError):
    """What a reader must not do."""


@contextlib.contextmanager
def refusing(place: Path) -> Iterator[None]:
    """Let a plain ValueError pass that says where or what was expected; any other is in other people's words."""
    try:
        yield
    except ValueError as error:
        said = any(part in str(error) for part in (str(place), "Expected", "cannot be decoded: ", "Fetch it again"))
        if type(error) is not ValueError or not said:
            raise Finding(f"{type(error).__name__} is no refusal in our words: {error}") from error


def hold(law: bool, said: str) -> None:
    """State a law."""
    if not law:
        raise Finding(said)


def make_place(place: Path) -> Path:
    """Make what the targets read: a data set of each layout, a manifest, and a study of two finished runs."""
    lines = "train/a.jpg,64,48,crab,4,6,40,36\ntrain/b.jpg,64,48,eel,50,2,56,8\n".replace("train/", "")
    for folder in ("roboflow/train", "roboflow/valid", "listed", "yolo/train/images", "named/train/images"):
        (place / folder).mkdir(parents=True)
        for name in ("a.jpg", "b.jpg"):
            Image.new("RGB", (64, 48)).save(place / folder / name)
    header = "filename,width,height,class,xmin,ymin,xmax,ymax\n"
    for split in ("train", "valid"):
        (place / "roboflow" / split / "_annotations.csv").write_text(header + lines)
    (place / "listed" / "labels.csv").write_text("file,class\na.jpg,crab\nb.jpg,'eel'\n")
    for folder in ("yolo", "named"):
        (place / folder / "train" / "labels").mkdir()
        (place / folder / "train" / "labels" / "a.txt").write_text("0 0.5 0.5 0.25 0.25\n1 .1 .1 .2 .2\n")
        (place / folder / "data.yaml").write_text("names: ['crab', \"sea eel\"]\n")
    digests = _digests(place / "roboflow")
    (place / "tank.sha256").write_text(digests)
    (place / "tank.toml").write_text(_manifest())
    for name in ("a", "b"):
        _make_run(place / "study" / name)
    Study.create(place / "study", "s", "S", ["a", "b"]).write_table()
    return place


def _manifest() -> str:
    counts = "images = {train = 2, validation = 2}\nboxes = {train = {crab = 1, eel = 1}}\n"
    names = 'class_names = ["crab", "eel"]\n'
    return f'name = "tank"\nlayout = "roboflow"\nroot = "roboflow"\nhashes = "tank.sha256"\n{names}[expected]\n{counts}'


def _digests(root: Path) -> str:
    files = sorted(root.rglob("*.jpg"))
    return "".join(f"{hashlib.sha256(f.read_bytes()).hexdigest()}  {f.relative_to(root).as_posix()}\n" for f in files)


def _make_run(folder: Path) -> None:
    run = Run.create(folder, RECIPE.to_dict(), RECIPE.contract(NAMES), CATALOG)
    probabilities = np.array([[0.7, 0.2, 0.1], [0.2, 0.3, 0.5], [0.1, 0.1, 0.8]], np.float32)
    rows = CATALOG.iloc[:3]
    table = make_table(list(rows["image_id"]), list(rows["split"]), list(rows["class_name"]), probabilities, NAMES)
    write_predictions(table, run.path("predictions.csv"))
    metrics = {split: classification_metrics(part) for split, part in table.groupby("split", sort=False)}
    write_json(run.path("metrics.json"), metrics)
    write_json(run.path("timing.json"), TIMING)
    columns = ("loss", "accuracy", "val_loss", "val_accuracy", "learning_rate", "seconds")
    write_table(run.path("history.csv"), pd.DataFrame({"epoch": [1, 2], **{name: [0.5, 1 / 3] for name in columns}}))


def target(*names: str) -> Callable:
    """Register a target by the name of its function; its seeds are these files of a place."""

    def register(function):
        TARGETS[function.__name__] = function
        SEEDS[function.__name__] = lambda place: [(place / name).read_bytes() for name in names]
        return function

    return register


def _check_catalog(catalog: pd.DataFrame, place: Path) -> None:
    hold(catalog["image_id"].is_unique, "an image stands twice in the catalog")
    hold(((catalog["problem"] != "") | (catalog["class_name"] != "")).all(), "an image has no class and no problem")
    hold(set(catalog["split"]) <= {*SPLITS, ""}, "an unknown split")
    with refusing(place):
        split_catalog(catalog, "stratified")


def _data_set(data: bytes, file: Path, layout: str, root: Path) -> None:
    file.write_bytes(data)
    with refusing(root):
        _check_catalog(read_catalog(Manifest(name="tank", layout=layout, root=root)), root)


@target("roboflow/train/_annotations.csv")
def roboflow_csv(data: bytes, place: Path) -> None:
    """A CSV of boxes."""
    _data_set(data, place / "roboflow" / "train" / "_annotations.csv", "roboflow", place / "roboflow")


@target("listed/labels.csv")
def labels_csv(data: bytes, place: Path) -> None:
    """A CSV of labels."""
    _data_set(data, place / "listed" / "labels.csv", "labels_csv", place / "listed")


@target("yolo/train/labels/a.txt")
def yolo_label(data: bytes, place: Path) -> None:
    """A text file of boxes."""
    _data_set(data, place / "yolo" / "train" / "labels" / "a.txt", "yolo", place / "yolo")


@target("named/data.yaml")
def data_yaml(data: bytes, place: Path) -> None:
    """The names of YOLO's classes."""
    _data_set(data, place / "named" / "data.yaml", "yolo", place / "named")


@target("tank.toml")
def manifest(data: bytes, place: Path) -> None:
    """A manifest, and the comparison of the files with what it states."""
    path = place / "fuzzed.toml"
    path.write_bytes(data)
    with refusing(place):
        found = load_manifest(path)
        hold(found.name and "/" not in found.name, "a name that leads elsewhere")
        verify(replace(found, root=place / "roboflow", layout="roboflow", hashes=""))


@target("tank.sha256")
def hash_listing(data: bytes, place: Path) -> None:
    """The listing of hashes beside a manifest."""
    (place / "fuzzed.sha256").write_bytes(data)
    with refusing(place):
        verify(replace(load_manifest(place / "tank.toml"), hashes="fuzzed.sha256"))


@target("listed/a.jpg")
def image_header(data: bytes, place: Path) -> None:
    """An image file of any kind: its size, or a reason."""
    for name in ("fuzzed.jpg", "fuzzed.tif"):
        (place / name).write_bytes(data)
        width, height, problem = read_header(place / name)
        hold((width > 0 and height > 0) ^ bool(problem), f"{width}x{height} and {problem!r}")


@target("listed/a.jpg")
def image_pixels(data: bytes, place: Path) -> None:
    """An image file of any kind: its pixels."""
    from marinecv.inputs.decode import decode_with_pillow

    with refusing(place):
        hold(decode_with_pillow(data).shape[2:] == (3,), "no RGB")


def _run(data: bytes, place: Path, name: str) -> Run:
    folder = place / f"run of {name}"
    if not folder.is_dir():
        shutil.copytree(place / "study" / "a", folder)
    (folder / name).write_bytes(data)
    return Run(folder)


@target("study/a/recipe.json")
def recipe_json(data: bytes, place: Path) -> None:
    """The recipe of a run."""
    run = _run(data, place, "recipe.json")
    with refusing(place):
        recipe = Recipe.of(run)
        hold(Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe, "the recipe comes back another")


@target("study/a/contract.json")
def contract_json(data: bytes, place: Path) -> None:
    """The contract of a run."""
    run = _run(data, place, "contract.json")
    with refusing(place):
        names = run.class_names
        hold(len(set(names)) == len(names) >= 2 and all(names), f"class names {names}")
    with refusing(place):
        hold(ImageSpec(**asdict(run.spec)).height <= 4096, "a size that no machine holds")
    with refusing(place):
        hold(run.demonstration in (True, False), "neither drawn nor real")


@target("study/a/metrics.json")
def metrics_json(data: bytes, place: Path) -> None:
    """The figures of a run."""
    run = _run(data, place, "metrics.json")
    with refusing(place):
        hold(0 <= run_row(run)["validation_accuracy"] <= 1, "no accuracy")
    hold(state(run.folder, "run").startswith(("validation accuracy", "broken: ")), "no state")


@target("study/a/timing.json")
def timing_json(data: bytes, place: Path) -> None:
    """What a run cost."""
    run = _run(data, place, "timing.json")
    with refusing(place):
        hold(all(np.isfinite(value) for value in run_row(run).values()), "a cost that is no number")


@target("study/a/catalog.csv")
def catalog_csv(data: bytes, place: Path) -> None:
    """The catalog of a run."""
    run = _run(data, place, "catalog.csv")
    with refusing(place):
        catalog = run.catalog
        hold(catalog["image_id"].is_unique and not catalog["width"].lt(0).any(), "no catalog")
        write_table(place / "again.csv", catalog)
        (run.path("catalog.csv")).write_bytes((place / "again.csv").read_bytes())
        pd.testing.assert_frame_equal(run.catalog, catalog)


@target("study/a/history.csv")
def history_csv(data: bytes, place: Path) -> None:
    """The history of a run."""
    run = _run(data, place, "history.csv")
    with refusing(place):
        history = run.history
        hold(history["epoch"].tolist() == list(range(1, len(history) + 1)), "an epoch is missing")
        hold(all(kind.kind in "if" for kind in history.dtypes), "no numbers")


@target("study/a/predictions.csv")
def predictions_csv(data: bytes, place: Path) -> None:
    """The predictions of a run: refused, or they say the same when written again, and the figures are theirs."""
    path = place / "fuzzed.csv"
    path.write_bytes(data)
    with refusing(place):
        table = read_predictions(path)
        write_predictions(table, path)
        pd.testing.assert_frame_equal(read_predictions(path), table)
        figures = classification_metrics(table)
        labelled = table[table["true_class"] != ""]
        right = int((labelled["true_class"] == labelled["predicted_class"]).sum())
        hold(figures["accuracy"]["value"] == right / len(labelled), "an accuracy of other rows")


@target("study/study.json")
def study_json(data: bytes, place: Path) -> None:
    """The description of a study."""
    folder = place / "fuzzed study"
    if not folder.is_dir():
        shutil.copytree(place / "study", folder)
    (folder / "study.json").write_bytes(data)
    with refusing(place):
        study = Study(folder)
        for cell in study.cells:
            hold(study.cell_folder(cell).resolve().is_relative_to(folder.resolve()), "a cell outside its study")
        hold(study.write_table()["best"].sum() == 1, "no best row")


@target("study/table.csv")
def table_csv(data: bytes, place: Path) -> None:
    """The table of a study."""
    folder = place / "fuzzed table"
    if not folder.is_dir():
        shutil.copytree(place / "study", folder)
    (folder / "table.csv").write_bytes(data)
    with refusing(place):
        table = Study(folder).table
        hold(table["best"].sum() <= 1 and set(table["name"]) <= {"a", "b"}, "no table of this study")


@target("study/a/metrics.json", "study/a/recipe.json", "study/a/history.csv", "study/study.json")
def list_of_runs(data: bytes, place: Path) -> None:
    """`marinecv runs` with one broken file: the run or the study is a line, and hides no other."""
    folder = place / "all runs"
    if not folder.is_dir():
        shutil.copytree(place / "study", folder / "study")
        shutil.copytree(place / "study" / "b", folder / "unfinished")
        (folder / "unfinished" / "metrics.json").unlink()
    for name in ("study/a/metrics.json", "unfinished/history.csv", "study/study.json"):
        (folder / name).write_bytes(data)
    listed = {Path(name) for name in list_work(folder)["folder"]}
    hold({run.folder for run in list_runs(folder)} <= listed, "a run is hidden")


@target()
def checkpoint_npz(data: bytes, place: Path) -> None:
    """A checkpoint."""
    from marinecv.training.checkpoint import read_checkpoint

    path = place / "checkpoint.npz"
    path.write_bytes(data)
    with refusing(place):
        state, arrays = read_checkpoint(path)
        hold(state.epochs_done >= 1 and {"model", "optimizer"} <= set(arrays), "no checkpoint")


def _checkpoint_seeds(place: Path) -> list[bytes]:
    state = {"epochs_done": 2, "first": 1, "learning_rate": 0.1, "stage": "all", "stopped": False, "mode": "min"}
    state |= {"identity": {"optimizer.learning_rate": 0.1}, "history": [{"epoch": 2, "loss": 0.5}]}
    whole, packed = io.BytesIO(), io.BytesIO()
    arrays = {"model/0000": np.ones(2, np.float32), "optimizer/0000": np.int64(3)}
    np.savez(whole, state=np.array(json.dumps(state)), **arrays)
    np.savez_compressed(packed, state=np.array(json.dumps(state)), **arrays)
    return [whole.getvalue(), packed.getvalue()]


def _image_seeds(place: Path) -> list[bytes]:
    """A tiny image of each format, one with an orientation."""
    seeds = []
    exif = Image.Exif()
    exif[0x0112] = 6
    for kind in ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF"):
        buffer = io.BytesIO()
        Image.new("RGB", (5, 3), (200, 60, 40)).save(buffer, kind, **({"exif": exif} if kind != "BMP" else {}))
        seeds.append(buffer.getvalue())
    return seeds


SEEDS["checkpoint_npz"] = _checkpoint_seeds
SEEDS["image_header"] = SEEDS["image_pixels"] = _image_seeds
