"""Writes the files of a report, each whole or not at all."""

from pathlib import Path

from pimcomp.foundation.own_files import write_files
from pimdse.report.findings import Findings
from pimdse.report.manifest import manifest_yaml, portable
from pimdse.report.page import report_html
from pimdse.report.picture import front_png
from pimdse.report.tables import front_csv, trials_csv

COMMAND = "sweep"  # who writes them, in the folder's record
FILES = ("front.csv", "trials.csv", "front.png", "report.html", "manifest.yaml")


def write_report(findings: Findings, folder: Path) -> tuple[Path, ...]:
    """Write front.csv, trials.csv, front.png, report.html and manifest.yaml into `folder` and return their paths.

    Raises OutputError where the folder cannot be written or a file there is not an earlier report's.
    """
    contents = {
        "front.csv": front_csv(findings).encode(),
        "trials.csv": trials_csv(findings).encode(),
        "front.png": front_png(findings),
        "report.html": report_html(findings, portable(str(folder))).encode(),
        "manifest.yaml": manifest_yaml(findings).encode(),
    }
    write_files(folder, contents, COMMAND)
    return tuple(folder / name for name in contents)
