"""segments.json: the index of a folder whose sub-folders are the programs of segments, in their order, of one network
or of several that take turns."""

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from pimcomp.errors import ConfigError, ModelError, OutputError
from pimcomp.frontend import LoadedNetwork, ModelSource, load_network
from pimcomp.frontend.load_network import load_whole
from pimdse.folder.compiled import INDEX, expect_network, named_by, recorded_model, weights_of_index


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentsFolder:
    """What the index says. content: all of it (docs/segments.md); segments: folder and network file of each.

    turns: of every network that takes turns `label`, `model`, `network_sha256` and `folders`; of an only one likewise,
    with an empty label.
    """

    path: Path
    content: dict[str, Any]
    segments: tuple[tuple[Path, Path], ...]
    turns: list[dict[str, Any]]

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

    def wholes(self, model: "ModelSource | None" = None) -> list[LoadedNetwork]:
        """Every network that was cut, the only one from `model`, or from where the index says.

        Raises ModelError if one is another one now, ConfigError for a model where there are several.
        """
        if model and len(self.turns) > 1:
            raise ConfigError("--model", f"{self.path} holds several networks: put them where {self.path / INDEX} says")
        found = []
        for turn in self.turns:
            remedy = "" if len(self.turns) > 1 else ", or --model PATH says where it is now"
            source = model or recorded_model(turn["model"], self.path, remedy)
            with nullcontext() if model else named_by(self.path):
                load = load_whole if self.hosted & {self.path / name for name in turn["folders"]} else load_network
                found.append(load(source, weights=self.content["weights"]))
            expect_network(self.path, turn, found[-1], found[-1].source)
        return found

    def networks(self, turn: dict[str, Any]) -> list[tuple[Path, LoadedNetwork | bytes]]:
        """Folder and network of every segment of a network, of the host's its ONNX model."""
        own = {self.path / name for name in turn["folders"]}
        with named_by(self.path):
            return [
                (folder, _bytes(network) if folder in self.hosted else load_network(network))
                for folder, network in self.segments
                if folder in own
            ]


def is_segments_folder(target: str | Path) -> bool:
    """Whether a path is a folder of segments."""
    return (Path(target) / INDEX).is_file()


def programs_of(path: Path) -> list[Path]:
    """The folders with a program: those of its segments, or itself."""
    return read_segments(path).programs if is_segments_folder(path) else [path]


def read_segments(path: Path) -> SegmentsFolder:
    """Read the index. Raises OutputError for one that `pimdse compile --segments` did not write."""
    file = path / INDEX
    try:
        content: dict[str, Any] = orjson.loads(file.read_bytes())
        names = [(str(entry["folder"]), str(entry["network"])) for entry in content["segments"]]
        folders = [folder for folder, _ in names]
        turns = content.get("networks") or [{"label": "", "folders": folders, **content}]
        weights_of_index(content["weights"])
        for text in (turn[name] for turn in turns for name in _TEXTS):
            if not isinstance(text, str):
                raise ValueError(f"{', '.join(_TEXTS)}: expected texts, found {text!r}")
        for figure in (content.get(name) for name in ("images_per_visit", "write_ns", "visit_ns", "image_ns")):
            if not isinstance(figure, int | float | None):
                raise ValueError(f"images_per_visit, write_ns, visit_ns, image_ns: expected numbers, found {figure!r}")
        if [name for turn in turns for name in turn["folders"]] != folders or len({t["label"] for t in turns}) < len(
            turns
        ):
            raise ValueError("networks: expected labels of their own, and the folders of all segments in order")
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
    return SegmentsFolder(path=path, content=content, segments=pairs, turns=turns)


_TEXTS = ("label", "model", "network_sha256")


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ModelError(f"{file}: cannot read the model: {error.strerror}") from None
