"""Writes a file whole or not at all."""

import os
from contextlib import suppress
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
    except (FileExistsError, NotADirectoryError) as error:
        raise OutputError(f"{path}: {path.parent} or a folder above it is a file") from error
    except OSError as error:
        with suppress(OSError):  # where it could not be written there is nothing to remove
            temporary.unlink()
        raise OutputError(f"{path}: {error.strerror}") from error
