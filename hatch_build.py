"""What an installed pimdse is made of: two packages, `pimcomp` and `pimdse`.

The folders `solvers` and `spaces` of the checkout are `pimdse.solvers` and `pimdse.spaces` in a wheel, because other
projects install packages of those names. Only the imports differ, and they are rewritten here.
"""

import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PACKAGES = {"pimcomp": "pimcomp", "pimdse": "pimdse", "solvers": "pimdse/solvers", "spaces": "pimdse/spaces"}
MOVED = {source: target.replace("/", ".") for source, target in PACKAGES.items() if source != target}
_IMPORT = re.compile(rf"^(\s*from )({'|'.join(MOVED)})(?=[. ])", re.MULTILINE)
_OTHER_FORM = re.compile(rf"^\s*import ({'|'.join(MOVED)})\b", re.MULTILINE)


def as_installed(source: str) -> str:
    """A file's text with the imports of an installed package."""
    if found := _OTHER_FORM.search(source):
        raise ValueError(f"{found[0].strip()!r}: only `from ... import ...` can be rewritten")
    return _IMPORT.sub(lambda m: m[1] + MOVED[m[2]], source)


class Packages(BuildHookInterface):  # type: ignore[type-arg]
    """Gives a wheel the packages; an editable installation is the checkout as it is."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Copy the packages, imports rewritten, and add the copies to the wheel."""
        if version == "editable":
            return
        self.copies = Path(tempfile.mkdtemp())
        for source, target in PACKAGES.items():
            for path in sorted((Path(self.root) / source).rglob("*")):
                if path.is_dir() or "__pycache__" in path.parts:
                    continue
                copy = self.copies / target / path.relative_to(Path(self.root) / source)
                copy.parent.mkdir(parents=True, exist_ok=True)
                if path.suffix == ".py":
                    copy.write_text(as_installed(path.read_text(encoding="utf-8")), encoding="utf-8")
                else:
                    shutil.copyfile(path, copy)
        build_data["force_include"] |= {str(self.copies / name): name for name in ("pimcomp", "pimdse")}

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove the copies."""
        if version != "editable":
            shutil.rmtree(self.copies)
