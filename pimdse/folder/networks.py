"""Reads the index of a folder whose program is that of several networks side by side."""

from pathlib import Path
from typing import Any

import orjson

from pimcomp.errors import ConfigError, OutputError
from pimcomp.frontend import LoadedNetwork, load_network
from pimcomp.frontend.side_by_side import joined_network
from pimdse.folder.compiled import NETWORKS, expect_network, named_by, recorded_model, weights_of_index


def is_networks_folder(target: str | Path) -> bool:
    """Whether a path is a compiled folder of several networks."""
    return (Path(target) / NETWORKS).is_file()


def read_networks(path: Path) -> dict[str, Any]:
    """The index. Raises OutputError for one that `pimdse compile` did not write."""
    file = path / NETWORKS
    try:
        content: dict[str, Any] = orjson.loads(file.read_bytes())
        weights_of_index(content["weights"])
        for entry in content["networks"]:
            for name, kind in _OF_EACH.items():
                if not isinstance(entry[name], kind):
                    raise ValueError(f"{name}: expected {kind.__name__}, found {entry[name]!r}")
            for name in _ALONE:
                if not isinstance(entry["alone"][name], int | float):
                    raise ValueError(f"alone.{name}: expected a number, found {entry['alone'][name]!r}")
        if len({entry["label"] for entry in content["networks"]}) < 2:
            raise ValueError("expected two or more networks with labels of their own")
    except OSError as error:
        raise OutputError(f"{file}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise OutputError(f"{file}: not an index of networks: {type(error).__name__}: {error}") from None
    return content


_ALONE = ("latency_ns", "period_ns", "crossbars_used", "rows_written")
_OF_EACH = {"label": str, "model": str, "network_sha256": str, "first_core": int, "cores": int}


def networks_of(path: Path, content: dict[str, Any], model: str | None = None) -> list[LoadedNetwork]:
    """Every network, from where the index says. model: what a command was given for it.

    Raises ModelError if one is another network now.
    """
    if model is not None:
        raise ConfigError("--model", f"{path} holds several networks: put them where {path / NETWORKS} says")
    found = []
    for entry in content["networks"]:
        source = recorded_model(entry["model"], path)
        with named_by(path):
            found.append(load_network(source, weights=content["weights"]))
        expect_network(path, entry, found[-1], source)
    return found


def whole_network(path: Path, model: str | None = None) -> LoadedNetwork:
    """All of them as one."""
    content = read_networks(path)
    return joined_network([entry["label"] for entry in content["networks"]], networks_of(path, content, model))
