"""The compiler core: from a network and a chip to verified instruction streams. Knows no solver library and no
search.

As a library: `pimcomp.compile_model`, see `pimcomp.api`. Names are loaded when they are asked for, so that importing
the package costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pimcomp.api import CompiledModel, compile_model, load_arch, load_network, verify_folder
    from pimcomp.config import list_archs
    from pimcomp.errors import PimdseError
    from pimcomp.frontend import list_models
    from pimcomp.ir.plan import Pipeline

__all__ = [
    "CompiledModel",
    "PimdseError",
    "Pipeline",
    "compile_model",
    "list_archs",
    "list_models",
    "load_arch",
    "load_network",
    "verify_folder",
]

_HOMES = {
    "Pipeline": "pimcomp.ir.plan",
    "PimdseError": "pimcomp.errors",
    "list_archs": "pimcomp.config",
    "list_models": "pimcomp.frontend",
}


def __getattr__(name: str) -> object:
    """Load a public name from where it lives (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module 'pimcomp' has no attribute {name!r}")
    return getattr(import_module(_HOMES.get(name, "pimcomp.api")), name)


def __dir__() -> list[str]:
    return __all__
