"""Seconds an epoch, and to the end, of the report's fine-tuning: plain Keras, PyTorch with timm, and ours.

    python benchmarks/finetune_epoch.py                    the aquarium images if they are at hand, else demo images
    python benchmarks/finetune_epoch.py --data-dir FOLDER  your own images; also --epochs, --rounds, --limit
    python benchmarks/finetune_epoch.py --torch-python /path/to/python   where torch and timm are installed elsewhere

The job is the report's table: MobileNetV3Large at 224 pixels, global average, dropout 0.2, softmax; RMSprop 1e-4, batch
32, three rows that differ in the patience of the learning rate (8, 4, 2), validation after every epoch. Goals: the
whole job 5 times faster than plain Keras and 3 times faster than PyTorch; with everything frozen 20 times or more.

    plain keras            what a notebook does: a `tf.data` pipeline from the files, decoded in each epoch
    plain keras, cached    the same with `.cache()` behind the resizing, shared by the three rows
    pytorch timm           `mobilenetv3_large_100`, channels last, images decoded once by Pillow and kept as bytes, all
                           moves in one `grid_sample`, the frozen part in eval mode under `no_grad`
    ours                   `Training(cache_features=0)`: the frozen layers are computed in each epoch
    ours, feature cache             they are computed once and cached, for 8 random views of each image or for the image
                           itself; the first row fills the cache, the others use it

Each contestant is a process of its own; they run in turn, round after round, on the same files and the same split.
They are held against each other in four groups: the last 20 layers learn or none does, and images are moved or not.
Within a group all have the same trainable parameters (the table counts them) and take the same number of steps; no one
stops early. Seconds count from the start of the process, so imports, decoding and filling the cache are in them.
`seconds_an_epoch` is the median over all epochs but the first of each row, validation included. Figures are medians
over the rounds; a ratio is the median of the ratios within each round, above 1 where this row is the faster one:
`ratio_to_...` of the whole job, `epoch_ratio_to_...` of an epoch.

The same for all: files, split, batch, optimizer, rows, epochs, and which weights learn (batch normalization is frozen
for all, as in our recipes: that is the cheaper way). Weights are random, for a step takes as long with them as with
pretrained ones; Keras and ours load the same file, timm starts from its own. Accuracy is therefore not compared.

Not the same, and whom it helps:
- Keras moves by three layers (flip, rotation, zoom), on batches; PyTorch and ours also crop, all in one step.
- With the feature cache, epochs take turns with 8 views of each image instead of new ones. Like for like is `ours`.
- Ours finds and labels the images itself, and keeps pixels, history, checkpoint and model on disk, as the command
  does; the others get a list of files and labels, and keep nothing.
- Pillow's resizing is antialiased; `tf.image.resize` is not. PyTorch runs eagerly, without `torch.compile`.
- No one scores test or writes a report.

Quiet the machine first, or the comparison is unfair to PyTorch: its threads wait for each other in every operation, and
beside other jobs a forward pass with 2 threads took four times as long as with one. The table goes to
benchmarks/results/finetune_epoch.csv, anew after each contestant; rows of groups that are not measured this time stay.
"""

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path

# What the contestants import is part of what is measured, and PyTorch may live in a Python without the rest: so each
# function imports for itself.

RESULTS = Path(__file__).parent / "results" / "finetune_epoch.csv"
SIZE, CANVAS_PX, BATCH = 224, 1024, 32
PATIENCES = (8, 4, 2)
LEARNING_RATE, FACTOR, DROPOUT = 1e-4, 0.2, 0.2
ROTATION_DEG, ZOOM, CROP = 10, 0.1, 0.1  # SMALL_MOVES of the recipes; flip with probability 0.5
VIEWS = 8  # what `--cache-features auto` takes, from 8 epochs on
MARK = "\x1emark "
PLAIN, CACHED, PYTORCH, OURS, BANK = "plain keras", "plain keras, cached", "pytorch timm", "ours", "ours, feature cache"
MOVES = {"moved": True, "still": False}


@dataclass(frozen=True)
class Contestant:
    """Who trains what: how many of the last backbone layers learn, and whether images are moved."""

    what: str
    trainable: int
    moved: bool

    @property
    def group(self) -> tuple[str, bool]:
        """Whom it is held against: all who do the same job."""
        return f"last {self.trainable}" if self.trainable else "none", self.moved

    @property
    def moves(self) -> str:
        """For the table."""
        return (f"{VIEWS} drawn views" if self.what == BANK else "anew each epoch") if self.moved else "none"

    def __str__(self):
        return f"{self.group[0]} learn, {'moved' if self.moved else 'still'}: {self.what}"


CONTESTANTS = [
    Contestant(what, trainable, moved)
    for trainable in (20, 0)
    for moved in MOVES.values()
    for what in (PLAIN, CACHED, PYTORCH, OURS, BANK)
    if what != OURS or (trainable and moved)  # elsewhere no one would train without the bank
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, help="folder of images, in any layout")
    parser.add_argument("--limit", type=int, help="at most so many images a split")
    parser.add_argument("--epochs", type=int, default=10, help="of each of the three rows; the report's rows: up to 60")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--what", nargs="+", choices=[PLAIN, CACHED, PYTORCH, OURS, BANK], help="these alone")
    parser.add_argument("--trainable", nargs="+", type=int, choices=[20, 0], default=[20, 0], help="these groups alone")
    parser.add_argument("--moves", nargs="+", choices=list(MOVES), default=list(MOVES), help="these groups alone")
    parser.add_argument("--torch-python", default=sys.executable, help="the Python that has torch and timm")
    parser.add_argument("--output", type=Path, default=RESULTS)
    args = parser.parse_args()
    if args.epochs < 2:
        parser.error("expected --epochs from 2 on: the first epoch of a row is left out of the median")
    from machine import machine

    chosen = [
        each
        for each in CONTESTANTS
        if each.what in (args.what or each.what)
        and each.trainable in args.trainable
        and each.moved in [MOVES[name] for name in args.moves]
    ]
    before = other_groups(args.output, chosen)
    with tempfile.TemporaryDirectory() as place:
        job = prepare(Path(place), args)
        about = {"images": job["images"], "epochs": args.epochs, "data": job["data"]}
        print(f"{job['images']} images of {job['data']}, 3 rows of {args.epochs} epochs, {machine()}", flush=True)
        measured = {each: [] for each in chosen}
        for number in range(args.rounds):
            for each in chosen:
                python = args.torch_python if each.what == PYTORCH else sys.executable
                measured[each].append(measure(each, job, Path(place) / f"{number}-{chosen.index(each)}", python))
                print(f"round {number + 1}, {each}: {in_words(measured[each][-1])}", flush=True)
                save(args.output, measured, about | {"machine": machine()}, before)
    import pandas as pd

    print(pd.read_csv(args.output).drop(columns=["data", "machine"]).to_string(index=False))


def prepare(place: Path, args: argparse.Namespace) -> dict:
    """The list of files and labels, the file of random weights, and all that a contestant must know."""
    import marinecv as mcv
    from marinecv.data.cache_dir import cache_path
    from marinecv.data.demo.dataset import write_demo_images
    from marinecv.data.user_tables import usable

    aquarium = cache_path("data", "aquarium")
    folder = args.data_dir or (aquarium if aquarium.exists() else write_demo_images(cache_path("data", "reef")))
    job = {"data_dir": str(folder.absolute()), "limit": args.limit, "epochs": args.epochs}
    job |= {"list": str(place / "list.csv"), "weights": str(place / "random.weights.h5")}
    manifest, catalog = read_data(job)
    rows = usable(catalog)
    rows = rows[rows["split"].isin(["train", "validation"])]
    class_names = mcv.class_names_of(catalog, manifest)
    with open(job["list"], "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        for row in rows.itertuples(index=False):
            writer.writerow([row.split, row.path, class_names.index(row.class_name)])
    job |= {"classes": len(class_names), "images": len(rows), "data": manifest.name}
    measure(Contestant("weights", 20, False), job, place / "weights", sys.executable)
    return job


def read_data(job: dict) -> tuple:
    """The manifest and the catalog, split as the data or their groups say; the same in every process."""
    import marinecv as mcv
    from marinecv.data.catalog import limit_catalog
    from marinecv.data.manifests import manifest_of_folder
    from marinecv.data.splits.split_catalog import default_split_by

    manifest = manifest_of_folder(job["data_dir"])
    catalog = mcv.read_catalog(manifest)
    catalog = mcv.split_catalog(catalog, default_split_by(catalog), seed=0)
    return manifest, limit_catalog(catalog, job["limit"], seed=0) if job["limit"] else catalog


def measure(contestant: Contestant, job: dict, place: Path, python: str) -> dict:
    """Run a contestant in a process of its own, with a store of its own, and take the time of what it says."""
    place.mkdir()
    words = json.dumps(job | asdict(contestant) | {"place": str(place)})
    environment = os.environ | {"MARINECV_HOME": str(place / "store"), "TF_CPP_MIN_LOG_LEVEL": "3"}
    marks = []
    with open(place / "errors", "w+", encoding="utf-8") as errors:
        started = time.monotonic()
        command = [python, __file__, "--child", words]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment) as process:
            for line in process.stdout:
                if line.startswith(MARK):
                    marks.append((time.monotonic() - started, *line.removeprefix(MARK).strip().split(" ", 1)))
        errors.seek(0)
        if process.returncode:
            raise RuntimeError(f"{contestant} failed:\n{errors.read()[-3000:]}")
    said = {name: (second, words) for second, name, *words in reversed(marks)}  # the first of each
    if "missing" in said:
        return {"note": f"not installed: {said['missing'][1][0]}"}
    if "step" not in said:
        return {}
    epochs = [(row, second) for second, name, *words in marks if name == "epoch" for row in words]
    return {
        "seconds_an_epoch": statistics.median(b - a for (row, a), (same, b) in pairwise(epochs) if row == same),
        "seconds_to_first_step": said["step"][0],
        "seconds_start_up": said["imported"][0],
        "seconds_total": said["end"][0],
        "trainable_parameters": int(said["end"][1][0]),
        "note": " ".join(said.get("versions", ("", []))[1]),
    }


def in_words(figures: dict) -> str:
    """One measurement, for the screen."""
    if "seconds_total" not in figures:
        return figures["note"]
    return f"{figures['seconds_an_epoch']:.2f} s an epoch, {figures['seconds_total']:.1f} s in all"


def save(output: Path, measured: dict[Contestant, list[dict]], about: dict, before) -> None:
    """Write the table of what is measured so far."""
    import pandas as pd

    from marinecv.files.csv_tables import write_table

    def seconds(each: Contestant, name: str) -> list[float]:
        return [figures[name] for figures in measured.get(each, []) if name in figures]

    def ratio(each: Contestant, to: str, name: str) -> float | None:
        pairs = zip(
            seconds(replace(each, what=to), name), seconds(each, name), strict=False
        )  # a round may be under way
        ratios = [theirs / ours for theirs, ours in pairs]
        return round(statistics.median(ratios), 2) if ratios else None

    rows = []
    for each in (each for each, rounds in measured.items() if rounds):
        row = {"what": each.what, "trainable": each.group[0], "moves": each.moves}
        for name in ("seconds_an_epoch", "seconds_to_first_step", "seconds_start_up", "seconds_total"):
            row[name] = round(statistics.median(seconds(each, name)), 3) if seconds(each, name) else None
        for start, name in (("", "seconds_total"), ("epoch_", "seconds_an_epoch")):
            row[f"{start}ratio_to_plain_keras"] = ratio(each, PLAIN, name)
            row[f"{start}ratio_to_pytorch"] = ratio(each, PYTORCH, name)
        last = measured[each][-1]
        row["trainable_parameters"] = last.get("trainable_parameters")
        rows.append(row | {"rounds": len(measured[each]), "note": last["note"]} | about)
    table = pd.DataFrame(rows).astype({"trainable_parameters": "Int64"})
    output.parent.mkdir(parents=True, exist_ok=True)
    write_table(output, table if before is None else pd.concat([before, table], ignore_index=True))


def other_groups(output: Path, chosen: list[Contestant]):
    """The rows of an earlier table that belong to groups which are not measured now."""
    import pandas as pd

    if not output.is_file():
        return None
    table = pd.read_csv(output, keep_default_na=True).astype({"trainable_parameters": "Int64"})
    table["note"] = table["note"].fillna("")
    groups = {each.group for each in chosen}
    kept = table[[(row.trainable, row.moves != "none") not in groups for row in table.itertuples()]]
    return kept if len(kept) else None


# The contestants. Each says what it has come to; whoever started it looks at the clock.


def mark(*words) -> None:
    """Say that something has been reached."""
    print(MARK + " ".join(map(str, words)), flush=True)


def read_list(job: dict, split: str) -> tuple[list[str], list[int]]:
    """Paths and labels of a split."""
    with open(job["list"], newline="", encoding="utf-8") as file:
        rows = [(path, int(label)) for part, path, label in csv.reader(file) if part == split]
    return [path for path, _ in rows], [label for _, label in rows]


def marking(keras, patience: int):
    """A Keras callback that says when the first step and each epoch of a row are done."""
    return keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: mark("step") if batch == 0 else None,
        on_epoch_end=lambda epoch, logs: mark("epoch", patience),
    )


def random_weights(job: dict) -> None:
    """Write the file that stands for the pretrained weights; its batch statistics let a signal through."""
    import keras
    import numpy as np

    from marinecv.models.backbones import set_batch_norm_statistics

    keras.utils.set_random_seed(0)
    base = keras.applications.MobileNetV3Large(
        input_shape=(SIZE, SIZE, 3), include_top=False, weights=None, include_preprocessing=False
    )
    noise = np.random.default_rng(0).normal(size=(2 * BATCH, SIZE // 16, SIZE // 16, 3)).astype(np.float32)
    set_batch_norm_statistics(base, np.array_split(noise.repeat(16, axis=1).repeat(16, axis=2), 2))
    base.save_weights(job["weights"])


def plain_keras(job: dict) -> None:
    """The notebook."""
    import keras
    import tensorflow as tf

    mark("imported")
    keras.utils.set_random_seed(0)
    auto = tf.data.AUTOTUNE
    moves = keras.Sequential(
        [
            keras.layers.RandomFlip("horizontal"),
            keras.layers.RandomRotation(ROTATION_DEG / 360, fill_mode="constant"),
            keras.layers.RandomZoom(ZOOM, fill_mode="constant"),
        ]
    )

    def load(path, label):
        image = tf.cast(tf.io.decode_jpeg(tf.io.read_file(path), channels=3), tf.float32)
        image = tf.image.resize(tf.image.resize_with_crop_or_pad(image, CANVAS_PX, CANVAS_PX), (SIZE, SIZE))
        return tf.image.per_image_standardization(image), label

    def batches(split):
        files = tf.data.Dataset.from_tensor_slices(read_list(job, split))
        number, training = len(files), split == "train"
        if job["what"] == CACHED:
            images = files.map(load, num_parallel_calls=auto).cache()
            images = images.shuffle(number) if training else images
        else:
            images = (files.shuffle(number) if training else files).map(load, num_parallel_calls=auto)
        images = images.batch(BATCH)
        if training and job["moved"]:
            images = images.map(lambda x, y: (moves(x, training=True), y), num_parallel_calls=auto)
        return images.prefetch(auto)

    train, validation = batches("train"), batches("validation")
    for patience in PATIENCES:
        base = keras.applications.MobileNetV3Large(
            input_shape=(SIZE, SIZE, 3), include_top=False, weights=job["weights"], include_preprocessing=False
        )
        first = len(base.layers) - job["trainable"]
        for place, layer in enumerate(base.layers):
            layer.trainable = place >= first and not isinstance(layer, keras.layers.BatchNormalization)
        model = keras.Sequential(
            [
                base,
                keras.layers.GlobalAveragePooling2D(),
                keras.layers.Dropout(DROPOUT),
                keras.layers.Dense(job["classes"], activation="softmax"),
            ]
        )
        optimizer = keras.optimizers.RMSprop(LEARNING_RATE)
        model.compile(optimizer, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
        slower = keras.callbacks.ReduceLROnPlateau("val_accuracy", factor=FACTOR, patience=patience)
        model.fit(
            train,
            validation_data=validation,
            epochs=job["epochs"],
            callbacks=[slower, marking(keras, patience)],
            verbose=0,
        )
    mark("end", sum(int(keras.ops.size(weights)) for weights in model.trainable_variables))


def ours(job: dict) -> None:
    """What `finetune --grid` does up to the trained models, with the weights of the file."""
    from marinecv import console as silent

    silent.import_tensorflow()
    import keras

    from marinecv.recipes.aquarium import row
    from marinecv.training import fit
    from marinecv.workflows.train_runs import start

    mark("imported")
    whole = fit.callbacks
    manifest, catalog = read_data(job)
    cached = (VIEWS if job["moved"] else 1) if job["what"] == BANK else 0
    for patience in PATIENCES:
        recipe = row("mobilenetv3large", patience)
        recipe = replace(recipe, data=replace(recipe.data, name=manifest.name), published={})
        recipe = recipe.with_model(weights=job["weights"], trainable_layers=job["trainable"])
        recipe = recipe.with_training(epochs=job["epochs"], early_stop_patience=job["epochs"], cache_features=cached)
        if not job["moved"]:
            recipe = recipe.with_training(augmentation=None)
        said = marking(keras, patience)
        fit.callbacks = lambda *args, said=said, **options: [*whole(*args, **options), said]
        run = start(Path(job["place"]) / recipe.name, recipe, catalog, manifest, print)
        fit.fit_recipe(recipe, run, fit.load_run(run, recipe), log=lambda line: None)
    mark("end", run.timing.trainable_parameters)


def pytorch(job: dict) -> None:
    """The same with timm.

    The last 20 layers of Keras' MobileNetV3Large without top are its last inverted residual and its last convolution:
    of timm's network `blocks[5][2]` and `blocks[6]`. timm's `conv_head` belongs to the top that Keras leaves out, so
    the new head stands on the pooled 960 features in both.
    """
    try:
        import torch

        timm = import_timm(torch)
        import numpy as np
        from PIL import Image
    except ImportError as error:
        mark("missing", error)
        return
    from concurrent.futures import ThreadPoolExecutor

    from torch import nn

    mark("imported")
    mark("versions", f"torch {torch.__version__}, timm {timm.__version__}")
    torch.set_num_threads(os.cpu_count())
    torch.manual_seed(0)

    def load(path):
        letterbox, image = Image.new("RGB", (CANVAS_PX, CANVAS_PX)), Image.open(path).convert("RGB")
        letterbox.paste(image, ((CANVAS_PX - image.width) // 2, (CANVAS_PX - image.height) // 2))
        return np.asarray(letterbox.resize((SIZE, SIZE), Image.Resampling.BILINEAR))

    def loader(split):
        paths, labels = read_list(job, split)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            images = torch.from_numpy(np.stack(list(pool.map(load, paths)))).permute(0, 3, 1, 2)  # channels last
        data = torch.utils.data.TensorDataset(images, torch.tensor(labels))
        every = torch.utils.data.RandomSampler if split == "train" else torch.utils.data.SequentialSampler
        whole_batches = torch.utils.data.BatchSampler(
            every(data), BATCH, drop_last=False
        )  # quicker than image by image
        return torch.utils.data.DataLoader(data, sampler=whole_batches, batch_size=None)

    def move(images):
        flip, turn, zoom, cut, cut_y, cut_x = torch.rand(6, len(images))
        angle = (2 * turn - 1) * ROTATION_DEG * torch.pi / 180
        kept = 1 - cut * CROP
        scale = (1 + (2 * zoom - 1) * ZOOM) * kept
        mirror = torch.where(flip < 0.5, -1.0, 1.0)
        cosine, sine = torch.cos(angle) * scale, torch.sin(angle) * scale
        row_x = torch.stack([cosine * mirror, -sine, (2 * cut_x - 1) * (1 - kept)], 1)
        row_y = torch.stack([sine * mirror, cosine, (2 * cut_y - 1) * (1 - kept)], 1)
        grid = nn.functional.affine_grid(torch.stack([row_x, row_y], 1), images.shape, align_corners=False)
        return nn.functional.grid_sample(images, grid, align_corners=False)

    def standardized(images, moved):
        images = move(images.float()) if moved else images.float()
        deviation, mean = torch.std_mean(images, (1, 2, 3), correction=0, keepdim=True)
        images = (images - mean) / deviation.clamp(min=1 / (3 * SIZE * SIZE) ** 0.5)
        return images.contiguous(memory_format=torch.channels_last)

    train, validation = loader("train"), loader("validation")
    for patience in PATIENCES:
        whole = timm.create_model("mobilenetv3_large_100", pretrained=False)
        stem, last = [whole.conv_stem, whole.bn1, *whole.blocks[:5], *whole.blocks[5][:2]], [whole.blocks[5][2]]
        last += [whole.blocks[6], nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        head = [nn.Dropout(DROPOUT), nn.Linear(960, job["classes"])]
        extractor = nn.Sequential(*stem, *([] if job["trainable"] else last)).requires_grad_(False)
        trainable = nn.Sequential(*(last if job["trainable"] else []), *head)
        extractor, trainable = (
            extractor.to(memory_format=torch.channels_last),
            trainable.to(memory_format=torch.channels_last),
        )
        norms = [layer for layer in trainable.modules() if isinstance(layer, nn.BatchNorm2d)]
        for norm in norms:
            norm.requires_grad_(False)
        learn = [weights for weights in trainable.parameters() if weights.requires_grad]
        optimizer = torch.optim.RMSprop(learn, LEARNING_RATE, alpha=0.9, eps=1e-7)  # as Keras has it
        slower = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, "max", factor=FACTOR, patience=patience)
        extractor.eval()
        for _ in range(job["epochs"]):
            trainable.train()
            for norm in norms:
                norm.eval()
            seen = 0.0
            for number, (images, labels) in enumerate(train):
                with torch.no_grad():
                    features = extractor(standardized(images, job["moved"]))
                loss = nn.functional.cross_entropy(trainable(features), labels)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                seen += loss.item()
                if number == 0:
                    mark("step")
            trainable.eval()
            right = 0
            with torch.inference_mode():
                for images, labels in validation:
                    right += (trainable(extractor(standardized(images, False))).argmax(1) == labels).sum().item()
            slower.step(right / len(validation.dataset))
            mark("epoch", patience)
    mark("end", sum(weights.numel() for weights in learn))


def import_timm(torch):
    """Import timm, which wants torchvision, whose compiled operators a torch without GPU may not be able to load."""
    try:
        import torchvision  # noqa: F401
    except RuntimeError:  # their Python half is loaded all the same once their signatures are known; no one calls them
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        import_timm.operators = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            import_timm.operators.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import timm

    return timm


CHILDREN = {
    "weights": random_weights,
    PLAIN: plain_keras,
    CACHED: plain_keras,
    PYTORCH: pytorch,
    OURS: ours,
    BANK: ours,
}


def child(words: str) -> None:
    """A contestant, in a process of its own."""
    job = json.loads(words)
    CHILDREN[job["what"]](job)


if __name__ == "__main__":
    child(sys.argv[2]) if sys.argv[1:2] == ["--child"] else main()
