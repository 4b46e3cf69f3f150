"""Damage to bytes and to trees of JSON or YAML values, drawn from a seeded generator."""

import copy
import json
import math
import random
from collections.abc import Callable
from typing import Any

VALUES: tuple[Any, ...] = (
    None, True, False, -1, 0, 1, 2, 3, 7, 255, 2**31 - 1, 2**31, 2**53, 2**63 - 1, 2**63, -(2**63), 10**30, 0.5, -0.0,
    1e-300, 1e308, math.inf, -math.inf, math.nan, "", "text", "é\u0000\x1b[2J", "../../etc/passwd", "9" * 5000,
    "x" * 100_000, [], {}, [[]], [None], {"": {}}, [0] * 1000, "1e400", "0x10", "true", "@",
)  # fmt: skip
TEXTS = (b"\xff\xfe", b"\x80", b"\x00", b"\xed\xa0\x80", b"\xf0\x9f\x92\xa9", b"NaN", b"-", b"e999", b"[", b"{", b'"')


def bytes_damaged(data: bytes, rng: random.Random) -> bytes:
    """One to four changes of a file's bytes."""
    result = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        at = rng.randrange(len(result) + 1)
        match rng.randrange(9):
            case 0:
                del result[at:]
            case 1 | 2 if at < len(result):
                result[at] ^= 1 << rng.randrange(8)
            case 3 if at < len(result):
                result[at] = rng.choice((0, 1, 127, 128, 255))
            case 4:
                result[at:at] = rng.randbytes(rng.randrange(1, 16))
            case 5:
                del result[at : at + rng.randrange(1, 64)]
            case 6:
                result[at:at] = result[at : at + rng.randrange(1, 200)] * rng.choice((1, 1, 50))
            case 7:
                result[at:at] = rng.choice(TEXTS)
            case _:
                end = min(len(result), at + rng.randrange(1, 32))
                result[at:end] = b"\xff" * (end - at)
    return bytes(result)


def _places(tree: Any) -> list[tuple[Any, Any]]:
    """(container, key) of everything in a tree."""
    found: list[tuple[Any, Any]] = []
    stack = [tree]
    while stack:
        node = stack.pop()
        keys = list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
        for key in keys:
            found.append((node, key))
            stack.append(node[key])
    return found


def tree_damaged(tree: Any, rng: random.Random) -> Any:
    """One to three changes of a tree, in place: other values, keys gone, renamed or new, parts swapped or repeated."""
    for _ in range(rng.choice((1, 1, 2, 3))):
        places = _places(tree)
        if not places:
            return tree
        container, key = rng.choice(places)
        match rng.randrange(7):
            case 0 | 1 | 2:
                container[key] = copy.deepcopy(rng.choice(VALUES))
            case 3:
                del container[key]
            case 4 if isinstance(container, dict):
                container[rng.choice(("", key + "x", "__class__", "sweep", "\u202e", str(2**70)))] = container.pop(key)
            case 5:
                other, at = rng.choice(places)
                if not isinstance(other[at], dict | list):
                    container[key] = other[at]
            case _:
                value = container[key]
                if isinstance(container, list):
                    container.extend([value] * rng.choice((1, 100)))
                else:
                    container[key] = [value]
    return tree


def json_text(tree: Any, rng: random.Random) -> bytes:
    """JSON of a tree, sometimes with what a writer would never write: duplicate keys, depth, infinities."""
    text = json.dumps(tree)
    deep = rng.choice((40, 2000, 200_000))
    extremes: tuple[Callable[[], str], ...] = (
        lambda: "[" * deep,
        lambda: '{"a":' * deep + "1" + "}" * deep,
        lambda: text.replace("{", '{"config": 1, "config": {}, ', 1),
        lambda: text + text,
        lambda: f"[{text}]",
        lambda: "\ufeff" + text,
    )
    if rng.random() < 0.1:
        text = rng.choice(extremes)()
    return text.encode("utf-8", "surrogatepass")


def yaml_text(tree: Any, rng: random.Random) -> bytes:
    """YAML of a tree, sometimes with tags, aliases, anchors, bombs and depth."""
    import yaml

    text = yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)
    doubled = zip("bcdefghijklmnopqrstuvwxyz", "abcdefghijklmnopqrstuvwxy", strict=True)
    bomb = "a: &a [x, x]\n" + "".join(f"{new}: &{new} [*{old}, *{old}]\n" for new, old in doubled)
    deep = rng.choice((40, 5000))
    extremes: tuple[Callable[[], str], ...] = (
        lambda: bomb + text,
        lambda: "name: !!python/object/apply:os.system ['touch owned']\n" + text,
        lambda: "name: !!python/object/new:os.system ['touch owned']\n" + text,
        lambda: "name: !!python/name:os.system\n" + text,
        lambda: "x: &x {y: *x}\n" + text,
        lambda: "<<: {name: 1}\n" + text,
        lambda: text + "\n" + text,
        lambda: "---\n" + text + "\n---\n" + text,
        lambda: "name: " + "[" * deep + "]" * deep + "\n" + text,
        lambda: "? [complex, key]\n: 1\n" + text,
        lambda: "%YAML 9.9\n---\n" + text,
        lambda: text.replace(": ", ":\t"),
        lambda: "name: 2001-99-99\n" + text,
        lambda: "name: !!binary ////\n" + text,
        lambda: "name: !!set {a, b}\n" + text,
        lambda: "name: 190:20:30:15\n" + text,
    )
    if rng.random() < 0.25:
        text = rng.choice(extremes)()
    return text.encode("utf-8", "surrogatepass")
