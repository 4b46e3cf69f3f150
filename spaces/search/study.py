"""One study per results folder: what it searches, and its trials."""

import dataclasses
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from pimcomp.errors import ConfigError, OutputError
from pimcomp.ir.arch import Arch, NocTable
from pimcomp.ir.plan import Pipeline
from spaces.candidate import Candidate
from spaces.metrics import metric
from spaces.search.journal import JOURNAL, Journal, StoredLogs, check_whole, readable_logs
from spaces.search.sampler import DUPLICATE_OF, PerTrialSampler, quiet
from spaces.space import Choice, FloatRange, IntRange, Limit, Parameter, Sweep

_STUDY = "sweep"
_SETTINGS = "settings"
_CONTENT = "content"
CANDIDATE = "candidate"
_FREE = ("trials", "jobs", "file")  # settings that may change between two runs of the same study
_KINDS: dict[str, Callable[..., Parameter]] = {"int": IntRange, "float": FloatRange, "choice": Choice}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A finished trial: its number in the study and, if the same point was judged before, that trial's number."""

    number: int
    candidate: Candidate
    duplicate_of: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A study read back: its settings, its trials in order of their numbers, and the first damaged line, if any."""

    sweep: Sweep
    content: dict[str, str]
    trials: tuple[Trial, ...]
    damaged_line: int | None = None


def settings_to_json(sweep: Sweep) -> dict[str, Any]:
    """Plain values of a sweep, chip included."""
    data = dataclasses.asdict(sweep)
    data["parameters"] = [
        {"kind": kind, **dataclasses.asdict(p)}
        for p in sweep.parameters
        for kind, cls in _KINDS.items()
        if type(p) is cls
    ]
    return data


def settings_from_json(data: dict[str, Any]) -> Sweep:
    """The inverse of `settings_to_json`."""
    values = dict(data)
    values["arch"] = _arch(data["arch"])
    values["parameters"] = tuple(_parameter(p) for p in data["parameters"])
    values["limits"] = tuple(Limit(**limit) for limit in data["limits"])
    values["pipelines"] = tuple(Pipeline(p) for p in data["pipelines"])
    values["solvers"], values["objectives"] = tuple(data["solvers"]), tuple(data["objectives"])
    return Sweep(**values)


def _arch(data: dict[str, Any]) -> Arch:
    table = data["noc_table"]
    if table is not None:
        table = NocTable(table["cores"], tuple(table["latency_ns"]), tuple(table["energy_pj"]))
    return Arch(**{**data, "noc_table": table})


def _parameter(data: dict[str, Any]) -> Parameter:
    fields = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items() if k != "kind"}
    return _KINDS[data["kind"]](**fields)


def open_study(folder: Path, sweep: Sweep, content: dict[str, str]) -> Study:
    """The folder's study, created if there is none.

    content: what else the figures depend on (network digest, version). Raises ConfigError if the stored study was made
    with other settings: its trials could not be compared with new ones.
    """
    check_whole(folder / JOURNAL)
    study = attach(folder, sweep)
    settings = settings_to_json(sweep)
    stored = study.user_attrs.get(_SETTINGS)
    if stored is None:
        study.set_user_attr(_CONTENT, content)
        study.set_user_attr(_SETTINGS, settings)
        return study
    found = {**study.user_attrs[_CONTENT], **stored}
    # through JSON both sides have lists, not tuples
    expected = {**content, **settings_to_json(settings_from_json(_as_json(settings)))}
    differing = [k for k in expected if k not in _FREE and _as_json(expected[k]) != found.get(k)]
    if differing:
        name = differing[0]
        raise ConfigError(
            f"{sweep.file}.sweep.{name}",
            f"{folder} holds a sweep with another {', '.join(differing)}; use another --out, or delete that folder",
        )
    if any(_as_json(settings[k]) != stored[k] for k in _FREE):
        study.set_user_attr(_SETTINGS, settings)
    return study


def _as_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _as_json(v) for k, v in value.items()}
    if isinstance(value, (tuple, list)):
        return [_as_json(v) for v in value]
    return value


def attach(folder: Path, sweep: Sweep) -> Study:
    """Open the study without any check: for the processes that work on it."""
    quiet()
    path = folder / JOURNAL
    try:
        path.touch()
        storage = optuna.storages.JournalStorage(Journal(path))
    except OSError as error:
        raise OutputError(f"{path}: {error.strerror}") from error
    startup = len(sweep.solvers) * len(sweep.pipelines) + 8
    sampler = PerTrialSampler(sweep.sampler, seed=sweep.seed, startup_trials=startup)
    if _STUDY in (s.study_name for s in storage.get_all_studies()):  # asking to create it would write a line each time
        return optuna.load_study(study_name=_STUDY, storage=storage, sampler=sampler)
    directions = [StudyDirection.MAXIMIZE if metric(o).maximize else StudyDirection.MINIMIZE for o in sweep.objectives]
    return optuna.create_study(study_name=_STUDY, storage=storage, sampler=sampler, directions=directions)


def read_trial(frozen: FrozenTrial) -> Trial:
    """A finished trial as we know it."""
    return Trial(
        number=frozen.number,
        candidate=Candidate.from_json(frozen.user_attrs[CANDIDATE]),
        duplicate_of=frozen.user_attrs.get(DUPLICATE_OF),
    )


def load_stored(folder: Path) -> Stored:
    """Read a results folder without writing to it; damaged journals up to their first damaged line.

    Raises OutputError if there is no study.
    """
    quiet()
    path = folder / JOURNAL
    if not path.exists():
        raise OutputError(f"{folder}: no sweep is stored there (expected a file {JOURNAL})")
    logs, damaged = readable_logs(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            study = optuna.load_study(study_name=_STUDY, storage=optuna.storages.JournalStorage(StoredLogs(logs)))
        settings = study.user_attrs[_SETTINGS]
    except KeyError:
        raise OutputError(f"{path}: no sweep was started in it") from None
    return Stored(
        sweep=settings_from_json(settings),
        content=study.user_attrs[_CONTENT],
        trials=tuple(read_trial(t) for t in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))),
        damaged_line=damaged,
    )
