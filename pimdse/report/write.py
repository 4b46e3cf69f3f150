"""Writes the files of a report, each whole or not at all."""

import os
from pathlib import Path

from pimcomp.errors import OutputError
from pimdse.report.findings import Findings
from pimdse.report.manifest import manifest_yaml, portable
from pimdse.report.page import report_html
from pimdse.report.picture import front_png
from pimdse.report.tables import front_csv, trials_csv

FILES = ("front.csv", "trials.csv", "front.png", "report.html", "manifest.yaml")


def write_report(findings: Findings, folder: Path) -> tuple[Path, ...]:
    """Write front.csv, trials.csv, front.png, report.html and manifest.yaml into `folder` and return their paths.

    Raises OutputError where the folder cannot be written; an older version of a file is replaced only by a whole new one.
    """
    contents = {
        "front.csv": front_csv(findings).encode(),
        "trials.csv": trials_csv(findings).encode(),
        "front.png": front_png(findings),
        "report.html": report_html(findings, portable(str(folder))).encode(),
        "manifest.yaml": manifest_yaml(findings).encode(),
    }
    for name, content in contents.items():
        _replace(folder / name, content)
    return tuple(folder / name for name in contents)


def _replace(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise OutputError(f"{path}: {error.strerror}") from error
