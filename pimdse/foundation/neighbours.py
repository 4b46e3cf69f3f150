"""In a checkout `solvers` and `spaces` are packages of their own, and other projects have packages of these names.

An installed wheel has them as pimdse.solvers and pimdse.spaces (hatch_build.py), where nothing can be mistaken.
"""

from importlib.util import find_spec
from pathlib import Path

from pimcomp.errors import PimdseError

_CHECKOUT = Path(__file__).resolve().parents[2]


def check_neighbours() -> None:
    """Raise PimdseError if Python finds another project's package in place of one of the checkout's."""
    for name in ("solvers", "spaces"):
        if not (_CHECKOUT / name).is_dir():
            continue
        spec = find_spec(name)
        found = Path(spec.origin).resolve().parent if spec is not None and spec.origin is not None else None
        if found != _CHECKOUT / name:
            raise PimdseError(
                f"the package {name!r} that Python finds is another project's: {found}: expected {_CHECKOUT / name}; "
                f"uninstall it from this environment, or install pimdse there without --editable"
            )
