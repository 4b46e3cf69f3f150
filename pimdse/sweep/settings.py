"""From a file and the command line to a checked sweep, and what its results depend on besides the settings."""

import dataclasses
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pimcomp.config import find_arch, load_arch, load_yaml
from pimcomp.config.precision_file import read_precision
from pimcomp.errors import ConfigError, ModelError
from pimcomp.foundation.digest import digest
from pimcomp.frontend import load_network
from pimcomp.plan.precision import check_layers
from pimdse.folder.compiled import recorded_model
from pimdse.foundation.versions import own_version
from pimdse.sweep.words import full_name, read_limit
from spaces.candidate import Evaluator
from spaces.evaluate import compile_evaluator
from spaces.metrics import ALIASES
from spaces.space import PRECISION, PrecisionFile, Sweep
from spaces.sweep_file import parse_sweep


def load_sweep(
    source: str,
    *,
    trials: int | None = None,
    jobs: int | None = None,
    seed: int | None = None,
    model: str | None = None,
    objectives: Sequence[str] | None = None,
    limits: Sequence[str] = (),
    sampler: str | None = None,
) -> Sweep:
    """The sweep of a chip's YAML file (or of a shipped chip), with what is given here in place of the file's.

    objectives: metrics as people call them. limits: "METRIC<=NUMBER", beside the file's. Raises ConfigError.
    """
    path = find_arch(source)
    if path.suffix.lower() == ".json":
        raise ConfigError(source, "a config.json has no sweep: section; `pimdse import-config` turns it into YAML")
    # A shipped chip is named by its name: where it is installed is nobody's business.
    file = source if source == str(path) else f"{source}.yaml"
    section = load_yaml(path).get("sweep")
    given: dict[str, object] = {"trials": trials, "jobs": jobs, "seed": seed, "model": model, "sampler": sampler}
    given["objectives"] = [full_name(o, "--objectives") for o in objectives] if objectives is not None else None
    given["limits"] = _with_limits(section, limits) if limits else None
    given = {name: value for name, value in given.items() if value is not None}
    if isinstance(section, dict):
        section = _with_given(section, given)
    try:
        sweep = parse_sweep(section, arch=load_arch(path), file=file, load_chip=lambda name: load_arch(find_arch(name)))
    except ConfigError as error:
        name = error.where.removeprefix(f"{file}: sweep.")
        if name.partition(".")[0] not in given:
            raise
        option = "--limit" if name.startswith("limits") else f"--{name}"
        raise ConfigError(option, str(error).removeprefix(f"{error.where}: ")) from None
    networks = tuple(dataclasses.replace(n, model=_near(n.model, path.parent)) for n in sweep.networks)
    return dataclasses.replace(sweep, networks=networks, precisions=tuple(_precisions(sweep, path.parent)))


def _with_given(section: dict[str, Any], given: dict[str, object]) -> dict[str, Any]:
    """A `sweep:` section with other settings; another network takes the place of all of the section's."""
    changed = section | given
    if "model" in given:
        changed.pop("models", None)
        if "objectives" not in given and isinstance(named := section.get("objectives"), list):
            changed["objectives"] = list(dict.fromkeys(str(name).partition("@")[0] for name in named))
    return changed


def _with_limits(section: object, words: Sequence[str]) -> dict[str, Any]:
    """The limits of a section, and those of the command line: of two on the same side of a metric the last holds."""
    own = section.get("limits") if isinstance(section, dict) else None
    merged: dict[str, Any] = {}
    for name, value in own.items() if isinstance(own, dict) else ():
        merged[ALIASES.get(str(name), str(name))] = value
    for limit in map(read_limit, words):
        sides = {"min": limit.low, "max": limit.high}
        before = merged.get(limit.metric)
        found = before if isinstance(before, dict) else {}
        merged[limit.metric] = found | {side: number for side, number in sides.items() if number is not None}
    return merged


def _near(file: str, folder: Path) -> str:
    """A file is named as seen from here, or from its sweep's folder."""
    beside = folder / file
    return str(beside) if not os.path.isfile(file) and os.path.isfile(beside) else file


def _precisions(sweep: Sweep, folder: Path) -> Iterator[PrecisionFile]:
    """What the files say that a parameter `precision` lists. Raises ConfigError."""
    listed = next((p.values or () for p in sweep.parameters if p.name == PRECISION), ())
    for file in (value for value in listed if isinstance(value, str)):
        if len(sweep.networks) > 1:
            where = f"{sweep.file}: sweep.space.{PRECISION}"
            raise ConfigError(where, f"expected bits of all layers, as there are several networks, found {file!r}")
        yield file, tuple(read_precision(_near(file, folder)).items())


def same_networks(sweep: Sweep, content: dict[str, str], folder: Path) -> Sweep:
    """A stored sweep with its networks where they are now. Raises ModelError if one is gone, or is another one now."""
    networks = tuple(dataclasses.replace(n, model=recorded_model(n.model, folder)) for n in sweep.networks)
    found = dataclasses.replace(sweep, networks=networks)
    if study_content(found)["network"] != content["network"]:
        names = ", ".join(n.model for n in networks)
        raise ModelError(
            f"{names}: not what {folder} was searched with (its content differs): sweep into another --out"
        )
    return found


def study_content(sweep: Sweep) -> dict[str, str]:
    """Digest of the networks and version of pimdse: with others, stored figures would not be comparable.

    Raises ModelError, which names the sweep's file, UnsupportedOp, or ConfigError before any worker starts.
    """
    try:
        graphs = tuple(load_network(n.model, weights=n.weights).graph for n in sweep.networks)
    except ModelError as error:
        raise ModelError(f"sweep of {sweep.file}: {error}") from None
    for file, bits in sweep.precisions:
        check_layers(file, dict(bits), graphs[0])
    return {"network": digest(graphs if len(graphs) > 1 else graphs[0]), "version": own_version()}


@dataclasses.dataclass(frozen=True)
class EvaluatorElsewhere:
    """Makes the judge of a sweep on another host, where networks and version must be those of this one."""

    network: str
    version: str

    def __call__(self, sweep: Sweep) -> Evaluator:
        """The judge. Raises ConfigError or ModelError where it would judge something else."""
        if differing := [name for name, found in study_content(sweep).items() if found != getattr(self, name)]:
            raise ConfigError(sweep.file, f"another {' and '.join(differing)} there than where the sweep was started")
        return compile_evaluator(sweep)
