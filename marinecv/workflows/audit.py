"""Audit a data set: describe its images, and find what makes a score on them wrong."""

import os
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from marinecv.audit.findings import Finding, cases_table, findings_table
from marinecv.audit.label_findings import label_error_findings
from marinecv.audit.run_audit import audit_images, list_findings
from marinecv.console import Log, silent
from marinecv.data.accounting import reading_lines
from marinecv.data.manifests import Manifest
from marinecv.data.user_tables import is_usable
from marinecv.evaluation.leakage import leakage_index
from marinecv.language import language
from marinecv.report.audit_page import audit_summary, write_audit_report
from marinecv.runs import fresh_folder, next_folder
from marinecv.training.recipe import DataConfig
from marinecv.workflows.label_errors import label_errors_or_reason, network_for_embeddings
from marinecv.workflows.prepare import limit_images
from marinecv.workflows.sources import Data, source_of


@dataclass(frozen=True, eq=False, repr=False)
class Audit:
    """The result of an audit; printed, it is its summary and a line a finding.

    Attributes:
        catalog: with the problems of files that do not decode, and a `group` of related images.
        boxes: as `read_boxes` returns them; may be empty.
        tables: the measurements of `audit_images`, by name.
        leak: as `leakage_index` returns it.
        summary: what the images are, and which files were not read, in a few lines.
        reviewed: what was checked, in a sentence.
    """

    manifest: Manifest
    catalog: pd.DataFrame
    boxes: pd.DataFrame
    tables: dict[str, pd.DataFrame]
    leak: dict
    summary: str
    reviewed: str
    seed: int
    lang: str
    folder: Path | None
    _findings: list[Finding]

    def __repr__(self):
        return "\n".join([self.summary, *self.findings["line"]])

    @property
    def findings(self) -> pd.DataFrame:
        """A row a finding, the serious ones first: `finding, serious, count, of, unit, what, why, todo, line`.

        `serious` is True if it makes a score wrong or loses images; `line` is the finding in one line.
        """
        with language(self.lang):
            table = findings_table(self._findings)
            return table.assign(serious=table["serious"] == "yes", line=[finding.line for finding in self._findings])

    @property
    def cases(self) -> pd.DataFrame:
        """The images of each finding, the worst first: `finding, image_id, other, note`."""
        return cases_table(self._findings)

    def report(self, folder: str | os.PathLike | None = None) -> Path:
        """Write the page, every table as CSV and the figures into a new folder; return the page."""
        demo, name = self.manifest.demonstration, self.manifest.name
        if folder or not self.folder:
            folder = fresh_folder(folder or next_folder("runs", f"{'demo-' if demo else ''}audit-{name}"))
        tables = (self.catalog, self.boxes, self.tables, self._findings, self.leak, self.reviewed)
        with language(self.lang):
            return write_audit_report(folder or self.folder, name, *tables, seed=self.seed, demonstration=demo)


def audit(
    data: Data,
    *,
    folder: str | os.PathLike | None = None,
    frame_order: str | None = None,
    limit: int | None = None,
    label_errors: bool = False,
    seed: int = 0,
    lang: str = "en",
    log: Log | None = print,
) -> Audit:
    """Decode every image of a data set, and find what makes a score on them wrong.

        >>> import marinecv as mcv
        >>> audit = mcv.audit(mcv.demo_images(), limit=24, log=None)
        >>> audit.findings.columns[:3].tolist()
        ['finding', 'serious', 'count']

    Args:
        data: a folder or archive of images, the name of a data set, a manifest or a catalog, which has no boxes.
        folder: a new folder for the page and tables that `report` writes; None takes the next free one below `runs/`.
        frame_order: what orders neighboring frames: `"number"` in file names, `"time"` in EXIF data or names, or
            `"none"`; None takes what fits the images best.
        limit: at most so many images a split, stratified, besides those that cannot be used; None takes all.
        label_errors: also rank probable label errors, `tables["label_errors"]`, see `mcv.label_errors`.
        seed: of everything random.
        lang: language of page and findings, `"en"` or `"es"`.
        log: called with each line of text; None prints nothing.
    Returns:
        The findings, and all measurements.
    Raises:
        ValueError: there are no such images, `frame_order` is unknown, or the folder is not empty; or
            `label_errors` finds no pretrained weights.
    """
    log, choice = log or silent, DataConfig(name="aquarium", frame_order=frame_order)
    with language(lang):
        source = source_of(data, choice, log)
        manifest, (catalog, boxes) = source.manifest, source.read_with_boxes(choice, log)
        reading = reading_lines(manifest, catalog)
        if limit is not None:
            bad = catalog[~is_usable(catalog)]
            catalog = pd.concat([limit_images(catalog, limit, seed, log), bad], ignore_index=True)
            boxes = boxes[boxes["image_id"].isin(catalog["image_id"])]
        network = network_for_embeddings() if label_errors else None  # ValueError before anything is decoded
        folder = folder and fresh_folder(folder)
        catalog, tables, checks = audit_images(catalog, boxes, frame_order=frame_order, seed=seed, log=log)
        leak = leakage_index(tables["votes"])
        findings = list_findings(catalog, boxes, tables, leak, seed)
        if network:
            tables["label_errors"], sentence = label_errors_or_reason(catalog, tables["pairs"], network, seed, log)
            findings += label_error_findings(tables["label_errors"], int(is_usable(catalog).sum()))
            checks += f" {sentence}"
        summary = "\n".join([audit_summary(tables, len(catalog)), *reading])
        checks = " ".join([checks, *reading])
        return Audit(manifest, catalog, boxes, tables, leak, summary, checks, seed, lang, folder, findings)
