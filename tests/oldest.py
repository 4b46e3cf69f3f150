"""The oldest version that pyproject.toml allows of everything an installed pimdse needs, as constraints for pip.

`make check-oldest` installs exactly these, with today's tools for development, and runs the fast tests: what is
declared is true.
"""

import re
import tomllib
from pathlib import Path

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"
_BOUND = re.compile(r"([\w.-]+)(?:\[[\w,]+\])?>=([\w.]+)")


def oldest() -> list[str]:
    """`NAME==VERSION` of every requirement.

    Raises ValueError for one without a lower bound.
    """
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    pins = []
    for word in project["dependencies"]:
        found = _BOUND.match(word)
        if found is None:
            raise ValueError(f"{word}: no lower bound")
        pins.append(f"{found[1]}=={found[2]}")
    return pins


if __name__ == "__main__":
    print("\n".join(oldest()))
