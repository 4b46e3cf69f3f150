"""Optuna's tables of a study, for `optuna-dashboard` and other tools of Optuna's: written, never read.

They are filled by plain inserts: Optuna's own way of adding a trial takes tens of milliseconds, and longer with every
trial there is. The tables are those of Optuna 5 (schema 12), which it makes itself.
"""

import json
import math
import sqlite3
import warnings
from contextlib import closing
from functools import lru_cache
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.study import StudyDirection

from spaces.candidate import Trial, Verdict
from spaces.search.sampler import CONSTRAINTS, directions, distributions, excess_of, objective_values, quiet
from spaces.space import Fidelity, Sweep

_NOW = "strftime('%Y-%m-%d %H:%M:%f000', 'now')"  # as Optuna writes it


def empty_tables(sweep: Sweep) -> bytes:
    """A database with the tables and, for each fidelity that the sweep has figures of, a study without trials."""
    names = tuple(dict.fromkeys((str(sweep.fidelity), str(Fidelity.TIMELINE))))
    return _empty_tables(names, sweep.objectives, tuple(directions(sweep)))


@lru_cache(maxsize=1)  # the import of what makes them, and the making, take a second
def _empty_tables(names: tuple[str, ...], objectives: tuple[str, ...], towards: tuple[StudyDirection, ...]) -> bytes:
    quiet()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        storage = optuna.storages.RDBStorage("sqlite://")  # in memory
        for name in names:
            study = optuna.create_study(study_name=name, storage=storage, directions=towards)
            study.set_metric_names(list(objectives))
    storage.remove_session()
    with closing(storage.engine.raw_connection()) as connection:
        driver: Any = connection.driver_connection
        image: bytes = driver.serialize()
    storage.engine.dispose()
    return image


def show(database: sqlite3.Connection, sweep: Sweep, fidelity: Fidelity, judged: Trial) -> None:
    """Insert a trial.

    Infeasible ones break a constraint; where figures are missing the trial failed, or is pruned if it was proven not to
    be worth an evaluation.
    """
    candidate = judged.candidate
    values = objective_values(candidate, sweep)
    without = "PRUNED" if candidate.verdict is Verdict.SKIPPED else "FAIL"
    complete = candidate.metrics is not None and all(map(math.isfinite, values))
    trial = database.execute(
        "INSERT INTO trials (number, study_id, state, datetime_start, datetime_complete) "
        f"VALUES (?, (SELECT study_id FROM studies WHERE study_name = ?), ?, {_NOW}, {_NOW})",
        (judged.number, str(fidelity), "COMPLETE" if complete else without),
    ).lastrowid
    noted = {"reason": candidate.reason or None, "duplicate_of": judged.duplicate_of}
    point = candidate.point.as_dict()
    rows: dict[str, list[tuple[object, ...]]] = {
        "trial_values (trial_id, value_type, objective, value)": [
            (trial, "FINITE", j, value) for j, value in enumerate(values if complete else ())
        ],
        "trial_params (trial_id, param_name, param_value, distribution_json)": [
            (trial, name, axis.to_internal_repr(point[name]), written) for name, axis, written in _axes(sweep)
        ],
        "trial_user_attributes (trial_id, key, value_json)": [
            (trial, name, json.dumps(value)) for name, value in noted.items() if value is not None
        ],
        "trial_system_attributes (trial_id, key, value_json)": [
            (trial, CONSTRAINTS, json.dumps([excess_of(candidate)]))
        ],
    }
    for table, values_of_it in rows.items():
        marks = ", ".join("?" * (table.count(",") + 1))
        database.executemany(f"INSERT INTO {table} VALUES ({marks})", values_of_it)


@lru_cache(maxsize=1)
def _axes(sweep: Sweep) -> list[tuple[str, BaseDistribution, str]]:
    return [(name, axis, distribution_to_json(axis)) for name, axis in distributions(sweep).items()]
