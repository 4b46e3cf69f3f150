"""A compiled folder made again from its manifest and its stored plan, to the last byte."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import yaml

from pimcomp.config import read_arch
from pimcomp.errors import OutputError
from pimcomp.foundation.own_files import COMPILE, recorded
from pimcomp.frontend import LoadedNetwork
from pimcomp.ir.arch import Arch
from pimcomp.ir.plan import Outcome, Pipeline, Plan, Status
from pimcomp.ir.precision import Precision
from pimcomp.ir.schedule_options import ScheduleOptions
from pimdse.compiling.building import Observe, Recipe, StoredPlan, build, check_target, write
from pimdse.folder.compiled import expect_network, named_by, recorded_model
from pimdse.folder.segments import is_segments_folder, read_segments

MANIFEST, PLAN = "manifest.yaml", "plan.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reproduction:
    """What came out: files with equal bytes, files that differ, files that only the original has."""

    same: tuple[str, ...]
    different: tuple[str, ...]
    missing: tuple[str, ...]


def rebuild(folder: Path, out: Path, observe: Observe = lambda stage, result: None) -> Reproduction:
    """Write the files of `folder` once more into `out`, from its manifest and plan alone, and compare them.

    Of a folder of segments every program is made again, from the network that lies in its folder.

    Raises OutputError where the manifest or the plan cannot be used, ModelError if the network is another one now.
    """
    if is_segments_folder(folder):
        parts = read_segments(folder).programs
        return _together(parts, [rebuild(part, out / part.name, observe) for part in parts])
    content = _manifest(folder)
    try:
        recipe = _recipe(content, folder)
        outcome = _outcome(content["outcome"], orjson.loads((folder / PLAN).read_bytes()))
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise OutputError(f"{folder}: no complete recipe there ({type(error).__name__}: {error})") from None
    if out.exists() and out.samefile(folder):
        raise OutputError(f"--out {out}: is the folder to compare with: give another one")
    form, save = str(content["format"]), tuple(content["save"])
    check_target(out, recipe.arch, form=form, save=save)
    stored = StoredPlan(str(content["outcome"]["solver"]), outcome)
    source = recorded_model(recipe.model, folder)
    with named_by(folder):
        built = build(recipe, observe, solver=stored, source=source)
    expect_network(folder, content, built.network, recipe.model)
    write(built, out, form=form, save=save)
    return _compare(folder, out)


def check_network(folder: Path, network: LoadedNetwork, source: str) -> None:
    """Raise ModelError if `network`, read from `source`, is another one than `folder` was made from.

    A folder that the library wrote has no manifest, so that nothing is known; OutputError if the manifest is damaged.
    """
    if (folder / MANIFEST).exists():
        expect_network(folder, _manifest(folder), network, source)


def _manifest(folder: Path) -> dict[str, Any]:

    path = folder / MANIFEST
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise OutputError(f"{path}: cannot be read: {error}") from None
    if not isinstance(content, dict) or not {"outcome", "model", "network_sha256"} <= content.keys():
        raise OutputError(f"{path}: expected the manifest of `pimdse compile` or `pimdse pick` (with `outcome:`)")
    return content


def _recipe(content: Mapping[str, Any], folder: Path) -> Recipe:

    # a table of the network on chip is only in the chip's own file
    from_file = content["chip"]["interconnect"] == "file"
    return Recipe(
        model=content["model"],
        weights=content["weights"],
        arch=read_arch(str(folder / "chip.yaml"))[0] if from_file else Arch(**content["chip"], noc_table=None),
        arch_source=content["arch_source"],
        solver=content["solver"],
        pipeline=Pipeline(content["pipeline"]),
        time_limit_s=content["time_limit_s"],
        seed=content["seed"],
        options=ScheduleOptions(**content["schedule"]),
        precision={name: Precision(**own) for name, own in content.get("precision", {}).items()},
        notes=tuple(content["notes"]),
    )


def _outcome(stored: Mapping[str, Any], plan: Mapping[str, Any]) -> Outcome:

    layers = plan["layers"]
    return Outcome(
        status=Status(stored["status"]),
        plan=Plan(
            option=tuple(layer["option"] for layer in layers),
            replication=tuple(layer["replication"] for layer in layers),
            core_of=tuple(np.array(layer["cores"], dtype=np.int32) for layer in layers),
        ),
        objective_ns=stored["objective_ns"],
        bound_ns=stored["bound_ns"],
        notes=tuple(stored["notes"]),
        time_limited=stored["time_limited"],
    )


def _compare(folder: Path, out: Path) -> Reproduction:

    made = [Path(name) for name in recorded(out, COMPILE)]
    missing = [p for p in made if not (folder / p).is_file()]
    there = [p for p in made if p not in missing]
    same = [p for p in there if (folder / p).read_bytes() == (out / p).read_bytes()]
    return Reproduction(
        same=tuple(str(p) for p in same),
        different=tuple(str(p) for p in there if p not in same),
        missing=tuple(str(p) for p in missing),
    )


def _together(parts: Sequence[Path], results: Sequence[Reproduction]) -> Reproduction:
    def named(kind: str) -> tuple[str, ...]:
        return tuple(f"{p.name}/{name}" for p, r in zip(parts, results, strict=True) for name in getattr(r, kind))

    return Reproduction(same=named("same"), different=named("different"), missing=named("missing"))


def as_data(result: Reproduction) -> dict[str, object]:
    """For machines."""
    return dataclasses.asdict(result)
