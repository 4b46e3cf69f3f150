"""The compiler core: from a network and a chip to verified instruction streams. Knows no solver library and no
search.

As a library: `pimcomp.compile_model`, `pimcomp.sweep` and the other names in `__all__`; see `pimdse.api`. They are
loaded when they are asked for, so that importing the package costs nothing.
"""

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
    from pimdse.sweep_api import SweepResult, pick, sweep, trials

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
    "trials",
    "verify_folder",
]

__version__: str

if not TYPE_CHECKING:  # a type checker shall know the names above, and no others

    def __getattr__(name: str) -> object:
        """Load a public name from where it lives (PEP 562); those of pimdse are the one look upwards."""
        match name:
            case "PimdseError":
                from pimcomp import errors as home
            case "Pipeline":
                from pimcomp.ir import plan as home
            case "list_archs" | "load_arch":
                from pimcomp import config as home
            case "list_models" | "load_network":
                from pimcomp import frontend as home
            case "__version__":
                from pimdse.foundation.versions import own_version

                return own_version()
            case _ if name in __all__:
                from pimdse.foundation.neighbours import check_neighbours

                check_neighbours()
                if name in ("SweepResult", "pick", "sweep", "trials"):  # apart: a search loads Optuna
                    from pimdse import sweep_api as home
                else:
                    from pimdse import api as home
            case _:
                raise AttributeError(f"module 'pimcomp' has no attribute {name!r}")
        return getattr(home, name)


def __dir__() -> list[str]:
    return __all__
