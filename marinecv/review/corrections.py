"""`corrections.csv`: the answers of a person, a line each, on the disk before they are acknowledged."""

import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from marinecv.data.annotations import class_of
from marinecv.data.names import EMPTY_CLASS
from marinecv.data.user_tables import TEXT, as_table, rename_aliases
from marinecv.files.csv_tables import DELIMITERS, check_columns, read_table, table_text
from marinecv.schema import check_choice

COLUMNS = ["answered_at", "batch", "undoes", "image_id", "answer", "class_name"]
CLASS, EMPTY, UNKNOWN, UNANSWERED = "class", "empty", "unknown", ""
ANSWERS = (CLASS, EMPTY, UNKNOWN, UNANSWERED)
"""It is of `class_name`; nothing is there; nobody can say; the answer was taken back."""


class Answer(NamedTuple):
    """What a person said of an image: one of `ANSWERS`, and the class where it is `"class"`."""

    answer: str = UNANSWERED
    class_name: str = ""


class Corrections:
    """The file of answers, opened to append: of each image the last line counts.

    Answers that are given together, such as those of an event, share a `batch` and are undone together; undoing appends
    lines, too. A line that was cut short, by a loss of power, was never acknowledged and is removed.

    Args:
        path: of the file, which is made where there is none.
    Raises:
        ValueError: it is another table.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        data = self.path.read_bytes() if self.path.is_file() else b""
        if not data.endswith(b"\n"):
            self.path.touch()
            os.truncate(self.path, data.rfind(b"\n") + 1)
        if b"\n" not in data:
            self._append(table_text(pd.DataFrame(columns=COLUMNS)))
        check_columns(table := read_table(self.path), COLUMNS, self.path)
        _check_answers(table, self.path)
        try:
            table = table.astype({"batch": int, "undoes": int})
        except ValueError as error:
            raise ValueError(f"{self.path} is no list of answers: {error}. Restore it, or move it away.") from error
        self.batch = 0
        self.answers: dict[str, Answer] = {}
        self._history: dict[int, dict[str, Answer]] = {}  # of each batch not undone what was before
        for (batch, undoes), rows in table.groupby(["batch", "undoes"], sort=False):
            answers = zip(rows["image_id"], map(Answer, rows["answer"], rows["class_name"]), strict=True)
            self._count(batch, undoes, dict(answers))

    def of(self, image_id: str) -> Answer:
        """Return the answer that counts for an image."""
        return self.answers.get(image_id, Answer())

    def add(self, image_ids: Sequence[str], answer: str, class_name: str = "") -> None:
        """Append one answer for one or several images, as one batch; it is on the disk when this returns."""
        check_choice(ANSWERS, answer=answer)
        given = Answer(answer, class_name if answer == CLASS else "")
        self._add(dict.fromkeys(image_ids, given), undoes=0)

    def undo(self) -> list[str]:
        """Take back the last batch that was not undone; return its images, none where nothing is left to undo."""
        if not self._history:
            return []
        batch, before = [*self._history.items()][-1]
        self._add(before, undoes=batch)
        return list(before)

    def _add(self, answers: dict[str, Answer], undoes: int) -> None:
        now, batch = datetime.now(UTC).isoformat(timespec="milliseconds"), self.batch + 1
        rows = [(now, batch, undoes, image, *given) for image, given in answers.items()]
        self._append(table_text(pd.DataFrame(rows, columns=COLUMNS), header=False))
        self._count(batch, undoes, answers)

    def _count(self, batch: int, undoes: int, answers: dict[str, Answer]) -> None:
        """Let a batch of the file count."""
        if undoes:
            self._history.pop(undoes, None)
        else:
            self._history[batch] = {image: self.of(image) for image in answers}
        self.batch = batch
        self.answers |= answers

    def _append(self, text: str) -> None:
        with open(self.path, "ab") as file:
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())


def read_corrections(path: str | os.PathLike | pd.DataFrame, ids: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Return the answers that count of a `corrections.csv`: `image_id, answer, class_name`, one row an image.

    A table of another tool needs `class_name` and `image_id`, or `path` or `file`, which `ids` maps to it; a class is
    an answer, whether or not `answer` says so. Raises ValueError where it is no such table, or gives an image two
    answers without saying which is the later.
    """
    table, path = (path, "the table") if isinstance(path, pd.DataFrame) else (read_table(path, DELIMITERS), path)
    table = rename_aliases(table, {"path": ("file",), "class_name": ("class", "label")})
    table = as_table(table, optional={"answer": UNANSWERED}, text=(*TEXT, "answer"))
    if ids and "image_id" not in table and "path" in table:
        table = table.assign(image_id=table["path"].map(lambda name: ids.get(name, name)))
    check_columns(table, ["image_id", "class_name"], path)
    is_class = (table["answer"] == UNANSWERED) & (table["class_name"] != "")
    table = table.assign(answer=table["answer"].mask(is_class, CLASS))
    _check_answers(table, path)
    if "answered_at" in table:
        table = table.drop_duplicates("image_id", keep="last")
    table = table.loc[table["answer"] != UNANSWERED, ["image_id", "answer", "class_name"]].drop_duplicates()
    if (twice := table["image_id"].duplicated()).any():
        raise ValueError(f"{path} has several answers for {table['image_id'][twice].iloc[0]}. Expected one an image.")
    return table.reset_index(drop=True)


def _check_answers(table: pd.DataFrame, path: str | Path) -> None:
    """Raise ValueError for an answer that is none, a class without a name, or one of an image where nothing is."""
    wrong = ~table["answer"].isin(ANSWERS) | (table["answer"] == CLASS) & (table["class_name"] == "")
    wrong |= table["answer"].isin((EMPTY, UNKNOWN)) & ~table["class_name"].map(class_of).isin(("", EMPTY_CLASS))
    if wrong.any():
        row = table[wrong].iloc[0]
        expected = ", ".join(map(repr, filter(None, ANSWERS)))
        raise ValueError(
            f"{path} has the answer {row['answer']!r} of class {row['class_name']!r} for {row['image_id']}. Expected "
            f"one of {expected}, and with 'class' a class_name."
        )
