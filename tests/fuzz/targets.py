"""Targets of the fuzzers: one writes bytes where a file is, reads it, and passes where that is right or refused.

A target takes the bytes and a folder that `make_place` has made. It returns where the bytes were read and what must
hold of them holds, or where a ValueError with our message refused them. Anything else that it raises is a finding.
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

from marinecv.choices import SPLITS
from marinecv.data.catalog import CATALOG_COLUMNS, read_catalog
from marinecv.data.download.fetch import verify
from marinecv.data.images import read_header
from marinecv.data.manifests import Manifest, load_manifest
from marinecv.data.splits.split_catalog import split_catalog
from marinecv.evaluation.metrics import classification_metrics
from marinecv.evaluation.predictions import make_table, read_predictions, write_predictions
from marinecv.experiments import Experiment, run_row
from marinecv.files.atomic import write_json
from marinecv.files.csv_tables import write_table
from marinecv.inputs.decode import decode_with_pillow
from marinecv.inputs.spec import Augmentation, ImageSpec
from marinecv.runs import Run, list_runs
from marinecv.training.checkpoint import read_checkpoint
from marinecv.training.model_config import ScratchModel
from marinecv.training.recipe import DataConfig, Recipe, Training
from marinecv.workflows.folders import list_work, progress_text

NAMES = ("crab", "eel", "=NA")
ROWS = [
    ("train/a.jpg", "/x/a.jpg", "train", "crab", "", 64, 48, 0.75, ""),
    ("train/b.jpg", "/x/b.jpg", "train", "=NA", "001", 64, 48, 1.0, ""),
    ("valid/c.jpg", "/x/c.jpg", "validation", "eel", "", 64, 48, 1.0, ""),
    ("test/d.jpg", "/x/d.jpg", "test", "", "nan", 0, 0, np.nan, "no box"),
]
CATALOG = pd.DataFrame(ROWS, columns=CATALOG_COLUMNS)
RECIPE = Recipe(
    name="tank",
    title="Tank, Größe 64",
    data=DataConfig(name="tank", limit=5),
    image=ImageSpec(height=48, width=64),
    model=ScratchModel(filters=(4, 8), kernels=(3, 3), pools=(2, 2)),
    training=Training(augmentation=Augmentation(zoom=0.1)),
    published={"validation": {"accuracy": "0.7480", "n": 127}},
)
TIMING = {"epochs": 2, "best_epoch": 1, "train_seconds": 1.5, "latency_ms_per_image": 3.0, "device": "2 CPU cores"}
TIMING |= {"seconds_per_epoch": 0.75, "parameters": 1000, "trainable_parameters": 900}
MANIFEST = """name = "tank"\nlayout = "roboflow"\nroot = "roboflow"\nhashes = "tank.sha256"
class_names = ["crab", "eel"]\n[expected]
images = {train = 2, validation = 2}\nboxes = {train = {crab = 1, eel = 1}}\n"""
BOXES = "filename,width,height,class,xmin,ymin,xmax,ymax\na.jpg,64,48,crab,4,6,40,36\nb.jpg,64,48,eel,50,2,56,8\n"
VALUE = '{"x": 1, "y": 2, "width": 3, "height": 4, "rotation": 5, "rectanglelabels": ["crab"]}'
RESULT = f'[{{"type": "rectanglelabels", "id": "r", "original_width": 64, "original_height": 48, "value": {VALUE}}}]'
COCO = """{"images": [{"id": 1, "file_name": "a.jpg", "width": 64, "height": 48, "location": "L1"},
{"id": "2", "file_name": "b.jpg", "datetime": "2024-02-03 21:14:09", "seq_id": "s"}],
"categories": [{"id": 3, "name": "crab"}, {"id": 0, "name": "empty"}],
"annotations": [{"image_id": 1, "category_id": 3, "bbox": [4, 6, 30, 30.5], "iscrowd": 0},
{"image_id": "2", "category_id": 0, "sequence_level_annotation": true}]}"""
DETECTIONS = """{"info": {"format_version": "1.6", "detector_metadata": {"typical_detection_threshold": 0.3}},
"detection_categories": {"1": "animal", "2": "person"}, "classification_categories": {"0": "crab"},
"images": [{"file": "a.jpg", "detections": [{"category": "1", "conf": 0.9, "bbox": [0.1, 0.2, 0.3, 0.4],
"classifications": [["0", 0.8]]}]}, {"file": "x\\\\b.jpg", "detections": null, "failure": "unreadable"}]}"""
PACKAGE = """{"profile": "https://raw.githubusercontent.com/tdwg/camtrap-dp/1.0.2/camtrap-dp-profile.json",
"resources": [{"name": "deployments", "path": "deployments.csv"}, {"name": "media", "path": ["media.csv"]},
{"name": "observations", "path": "observations.csv"}]}"""
MEDIA = """mediaID,deploymentID,timestamp,filePath,fileName,fileMediatype
m1,d1,2025-04-02T05:11:07+02:00,a.jpg,a.jpg,image/jpeg\nm2,d1,2025-04-02T05:12:07+02:00,b.jpg,b.jpg,image/jpeg\n"""
COLUMNS = "mediaID,deploymentID,eventID,eventStart,eventEnd,observationType,scientificName,bboxX,bboxY,"
OBSERVATIONS = f"""{COLUMNS}bboxWidth,bboxHeight
m1,d1,e1,,,animal,crab,0.1,0.2,"0,3",0.4\n,d1,e2,2025-04-02T05:12:00+02:00,2025-04-02T05:13:00+02:00,animal,eel,,,,\n"""
CAMTRAP = {"datapackage.json": PACKAGE, "media.csv": MEDIA, "observations.csv": OBSERVATIONS}
CAMTRAP["deployments.csv"] = "deploymentID,locationID\nd1,river\n"
BESIDE_IMAGES = {  # (folder, file) -> text
    ("coco", "coco.json"): COCO,
    ("detections", "md.json"): DETECTIONS,
    **{(f"package of {changed}", file): text for changed in CAMTRAP for file, text in CAMTRAP.items()},
    ("one_class", "_classes.csv"): "filename, crab, eel\na.jpg, 1, 0\nb.jpg, 0, 1\n",
    ("voc", "a.xml"): (
        "<annotation><filename>a.jpg</filename><size><width>64</width><height>48</height></size><object><name>crab</name>"
        "<bndbox><xmin>4</xmin><ymin>6</ymin><xmax>40</xmax><ymax>36</ymax></bndbox></object></annotation>"
    ),
    ("cvat", "annotations.xml"): (
        '<annotations><image id="0" name="a.jpg" width="64" height="48" subset="train"><tag label="crab"/><polygon '
        'label="crab" points="1,2;3,4"/><box label="crab" xtl="4" ytl="6" xbr="40" ybr="36" rotation="9"/></image>'
        '<image id="1" name="b.jpg"><mask label="crab" left="1" top="2" width="3" height="4"/></image></annotations>'
    ),
    ("tasks", "tasks.json"): f'[{{"data": {{"image": "a.jpg"}}, "annotations": [{{"result": {RESULT}}}]}}]',
}
Target = Callable[[bytes, Path], None]
TARGETS: dict[str, Target] = {}
SEEDS: dict[str, Callable[[Path], list[bytes]]] = {}


class Finding(AssertionError):
    """What a reader must not do."""


@contextlib.contextmanager
def refusing(place: Path) -> Iterator[None]:
    """Let a plain ValueError pass that names the place or what was expected; any other is not our message."""
    try:
        yield
    except ValueError as error:
        said = any(part in str(error) for part in (str(place), "Expected", "cannot be decoded: ", "Fetch it again"))
        if type(error) is not ValueError or not said:
            raise Finding(f"{type(error).__name__} is no refusal in our words: {error}") from error


def require(law: bool, said: str) -> None:
    if not law:
        raise Finding(said)


def make_place(place: Path) -> Path:
    """Make what the targets read: a data set of each layout, a manifest, and an experiment of two finished runs."""
    for folder in ("roboflow/train", "roboflow/valid", "listed", "yolo/train/images", "named/train/images"):
        (place / folder).mkdir(parents=True)
        for name in ("a.jpg", "b.jpg"):
            Image.new("RGB", (64, 48)).save(place / folder / name)
    for split in ("train", "valid"):
        (place / "roboflow" / split / "_annotations.csv").write_text(BOXES)
    (place / "listed" / "labels.csv").write_text("file,class\na.jpg,crab\nb.jpg,'eel'\n")
    for (folder, file), text in BESIDE_IMAGES.items():
        for name in ("a.jpg", "b.jpg"):
            (place / folder).mkdir(exist_ok=True)
            Image.new("RGB", (64, 48)).save(place / folder / name)
        (place / folder / file).write_text(text)
    for folder in ("yolo", "named"):
        (place / folder / "train" / "labels").mkdir()
        (place / folder / "train" / "labels" / "a.txt").write_text("0 0.5 0.5 0.25 0.25\n1 .1 .1 .2 .2\n")
        (place / folder / "data.yaml").write_text("names: ['crab', \"sea eel\"]\n")
    files = sorted((place / "roboflow").rglob("*.jpg"))
    digests = [f"{hashlib.sha256(f.read_bytes()).hexdigest()}  {f.parent.name}/{f.name}\n" for f in files]
    (place / "tank.sha256").write_text("".join(digests))
    (place / "tank.toml").write_text(MANIFEST)
    for name in ("a", "b"):
        _make_run(place / "experiment" / name)
    Experiment.create(place / "experiment", "s", "S", ["a", "b"]).write_table()
    return place


def _make_run(folder: Path) -> None:
    run = Run.create(folder, RECIPE.to_dict(), RECIPE.preprocessing(NAMES), CATALOG)
    chances = np.array([[0.7, 0.2, 0.1], [0.2, 0.3, 0.5], [0.1, 0.1, 0.8]], np.float32)
    table = make_table(*(CATALOG[name][:3] for name in ("image_id", "split", "class_name")), chances, NAMES)
    write_predictions(table, run.path("predictions.csv"))
    metrics = {split: classification_metrics(rows) for split, rows in table.groupby("split", sort=False)}
    write_json(run.path("metrics.json"), metrics)
    write_json(run.path("timing.json"), TIMING)
    columns = ("loss", "accuracy", "val_loss", "val_accuracy", "learning_rate", "seconds")
    write_table(run.path("history.csv"), pd.DataFrame({"epoch": [1, 2], **{name: [0.5, 1 / 3] for name in columns}}))


def target(*names: str) -> Callable[[Target], Target]:
    """Register a target by the name of its function; its seeds are these files of a place."""

    def register(function: Target) -> Target:
        TARGETS[function.__name__] = function
        SEEDS[function.__name__] = lambda place: [(place / name).read_bytes() for name in names]
        return function

    return register


def _data_set(name: str, file: str, layout: str) -> None:
    """Register a target that reads a data set with one file changed."""

    def feed(data: bytes, place: Path) -> None:
        (place / file).write_bytes(data)
        root = place / file.split("/")[0]
        with refusing(root):
            catalog = read_catalog(Manifest(name="tank", layout=layout, root=root))
            require(catalog["image_id"].is_unique, "an image stands twice in the catalog")
            require(((catalog["problem"] != "") | (catalog["class_name"] != "")).all(), "neither a class nor a problem")
            require(set(catalog["split"]) <= {*SPLITS, ""}, "an unknown split")
            split_catalog(catalog, "stratified")

    feed.__name__ = name
    target(file)(feed)


_data_set("roboflow_csv", "roboflow/train/_annotations.csv", "roboflow")
_data_set("labels_csv", "listed/labels.csv", "table")
_data_set("classes_csv", "one_class/_classes.csv", "classes_csv")
_data_set("voc_xml", "voc/a.xml", "voc")
_data_set("cvat_xml", "cvat/annotations.xml", "cvat")
_data_set("label_studio_json", "tasks/tasks.json", "label_studio")
_data_set("coco_json", "coco/coco.json", "coco")
_data_set("megadetector_json", "detections/md.json", "megadetector")
for _file in CAMTRAP:
    _data_set(f"camtrap_{_file.partition('.')[0]}", f"package of {_file}/{_file}", "camtrap_dp")
_data_set("yolo_label", "yolo/train/labels/a.txt", "yolo")
_data_set("data_yaml", "named/data.yaml", "yolo")


@target("tank.toml")
def manifest(data: bytes, place: Path) -> None:
    (place / "fuzzed.toml").write_bytes(data)
    with refusing(place):
        found = load_manifest(place / "fuzzed.toml")
        require(found.name and "/" not in found.name, "a name that leads elsewhere")
        verify(replace(found, root=place / "roboflow", layout="roboflow", hashes=""))


@target("tank.sha256")
def hash_listing(data: bytes, place: Path) -> None:
    (place / "fuzzed.sha256").write_bytes(data)
    with refusing(place):
        verify(replace(load_manifest(place / "tank.toml"), hashes="fuzzed.sha256"))


@target("listed/a.jpg")
def image_header(data: bytes, place: Path) -> None:
    for name in ("fuzzed.jpg", "fuzzed.tif"):
        (place / name).write_bytes(data)
        width, height, problem = read_header(place / name)
        require((width > 0 and height > 0) ^ bool(problem), f"{width}x{height} and {problem!r}")


@target("listed/a.jpg")
def image_pixels(data: bytes, place: Path) -> None:
    with refusing(place):
        require(decode_with_pillow(data).shape[2:] == (3,), "no RGB")


def _run_file(file: str) -> Callable[[Callable[[Run], None]], None]:
    """Register a target that reads a run with one file changed."""

    def register(law: Callable[[Run], None]) -> None:
        def feed(data: bytes, place: Path) -> None:
            run = Run(_copy(place, "experiment/a", f"run of {file}", file, data))
            with refusing(place):
                law(run)

        feed.__name__ = law.__name__
        target(f"experiment/a/{file}")(feed)

    return register


def _copy(place: Path, source: str, name: str, file: str, data: bytes) -> Path:
    """A copy of a folder, made once, with one file changed."""
    if not (place / name).is_dir():
        shutil.copytree(place / source, place / name)
    (place / name / file).write_bytes(data)
    return place / name


@_run_file("recipe.json")
def recipe_json(run: Run) -> None:
    recipe = Recipe.of(run)
    require(Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe, "the recipe comes back another")


@_run_file("preprocessing.json")
def contract_json(run: Run) -> None:
    names = run.class_names
    require(len(set(names)) == len(names) >= 2 and all(names), f"class names {names}")
    require(ImageSpec(**asdict(run.spec)).height <= 4096, "a size that no machine holds")
    require(run.demonstration in (True, False), "neither drawn nor real")


@_run_file("metrics.json")
def metrics_json(run: Run) -> None:
    require(progress_text(run.folder, "run").startswith(("validation accuracy", "broken: ")), "no state")
    require(0 <= run_row(run)["validation_accuracy"] <= 1, "no accuracy")


@_run_file("timing.json")
def timing_json(run: Run) -> None:
    require(all(np.isfinite(value) for value in run_row(run).values()), "a cost that is no number")


@_run_file("catalog.csv")
def catalog_csv(run: Run) -> None:
    catalog = run.catalog
    require(catalog["image_id"].is_unique and not catalog["width"].lt(0).any(), "no catalog")
    write_table(run.path("catalog.csv"), catalog)
    pd.testing.assert_frame_equal(run.catalog, catalog)


@_run_file("history.csv")
def history_csv(run: Run) -> None:
    history = run.history
    require(history["epoch"].tolist() == list(range(1, len(history) + 1)), "an epoch is missing")
    require(all(kind.kind in "if" for kind in history.dtypes), "no numbers")


@_run_file("predictions.csv")
def predictions_csv(run: Run) -> None:
    path = run.path("predictions.csv")
    table = read_predictions(path)
    write_predictions(table, path)
    pd.testing.assert_frame_equal(read_predictions(path), table)
    labeled = table[table["true_class"] != ""]
    right = int((labeled["true_class"] == labeled["predicted_class"]).sum())
    accuracy = classification_metrics(table)["accuracy"]["value"]
    require(accuracy == right / len(labeled), "an accuracy of other rows")


@target("experiment/experiment.json")
def study_json(data: bytes, place: Path) -> None:
    folder = _copy(place, "experiment", "fuzzed experiment", "experiment.json", data)
    with refusing(place):
        experiment = Experiment(folder)
        for cell in map(experiment.cell_folder, experiment.cells):
            require(cell.resolve().is_relative_to(folder.resolve()), "a cell outside its experiment")
        require(experiment.write_table()["best"].sum() == 1, "no best row")


@target("experiment/table.csv")
def table_csv(data: bytes, place: Path) -> None:
    with refusing(place):
        table = Experiment(_copy(place, "experiment", "fuzzed table", "table.csv", data)).table
        require(table["best"].sum() <= 1 and set(table["name"]) <= {"a", "b"}, "no table of this experiment")


@target(*(f"experiment/{name}" for name in ("a/metrics.json", "a/recipe.json", "a/history.csv", "experiment.json")))
def list_of_runs(data: bytes, place: Path) -> None:
    """`marinecv runs` with one broken file: the run or the experiment is a line, and hides no other."""
    folder = _copy(place, "experiment", "all runs/experiment", "experiment.json", data).parent
    (folder / "experiment" / "a" / "metrics.json").write_bytes(data)
    _copy(place, "experiment/b", "all runs/unfinished", "history.csv", data).joinpath("metrics.json").unlink(True)
    listed = {Path(name) for name in list_work(folder)["folder"]}
    require({run.folder for run in list_runs(folder)} <= listed, "a run is hidden")


@target()
def checkpoint_npz(data: bytes, place: Path) -> None:
    (place / "checkpoint.npz").write_bytes(data)
    with refusing(place):
        found, arrays = read_checkpoint(place / "checkpoint.npz")
        require(found.epochs_done >= 1 and {"model", "optimizer"} <= set(arrays), "no checkpoint")


def _checkpoint_seeds(place: Path) -> list[bytes]:
    found = {"epochs_done": 2, "first": 1, "learning_rate": 0.1, "stage": "all", "stopped": False, "mode": "min"}
    found |= {"identity": {"optimizer.learning_rate": 0.1}, "history": [{"epoch": 2, "loss": 0.5}]}
    files = io.BytesIO(), io.BytesIO()
    for save, file in zip((np.savez, np.savez_compressed), files, strict=True):
        arrays = {"model/0000": np.ones(2, np.float32), "optimizer/0000": np.int64(3)}
        save(file, state=np.array(json.dumps(found)), **arrays)
    return [file.getvalue() for file in files]


def _image_seeds(place: Path) -> list[bytes]:
    """A tiny image of each format, with an orientation where it has one."""
    exif, seeds = Image.Exif(), []
    exif[0x0112] = 6
    for kind in ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF"):
        buffer = io.BytesIO()
        Image.new("RGB", (5, 3), (200, 60, 40)).save(buffer, kind, **({"exif": exif} if kind != "BMP" else {}))
        seeds.append(buffer.getvalue())
    return seeds


SEEDS["checkpoint_npz"] = _checkpoint_seeds
SEEDS["image_header"] = SEEDS["image_pixels"] = _image_seeds
