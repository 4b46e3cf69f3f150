"""YAML as data and nothing else: no objects, no aliases, no duplicate keys, bounded size and depth.

A duplicate key silently hides a setting, and an alias can make a small file expand to gigabytes: both are refused.
"""

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from pimcomp.errors import ConfigError
from pimcomp.foundation.file_kind import file_kind

MAX_BYTES = 1_000_000  # a chip or a sweep is a few kilobytes
MAX_DEPTH = 32  # keeps the recursive composer off Python's recursion limit


class _Loader(yaml.SafeLoader):
    """SafeLoader that refuses aliases, duplicate keys and deep nesting."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise self._error("aliases (*name) are not supported: write the value out")
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self._error(f"nested deeper than {MAX_DEPTH} levels")
        node: yaml.Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def _error(self, problem: str) -> yaml.MarkedYAMLError:
        """An error at the event that comes next."""
        event = self.peek_event()
        return yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag != "tag:yaml.org,2002:str":
                raise yaml.MarkedYAMLError(problem="expected a text key", problem_mark=key.start_mark)
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"duplicate key {key.value!r}", problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)

    def number(self, node: yaml.ScalarNode) -> int | float:
        """Refused are 010 and 1:30: eight and ninety in YAML 1.1, something else in 1.2 and to most people."""
        integer = node.tag.endswith(":int")
        found: int | float = self.construct_yaml_int(node) if integer else self.construct_yaml_float(node)
        if re.search(r"^[-+]?0[0-9_]+$|:", node.value):
            problem = f"{node.value} is {found} in YAML 1.1, and not to everybody: write {found}, or what is meant"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)
        return found


for _kind in ("int", "float"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_kind}", _Loader.number)
# YAML 1.1 reads 1e-3 as text because it has no dot; everybody who writes it means a number.
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+(?:\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def load_yaml(path: str | Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises ConfigError naming file, line and column when the file is missing, not text, too large, malformed, uses
    aliases or duplicate keys, or does not hold a mapping of keys.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a zero byte in its name
        raise ConfigError(str(path), f"cannot be read: {getattr(error, 'strerror', error)}") from None
    if len(content) > MAX_BYTES:
        raise ConfigError(str(path), f"expected at most {MAX_BYTES} bytes of YAML, found more")
    try:
        data = yaml.load(content.decode("utf-8-sig"), _Loader)
    except UnicodeDecodeError as error:
        found = file_kind(content) or f"byte {error.object[error.start]:#04x}"
        raise ConfigError(str(path), f"expected UTF-8 text, found {found}") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        raise ConfigError(where, str(error.problem)) from None
    except yaml.reader.ReaderError as error:
        found = f"{error.character!r} in position {error.position}"
        raise ConfigError(str(path), f"expected text without control characters, found {found}") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: an impossible date or a number of thousands of digits
        found = "a number of thousands of digits" if "digits" in str(error) else str(error)
        raise ConfigError(str(path), f"expected dates and numbers that can be read, found {found}") from None
    if not isinstance(data, dict):
        found = "an empty file" if data is None else file_kind(content) or type(data).__name__
        raise ConfigError(str(path), f"expected a mapping of keys, found {found}")
    return data
