"""segments.json: the index of a folder whose sub-folders are the programs of a network's segments, in their order."""

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from pimcomp.errors import ModelError, OutputError
from pimcomp.frontend import LoadedNetwork, load_network
from pimcomp.frontend.load_network import load_whole
from pimdse.folder.compiled import INDEX, expect_network, named_by, recorded_model


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentsFolder:
    """What the index says. content: all of it (docs/file-formats.md); segments: folder and network file of each."""

    path: Path
    content: dict[str, Any]
    segments: tuple[tuple[Path, Path], ...]

    @property
    def host_entries(self) -> list[dict[str, Any]]:
        """What the index says of segments for the host."""
        return [entry for entry in self.content["segments"] if "host" in entry]

    @property
    def hosted(self) -> set[Path]:
        """Their folders."""
        return {self.path / entry["folder"] for entry in self.host_entries}

    @property
    def programs(self) -> list[Path]:
        """The folders with a program, in order."""
        return [folder for folder, _ in self.segments if folder not in self.hosted]

    def whole(self, model: str | None) -> LoadedNetwork:
        """The network that was cut, from `model` or where the index says. Raises ModelError if it is another one."""
        source = model or recorded_model(self.content["model"], self.path, ", or --model PATH says where it is now")
        with nullcontext() if model else named_by(self.path):
            load = load_whole if self.hosted else load_network
            network = load(source, weights=self.content["weights"])
        expect_network(self.path, self.content, network, source)
        return network

    def networks(self) -> list[tuple[Path, LoadedNetwork | bytes]]:
        """Folder and network of every segment, of the host's its ONNX model."""
        with named_by(self.path):
            return [
                (folder, _bytes(network) if folder in self.hosted else load_network(network))
                for folder, network in self.segments
            ]


def is_segments_folder(target: str | Path) -> bool:
    """Whether a path is a folder of segments."""
    return (Path(target) / INDEX).is_file()


def read_segments(path: Path) -> SegmentsFolder:
    """Read the index. Raises OutputError for one that `pimdse compile --segments` did not write."""
    file = path / INDEX
    try:
        content: dict[str, Any] = orjson.loads(file.read_bytes())
        model, weights, sha256 = content["model"], content["weights"], content["network_sha256"]
        if not (isinstance(model, str) and isinstance(weights, str | None) and isinstance(sha256, str)):
            raise ValueError("model, weights, network_sha256: expected texts")
        names = [(str(entry["folder"]), str(entry["network"])) for entry in content["segments"]]
        for name in (name for pair in names for name in pair):
            if Path(name).name != name or name in ("", ".", ".."):
                raise ValueError(f"segments: expected a name, found {name!r}")
        hosted = [[str(node["op"]) for node in entry["host"]] for entry in content["segments"] if "host" in entry]
        if len(hosted) == len(names):
            raise ValueError("segments: expected at least one with a program")
    except OSError as error:
        raise OutputError(f"{file}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise OutputError(f"{file}: not an index of segments: {type(error).__name__}: {error}") from None
    pairs = tuple((path / folder, path / folder / network) for folder, network in names)
    return SegmentsFolder(path=path, content=content, segments=pairs)


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ModelError(f"{file}: cannot read the model: {error.strerror}") from None
