"""What `predict` makes of its table: counts, files for other programs, events and class folders."""

import os
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pandas as pd

from marinecv import __version__
from marinecv.choices import TABLE_FORMATS
from marinecv.console import Log
from marinecv.data.writers import shared_table, write_csv
from marinecv.data.writers.camtrap_dp import Metadata, read_metadata, write_camtrap_dp
from marinecv.data.writers.megadetector import write_megadetector
from marinecv.data.writers.xlsx import check_xlsx, write_xlsx
from marinecv.evaluation.events import event_numbers, events_of, events_sentence, parse_gap
from marinecv.files.csv_tables import parse_numbers, read_table
from marinecv.files.hashes import sha256
from marinecv.runs import Run
from marinecv.schema import check_choice
from marinecv.workflows.sort_into import check_sortable, sort_into
from marinecv.workflows.sources import as_paths

EVENTS = "events.csv"
NAMES = {"csv": "_shared.csv", "xlsx": "_shared.xlsx", "megadetector": "_megadetector.json", "camtrapdp": "_camtrapdp"}
"""Format -> the end of the name of its file, after that of the table."""
MOST_LINES = 20  # of classes or cameras that are counted on the console


@dataclass(frozen=True)
class Outputs:
    """What to make beside the table of predictions of images in `paths`, or of crops of `detections`."""

    formats: tuple[str, ...]
    event_gap: str | None
    sort_folder: Path | None
    metadata: Metadata | None  # of Camtrap DP
    detections: str | os.PathLike | None
    paths: list[Path]

    def files(self, output: Path) -> list[Path]:
        """Return the files that are made beside a table, those of `formats` first."""
        names = [output.stem + NAMES[name] for name in self.formats]
        names += [EVENTS] * bool(self.event_gap) + [f"photo_{output.name}"] * bool(self.detections)
        return [output.with_name(name) for name in names]

    def check_new(self, output: Path, begun: Sequence[str]) -> None:
        """Raise ValueError where a table, or a file beside it that is not named in `begun`, exists."""
        for path in (output, *self.files(output)):
            if path.exists() and path.name not in begun:
                raise ValueError(
                    f"{path} exists and is never overwritten. Name another with output=, or one in another folder."
                )

    def write(self, run: Run, table_path: Path, output: Path, photos: pd.DataFrame | None, log: Log) -> None:
        """Make all but the predictions of `photos` from a finished table of predictions, to lie beside `output`."""
        if not (self.formats or self.event_gap or self.sort_folder):
            return
        table = read_answers(table_path)
        shared = shared_table(table, common_folder(self.paths))
        if self.event_gap:
            events, of_rows = events_of(shared, self.event_gap), event_numbers(shared, self.event_gap)
            shared["event_id"] = [f"e{number + 1}" * (number >= 0) for number in of_rows]
            shared["event_gap"] = self.event_gap
            write_csv(output.with_name(EVENTS), events)
            log(f"{output.with_name(EVENTS)}: {events_sentence(shared, of_rows, self.event_gap)}")
        classifier = f"marinecv {__version__}, run {run.folder.name}, model {sha256(run.path('model.keras'))[:8]}"
        writers = {"csv": write_csv, "xlsx": write_xlsx}
        writers |= {"megadetector": write_megadetector, "camtrapdp": write_camtrap_dp}
        more = {
            "megadetector": (run.class_names, classifier, self.detections),
            "camtrapdp": (self.metadata, classifier),
        }
        for name, path in zip(self.formats, self.files(output), strict=False):
            left_out = writers[name](path, shared, *more.get(name, ())) or ()
            for sentence in (*left_out, f"{path}: to pass on"):
                log(sentence)
        if self.sort_folder:
            sort_into(self.sort_folder, table if photos is None else photos, log)


def outputs_of(how: SimpleNamespace, rows: int) -> Outputs:
    """Return what the arguments of `predict` ask to make of so many rows; ValueError, before any image is read."""
    formats = tuple(dict.fromkeys([how.formats] if isinstance(how.formats, str) else how.formats))
    for name in formats:
        check_choice(TABLE_FORMATS, formats=name)
    if how.event_gap is not None:
        parse_gap(how.event_gap)
    if "xlsx" in formats:
        check_xlsx(rows)
    paths = as_paths(how.paths)
    sort_folder = None if how.sort_into is None else Path(how.sort_into)
    if sort_folder:
        check_sortable(sort_folder, paths)
    of_package = how.deployments, how.timezone, how.project
    if "camtrapdp" not in formats and any(of_package):
        raise ValueError('deployments=, timezone= and project= are of formats="camtrapdp". Add that, or leave them.')
    metadata = read_metadata(*of_package) if "camtrapdp" in formats else None
    return Outputs(formats, how.event_gap, sort_folder, metadata, how.boxes, paths)


def read_answers(path: Path) -> pd.DataFrame:
    """Read a table of `predict` with its numbers as such."""
    table = read_table(path)
    numbers = [name for name in table if name.startswith(("p_", "probability")) or name == "doubt"]
    return parse_numbers(table, numbers, path)


def common_folder(paths: Sequence[Path]) -> str:
    """Return the folder below which all given folders and files lie, as an absolute path."""
    folders = {os.path.abspath(path if path.is_dir() else path.parent) for path in paths}
    try:
        return os.path.commonpath(folders)
    except ValueError as error:  # several drives
        raise ValueError(f"{error}: {', '.join(sorted(folders))}. Expected images of one drive.") from error


def count_lines(counts: Counter[tuple[str, str]]) -> list[str]:
    """Return lines that count images by class and by known camera, the most frequent first; counts are of both."""
    classes, cameras = Counter(), defaultdict(Counter)
    for (camera, name), count in sorted(counts.items(), key=lambda item: item[0][::-1]):  # equal counts by name
        if name:
            classes[name] += count
            cameras[camera][name] += count
    lines = [f"  {count:>7,}  {name}" for name, count in classes.most_common()]
    for camera in sorted(cameras) if any(cameras) else ():
        counted = ", ".join(f"{name} {count:,}" for name, count in cameras[camera].most_common())
        lines.append(f"  {camera or 'camera unknown'}: {counted}")
    return lines[:MOST_LINES] + [f"  and {len(lines) - MOST_LINES} lines more"] * (len(lines) > MOST_LINES)
