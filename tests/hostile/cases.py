"""The cases: a damaged file in a folder of its own, and the command that reads it."""

import gzip
import json
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.hostile.damage import bytes_damaged, json_text, tree_damaged, yaml_text
from tests.hostile.models import hostile_model

ROOT = Path(__file__).parents[2]
CHIP: dict[str, Any] = {
    "name": "small",
    "chip": {"cores": 9, "crossbars_per_core": 64},
    "crossbar": {"rows": 64, "cols": 64, "cell_bits": 8, "dac": {"count": 64}, "adc": {"count": 8}},
    "core": {"rob_size": 1, "period_ns": 1.0, "vector_width": 16, "vector_latency_ns": 4},
    "numbers": {"weight_bits": 8, "activation_bits": 8},
    "local_memory": {"bytes": 65536, "width_bytes": 16},
    "global_memory": {"width_bytes": 16},
    "noc": {"interconnect": "mesh", "mesh_rows": 3, "flit_bytes": 8},
}  # fmt: skip
SWEEP: dict[str, Any] = {
    "model": "digits_mlp",
    "trials": 1,
    "jobs": 1,
    "solvers": ["balance"],
    "pipelines": ["element"],
    "objectives": ["latency_ns", "crossbars"],
    "limits": {"crossbars": {"max": 20000}},
    "space": {"cores": {"low": 4, "high": 16, "step": 4}, "cell_bits": [4, 8]},
}


@dataclass(frozen=True, slots=True)
class Case:
    """What to run: the command's words, and names of which its message must mention one."""

    words: list[str]
    mentions: tuple[str, ...]


Prepare = Callable[[Path, random.Random, Path], Case]  # (folder of the case, generator, folder of good files)


def _chip(folder: Path) -> str:
    (folder / "small.yaml").write_bytes(yaml_text(CHIP, random.Random(0)))
    return "small.yaml"


def onnx_model(folder: Path, rng: random.Random, good: Path) -> Case:
    """A hostile ONNX model."""
    (folder / "model.onnx").write_bytes(hostile_model(rng, folder))
    out = ["--out", "out"]
    words = rng.choice(
        (
            ["inspect", "model.onnx"],
            ["inspect", "model.onnx", "--weights", "random:1"],
            ["inspect", "model.onnx", "--arch", _chip(folder)],
            ["export-json", "model.onnx", "--out", "out/model.json"],
            ["compile", "model.onnx", "--arch", _chip(folder), "--solver", "balance", *out],
        )
    )
    return Case(words, ("model.onnx", "error: model:"))


def node_list(folder: Path, rng: random.Random, good: Path) -> Case:
    """A damaged node list of PIMCOMP-NN."""
    source = (good / "model.json").read_bytes()
    if rng.random() < 0.3:
        content = bytes_damaged(source, rng)
    else:
        content = json_text(tree_damaged(json.loads(source), rng), rng)
    (folder / "model.json").write_bytes(content)
    out = ["--out", "out"]
    words = rng.choice((["inspect", "model.json"], ["compile", "model.json", "--arch", _chip(folder), *out]))
    return Case(words, ("model.json",))


def chip_file(folder: Path, rng: random.Random, good: Path) -> Case:
    """A damaged chip."""
    tree = json.loads(json.dumps(CHIP))
    text = yaml_text(tree if rng.random() < 0.2 else tree_damaged(tree, rng), rng)
    (folder / "chip.yaml").write_bytes(bytes_damaged(text, rng) if rng.random() < 0.3 else text)
    out = ["--out", "out"]
    words = rng.choice(
        (
            ["inspect", "digits_mlp", "--arch", "chip.yaml"],
            ["compile", "digits_mlp", "--arch", "chip.yaml", "--solver", "balance", *out],
        )
    )
    return Case(words, ("chip.yaml",))


def sweep_file(folder: Path, rng: random.Random, good: Path) -> Case:
    """A damaged sweep; those that are still right are told to judge one candidate in this process's children."""
    tree = json.loads(json.dumps(CHIP | {"sweep": SWEEP}))
    tree["sweep"] = tree_damaged(tree["sweep"], rng)
    (folder / "sweep.yaml").write_bytes(yaml_text(tree, rng))
    return Case(["sweep", "sweep.yaml", "--out", "out", "--trials", "1", "--jobs", "1"], ("sweep.yaml",))


def simulator_config(folder: Path, rng: random.Random, good: Path) -> Case:
    """A damaged config.json of the simulator, or its network table."""
    for name in ("config.json", "network.json"):
        source = (good / "compiled" / name).read_bytes()
        if rng.random() < 0.7:
            damaged = tree_damaged(json.loads(source), rng) if len(source) < 100_000 else json.loads(source)
            source = bytes_damaged(source, rng) if rng.random() < 0.3 else json_text(damaged, rng)
        (folder / name).write_bytes(source)
    words = rng.choice(
        (
            ["import-config", "config.json", "--out", "out/chip.yaml"],
            ["inspect", "digits_mlp", "--arch", "config.json"],
        )
    )
    return Case(words, ("config.json", "network.json"))


def compiled_folder(folder: Path, rng: random.Random, good: Path) -> Case:
    """A compiled folder with one damaged file."""
    names = ("program.gz", "memory.npz", "checkpoints.npz", "config.json", "report.json")
    (folder / "compiled").mkdir()
    damaged = rng.choice(names)
    for path in (good / "compiled").iterdir():
        content = path.read_bytes()
        if path.name == damaged:
            content = _damaged_part(path.name, content, rng)
        (folder / "compiled" / path.name).write_bytes(content)
    if rng.random() < 0.05:
        (folder / "compiled" / damaged).unlink()
    words = rng.choice(
        (["verify", "compiled", "--images", "1"], ["verify", "compiled", "--integer"], ["simulate", "compiled"])
    )
    return Case(words, ("compiled", damaged))


def index_file(folder: Path, rng: random.Random, good: Path) -> Case:
    """A folder of programs, in turn or side by side, with a damaged index."""
    name, index = rng.choice((("turns", "segments.json"), ("pair", "networks.json")))
    shutil.copytree(good / name, folder / name)
    content = (folder / name / index).read_bytes()
    damaged = (
        bytes_damaged(content, rng) if rng.random() < 0.2 else json_text(tree_damaged(json.loads(content), rng), rng)
    )
    (folder / name / index).write_bytes(damaged)
    command = rng.choice((["verify", "--images", "1"], ["verify", "--integer"], ["simulate"], ["reproduce"], ["map"]))
    return Case([*command, name], (name, index))


def _damaged_part(name: str, content: bytes, rng: random.Random) -> bytes:
    if name == "program.gz" and rng.random() < 0.7:
        text = gzip.decompress(content)
        if rng.random() < 0.5:
            return gzip.compress(bytes_damaged(text, rng), 1)
        return gzip.compress(json_text(tree_damaged(json.loads(text), rng), rng), 1)
    if name.endswith(".npz") and rng.random() < 0.7:
        return _damaged_archive(content, rng)
    if name.endswith(".json") and rng.random() < 0.7:
        return json_text(tree_damaged(json.loads(content), rng), rng)
    return bytes_damaged(content, rng)


def _damaged_archive(content: bytes, rng: random.Random) -> bytes:
    """An .npz with one array changed: values, shape, type, gone, or made of objects."""
    import io

    with np.load(io.BytesIO(content)) as archive:
        arrays: dict[str, Any] = dict(archive)
    name = rng.choice(sorted(arrays))
    array = arrays.pop(name)
    match rng.randrange(6):
        case 0 if array.size and np.issubdtype(array.dtype, np.number):
            array = array.copy()
            array.flat[rng.randrange(array.size)] = rng.choice((-1, 0, 1, 2, 7, 100, 2**31 - 1))
            arrays[name] = array
        case 1:
            arrays[name] = array.ravel()[: array.size // 2]
        case 2:
            kinds = ("float64", "int8", "U8", "complex64", "bool") if array.dtype.kind in "biuf" else ("U1", "S4")
            arrays[name] = array.astype(rng.choice(kinds))
        case 3:
            arrays[name] = np.array([{"a": 1}], dtype=object)
        case 4:
            arrays[name] = array[..., None]
        case _:
            pass
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def images(folder: Path, rng: random.Random, good: Path) -> Case:
    """Damaged input images."""
    import io

    buffer = io.BytesIO()
    array: Any = np.zeros((1, 1, 8, 8), np.float32)
    kind = rng.choice((".npy", ".npz", ".png"))
    if kind == ".npy":
        np.save(buffer, array if rng.random() < 0.7 else np.array([{"a": 1}], dtype=object), allow_pickle=True)
    elif kind == ".npz":
        np.savez(buffer, input=array)
    else:
        from matplotlib.image import imsave

        imsave(buffer, array[0, 0], format="png")
    content = buffer.getvalue()
    (folder / f"image{kind}").write_bytes(bytes_damaged(content, rng))
    words = ["verify", str(good / "compiled"), "--images", "1", "--input", f"image{kind}"]
    return Case(words, (f"image{kind}",))


def strange_files(folder: Path, rng: random.Random, good: Path) -> Case:
    """Files that are none: links to themselves, pipes, folders, devices, names that are no text."""
    import os

    (folder / "folder.onnx").mkdir()
    os.symlink("loop.onnx", folder / "loop.onnx")
    os.mkfifo(folder / "pipe.onnx")
    os.symlink("/dev/zero", folder / "zero.onnx")
    os.symlink("/nowhere/x", folder / "gone.onnx")
    (folder / "empty.onnx").touch()
    names = [
        "folder.onnx",
        "loop.onnx",
        "pipe.onnx",
        "zero.onnx",
        "gone.onnx",
        "empty.onnx",
        "x" * 5000,
        "a\x00b",
        "\udcff",
    ]
    name = rng.choice([*names, "", ".", "..", "/", "-", "--", "~", "*", "digits_mlp/..", "CON"])
    words = rng.choice(
        (
            ["inspect", name],
            ["inspect", "digits_mlp", "--arch", name],
            ["compile", name, "--out", "out"],
            ["import-config", name, "--out", "out/x.yaml"],
            ["verify", name],
            ["simulate", name],
            ["pick", name, "--out", "out"],
            ["verify", str(good / "compiled"), "--input", name],
        )
    )
    return Case(words, (name, ""))


KINDS: tuple[tuple[int, Prepare], ...] = (
    (46, onnx_model),
    (12, node_list),
    (14, chip_file),
    (3, sweep_file),
    (8, simulator_config),
    (10, compiled_folder),
    (4, index_file),
    (4, images),
    (3, strange_files),
)


def prepare(seed: int, number: int, folder: Path, good: Path) -> tuple[str, Case]:
    """Write the files of a case into an empty folder; its kind and the command."""
    rng = random.Random(f"{seed} {number}")
    weights = [weight for weight, _ in KINDS]
    chosen = rng.choices([make for _, make in KINDS], weights)[0]
    return chosen.__name__, chosen(folder, rng, good)


def write_good_files(good: Path) -> None:
    """What the damaged files start from: compiled folders and a node list."""
    import onnx

    from pimdse.cli import run
    from tests.frontend.hosted import middle

    good.mkdir(parents=True, exist_ok=True)
    (good / "small.yaml").write_bytes(yaml_text(CHIP, random.Random(0)))
    compiled = ["compile", "digits_mlp", "--arch", str(good / "small.yaml"), "--out", str(good / "compiled"), "--quiet"]
    listed = ["export-json", "digits_lenet5", "--out", str(good / "model.json"), "--quiet"]
    onnx.save(middle(), good / "middle.onnx")
    both = ["compile", "digits_mlp", str(good / "middle.onnx"), "--segments", "--out", str(good / "turns")]
    pair = ["compile", "digits_mlp", "digits_mlp", "--out", str(good / "pair")]
    on_small = ["--arch", str(good / "small.yaml"), "--solver", "stream", "--quiet"]
    for words in (compiled, listed, [*both, *on_small], [*pair, *on_small]):
        if run(words):
            raise RuntimeError(f"cannot make the good files: {' '.join(words)}")
    # Kernels are compiled once per installation: that is no part of what a damaged file may take.
    warm = str(good / "warm")
    shutil.copytree(good / "compiled", warm)
    for words in (["verify", warm, "--images", "1"], ["verify", warm, "--integer"], ["simulate", warm]):
        run([*words, "--quiet"])
    shutil.rmtree(warm)
