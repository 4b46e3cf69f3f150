"""Ways to choose a plan: how often each layer is replicated and which core holds which array groups.

Every solver implements `pimcomp.ir.plan.Solver`. The registry imports a solver's module when it is asked for, so that
listing the solvers loads neither OR-Tools nor pymoo.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from pimcomp.errors import check_name
from solvers.options import OptionValue, check_option, options_of, read_options, split_spec

if TYPE_CHECKING:
    from dataclasses import Field

    from pimcomp.ir.plan import Solver


@dataclass(frozen=True, slots=True)
class SolverInfo:
    """A registered solver: command-line name, its module in this package and class, what it does, what it proves.

    limited: what a time limit bounds (nothing: it does not search and decides within a second or two). compared: among
    those that are put side by side unless others are named.
    """

    name: str
    module: str
    class_name: str
    summary: str
    certificate: str
    limited: str = ""
    compared: bool = True


_ORDERED, _COLUMNS = "tasks and messages of the programs that are ordered", "local search and columns"
_SEARCH, _MODEL = f"{_COLUMNS}, and branch and bound", "bound of the model"
_FRONT = "individuals, and tasks and messages of the front's programs"
# fmt: off
_REGISTRY = (
    SolverInfo("balance", "heuristics.balance", "Balance", "PIMCOMP-NN's default: replicate the slowest layer", "none"),
    SolverInfo("uniform", "heuristics.proportional", "Uniform", "PIMCOMP-NN's uniform: every layer equally often",
               "none"),
    SolverInfo("W0H0", "heuristics.proportional", "W0H0", "PIMCOMP-NN's W0H0: replicate in proportion to the windows",
               "none"),
    SolverInfo("ga", "population.ga", "Ga", "PIMCOMP-NN's genetic algorithm, seeded: mutants of balance", "none",
               "individuals"),
    SolverInfo("exact", "exact.exact", "Exact", "issue time of cores: relaxation solved, then packed", "bound"),
    SolverInfo("exact-windows", "exact.exact_windows", "ExactWindows", "fewest windows per replica",
               "note: minimal windows", compared=False),
    SolverInfo("stream", "heuristics.stream", "Streaming",
               "short row times for low latency, pieces spread over cores", "none"),
    SolverInfo("lns", "local_search.lns", "Lns", "local search on plans whose programs are ordered", _MODEL, _ORDERED,
               compared=False),
    SolverInfo("columns", "column_generation.solver", "Columns",
               "plans and a bound from what whole cores can hold: column generation", "bound and gap", _COLUMNS,
               compared=False),
    SolverInfo("cpsat", "master.cpsat", "CpSat", "replication and mapping jointly by CP-SAT", "bound and gap", _SEARCH),
    SolverInfo("ilp", "master.ilp", "Ilp", "cpsat's model as a mixed-integer program, by SCIP", "bound and gap",
               _SEARCH),
    SolverInfo("nsga2", "population.nsga2", "Nsga2", "front of time against crossbars by NSGA-II; its knee", "none",
               _FRONT),
    SolverInfo("auto", "local_search.auto", "Auto", "the default: lns from stream's plans and exact's", _MODEL,
               _ORDERED),
)
# fmt: on
SOLVER_NAMES = tuple(info.name for info in _REGISTRY)
COMPARED_NAMES = tuple(info.name for info in _REGISTRY if info.compared)


def describe() -> tuple[SolverInfo, ...]:
    """Every solver, in the order of the documentation."""
    return _REGISTRY


def find_solver(name: str, where: str = "solver") -> SolverInfo:
    """The registered solver of that name, whatever its case. Raises ConfigError for an unknown one."""
    by_lower = {info.name.lower(): info for info in _REGISTRY}
    if name.lower() not in by_lower:
        check_name(where, name, SOLVER_NAMES)
    return by_lower[name.lower()]


def canonical(spec: str, where: str = "solver") -> str:
    """A solver with its options in one form: the registered name, colons between the options.

    Raises ConfigError for an unknown name or option, or a value of the wrong kind.
    """
    name, settings = split_spec(spec)
    info = find_solver(name, where)
    if settings:
        read_options(info.name, _class_of(info), settings)
    return ":".join((info.name, *(setting.replace(" ", "") for setting in settings)))


def solver_options(name: str) -> "dict[str, Field[OptionValue]]":
    """A solver's options: fields with a default and metadata `meaning`, `choices`. Loads the solver's libraries."""
    return options_of(_class_of(find_solver(name)))


def get_solver(name: str, options: Mapping[str, OptionValue] | None = None) -> "Solver":
    """The solver of that name (case does not matter); `options` are the fields of its dataclass.

    The name may carry options: "ga:iterations=200:population=100".

    Raises ConfigError for an unknown name or option, or a value of the wrong kind.
    """
    word, settings = split_spec(name)
    info = find_solver(word)
    cls = _class_of(info)
    for key in options or {}:
        check_option(info.name, cls, key)
    solver: Solver = cls(**{**(options or {}), **read_options(info.name, cls, settings)})
    return solver


def _class_of(info: SolverInfo) -> type:
    found: type = getattr(import_module(f"{__name__}.{info.module}"), info.class_name)
    return found
