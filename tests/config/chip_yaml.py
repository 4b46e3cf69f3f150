"""A minimal chip file that tests edit."""

from pathlib import Path

MINIMAL = """\
chip:
  cores: 4
  crossbars_per_core: 8
crossbar:
  rows: 128
  cols: 64
  cell_bits: 2
core:
  rob_size: 1
"""


def write_chip(folder: Path, text: str = MINIMAL, name: str = "tiny.yaml") -> Path:
    """The path of a chip file with this text."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path
