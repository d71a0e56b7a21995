"""The rows of a prediction, a chunk of files at a time: in this process, or by workers of Ray."""

from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from pathlib import Path

from marinecv import console
from marinecv.pipelines import options
from marinecv.run_records import Calibration
from marinecv.workflows.ray_workers import ray_workers

Chunk = tuple[int, list[Path]]
"""Files of a prediction, and the place of the first of them among all."""


def texts_here(chunks: Iterable[Chunk], *opening) -> Iterator[tuple[int, str]]:
    """Give place and rows of every chunk that is still to be done, in order; the model is opened at once."""
    text_of = open_run(*opening)
    return ((chunk[0], text_of(chunk)) for chunk in chunks)


def texts_on_ray(chunks: Iterable[Chunk], *opening) -> Iterator[tuple[int, str]]:
    """Give place and rows of every chunk as `texts_here` does, in the order in which workers are done with them.

    A worker opens the model once; one that is killed is replaced, and its chunk done again.
    """
    import ray.data

    items = [{"place": place, "files": [str(file) for file in files]} for place, files in chunks]
    if not items:
        return
    with ray_workers(most=len(items)) as workers:
        texts = ray.data.from_items(items, override_num_blocks=len(items)).map_batches(
            RayWorker,
            fn_constructor_args=opening,
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(size=workers.count),
            **workers.each,
        )
        for row in texts.iter_rows():
            yield row["place"], row["text"]


class RayWorker:
    """What `map_batches` calls: it opens the run at its first chunk, so that an error there is told as it is."""

    def __init__(self, *opening):
        self.opening = opening

    @cached_property
    def text_of(self) -> Callable[[Chunk], str]:
        """The run, opened."""
        return open_run(*self.opening)

    def __call__(self, batch: dict) -> dict:
        """Return place and rows of the one chunk of a batch."""
        [place], [files] = batch["place"], batch["files"]
        return {"place": [place], "text": [self.text_of((place, [Path(file) for file in files]))]}


def open_run(
    run: Path, calibration: Calibration | None, review: bool, batch_size: int, root: Path
) -> Callable[[Chunk], str]:
    """Load the model of a run, and return what writes a chunk of files as rows of a CSV, under a header if the first.

    The folder is absolute; paths that are not begin at `root`. With `review` it flags the images to look at.

    Raises:
        ValueError: the model takes more than an image.
    """
    console.import_tensorflow()
    from marinecv.evaluation.predict import check_inputs
    from marinecv.tables import table_text
    from marinecv.workflows.predictor import looker

    trained = options.classifier(run)
    model = trained.load_model()
    check_inputs(model)
    look = looker(trained, model, calibration, review)

    def text_of(chunk: Chunk) -> str:
        place, files = chunk
        rows = predict_files(look, files, trained.spec, trained.class_names, batch_size, root)
        return table_text(rows, header=not place, float_format="%.6f")

    return text_of


def predict_files(look, files: list[Path], spec, class_names: tuple[str, ...], batch_size: int, root: Path):
    """A row a file: path, predicted class, its probability, that of every class, what `look` adds, and its problem."""
    import numpy as np
    import pandas as pd

    from marinecv.data.layouts import printable
    from marinecv.inputs.pixels import read_pixels

    pixels, reasons = read_pixels([str(root / file) for file in files], spec)
    good = [i for i in range(len(files)) if i not in reasons]
    rows = pd.DataFrame({"path": [printable(file.as_posix()) for file in files]})
    probabilities = np.full((len(files), len(class_names)), np.nan)
    probabilities[good], beside = look(pixels[good], batch_size)
    names = np.array([*class_names, ""])
    best = np.where(np.isnan(probabilities[:, 0]), len(class_names), np.nan_to_num(probabilities).argmax(axis=1))
    rows["predicted_class"] = names[best]
    rows["probability"] = probabilities.max(axis=1)
    for column, name in enumerate(class_names):
        rows[f"p_{name}"] = probabilities[:, column]
    for column, values in beside.items():
        said = pd.Series(values, index=good)
        rows[column] = said.reindex(rows.index, fill_value=np.nan if said.dtype == float else "")
    rows["problem"] = [reasons.get(i, "") for i in range(len(files))]
    return rows
