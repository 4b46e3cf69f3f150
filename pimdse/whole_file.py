"""Writes a file whole or not at all."""

import os
from pathlib import Path

from pimcomp.errors import OutputError


def replace_file(path: Path, content: bytes) -> None:
    """Write `content` under a temporary name, then rename it to `path`.

    Raises OutputError where that is not possible; an older version of the file stays in that case.
    """
    temporary = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise OutputError(f"{path}: {error.strerror}") from error
