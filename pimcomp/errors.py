"""The errors a user can cause, in one tree.

PimdseError                       the command line prints it without a traceback and exits with 2
├── ConfigError       a field of a file or an option is missing, unknown, of the wrong type or out of range
├── ModelError        an ONNX/JSON model file is missing, corrupt, empty or inconsistent
├── UnsupportedOp     the network has operators that no pass lowers; lists all of them
├── CapacityError     the network does not fit the chip: resource, demand, supply, levers
├── OutputError       an output folder cannot be written
├── SimulatorError    the external simulator failed, stalled or printed no report
├── DeadlockError     cores of a program wait for each other forever: which, where, for whom
└── InvariantError    a pass broke its contract: a defect of pimdse, not of the input
"""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


def close_names(name: str, known: Iterable[str], count: int = 1) -> tuple[str, ...]:
    """The known names that look most like `name`, whatever their case; for a message about one that is unknown."""
    by_lower = {k.lower(): str(k) for k in known}
    return tuple(by_lower[found] for found in difflib.get_close_matches(name.lower(), by_lower, n=count))


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """'; did you mean ...?' for the end of a message, or nothing."""
    return "".join(f"; did you mean {close!r}?" for close in close_names(name, known))


def check_name(where: str, name: str, known: Iterable[str]) -> None:
    """Raise ConfigError unless `name` is one of the known ones: which there are, and which it may be meant to be."""
    names = [str(k) for k in known]
    if name not in names:
        expected = " or ".join(names) if len(names) < 3 else f"one of {', '.join(names)}"
        raise ConfigError(where, f"expected {expected}, found {name!r}{did_you_mean(name, names)}")


class PimdseError(Exception):
    """Any failure with a message meant for the user."""


class ConfigError(PimdseError):
    """A configuration value is wrong: `where` (file and field path), what was expected, what was found."""

    def __init__(self, where: str, message: str) -> None:
        super().__init__(f"{where}: {message}")
        self.where = where


class ModelError(PimdseError):
    """A model file cannot be read as a network."""


@dataclass(frozen=True, slots=True)
class Offender:
    """One node that cannot be lowered: its name, operator, opset version and why.

    repeatable: whether its outputs follow from its inputs, so that a host can compute it.
    """

    node: str
    op: str
    opset: int
    reason: str
    repeatable: bool = True


class UnsupportedOp(PimdseError):
    """The network uses operators outside the instruction set; `offenders` lists every one of them.

    host: which commands leave them to the host, or why it cannot compute them either.
    """

    def __init__(self, model: str, offenders: Sequence[Offender], host: str = "") -> None:
        lines = [f"  {o.node}: {o.op} (opset {o.opset}): {o.reason}" for o in offenders]
        super().__init__(
            "\n".join([f"{model}: {len(offenders)} unsupported node(s):", *lines, *([host] if host else [])])
        )
        self.offenders = tuple(offenders)


class CapacityError(PimdseError):
    """The network does not fit: `resource`, `demand` and `supply` in the same unit, and `levers` that would fix it."""

    def __init__(self, resource: str, demand: int, supply: int, levers: Sequence[str] = (), where: str = "") -> None:
        prefix = f"{where}: " if where else ""
        advice = f": {'; or '.join(levers)}" if levers else ""
        super().__init__(f"{prefix}{supply} {resource}, needs {demand}{advice}")
        self.resource, self.demand, self.supply, self.levers = resource, demand, supply, tuple(levers)


class OutputError(PimdseError):
    """A result cannot be written where the user asked for it."""


class SimulatorError(PimdseError):
    """The external simulator did not deliver a usable report."""


class DeadlockError(PimdseError):
    """A program's cores wait forever; `report` (pimcomp.timeline.deadlock.Deadlock) names each of them and the
    cycle."""

    def __init__(self, message: str, report: object) -> None:
        super().__init__(message)
        self.report = report


class InvariantError(PimdseError):
    """An internal contract is broken: a defect of pimdse."""
