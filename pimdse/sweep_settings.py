"""From a file and the command line to a checked sweep, and what its results depend on besides the settings."""

import dataclasses
import hashlib
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from pimcomp.config import find_arch, load_arch, load_yaml
from pimcomp.errors import ConfigError, ModelError
from pimcomp.frontend import load_network
from spaces.space import Sweep
from spaces.sweep_file import parse_sweep


def load_sweep(source: str) -> Sweep:
    """The sweep of a chip's YAML file (or of a shipped chip). Raises ConfigError."""
    path = find_arch(source)
    if path.suffix.lower() == ".json":
        raise ConfigError(source, "a config.json has no sweep: section; `pimdse import-config` turns it into YAML")
    # A shipped chip is named by its name: where it is installed is nobody's business.
    file = source if source == str(path) else f"{source}.yaml"
    return parse_sweep(
        load_yaml(path).get("sweep"),
        arch=load_arch(path),
        file=file,
        load_chip=lambda name: load_arch(find_arch(name)),
    )


def study_content(sweep: Sweep) -> dict[str, str]:
    """Digest of the networks and version of pimdse: with others, stored figures would not be comparable.

    Raises ModelError, which names the sweep's file, or UnsupportedOp before any worker starts.
    """
    try:
        own = version("pimdse")
    except PackageNotFoundError:
        own = "source"
    try:
        graphs = tuple(load_network(n.model, weights=n.weights).graph for n in sweep.networks)
    except ModelError as error:
        raise ModelError(f"sweep of {sweep.file}: {error}") from None
    return {"network": digest(graphs if len(graphs) > 1 else graphs[0]), "version": own}


def digest(value: object) -> str:
    """SHA-256 over a frozen dataclass, its tuples and arrays included."""
    state = hashlib.sha256()
    _feed(state, value)
    return state.hexdigest()


def _feed(state: Any, value: object) -> None:
    if isinstance(value, np.ndarray):
        state.update(f"{value.dtype.str}{value.shape}".encode())
        state.update(np.ascontiguousarray(value).data)
    elif isinstance(value, tuple):
        state.update(f"({len(value)}".encode())
        for item in value:
            _feed(state, item)
    elif dataclasses.is_dataclass(value):
        state.update(type(value).__name__.encode())
        for field in dataclasses.fields(value):
            _feed(state, getattr(value, field.name))
    else:
        state.update(f"{value!r};".encode())
