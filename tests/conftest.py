"""Fake data: three colored classes, a few JPEGs of 48x64 and a CSV. Unequal height and width catches swaps."""

import gc
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from marinecv.workflows.weights import weights_host_answers

sys.path.append(str(Path(__file__).resolve().parents[1] / "benchmarks"))  # of `five_reports`
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("MPLBACKEND", "Agg")

COLOURS = {"crab": (200, 60, 40), "eel": (40, 180, 60), "ray": (50, 70, 200)}
SIZE_HW = (48, 64)


def real_data_root() -> Path | None:
    """Return the folder of the real data sets, or None."""
    places = [os.environ.get("MARINECV_DATA"), Path(__file__).resolve().parents[2] / "shared" / "data"]
    return next((Path(place) for place in places if place and Path(place).is_dir()), None)


def pytest_collection_modifyitems(items):
    if real_data_root() is None:
        skip = pytest.mark.skip(reason="needs the real data: ../shared/data or $MARINECV_DATA is absent")
        for item in items:
            if "data" in item.keywords:
                item.add_marker(skip)


@pytest.fixture(autouse=True, scope="module")
def quick_collections():
    """Collect garbage once a file: among thousands of tests a collection takes seconds."""
    yield
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def own_store(tmp_path, monkeypatch):
    """Give each test a store of its own, and let it ask for the network itself."""
    monkeypatch.setenv("MARINECV_HOME", str(tmp_path / "marinecv_home"))
    weights_host_answers.cache_clear()


@pytest.fixture
def no_pages(monkeypatch):
    """Drawing figures takes longer than a small training."""
    from marinecv.workflows import train_runs

    for name in ("write_run_report", "write_study_report"):
        monkeypatch.setattr(train_runs, name, lambda folder: folder)


@pytest.fixture
def double_precision():
    """Compute in float64, in which the order of operations hardly matters."""
    import keras

    floatx, policy = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_floatx(floatx)
    keras.config.set_dtype_policy(policy)


@pytest.fixture
def real_data() -> Path:
    return real_data_root()


def draw_image(class_name: str, seed: int) -> Image.Image:
    """A noisy 48x64 image of the color of its class, with a brighter block that differs by seed."""
    rng = np.random.default_rng(seed)
    pixels = np.array(COLOURS[class_name]) + rng.integers(-20, 21, (*SIZE_HW, 3))
    top, left = rng.integers(0, 24), rng.integers(0, 32)
    pixels[top : top + 16, left : left + 24] += 30
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


@pytest.fixture
def roboflow_folder(tmp_path) -> Path:
    """A tank of the test's own."""
    return draw_tank(tmp_path / "tank")


@pytest.fixture(scope="session")
def shared_tank(tmp_path_factory) -> Path:
    """One tank for all tests that only read it."""
    return draw_tank(tmp_path_factory.mktemp("shared") / "tank")


@pytest.fixture(scope="session")
def finished_run(shared_tank) -> Path:
    """A small CNN trained on the shared tank by the command line: 2 epochs at 32x32. Only to be read."""
    from pipelines.cli import main

    run = shared_tank.parent / "run"
    words = ["--data-dir", str(shared_tank), "--epochs", "2", "--image-size", "32", "--output-dir", str(run)]
    assert main(["pretrain", *words]) == 0
    return run


def draw_tank(root: Path) -> Path:
    """Roboflow's CSV layout: train/valid/test with 6/3/3 images, one or two boxes each."""
    for split, per_class in (("train", 2), ("valid", 1), ("test", 1)):
        folder = root / split
        folder.mkdir(parents=True)
        rows = ["filename,width,height,class,xmin,ymin,xmax,ymax"]
        for number, class_name in enumerate(list(COLOURS) * per_class):
            name = f"{class_name}_{split}_{number}.jpg"
            draw_image(class_name, seed=number).save(folder / name, quality=95)
            rows.append(f"{name},64,48,{class_name},4,6,40,36")
            if number % 2:
                rows.append(f"{name},64,48,eel,50,2,56,8")
        (folder / "_annotations.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return root
