"""Accuracy, minutes and lines of code beside the peers: plain Keras, PyTorch with timm, fastai, Ultralytics, and ours.

    python benchmarks/peers.py --data-dir FOLDER --torch-python /path/to/python
    python benchmarks/peers.py --data-dir FOLDER --limit 40 --epochs 1 --output smoke.csv       a smoke test

FOLDER holds `aquarium` and `cub_x20`; `/path/to/python` has torch, timm, fastai and ultralytics. What is not installed
is skipped with a line that says so. The table goes to benchmarks/results/peers.csv, anew after each contestant; rows
that are not measured this time stay.

`validation_accuracy` is of the split as published (the aquarium) or drawn (the birds: 80 of 100 of each class, seed 0).
`grouped_accuracy` is of a second training, on a split that keeps scenes together: images whose file numbers follow each
other without a gap are one scene, and `split_catalog` deals out whole scenes. The data name no groups themselves, and
the birds have no such numbers, so theirs is empty. No test image is trained on or scored; the test files' numbers are
read, for scenes go on across the published splits. Intervals are Wilson's, 95%.

`minutes` is the process of the published or drawn split from its start to its end: imports, decoding, training,
prediction. `lines_of_code` counts the functions below that a user of the tool would write, without blank lines and
comments. Reading the folder, labels from boxes and the split, which ours does too, are in no one's.

The same for all: one list of images, labels and splits; two cores; epochs, image size, batches of 32; the seed; the
epoch with the best validation accuracy is kept, which flatters all alike; one function scores. From random weights it
is MobileNetV3Large, all layers learning, (largest) learning rate 1e-3; Ultralytics has its smallest classifier and its
own optimizer instead, and `ours, small CNN` is the network that our recipes take for images like these. From ImageNet
weights, for plain Keras and ours, it is MobileNet 0.75 from the same file in KERAS_HOME. Ours is the default, `train`
of `--minutes`, which chooses size, head and fine-tuning on train. Plain Keras has as many minutes as that took, at 224
pixels: the last 20 layers learn, batch normalization frozen, RMSprop 1e-4. The others have no weights at hand; with a
network each would fetch its own, and that would be fair too. It is not done here: so theirs are no ranking.

Not the same, and whom it helps:
- Batch normalization. Keras gives this network momentum 0.999, with which 112 steps leave 0.89 of the statistics as
  they began; `plain keras` sets 0.9, as a user finds out who looks. Ours sets them by one pass over train and freezes
  them, as its recipe without weights does; PyTorch and fastai have 0.9 anyway.
- Heads. Keras and ours pool 960 features; timm has one more convolution, fastai two pools and two dense layers.
- Moves are each tool's habit: flip, 10 degrees and 10% of zoom for Keras, a crop besides for ours, a crop to 60% or
  more for PyTorch, warp and light for fastai; Ultralytics draws from RandAugment and erases, which wants more epochs.
- Ours pads to a square; Ultralytics cuts the middle out of validation images and may lose an animal at the edge; the
  others stretch. All resize with antialiasing; for Keras and ours that is not the default.
- Keras and ours wait for a plateau; PyTorch and fastai go one cycle, which suits few epochs. Ultralytics keeps the
  epoch by the mean of top 1 and top 5.
- Keras and ours decode once, the others anew each epoch. Ours also writes history, checkpoint and model.
- The default chooses whether to keep its fine-tuning on validation, too, and looks for related images; its page,
  calibration and leakage check are in its minutes.

Quiet the machine first: beside other jobs PyTorch's threads wait for each other, and a step may take ten times as long.
With 127, 113 and 225 images an interval is 8 to 18 points wide, and one seed says little: look at wide gaps alone.
"""

import argparse
import importlib.metadata
import inspect
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

# What the contestants import is part of what is measured, and PyTorch may live in a Python without the rest: so each
# function imports for itself. Pandas is wherever they are.

RESULTS = Path(__file__).parent / "results" / "peers.csv"
SETS = {"aquarium": "aquarium", "cub_x20": "cub_x20/images"}
KEY = ("what", "data", "start", "seed")
CORES = 2
RANDOM, IMAGENET = "random", "imagenet weights"
PRETRAINED_SIZE, MANY_EPOCHS = 224, 200


# What a user writes. Each takes a list of images (path, class_name, split), and gives the class that it predicts for
# each validation image, in their order. No docstrings: these lines are counted.


def plain_keras(images, job, network):
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(job["seed"])
    size, class_names = job["image_size"], sorted(set(images["class_name"]))

    def load(path, label):
        image = tf.io.decode_jpeg(tf.io.read_file(path), channels=3)
        return tf.image.resize(image, (size, size), antialias=True), label

    def dataset(split):
        rows = images[images["split"] == split]
        labels = [class_names.index(name) for name in rows["class_name"]]
        files = tf.data.Dataset.from_tensor_slices((list(rows["path"]), labels))
        return files.map(load, num_parallel_calls=tf.data.AUTOTUNE).cache()

    train = dataset("train").shuffle(1000).batch(32).prefetch(tf.data.AUTOTUNE)
    validation = dataset("validation").batch(32).prefetch(tf.data.AUTOTUNE)
    base, optimizer = network((size, size, 3))
    model = keras.Sequential(
        [
            keras.layers.RandomFlip("horizontal"),
            keras.layers.RandomRotation(10 / 360),
            keras.layers.RandomZoom(0.1),
            base,
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(len(class_names), activation="softmax"),
        ]
    )
    model.compile(optimizer, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    slower = keras.callbacks.ReduceLROnPlateau("val_accuracy", factor=0.2, patience=2)
    best = keras.callbacks.EarlyStopping("val_accuracy", patience=job["epochs"], restore_best_weights=True)
    callbacks = [slower, best, *in_time(job)]
    model.fit(train, validation_data=validation, epochs=job["epochs"], callbacks=callbacks, verbose=2)
    return [class_names[place] for place in model.predict(validation, verbose=0).argmax(axis=1)]


def keras_from_scratch(shape):
    import keras

    base = keras.applications.MobileNetV3Large(input_shape=shape, include_top=False, weights=None)
    for layer in base.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.9
    return base, keras.optimizers.Adam(1e-3)


def keras_pretrained(shape):
    import keras

    base = keras.applications.MobileNet(input_shape=shape, alpha=0.75, include_top=False, weights="imagenet")
    for place, layer in enumerate(base.layers):
        frozen = place < len(base.layers) - 20 or isinstance(layer, keras.layers.BatchNormalization)
        layer.trainable = not frozen
    return keras.Sequential([keras.layers.Rescaling(1 / 127.5, offset=-1), base]), keras.optimizers.RMSprop(1e-4)


def pytorch_timm(images, job):
    import timm
    import torch
    from PIL import Image
    from torchvision import transforms

    torch.manual_seed(job["seed"])
    size, class_names = job["image_size"], sorted(set(images["class_name"]))
    normalize = [
        transforms.ToTensor(),
        transforms.Normalize(timm.data.IMAGENET_DEFAULT_MEAN, timm.data.IMAGENET_DEFAULT_STD),
    ]
    crop = transforms.RandomResizedCrop(size, scale=(0.6, 1))
    moves = [crop, transforms.RandomHorizontalFlip(), transforms.RandomRotation(10)]

    class Images(torch.utils.data.Dataset):
        def __init__(self, split, steps):
            self.rows, self.transform = images[images["split"] == split], transforms.Compose([*steps, *normalize])

        def __len__(self):
            return len(self.rows)

        def __getitem__(self, place):
            row = self.rows.iloc[place]
            return self.transform(Image.open(row["path"]).convert("RGB")), class_names.index(row["class_name"])

    options = {"batch_size": 32, "num_workers": 2, "persistent_workers": True}
    train = torch.utils.data.DataLoader(Images("train", moves), shuffle=True, **options)
    validation = torch.utils.data.DataLoader(Images("validation", [transforms.Resize((size, size))]), **options)
    model = timm.create_model("mobilenetv3_large_100", pretrained=False, num_classes=len(class_names), drop_rate=0.2)
    model = model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, total_steps=job["epochs"] * len(train))
    best, kept = -1, None
    for _ in range(job["epochs"]):
        model.train()
        for pixels, labels in train:
            loss = torch.nn.functional.cross_entropy(model(pixels.to(memory_format=torch.channels_last)), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        model.eval()
        predicted, right = [], 0
        with torch.inference_mode():
            for pixels, labels in validation:
                places = model(pixels.to(memory_format=torch.channels_last)).argmax(dim=1)
                predicted += [class_names[place] for place in places]
                right += (places == labels).sum().item()
        if right > best:
            best, kept = right, predicted
            torch.save(model.state_dict(), "best.pt")
    return kept


def fastai_learner(images, job):
    from fastai.vision import all as fv

    fv.set_seed(job["seed"], reproducible=True)
    block = fv.DataBlock(
        blocks=(fv.ImageBlock, fv.CategoryBlock),
        get_x=fv.ColReader("path"),
        get_y=fv.ColReader("class_name"),
        splitter=fv.ColSplitter("is_valid"),
        item_tfms=fv.Resize(job["image_size"], method="squash"),
        batch_tfms=[*fv.aug_transforms(), fv.Normalize.from_stats(*fv.imagenet_stats)],
    )
    data = block.dataloaders(images.assign(is_valid=images["split"] == "validation"), bs=32)
    learn = fv.vision_learner(data, "mobilenetv3_large_100", pretrained=False, metrics=fv.accuracy)
    learn.fit_one_cycle(job["epochs"], 1e-3, cbs=fv.SaveModelCallback(monitor="accuracy"))
    probabilities, _ = learn.get_preds()
    return [data.vocab[place] for place in probabilities.argmax(dim=1)]


def ultralytics_yolo(images, job):
    from ultralytics import YOLO

    for row in images.itertuples():
        folder = Path("images", {"train": "train", "validation": "val"}[row.split], row.class_name)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / Path(row.path).name).symlink_to(row.path)
    model = YOLO("yolo11n-cls.yaml")
    options = {"imgsz": job["image_size"], "batch": 32, "workers": 2, "seed": job["seed"], "plots": False}
    model.train(data=Path("images").absolute(), epochs=job["epochs"], **options)
    validation = list(images["path"][images["split"] == "validation"])
    return [result.names[result.probs.top1] for result in model.predict(validation, imgsz=job["image_size"])]


def ours(images, job, settings):
    import marinecv as mcv
    from marinecv.training.fit import fit_recipe, load_run

    class_names = sorted(set(images["class_name"]))
    size = job["image_size"]
    recipe = mcv.Recipe(
        name="peers",
        title="Beside the peers",
        data=mcv.DataConfig(name=job["data"]),
        image=mcv.ImageSpec(height=size, width=size, letterbox_px=None, antialias=True),
        **settings(
            epochs=job["epochs"],
            seed=job["seed"],
            lr_patience=2,
            monitor="val_accuracy",
            augmentation=mcv.Augmentation(flip=0.5, rotation_deg=10, zoom=0.1, crop=0.1),
        ),
    )
    run = mcv.Run.create("run", recipe.to_dict(), recipe.preprocessing(class_names), images)
    model = fit_recipe(recipe, run, load_run(run, recipe))
    validation = images[images["split"] == "validation"]
    return list(mcv.predict_table(model, validation, recipe.image, class_names)["predicted_class"])


def ours_from_scratch(**training):
    import marinecv as mcv

    model = mcv.BackboneModel(backbone="mobilenetv3large", weights="none", trainable_layers=None)
    return {"model": model, "training": mcv.Training(optimizer="adam", learning_rate=1e-3, **training)}


def ours_small(**training):
    import marinecv as mcv

    sizes = {"filters": (32, 64, 128, 128, 256), "kernels": (5, 3, 3, 3, 3), "pools": (2, 2, 2, 2, 2)}
    return {"model": mcv.ScratchModel(**sizes), "training": mcv.Training(learning_rate=5e-4, **training)}


def ours_default(images, job):
    import marinecv as mcv

    run = mcv.train(images, backbone="mobilenet", minutes=job["minutes"], seed=job["seed"], folder="run")
    return list(run.evaluate("validation").predictions["predicted_class"])


# Who takes part, and the measuring.


@dataclass(frozen=True)
class Contestant:
    """A tool, what it starts from, and the functions that its user writes: the first is called with the others."""

    what: str
    start: str
    network: str
    code: tuple[Callable, ...]
    packages: tuple[str, ...]


def in_time(job: dict) -> list:
    """Callbacks that end the training while the epochs so far and one more fit into the seconds of a job, if any."""
    import keras

    class InTime(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            now = time.time()
            self.model.stop_training = now + (now - begun) / (epoch + 1) > job["until"]

    begun = time.time()
    return [InTime()] if "until" in job else []


LARGE, SMALL = "MobileNetV3Large", "MobileNet 0.75, last 20 layers"
KERAS = ("keras", "tensorflow")
CONTESTANTS = [
    Contestant("plain keras", RANDOM, LARGE, (plain_keras, keras_from_scratch), KERAS),
    Contestant("pytorch timm", RANDOM, LARGE, (pytorch_timm,), ("torch", "timm")),
    Contestant("fastai", RANDOM, LARGE, (fastai_learner,), ("torch", "timm", "fastai")),
    Contestant("ultralytics", RANDOM, "YOLO11n-cls", (ultralytics_yolo,), ("torch", "ultralytics")),
    Contestant("ours", RANDOM, LARGE, (ours, ours_from_scratch), KERAS),
    Contestant("ours, small CNN", RANDOM, "five convolutions", (ours, ours_small), KERAS),
    Contestant("ours", IMAGENET, "MobileNet 0.75, the default", (ours_default,), KERAS),
    Contestant("plain keras", IMAGENET, SMALL, (plain_keras, keras_pretrained), KERAS),
]


def main() -> None:
    names = list(dict.fromkeys(each.what for each in CONTESTANTS))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True, help="folder that holds the data sets")
    parser.add_argument("--contestants", nargs="+", choices=names, default=names, help="these alone")
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS), help="these alone")
    parser.add_argument("--starts", nargs="+", choices=[RANDOM, IMAGENET], default=[RANDOM, IMAGENET])
    parser.add_argument("--epochs", type=int, default=8, help="from random weights")
    parser.add_argument("--minutes", type=float, default=3, help="of the default, from ImageNet weights")
    parser.add_argument("--image-size", type=int, default=96, help="from random weights; from ImageNet's it is 224")
    parser.add_argument("--seed", type=int, default=0, help="of the training; the splits stay")
    parser.add_argument("--torch-python", default=sys.executable, help="the Python that has torch and the rest")
    parser.add_argument("--limit", type=int, help="at most so many images a split: a smoke test, needs --output")
    parser.add_argument("--output", type=Path, default=RESULTS)
    args = parser.parse_args()
    if args.limit and args.output == RESULTS:
        parser.error("--limit would overwrite whole results. Name another table with --output.")
    import pandas as pd
    from machine import machine

    from marinecv.files.csv_tables import read_table, write_table

    before = read_table(args.output).to_dict("records") if args.output.is_file() else []
    rows = {tuple(row[name] for name in KEY): row for row in before}
    for data in args.sets:
        splits, seconds = read_splits(args.data_dir / SETS[data], args.limit), {}
        for each in (each for each in CONTESTANTS if each.what in args.contestants and each.start in args.starts):
            job = {"data": data, "image_size": args.image_size, "epochs": args.epochs, "seed": args.seed}
            if each.start == IMAGENET:
                job |= {"image_size": PRETRAINED_SIZE, "epochs": MANY_EPOCHS, "minutes": args.minutes}
            print(f"{data}, {each.what}, {each.start}: ", end="", flush=True)
            python = args.torch_python if "torch" in each.packages else sys.executable
            row = measure(each, job, splits, python, seconds)
            if isinstance(row, str):
                print(f"skipped: {row}", flush=True)
                continue
            rows[each.what, data, each.start, str(args.seed)] = row | {"machine": machine(), "seed": args.seed}
            print(f"{row['validation_accuracy']:.3f} (n={row['n']}), {row['minutes']} minutes", flush=True)
            args.output.parent.mkdir(parents=True, exist_ok=True)
            write_table(args.output, pd.DataFrame(rows.values()))
    print(pd.DataFrame(rows.values()).drop(columns=["note", "machine"], errors="ignore").to_string(index=False))


def read_splits(folder: Path, limit: int | None) -> dict:
    """The catalogs of train and validation, as published or drawn and, where there are scenes, as grouped."""
    import marinecv as mcv
    from marinecv.data.catalog import limit_catalog
    from marinecv.data.manifests import manifest_of_folder
    from marinecv.data.user_tables import usable

    catalog = usable(mcv.read_catalog(manifest_of_folder(folder)))
    if (catalog["split"] == "").all():
        splits = {"validation": mcv.split_catalog(catalog, "stratified", seed=0, fractions=(0.8, 0.2, 0.0))}
    else:  # a number that occurs twice is of one film, or of two cameras: one scene, to be on the safe side
        numbers = catalog["image_id"].str.extract(r"IMG_(\d+)")[0].astype(int).sort_values()
        scenes = (numbers.diff() > 1).cumsum().map("scene {:03d}".format)
        catalog = catalog.assign(group=scenes)[catalog["split"] != "test"]
        share = (catalog["split"] == "train").mean()
        grouped = mcv.split_catalog(catalog, "grouped", seed=0, fractions=(share, 1 - share, 0.0))
        splits = {"validation": catalog, "grouped": grouped}
    return {name: limit_catalog(rows, limit, seed=0) if limit else rows for name, rows in splits.items()}


def measure(contestant: Contestant, job: dict, splits: dict, python: str, seconds: dict) -> dict | str:
    """Train on each split in a process of its own; a row of the table, or why there is none.

    `seconds` of our default by split are what plain Keras has with the same weights.
    """
    row = {"what": contestant.what, "data": job["data"], "start": contestant.start, "network": contestant.network}
    is_default = contestant.start == IMAGENET and contestant.what == "ours"
    row |= {"image_size": "" if is_default else job["image_size"]}
    row |= {"epochs": "" if contestant.start == IMAGENET else job["epochs"]}
    grouped = dict.fromkeys(("grouped_accuracy", "grouped_low", "grouped_high", "grouped_n"), "")
    for name, images in splits.items():
        with tempfile.TemporaryDirectory() as place:
            images.to_csv(Path(place) / "images.csv", index=False)
            job, started = job | {"place": place}, time.time()
            if contestant.start == IMAGENET and not is_default:
                if name not in seconds:
                    return "it has as many minutes as ours, which is not measured"
                job["until"] = started + seconds[name]
            said = run(contestant, job, python)
            taken = time.time() - started
            if is_default:
                seconds[name] = taken
            minutes = round(taken / 60, 2)
        if "missing" in said:
            return said["missing"]
        figures = score(images[images["split"] == "validation"], said["predicted"])
        if name == "grouped":
            grouped = dict(zip(grouped, figures, strict=True))
        else:
            row |= dict(zip(("validation_accuracy", "low", "high", "n"), figures, strict=True))
            lines = "".join(map(inspect.getsource, contestant.code)).splitlines()
            count = sum(not line.strip().startswith("#") for line in lines if line.strip())
            about = {"minutes": minutes, "lines_of_code": count, "note": said["note"]}
    return row | grouped | about


def score(validation, predicted: list[str]) -> tuple[float, float, float, int]:
    """Accuracy with its bounds and n: the one measure for all."""
    from marinecv.evaluation.intervals import wilson

    pairs = list(zip(validation["class_name"], predicted, strict=True))
    right = sum(true == guess for true, guess in pairs)
    low, high = wilson(right, len(pairs))
    return round(right / len(pairs), 4), round(low, 4), round(high, 4), len(pairs)


def run(contestant: Contestant, job: dict, python: str) -> dict:
    """Start a contestant and read what it leaves: the classes it predicts, or what is missing."""
    place = Path(job["place"])
    words = [python, __file__, "--child", str(CONTESTANTS.index(contestant)), json.dumps(job)]
    homes = {"MARINECV_HOME": f"{place}/store", "YOLO_CONFIG_DIR": f"{place}/yolo", "YOLO_AUTOINSTALL": "false"}
    calm = {"TF_CPP_MIN_LOG_LEVEL": "3", "OMP_NUM_THREADS": str(CORES)}
    with open(place / "log", "w+", encoding="utf-8") as log:
        done = subprocess.run(words, env=os.environ | homes | calm, stdout=log, stderr=subprocess.STDOUT)
        log.seek(0)
        if done.returncode:
            return {"missing": f"it failed:\n{log.read()[-3000:]}"}
    return json.loads((place / "said.json").read_text(encoding="utf-8"))


def child(number: str, words: str) -> None:
    """A contestant, in a process of its own."""
    contestant, job = CONTESTANTS[int(number)], json.loads(words)
    os.chdir(job["place"])
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    try:
        versions = [f"{name} {importlib.metadata.version(name)}" for name in contestant.packages]
        import pandas as pd

        if "torch" in contestant.packages:
            import torch
            from finetune_epoch import import_timm

            import_timm(torch)  # and with it torchvision, where its compiled operators cannot be loaded
        if contestant.start == IMAGENET:
            from marinecv.models.backbones import weights_file

            if not (file := weights_file("mobilenet", 0.75)).is_file():
                raise ImportError(f"{file.name} in KERAS_HOME")
        images = pd.read_csv("images.csv", keep_default_na=False, dtype={"class_name": str})
        function, *parts = contestant.code
        said = {"predicted": [str(name) for name in function(images, job, *parts)], "note": ", ".join(versions)}
    except ImportError as error:
        said = {"missing": f"not at hand: {error}"}
    Path("said.json").write_text(json.dumps(said), encoding="utf-8")


if __name__ == "__main__":
    child(*sys.argv[2:]) if sys.argv[1:2] == ["--child"] else main()
