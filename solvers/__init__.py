"""Ways to choose a plan: how often each layer is replicated and which core holds which array groups.

Every solver implements `pimcomp.ir.plan.Solver`. The registry imports a solver's module when it is asked for, so that
listing the solvers loads neither OR-Tools nor pymoo.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib import import_module

from pimcomp.errors import ConfigError, did_you_mean
from pimcomp.ir.plan import Solver

OptionValue = int | float | bool | str
MAX_OPTION = 1e9  # far beyond what is of any use to any of them


@dataclass(frozen=True, slots=True)
class SolverInfo:
    """A registered solver: command-line name, where it lives, what it does, what it proves."""

    name: str
    module: str
    class_name: str
    summary: str
    certificate: str


_REGISTRY = (
    SolverInfo("balance", "solvers.balance", "Balance", "PIMCOMP-NN's default: replicate the slowest layer", "none"),
    SolverInfo("uniform", "solvers.uniform", "Uniform", "PIMCOMP-NN's uniform: every layer equally often", "none"),
    SolverInfo("W0H0", "solvers.w0h0", "W0H0", "PIMCOMP-NN's W0H0: replicate in proportion to the windows", "none"),
    SolverInfo("ga", "solvers.ga", "Ga", "PIMCOMP-NN's genetic algorithm, seeded: mutants of balance", "none"),
    SolverInfo("exact", "solvers.exact", "Exact", "issue time of cores: relaxation solved, then packed", "bound"),
    SolverInfo(
        "exact-windows", "solvers.exact_windows", "ExactWindows", "fewest windows per replica", "note: minimal windows"
    ),
    SolverInfo(
        "stream", "solvers.stream", "Stream", "short row times for low latency, pieces spread over cores", "none"
    ),
    SolverInfo("lns", "solvers.lns", "Lns", "local search on plans whose programs are ordered", "bound of the model"),
    SolverInfo("cpsat", "solvers.cpsat", "CpSat", "replication and mapping jointly by CP-SAT", "bound and gap"),
    SolverInfo("ilp", "solvers.ilp", "Ilp", "cpsat's master as an integer program, by SCIP", "bound and gap"),
    SolverInfo("nsga2", "solvers.nsga2", "Nsga2", "front of time against crossbars by NSGA-II; its knee", "none"),
    SolverInfo(
        "auto", "solvers.auto", "Auto", "the default: stream, or what packs; beside exact's bound", "bound and gap"
    ),
)
SOLVER_NAMES = tuple(info.name for info in _REGISTRY)


def describe() -> tuple[SolverInfo, ...]:
    """Every solver, in the order of the documentation."""
    return _REGISTRY


def get_solver(name: str, options: Mapping[str, OptionValue] | None = None) -> Solver:
    """The solver of that name (case does not matter); `options` are the fields of its dataclass.

    The name may carry options: "ga:iterations=200:population=100".

    Raises ConfigError for an unknown name or option, or a value of the wrong kind.
    """
    word, *settings = name.split(":")
    info = next((i for i in _REGISTRY if i.name.lower() == word.lower()), None)
    if info is None:
        hint = did_you_mean(word, SOLVER_NAMES)
        raise ConfigError("solver", f"expected one of {', '.join(SOLVER_NAMES)}, found {word!r}{hint}")
    cls = getattr(import_module(info.module), info.class_name)
    defaults = {f.name: f.default for f in fields(cls) if f.init}
    given: dict[str, OptionValue] = dict(options or {})
    for setting in settings:
        key, _, text = setting.partition("=")
        given[key] = _value(f"solver.{info.name}.{key}", text, defaults[key]) if key in defaults else text
    for key in given:
        if key not in defaults:
            known = ", ".join(sorted(defaults)) or "none"
            raise ConfigError(
                f"solver.{info.name}.{key}", f"unknown option; known: {known}{did_you_mean(key, defaults)}"
            )
    solver: Solver = cls(**given)
    return solver


def _value(where: str, text: str, default: object) -> OptionValue:
    """The text as a value of the default's kind. Raises ConfigError if it is none."""
    kind = type(default)
    if kind is bool:
        if text.lower() not in ("true", "false"):
            raise ConfigError(where, f"expected true or false, found {text!r}")
        return text.lower() == "true"
    try:
        value: OptionValue = {int: int, float: float}.get(kind, str)(text)
    except ValueError:
        raise ConfigError(where, f"expected {kind.__name__}, found {text!r}") from None
    if isinstance(value, (int, float)) and not 0 <= value <= MAX_OPTION:  # NaN is not
        raise ConfigError(where, f"expected {kind.__name__} from 0 to {MAX_OPTION:g}, found {text!r}")
    return value
