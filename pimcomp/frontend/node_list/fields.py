"""PIMCOMP-NN's node_list files: what the text must look like before it means anything.

This file checks types, ranges, references and order; `pimcomp_import` gives the nodes their meaning. A file is
untrusted: every value is checked before use, and names with control characters are refused, for terminals' sake.
"""

import heapq
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pimcomp.errors import ConfigError, ModelError
from pimcomp.foundation.file_kind import file_kind

MAX_EXTENT = 1 << 24  # of one dimension, stride or channel count: far above any network, far below overflow
MAX_TEXT = 1024  # characters of a name


@dataclass(frozen=True, slots=True)
class Fields:
    """One JSON object with the path that error messages name."""

    where: str
    values: Mapping[str, object]

    def has(self, key: str) -> bool:
        """Whether the key is present."""
        return key in self.values

    def integer(self, key: str, *, low: int = 0, high: int = MAX_EXTENT, default: int | None = None) -> int:
        """An integer in [low, high]; a missing key gives `default`, or is an error if there is none."""
        if key not in self.values and default is not None:
            return default
        return _integer(f"{self.where}.{key}", self._required(key), low, high)

    def number(self, key: str, *, default: float | None = None) -> float:
        """A finite number."""
        if key not in self.values and default is not None:
            return default
        value = self._required(key)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise _mismatch(f"{self.where}.{key}", "a number", value)
        return float(value)

    def text(self, key: str) -> str:
        """A printable string that is not empty."""
        value = self._required(key)
        if not isinstance(value, str) or not value.isprintable() or not 0 < len(value) <= MAX_TEXT:
            raise _mismatch(f"{self.where}.{key}", f"1 to {MAX_TEXT} printable characters", value)
        return value

    def integers(self, key: str, *, low: int, high: int = MAX_EXTENT) -> tuple[int, ...]:
        """A list of integers in [low, high]."""
        items = self._list(key)
        return tuple(_integer(f"{self.where}.{key}[{i}]", item, low, high) for i, item in enumerate(items))

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of strings; a missing key is an empty one."""
        items = self._list(key) if key in self.values else []
        for i, item in enumerate(items):
            if not isinstance(item, str):
                raise _mismatch(f"{self.where}.{key}[{i}]", "a string", item)
        return tuple(str(item) for item in items)

    def child(self, key: str) -> "Fields":
        """A nested object; a missing key is an empty one."""
        value = self.values.get(key, {})
        if not isinstance(value, dict):
            raise _mismatch(f"{self.where}.{key}", "an object", value)
        return Fields(f"{self.where}.{key}", value)

    def children(self, key: str) -> tuple["Fields", ...]:
        """A list of objects."""
        items: list[Fields] = []
        for i, item in enumerate(self._list(key)):
            if not isinstance(item, dict):
                raise _mismatch(f"{self.where}.{key}[{i}]", "an object", item)
            items.append(Fields(f"{self.where}.{key}[{i}]", item))
        return tuple(items)

    def _required(self, key: str) -> object:
        if key not in self.values:
            raise ConfigError(f"{self.where}.{key}", f"missing; the object has {_shorten(sorted(self.values))}")
        return self.values[key]

    def _list(self, key: str) -> list[object]:
        value = self._required(key)
        if not isinstance(value, list):
            raise _mismatch(f"{self.where}.{key}", "a list", value)
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedNode:
    """One entry of node_list with its references checked. `dims` is output_dim: (1, C, H, W) or (1, N)."""

    index: int
    name: str
    operation: str
    providers: tuple[int, ...]
    dims: tuple[int, ...]
    fields: Fields
    param: Fields

    @property
    def where(self) -> str:
        """How messages name the node."""
        return f"{self.fields.where} ({self.name}, {self.operation})"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeList:
    """A whole file: nodes in an order in which providers come first, `indices` are those of the file."""

    file: str
    nodes: tuple[ListedNode, ...]
    reshape_info: Fields


def read_text(path: Path) -> str:
    """The text of a model file.

    Raises ModelError if it cannot be read as text.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ModelError(f"{path}: cannot read the model: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        found = file_kind(error.object) or f"byte {error.start} is not UTF-8"
        raise ModelError(f"{path}: not a text file: {found}") from error


def parse_node_list(text: str, file: str) -> NodeList:
    """Check the text of a node_list file; `file` is its name in messages.

    Raises ModelError if it is no JSON or its references are inconsistent (unknown or contradicting providers, cycles),
    ConfigError naming file, node index and field where a field is missing or of the wrong type or range.
    """
    root = _json_object(text, file)
    entries = root.children("node_list")
    if not entries:
        raise ModelError(f"{file}: node_list is empty")
    nodes = tuple(_node(index, entry, len(entries)) for index, entry in enumerate(entries))
    _check_names(nodes, file)
    _check_neighbours(nodes)
    return NodeList(file=file, nodes=_providers_first(nodes, file), reshape_info=root.child("reshape_info"))


def _json_object(text: str, file: str) -> Fields:
    if not text.strip():
        raise ModelError(f"{file}: the file is empty")
    try:
        root = json.loads(text, object_pairs_hook=_unique_keys, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise ModelError(f"{file}: not a network: the JSON is nested too deeply") from error
    except ValueError as error:  # JSONDecodeError, and integers too long to convert
        raise ModelError(f"{file}: not valid JSON: {file_kind(text[:1000].encode()) or error}") from error
    if not isinstance(root, dict):
        raise ModelError(f"{file}: expected an object with node_list, found {_shorten(root)}")
    return Fields(file, root)


def _node(index: int, entry: Fields, count: int) -> ListedNode:
    for key in ("index", "new_node_index"):
        found = entry.integer(key, default=index)
        if found != index:
            raise ConfigError(f"{entry.where}.{key}", f"expected {index}, its position in node_list, found {found}")
    dims = entry.integers("output_dim", low=1)
    if len(dims) not in (2, 4) or dims[0] != 1:
        raise ConfigError(f"{entry.where}.output_dim", f"expected [1, C, H, W] or [1, N], found {list(dims)}")
    node = ListedNode(
        index=index,
        name=entry.text("name"),
        operation=entry.text("operation"),
        providers=entry.integers("provider_index", low=0, high=count - 1),
        dims=dims,
        fields=entry,
        param=entry.child("param"),
    )
    for key, length in (("provider_num", len(node.providers)), ("output_dim_num", len(dims))):
        found = entry.integer(key, default=length)
        if found != length:
            raise ConfigError(f"{entry.where}.{key}", f"expected {length}, the length of its list, found {found}")
    return node


def _check_names(nodes: tuple[ListedNode, ...], file: str) -> None:
    """Names are unique, and name lists agree with index lists."""
    first: dict[str, int] = {}
    for node in nodes:
        if node.name in first:
            raise ModelError(
                f"{file}: node_list[{first[node.name]}] and [{node.index}] have the same name {node.name!r}"
            )
        first[node.name] = node.index
    for node in nodes:
        expected = tuple(nodes[i].name for i in node.providers)
        found = node.fields.texts("provider")
        if node.fields.has("provider") and found != expected:
            raise ModelError(f"{node.where}: provider says {list(found)}, provider_index says {list(expected)}")


def _check_neighbours(nodes: tuple[ListedNode, ...]) -> None:
    """Consumer lists mirror provider lists, and input_dim is what the first provider delivers."""
    consumers: dict[int, set[int]] = {node.index: set() for node in nodes}
    for node in nodes:
        for provider in node.providers:
            consumers[provider].add(node.index)
    for node in nodes:
        if node.fields.has("consumer_index"):
            found = set(node.fields.integers("consumer_index", low=0, high=len(nodes) - 1))
            if found != consumers[node.index]:
                raise ModelError(
                    f"{node.where}: consumer_index says {sorted(found)}, "
                    f"the provider_index lists of the others say {sorted(consumers[node.index])}"
                )
        if node.providers and node.fields.has("input_dim"):
            dims, delivered = node.fields.integers("input_dim", low=1), nodes[node.providers[0]].dims
            if dims != delivered:
                raise ModelError(
                    f"{node.where}: input_dim says {list(dims)}, its provider {nodes[node.providers[0]].name!r} "
                    f"delivers {list(delivered)}"
                )


def _providers_first(nodes: tuple[ListedNode, ...], file: str) -> tuple[ListedNode, ...]:
    """The nodes in topological order, file order wherever it is one."""
    waiting = [len(set(node.providers)) for node in nodes]
    consumers: list[list[int]] = [[] for _ in nodes]
    for node in nodes:
        for provider in sorted(set(node.providers)):
            consumers[provider].append(node.index)
    ready = [node.index for node in nodes if not node.providers]
    ordered: list[ListedNode] = []
    while ready:
        index = heapq.heappop(ready)
        ordered.append(nodes[index])
        for consumer in consumers[index]:
            waiting[consumer] -= 1
            if waiting[consumer] == 0:
                heapq.heappush(ready, consumer)
    if len(ordered) < len(nodes):
        stuck = [f"{i} ({nodes[i].name})" for i, left in enumerate(waiting) if left]
        raise ModelError(f"{file}: node_list has a cycle; on it or behind it are the nodes {_shorten(stuck)}")
    return tuple(ordered)


def _integer(where: str, value: object, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise _mismatch(where, f"an integer from {low} to {high}", value)
    return value


def _mismatch(where: str, expected: str, found: object) -> ConfigError:
    return ConfigError(where, f"expected {expected}, found {type(found).__name__} {_shorten(found)}")


def _shorten(value: object) -> str:
    """A value for a message: escaped, and not longer than a line."""
    text = ascii(value)
    return text if len(text) <= 120 else f"{text[:117]}..."


def _unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) != len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(
            f"the key {_shorten(next(key for key in keys if keys.count(key) > 1))} appears twice in an object"
        )
    return result


def _refuse_constant(text: str) -> object:
    raise ValueError(f"{text} is not a JSON number")
