"""The compiler core: from a network and a chip to verified instruction streams. Knows no solver library and no
search.

As a library: `pimcomp.compile_model`, `pimcomp.sweep` and the other names in `__all__`; see `pimdse.api`. They are
loaded when they are asked for, so that importing the package costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pimcomp.config import list_archs, load_arch
    from pimcomp.errors import PimdseError
    from pimcomp.frontend import list_models, load_network
    from pimcomp.ir.plan import Pipeline
    from pimdse.api import (
        Comparison,
        CompiledModel,
        archs,
        compare,
        compile_model,
        models,
        solvers,
        verify_folder,
    )
    from pimdse.sweep_api import SweepResult, pick, sweep

__all__ = [
    "Comparison",
    "CompiledModel",
    "PimdseError",
    "Pipeline",
    "SweepResult",
    "archs",
    "compare",
    "compile_model",
    "list_archs",
    "list_models",
    "load_arch",
    "load_network",
    "models",
    "pick",
    "solvers",
    "sweep",
    "verify_folder",
]

_FACE = "pimdse.api"  # above the solvers and the search, which the compiler does not know: found by name
_HOMES = {
    "Pipeline": "pimcomp.ir.plan",
    "PimdseError": "pimcomp.errors",
    "list_archs": "pimcomp.config",
    "list_models": "pimcomp.frontend",
    "load_arch": "pimcomp.config",
    "load_network": "pimcomp.frontend",
    "SweepResult": "pimdse.sweep_api",
    "pick": "pimdse.sweep_api",
    "sweep": "pimdse.sweep_api",
}

__version__: str

if not TYPE_CHECKING:  # a type checker shall know the names above, and no others

    def __getattr__(name: str) -> object:
        """Load a public name from where it lives (PEP 562)."""
        if name == "__version__":
            return import_module("pimdse.foundation.versions").own_version()
        if name not in __all__:
            raise AttributeError(f"module 'pimcomp' has no attribute {name!r}")
        home = _HOMES.get(name, _FACE)
        if home.startswith("pimdse"):
            import_module("pimdse.foundation.neighbours").check_neighbours()
        return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return __all__
