"""Export a run for other runtimes, and check earlier exports."""

import os
from collections.abc import Sequence

import pandas as pd

from marinecv.console import Log, silence, silent
from marinecv.export.formats import check_format
from marinecv.export.model import MARGIN, RefusedExport, export_model, measure_original, time_exports
from marinecv.export.parity import check_export
from marinecv.export.table import EXPORTS, export_folders, exports_text, read_exports, write_exports
from marinecv.files.lock import lock_folder
from marinecv.report.run_page import write_run_report
from marinecv.runs import Run
from marinecv.workflows.run_images import check_images
from marinecv.workflows.sources import open_classifier


def export(
    run: str | os.PathLike | Run,
    format: str,
    quantize: str | Sequence[str] = "none",
    *,
    margin: float = MARGIN,
    resize: bool = False,
    accept_changes: bool = False,
    log: Log | None = print,
) -> pd.DataFrame:
    """Export the model of a run to LiteRT, TensorFlow SavedModel or ONNX, into `exports` of its folder.

        >>> import marinecv as mcv
        >>> run = mcv.train(mcv.demo_images(), "aquarium_four_conv", epochs=1, limit=24, size=32, log=None)
        >>> mcv.export(run, "savedmodel", log=None)["export"].tolist()
        ['keras', 'savedmodel']

    Args:
        run: of a classifier of images alone, or its folder.
        format: `"litert"`, `"savedmodel"` or `"onnx"`.
        quantize: one or several, for `"litert"`: `"none"`, `"float16"`, `"int8-dynamic"`, `"int8-full"` or `"int8-io"`.
        margin: how far the validation accuracy may fall below the run's, 0 to 1.
        resize: for `"savedmodel"` and `"onnx"`: the file takes pictures of any size and fits them itself.
        accept_changes: check parity on images that have changed since the training; the run and its page say so.
        log: called with each line of text; None prints nothing.
    Returns:
        DataFrame, a row an export of the run, timed one after another; a refused one has its reason in `problem`.
    Raises:
        ValueError: the run or format is unsuitable, a package is missing, images have changed, or an export loses more
            than `margin`; it is not written, and of several the others are.
    """
    log, run = log or silent, open_classifier(run)
    kinds = list(dict.fromkeys([quantize] if isinstance(quantize, str) else quantize))
    for kind in kinds:
        check_format(format, kind, resize)
    validation = run.catalog.query("split == 'validation'")
    check_images(run, f"parity check of {format}", validation, log, accept=accept_changes)
    run.note(f"validation evaluation: export to {format}")
    refused = []
    with silence():  # the converter prints remarks
        original = measure_original(run, log=log)
        for kind in kinds:
            try:
                parity = export_model(run, format, kind, margin=margin, resize=resize, original=original, log=log)
                log(f"written to {run.path('exports', parity['export'])}")
            except RefusedExport as error:
                refused.append(error.row)
        with lock_folder(run.path(EXPORTS)):
            write_exports(run, original.figures, time_exports(run, original), refused)
    exports = read_exports(run)
    log(exports_text(exports))
    if run.path("report.html").is_file():
        write_run_report(run.folder)
    if refused:
        raise ValueError(" ".join(row["problem"] for row in refused))
    return exports


def check_exports(run: str | os.PathLike | Run) -> dict[str, str]:
    """Return what has changed in each export of a run since its parity check, by its name; "" if nothing has."""
    run = open_classifier(run)
    folders = export_folders(run)
    if not folders:
        raise ValueError(f'{run.folder} has no exports. Make one with format="litert".')
    with silence():
        return {folder.name: check_export(folder) for folder in folders}
