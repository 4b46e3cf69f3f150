"""The stored trials of a sweep: opened to go on, or read back."""

import tempfile
import warnings
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from pimcomp.errors import ConfigError, OutputError
from pimcomp.foundation.own_files import write_file
from pimcomp.ir.brief import brief
from spaces.candidate import Candidate
from spaces.proof import Proof
from spaces.search.journal import JOURNAL, Journal, StoredLogs, check_whole, readable_logs
from spaces.search.sampler import DUPLICATE_OF, quiet
from spaces.search.settings import FREE, settings_from_json, settings_to_json
from spaces.search.storage import Place, Studies, attach, close, database, study_name
from spaces.space import Fidelity, Sweep
from spaces.whole_space import WholeSpace, read_whole

_SETTINGS = "settings"
_CONTENT = "content"
_PROOFS = "proof:"
CANDIDATE = "candidate"
ENUMERATION = "enumeration"
COPY = "sweep --storage"  # who wrote a journal that is only a copy, in the folder's record


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A finished trial: its number in the study and, if the same content was judged before, that trial's number."""

    number: int
    candidate: Candidate
    duplicate_of: int | None = None


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
    damaged_line: the first one of the journal, if any.
    """

    sweep: Sweep
    content: dict[str, str]
    trials: tuple[Trial, ...]
    timed: tuple[Candidate, ...] = ()
    proofs: dict[tuple[int, str], Proof]
    damaged_line: int | None = None
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


def open_study(place: Place, sweep: Sweep, content: dict[str, str]) -> Studies:
    """The place's studies, created if there are none.

    content: what else the figures depend on (network digests, version). Raises ConfigError if the stored study was made
    with other settings: its trials could not be compared with new ones.
    """
    if not place.shared:
        check_whole(place.folder / JOURNAL)
        _same_fidelity(place, sweep)
    studies = attach(place, sweep)
    try:
        _check_settings(studies.search, place, sweep, content)
    except BaseException:
        studies.close()
        raise
    return studies


def _check_settings(study: Study, place: Place, sweep: Sweep, content: dict[str, str]) -> None:
    settings = settings_to_json(sweep)
    stored = study.user_attrs.get(_SETTINGS)
    if stored is None:
        study.set_user_attr(_CONTENT, content)
        study.set_user_attr(_SETTINGS, settings)
        return
    found = {**study.user_attrs[_CONTENT], **stored}
    expected = {**content, **settings}
    differing = [k for k in expected if k not in FREE and expected[k] != found.get(k)]
    if differing:
        raise _other(place, sweep, differing)
    if any(settings[k] != stored[k] for k in FREE):
        study.set_user_attr(_SETTINGS, settings)


def _same_fidelity(place: Place, sweep: Sweep) -> None:
    path = place.folder / JOURNAL
    if path.exists() and path.stat().st_size:
        logs, _ = readable_logs(path)
        names = [log["study_name"] for log in logs if "study_name" in log]
        if names and study_name(place, sweep.fidelity) != names[0]:
            raise _other(place, sweep, ["fidelity"])


def _other(place: Place, sweep: Sweep, differing: list[str]) -> ConfigError:
    return ConfigError(
        f"{sweep.file}.sweep.{differing[0]}",
        f"{place} holds a sweep with another {', '.join(differing)}; use another --out, or delete that folder",
    )


def read_trial(frozen: FrozenTrial) -> Trial:
    """A finished trial as we know it."""
    return Trial(
        number=frozen.number,
        candidate=Candidate.from_json(frozen.user_attrs[CANDIDATE]),
        duplicate_of=frozen.user_attrs.get(DUPLICATE_OF),
    )


def load_stored(folder: Path, storage: str | None = None) -> Stored:
    """Read a sweep's results without writing to them; damaged journals up to their first damaged line.

    storage: the database that holds them, None for the folder's journal. Raises OutputError if there is no study.
    """
    quiet()
    place, damaged = Place(folder=folder, database=storage), None
    opened: BaseStorage
    path = folder / JOURNAL
    if storage is None:
        if not path.exists():
            raise OutputError(f"{folder}: no sweep is stored there (expected a file {JOURNAL})")
        logs, damaged = readable_logs(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            opened = optuna.storages.JournalStorage(StoredLogs(logs))
    else:
        opened = database(place)
    try:
        return _read(opened, place, damaged)
    finally:
        close(opened)


def _read(opened: BaseStorage, place: Place, damaged: int | None) -> Stored:
    names = [s.study_name for s in opened.get_all_studies()]
    studies = {
        fidelity: optuna.load_study(study_name=name, storage=opened)
        for fidelity in Fidelity
        if (name := study_name(place, fidelity)) in names
    }
    search = next((s for s in studies.values() if _SETTINGS in s.user_attrs), None)
    if search is None:
        raise OutputError(f"{place if place.shared else place.folder / JOURNAL}: no sweep was started in it")
    sweep = settings_from_json(search.user_attrs[_SETTINGS])
    timed = studies.get(Fidelity.TIMELINE) if sweep.fidelity is Fidelity.COST else None
    trials, enumeration = finished(search), search.user_attrs.get(ENUMERATION)
    number = {t.candidate.point: t.number for t in reversed(trials)}
    programs = [t.candidate for t in finished(timed)] if timed is not None else []
    if enumeration is not None:
        enumeration = Enumeration(**{**enumeration, "reasons": tuple(map(tuple, enumeration["reasons"]))})
    return Stored(
        sweep=sweep,
        content=search.user_attrs[_CONTENT],
        trials=trials,
        timed=tuple(sorted(programs, key=lambda c: number.get(c.point, len(trials)))),
        enumeration=enumeration,
        whole=read_whole(place.folder, sweep) if enumeration is not None else None,
        proofs=_proofs(search),
        damaged_line=damaged,
    )


def finished(study: Study) -> tuple[Trial, ...]:
    """All finished trials of a study, in order of their numbers."""
    return tuple(read_trial(t) for t in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))


def _proofs(study: Study) -> dict[tuple[int, str], Proof]:
    found = {k.removeprefix(_PROOFS): v for k, v in study.user_attrs.items() if k.startswith(_PROOFS)}
    keyed = {(int(key.partition(":")[0]), key.partition(":")[2]): Proof.from_json(v) for key, v in found.items()}
    return dict(sorted(keyed.items()))


def store_proof(place: Place, sweep: Sweep, number: int, proof: Proof) -> None:
    """Remember what a trial's execution showed; of a shared study in the folder's journal, too."""
    with closing(attach(place, sweep)) as studies:
        studies.search.set_user_attr(f"{_PROOFS}{number}:{proof.network}", proof.to_json())
        if place.shared:
            copy_to_journal(studies, place, sweep)


def copy_to_journal(studies: Studies, place: Place, sweep: Sweep) -> None:
    """Leave the trials of a shared study in the folder's journal too, so that reports need no database."""
    local = Place(folder=place.folder)
    with tempfile.TemporaryDirectory() as scratch:
        fresh = Path(scratch) / JOURNAL
        fresh.touch()
        storage = optuna.storages.JournalStorage(Journal(fresh))
        for fidelity, study in ((sweep.fidelity, studies.search), (Fidelity.TIMELINE, studies.timed)):
            if study is not None:
                _copy(study, storage, study_name(local, fidelity))
        write_file(place.folder / JOURNAL, fresh.read_bytes(), COPY)


def _copy(study: Study, storage: BaseStorage, name: str) -> None:
    copied = optuna.create_study(study_name=name, storage=storage, directions=study.directions)
    attributes: dict[str, Any] = study.user_attrs
    for key, value in attributes.items():
        copied.set_user_attr(key, value)
    copied.add_trials([t for t in study.get_trials(deepcopy=False) if t.state.is_finished()])
