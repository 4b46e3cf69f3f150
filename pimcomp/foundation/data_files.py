"""Where the shipped chips and networks are: beside the packages in a checkout, inside `pimcomp` in a wheel."""

from pathlib import Path
from typing import Literal

from pimcomp.errors import InvariantError


def data_dir(kind: Literal["configs", "models"]) -> Path:
    """Folder of the shipped chip descriptions (`configs`) or networks (`models`).

    Raises InvariantError when neither place has it: the installation is damaged.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "data" / kind, package.parent / kind):
        if folder.is_dir():
            return folder
    raise InvariantError(f"the installation has no {kind} folder: reinstall pimdse")
