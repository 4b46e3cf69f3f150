"""A node_list file as text: its entries in an order in which providers come first, with references that agree.

`load` gives the entries their meaning.
"""

import heapq
import json
from dataclasses import dataclass
from pathlib import Path

from pimcomp.errors import ConfigError, ModelError
from pimcomp.foundation.file_kind import file_kind
from pimcomp.frontend.node_list.fields import ABSENT, Document, Entry, ReshapeInfo, checked, shorten


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeList:
    """A whole file: nodes in an order in which providers come first."""

    file: str
    nodes: list[Entry]
    reshape_info: ReshapeInfo | None


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
    if isinstance(entries := root.get("node_list"), list):
        for i, entry in enumerate(entries):
            if isinstance(entry, dict):
                entry |= {"number": i, "place": f"{file}.node_list[{i}]"}
    document = checked(Document, root, file)
    nodes = document.node_list
    if not nodes:
        raise ModelError(f"{file}: node_list is empty")
    for node in nodes:
        _check_entry(node, len(nodes))
    consumers: list[list[int]] = [[] for _ in nodes]
    for node in nodes:
        for provider in set(node.provider_index):
            consumers[provider].append(node.number)
    _check_mirrors(nodes, consumers, file)
    info = document.reshape_info
    return NodeList(
        file=file,
        nodes=_providers_first(nodes, consumers, file),
        reshape_info=checked(ReshapeInfo, info, f"{file}.reshape_info") if info else None,
    )


def _json_object(text: str, file: str) -> dict[str, object]:
    if not text.strip():
        raise ModelError(f"{file}: the file is empty")
    try:
        root = json.loads(text, object_pairs_hook=_unique_keys, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise ModelError(f"{file}: not a network: the JSON is nested too deeply") from error
    except ValueError as error:  # JSONDecodeError, and integers too long to convert
        raise ModelError(f"{file}: not valid JSON: {file_kind(text[:1000].encode()) or error}") from error
    if not isinstance(root, dict):
        raise ModelError(f"{file}: expected an object with node_list, found {shorten(root)}")
    return root


def _check_entry(entry: Entry, count: int) -> None:
    """Numbers and lengths are what they say, references exist."""
    dims, providers = entry.output_dim, entry.provider_index
    if len(dims) not in (2, 4) or dims[0] != 1:
        raise ConfigError(f"{entry.place}.output_dim", f"expected [1, C, H, W] or [1, N], found {dims}")
    for key, value, expected, reason in (
        ("index", entry.index, entry.number, "its position in node_list"),
        ("new_node_index", entry.new_node_index, entry.number, "its position in node_list"),
        ("provider_num", entry.provider_num, len(providers), "the length of its list"),
        ("output_dim_num", entry.output_dim_num, len(dims), "the length of its list"),
    ):
        if value not in (ABSENT, expected):
            raise ConfigError(f"{entry.place}.{key}", f"expected {expected}, {reason}, found {value}")
    for key, indices in (("provider_index", providers), ("consumer_index", entry.consumer_index or [])):
        for at, found in enumerate(indices):
            if found >= count:
                expected_text = f"an integer from 0 to {count - 1}"
                raise ConfigError(f"{entry.place}.{key}[{at}]", f"expected {expected_text}, found int {found}")


def _check_mirrors(nodes: list[Entry], consumers: list[list[int]], file: str) -> None:
    """Names are unique; names of providers, consumers and the first provider's shape are what they mirror."""
    first: dict[str, int] = {}
    for node in nodes:
        if node.name in first:
            both = f"node_list[{first[node.name]}] and [{node.number}]"
            raise ModelError(f"{file}: {both} have the same name {node.name!r}")
        first[node.name] = node.number
    for node in nodes:
        names, found = [nodes[i].name for i in node.provider_index], node.consumer_index
        if node.provider not in (None, names):
            raise ModelError(f"{node.where}: provider says {node.provider}, provider_index says {names}")
        if found is not None and set(found) != set(consumers[node.number]):
            raise ModelError(
                f"{node.where}: consumer_index says {sorted(set(found))}, "
                f"the provider_index lists of the others say {consumers[node.number]}"
            )
        delivered = nodes[node.provider_index[0]].output_dim if names else None
        if names and node.input_dim not in (None, delivered):
            raise ModelError(
                f"{node.where}: input_dim says {node.input_dim}, its provider {names[0]!r} delivers {delivered}"
            )


def _providers_first(nodes: list[Entry], consumers: list[list[int]], file: str) -> list[Entry]:
    """The nodes in topological order, file order wherever it is one."""
    waiting = [len(set(node.provider_index)) for node in nodes]
    ready = [node.number for node in nodes if not node.provider_index]
    ordered: list[Entry] = []
    while ready:
        index = heapq.heappop(ready)
        ordered.append(nodes[index])
        for consumer in consumers[index]:
            waiting[consumer] -= 1
            if waiting[consumer] == 0:
                heapq.heappush(ready, consumer)
    if len(ordered) < len(nodes):
        stuck = [f"{i} ({nodes[i].name})" for i, left in enumerate(waiting) if left]
        raise ModelError(f"{file}: node_list has a cycle; on it or behind it are the nodes {shorten(stuck)}")
    return ordered


def _unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) != len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(
            f"the key {shorten(next(key for key in keys if keys.count(key) > 1))} appears twice in an object"
        )
    return result


def _refuse_constant(text: str) -> object:
    raise ValueError(f"{text} is not a JSON number")
