"""The stored trials of a sweep: opened to go on, or read back."""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from pimcomp.errors import ConfigError, OutputError
from pimcomp.ir.brief import brief
from spaces.candidate import Candidate
from spaces.proof import Proof
from spaces.search.settings import FREE, settings_from_json, settings_to_json
from spaces.search.store import Store, make_store
from spaces.space import Fidelity, Sweep
from spaces.whole_space import WholeSpace, read_whole

_SETTINGS = "settings"
_CONTENT = "content"
_PROOFS = "proof:"
ENUMERATION = "enumeration"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A finished trial: its number in the study and, if the same content was judged before, that trial's number."""

    number: int
    candidate: Candidate
    duplicate_of: int | None = None


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

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "reasons": [list(reason) for reason in self.reasons]}


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
    settings, stored = settings_to_json(sweep), store.fact(_SETTINGS)
    if stored is None:
        store.put({_CONTENT: content, _SETTINGS: settings})
        return store
    found, expected = {**store.fact(_CONTENT), **stored}, {**content, **settings}
    if differing := [k for k in expected if k not in FREE and expected[k] != found.get(k)]:
        store.close()
        raise ConfigError(
            f"{sweep.file}.sweep.{differing[0]}",
            f"{folder} holds a sweep with another {', '.join(differing)}; use another --out, or delete that folder",
        )
    if settings != stored:
        store.put({_SETTINGS: settings})
    return store


def trials_of(store: Store, sweep: Sweep) -> tuple[Trial, ...]:
    """The finished trials of the search, by number."""
    return tuple(
        Trial(number=r.number, candidate=r.candidate, duplicate_of=r.duplicate_of) for r in store.rows(sweep.fidelity)
    )


def load_stored(folder: Path) -> Stored:
    """Read a sweep's results, finished or not. Raises OutputError if there is no study."""
    with closing(Store(folder)) as store:
        settings = store.fact(_SETTINGS)
        if settings is None:
            raise OutputError(f"{store.path}: no sweep was started in it")
        sweep, enumeration = settings_from_json(settings), store.fact(ENUMERATION)
        trials = trials_of(store, sweep)
        programs = [r.candidate for r in store.rows(Fidelity.TIMELINE)] if sweep.fidelity is Fidelity.COST else []
        number = {t.candidate.point: t.number for t in reversed(trials)}
        if enumeration is not None:
            enumeration = Enumeration(**{**enumeration, "reasons": tuple(map(tuple, enumeration["reasons"]))})
        return Stored(
            sweep=sweep,
            content=store.fact(_CONTENT),
            trials=trials,
            timed=tuple(sorted(programs, key=lambda c: number.get(c.point, len(trials)))),
            proofs=_proofs(store),
            enumeration=enumeration,
            whole=read_whole(folder, sweep) if enumeration is not None else None,
        )


def _proofs(store: Store) -> dict[tuple[int, str], Proof]:
    found = {name.removeprefix(_PROOFS).partition(":"): data for name, data in store.facts(_PROOFS).items()}
    return dict(sorted(((int(number), network), Proof.from_json(data)) for (number, _, network), data in found.items()))


def proof_facts(number: int, proofs: Sequence[Proof]) -> dict[str, Any]:
    """What a trial's execution showed, as a study remembers it."""
    return {f"{_PROOFS}{number}:{proof.network}": proof.to_json() for proof in proofs}
