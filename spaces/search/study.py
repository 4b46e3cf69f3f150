"""The stored trials of a sweep: opened to go on, or read back."""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from pimcomp.errors import ConfigError, OutputError
from pimcomp.ir.brief import brief
from spaces.candidate import Candidate, Trial
from spaces.proof import Proof
from spaces.search.store import Store, make_store
from spaces.space import Fidelity, Sweep
from spaces.whole_space import WholeSpace, read_whole

_SETTINGS = "settings"
_CONTENT = "content"
ENUMERATION = "enumeration"
_FREE = ("trials", "timed", "jobs", "file", "name")  # settings that may change between two runs of the same study
_SWEEP = TypeAdapter(Sweep)
_FOLLOWS: Any = {"arch": {"rating"}, "other_chips": {"__all__": {"rating"}}}


@brief
@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """State of a sweep: distinct candidates so far, of how many; all finished trials; points being judged now.

    timed: candidates that were timed, at cost fidelity. executing: winners that are executed now.
    """

    distinct: int
    budget: int
    trials: tuple[Trial, ...]
    timed: tuple[Candidate, ...] = ()
    running: int = 0
    executing: int = 0
    interrupted: bool = False


Observe = Callable[[Progress], None]
Report = Callable[[Callable[[], Progress]], None]  # progress is put together only where somebody looks
Stop = Callable[[], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Enumeration:
    """A space that was judged completely: its points, the feasible ones, defects, how many are kept as trials, and what
    was short, how often, and an example."""

    points: int
    feasible: int
    errors: int
    kept: int
    reasons: tuple[tuple[str, int, str], ...]


_ENUMERATION = TypeAdapter(Enumeration)


@brief
@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A study read back.

    trials: of the search, in order of their numbers. timed: candidates of its front at timeline fidelity, in the order
    of their trials (empty where the search itself looks there). proofs: of trials that were executed, by number and
    network. enumeration: None where a sampler chose the trials; whole: then the estimates of all points.
    """

    sweep: Sweep
    content: dict[str, str]
    trials: tuple[Trial, ...]
    timed: tuple[Candidate, ...] = ()
    proofs: dict[tuple[int, str], Proof]
    enumeration: Enumeration | None = None
    whole: WholeSpace | None = field(default=None, compare=False)

    @property
    def best_known(self) -> tuple[Trial, ...]:
        """The search's distinct trials, each with its candidate at the highest fidelity there is."""
        return best_known(self.trials, self.timed)


def best_known(trials: Sequence[Trial], timed: Sequence[Candidate]) -> tuple[Trial, ...]:
    """Distinct trials (the first of equal content), with what was timed in place of its estimate."""
    better = {c.point: c for c in timed}
    own = [t for t in trials if t.duplicate_of is None]
    return tuple(replace(t, candidate=better.get(t.candidate.point, t.candidate)) for t in own)


def open_study(folder: Path, sweep: Sweep, content: dict[str, str]) -> Store:
    """The folder's study, created if there is none.

    content: what else the figures depend on (network digests, version). Raises ConfigError if the stored study was made
    with other settings, OutputError where the file cannot be used.
    """
    store = make_store(folder, sweep)
    settings = _SWEEP.dump_python(sweep, mode="json", exclude=_FOLLOWS)
    stored = store.fact(_SETTINGS)
    if stored is None:
        store.put({_CONTENT: content, _SETTINGS: settings})
        return store
    before, found = _settings(store), store.fact(_CONTENT)
    names = [f.name for f in fields(Sweep) if f.name not in _FREE]
    differing = [name for name, value in content.items() if found.get(name) != value]
    differing += [name for name in names if getattr(before, name) != getattr(sweep, name)]
    if differing:
        store.close()
        raise ConfigError(
            f"{sweep.file}.sweep.{differing[0]}",
            f"{folder} holds a sweep that differs in {', '.join(differing)}; use another --out, or delete that folder",
        )
    if settings != stored:
        store.put({_SETTINGS: settings})
    return store


def _settings(store: Store) -> Sweep:
    stored = store.fact(_SETTINGS)
    if stored is None:
        raise OutputError(f"{store.path}: no sweep was started in it")
    try:
        return _SWEEP.validate_python(stored)
    except ValidationError as error:
        raise store.another_version(error) from None


def load_stored(folder: Path) -> Stored:
    """Read a sweep's results, finished or not. Raises OutputError if there is no study."""
    with closing(Store(folder)) as store:
        sweep, enumeration = _settings(store), store.fact(ENUMERATION)
        trials = store.trials(sweep.fidelity)
        number = {t.candidate.point: t.number for t in reversed(trials)}
        return Stored(
            sweep=sweep,
            content=store.fact(_CONTENT),
            trials=trials,
            timed=tuple(sorted(timed_of(store, sweep), key=lambda c: number.get(c.point, len(trials)))),
            proofs={(t.number, p.network): p for t in store.trials(Fidelity.EXECUTED) for p in t.candidate.proofs},
            enumeration=None if enumeration is None else _ENUMERATION.validate_python(enumeration),
            whole=None if enumeration is None else read_whole(folder, sweep),
        )


def timed_of(store: Store, sweep: Sweep) -> tuple[Candidate, ...]:
    """The candidates that were timed after a search at cost fidelity, in the order of their choice."""
    return tuple(t.candidate for t in store.trials(Fidelity.TIMELINE)) if sweep.fidelity is Fidelity.COST else ()
