"""Reads a folder that `pimdse compile` or `pimdse pick` wrote."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from pimcomp.errors import ModelError, OutputError, UnsupportedOp
from pimcomp.foundation.digest import digest
from pimcomp.frontend import LoadedNetwork
from pimcomp.frontend.load_network import locate_from
from pimcomp.frontend.model_index import is_shipped, network_name

PROGRAMS = ("program.gz", "program.json")
INDEX = "segments.json"  # of a folder of segments
NETWORKS = "networks.json"  # beside the program of several networks
REPORT = "report.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledFolder:
    """The parts of report.json that other commands need; see pimcomp/emit/report.py for their meaning."""

    model: str
    weights: str | None
    arch: str
    pipeline: str
    solver: str
    images_per_round: int

    @property
    def title(self) -> str:
        """What it is, for people."""
        return f"{self.model} on {self.arch}: {self.pipeline} pipeline, solver {self.solver}"


def _model(given: object) -> str:
    """The name or path of the network."""
    if not isinstance(given, str):
        raise ValueError(f"model: expected text, found {given!r}")
    return given


def _weights(given: object) -> str | None:
    """What `--weights` was, None for the model's own."""
    if given == "onnx":
        return None
    if not isinstance(given, str) or not re.fullmatch(r"random:[0-9]{1,30}", given):
        raise ValueError(f"weights: expected 'onnx' or 'random:SEED', found {given!r}")
    return given


def weights_of_index(given: object) -> str | None:
    """What `--weights` was, as an index has it. Raises ValueError."""
    return None if given is None else _weights(given)


def is_compiled_folder(target: str) -> bool:
    """Whether DIR|MODEL means a folder: any does, but one that only shares its name with a shipped network."""
    return (Path(target) / REPORT).is_file() or (Path(target).is_dir() and not is_shipped(target))


def recorded_model(model: str, folder: Path, remedy: str = "") -> str:
    """Where the network is that `folder` names: as seen from here, or from the folder or one above it.

    Raises ModelError if it is nowhere there; remedy: what else the user may do.
    """
    where = folder.resolve()
    advice = f"{folder} names it as seen from where it was made: put it beside that folder{remedy}"
    return locate_from(model, (where, *where.parents), advice)


@contextmanager
def named_by(folder: Path) -> Iterator[None]:
    """Within the block the network that `folder` names is read: what is wrong with it comes from there (ModelError)."""
    try:
        yield
    except (ModelError, UnsupportedOp) as error:
        raise ModelError(f"{folder} names a network that cannot be read: {error}") from None


def network_digest(network: LoadedNetwork, name: str | None = None) -> str:
    """Of a network's content, as if it were called `name`; of one with nodes for the host that is its ONNX model."""
    graph = network.graph if name is None else replace(network.graph, name=name)
    return digest(graph) if graph.outputs else digest((graph, network.onnx_bytes()))


def expect_network(folder: Path, content: Mapping[str, Any], network: LoadedNetwork, source: str) -> None:
    """Raise ModelError if `network`, read from `source`, is another one than `folder` was made from.

    content: of its manifest or index, with `model` and `network_sha256`.
    """
    name = network_name(str(content["model"]))  # a copy may be called as it likes
    if network_digest(network, name) != content.get("network_sha256"):
        raise ModelError(f"{source}: not the network that {folder} was made from (its content differs)")


def refuse_segments(path: Path) -> None:
    """Raise OutputError for a folder of segments, or of one for the host, where one program is expected."""
    if (path.parent / INDEX).is_file() and [*path.glob("*.onnx")] and not (path / REPORT).is_file():
        raise OutputError(f"{path}: is a segment for the host, which ONNX Runtime computes: there is no program")
    if (path / INDEX).is_file():
        first = min((report.parent.name for report in path.glob("*/" + REPORT)), default="00")
        raise OutputError(
            f"{path}: holds segments, each a program of its own: give one of its folders, as {path / first}"
        )


def read_compiled_folder(path: Path) -> CompiledFolder:
    """Read report.json. Raises OutputError if the folder is no complete compile."""
    refuse_segments(path)
    file = path / REPORT
    if not path.is_dir():
        raise OutputError(f"{path}: no such folder; `pimdse compile MODEL --out {path}` makes one")
    if not file.is_file():
        below = sorted(str(found.parent) for found in path.glob("*/" + REPORT))[:4]
        other = f"; complete ones are {', '.join(below)}" if below else ""
        raise OutputError(f"{path}: no report.json there, so this is no complete compile{other}")
    try:
        data: dict[str, Any] = orjson.loads(file.read_bytes())
        return CompiledFolder(
            model=_model(data["model"]),
            weights=_weights(data["weights"]),
            images_per_round=int(data["images_per_round"]),
            **{name: str(data[name]) for name in ("arch", "pipeline", "solver")},
        )
    except OSError as error:
        raise OutputError(f"{file}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise OutputError(f"{file}: not a report of pimdse: {type(error).__name__}: {error}") from None
