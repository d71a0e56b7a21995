"""What `predict` makes of its table: counts, files for other programs, events and class folders."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from marinecv import __version__
from marinecv.choices import TABLE_FORMATS
from marinecv.console import Log
from marinecv.data.writers import shared_table
from marinecv.data.writers.camtrap_dp import Metadata, read_metadata, write_camtrap_dp
from marinecv.data.writers.csv import write_csv
from marinecv.data.writers.megadetector import write_megadetector
from marinecv.data.writers.xlsx import check_xlsx, write_xlsx
from marinecv.evaluation.events import event_numbers, events_of, events_sentence, parse_gap
from marinecv.files.csv_tables import parse_numbers, read_table
from marinecv.files.hashes import sha256
from marinecv.runs import Run
from marinecv.schema import check_choice
from marinecv.workflows.sort_into import check_sortable, sort_into

EVENTS = "events.csv"
NAMES = {"csv": "_shared.csv", "xlsx": "_shared.xlsx", "megadetector": "_megadetector.json", "camtrapdp": "_camtrapdp"}
"""Format -> the end of the name of its file, after that of the table."""
MOST_LINES = 20  # of classes or cameras that are counted on the console


@dataclass(frozen=True)
class Outputs:
    """What to make beside the table of predictions; `metadata` is of Camtrap DP."""

    formats: tuple[str, ...]
    event_gap: str | None
    sort_folder: Path | None
    metadata: Metadata | None

    @property
    def is_any(self) -> bool:
        """Whether the whole table is needed."""
        return bool(self.formats or self.event_gap or self.sort_folder)

    def check_new(self, output: Path, begun: str) -> None:
        """Raise ValueError where a file that would be made beside a table exists, and is not named in `begun`."""
        for path in self.paths(output):
            if path.exists() and path.name not in begun.splitlines():
                raise ValueError(
                    f"{path} exists and is never overwritten. Name a table in another folder with output=."
                )

    def paths(self, output: Path) -> list[Path]:
        """Return the files that are made beside a table."""
        events = [output.with_name(EVENTS)] if self.event_gap else []
        return [*(output.with_name(output.stem + NAMES[name]) for name in self.formats), *events]

    def write(
        self,
        run: Run,
        table_path: Path,
        output: Path,
        bases: Sequence[Path],
        log: Log,
        photos: pd.DataFrame | None = None,
        detections: str | os.PathLike | None = None,
    ) -> None:
        """Make all of it from a finished table of predictions, to lie beside `output`.

        Of a table of crops there are the predictions of their `photos` and the file of `detections`, too.
        """
        table = read_answers(table_path)
        shared = shared_table(table, str(common_folder(bases)))
        if self.event_gap:
            events, of_rows = events_of(shared, self.event_gap), event_numbers(shared, self.event_gap)
            shared["event_id"] = [f"e{number + 1}" * (number >= 0) for number in of_rows]
            shared["event_gap"] = self.event_gap
            write_csv(output.with_name(EVENTS), events)
            log(f"{output.with_name(EVENTS)}: {events_sentence(shared, of_rows, self.event_gap)}")
        classifier = f"marinecv {__version__}, run {run.folder.name}, model {sha256(run.path('model.keras'))[:8]}"
        ways = {"csv": write_csv, "xlsx": write_xlsx, "megadetector": write_megadetector, "camtrapdp": write_camtrap_dp}
        more = {"megadetector": (run.class_names, classifier, detections), "camtrapdp": (self.metadata, classifier)}
        for name, path in zip(self.formats, self.paths(output), strict=False):
            for sentence in ways[name](path, shared, *more.get(name, ())):
                log(sentence)
            log(f"{path}: to pass on")
        if self.sort_folder:
            sort_into(self.sort_folder, table if photos is None else photos, log)


def read_answers(path: Path) -> pd.DataFrame:
    """Read a table of `predict` with its numbers as such."""
    table = read_table(path)
    numbers = [name for name in table if name.startswith(("p_", "probability")) or name == "doubt"]
    return parse_numbers(table, numbers, path)


def outputs_of(
    formats: str | Sequence[str],
    event_gap: str | None,
    sort_folder: str | os.PathLike | None,
    deployments: str | os.PathLike | None,
    timezone: str | None,
    project: str | os.PathLike | None,
    paths: Sequence[Path],
    rows: int,
) -> Outputs:
    """Return what to make of a table of so many rows; ValueError, before any image is read, where that cannot be.

    `paths` are the files and folders that `predict` is given.
    """
    formats = tuple(dict.fromkeys([formats] if isinstance(formats, str) else formats))
    for name in formats:
        check_choice(TABLE_FORMATS, formats=name)
    if event_gap is not None:
        parse_gap(event_gap)
    if "xlsx" in formats:
        check_xlsx(rows)
    sort_folder = None if sort_folder is None else Path(sort_folder)
    if sort_folder:
        check_sortable(sort_folder, paths)
    is_package = "camtrapdp" in formats
    if not is_package and (deployments or timezone or project):
        raise ValueError('deployments=, timezone= and project= are of formats="camtrapdp". Add that, or leave them.')
    metadata = read_metadata(deployments, timezone, project) if is_package else None
    return Outputs(formats, event_gap, sort_folder, metadata)


def common_folder(bases: Sequence[Path]) -> Path:
    """Return the folder below which all given folders and files lie, as an absolute path."""
    folders = {os.path.abspath(path if path.is_dir() else path.parent) for path in bases}
    try:
        return Path(os.path.commonpath(folders))
    except ValueError as error:  # several drives
        raise ValueError(f"{error}: {', '.join(sorted(folders))}. Expected images of one drive.") from error


def count_lines(counts: Counter[tuple[str, str]]) -> list[str]:
    """Return lines that count images by class, and by camera where one is known, the most frequent first.

    `counts` has the number of images by camera, "" where unknown, and class.
    """
    classes, cameras = Counter(), {}
    for (camera, class_name), count in counts.items():
        classes[class_name] += count
        cameras.setdefault(camera, Counter())[class_name] += count
    lines = [f"  {count:>7,}  {name}" for name, count in _ordered(classes)]
    if any(cameras):
        for camera in sorted(cameras):
            counted = ", ".join(f"{name} {count:,}" for name, count in _ordered(cameras[camera]))
            lines.append(f"  {camera or 'camera unknown'}: {counted}")
    return lines[:MOST_LINES] + [f"  and {len(lines) - MOST_LINES} lines more"] * (len(lines) > MOST_LINES)


def _ordered(counts: Counter) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))
