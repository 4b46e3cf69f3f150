"""A compiled folder made again from its manifest and its stored plan, to the last byte."""

import dataclasses
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import yaml

from pimcomp.config import read_arch
from pimcomp.errors import OutputError
from pimcomp.foundation.own_files import COMPILE, recorded
from pimcomp.frontend import LoadedNetwork, load_network
from pimcomp.frontend.side_by_side import prefix_of
from pimcomp.ir.arch import Arch
from pimcomp.ir.plan import Outcome, Pipeline, Plan, Status
from pimcomp.ir.precision import Precision
from pimcomp.ir.schedule_options import ScheduleOptions
from pimcomp.plan.regions import region
from pimdse.compiling.building import Observe, Recipe, StoredPlan, build, check_target, write
from pimdse.compiling.resident import Residents, joined, write_networks
from pimdse.folder.compiled import expect_network, named_by, read_compiled_folder, recorded_model
from pimdse.folder.networks import is_networks_folder, networks_of, read_networks, whole_network
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
        plan = orjson.loads((folder / PLAN).read_bytes())
        form, save = str(content["format"]), tuple(content["save"])
        several = is_networks_folder(folder)
        outcome = _outcome(content["outcome"], plan["layers"]) if not several else None
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise OutputError(f"{folder}: no complete recipe there ({type(error).__name__}: {error})") from None
    if out.exists() and out.samefile(folder):
        raise OutputError(f"--out {out}: is the folder to compare with: give another one")
    check_target(out, recipe.arch, form=form, save=save)
    if outcome is None:
        again, alone = _side_by_side(folder, recipe, plan["layers"], observe)
        write_networks(again, alone, out, form=form, save=save)
        return _compare(folder, out)
    stored = StoredPlan(str(content["outcome"]["solver"]), outcome)
    source = recorded_model(recipe.model, folder)
    with named_by(folder):
        built = build(recipe, observe, solver=stored, source=source)
    expect_network(folder, content, built.network, recipe.model)
    write(built, out, form=form, save=save)
    return _compare(folder, out)


def network_of_folder(folder: Path, model: str | None) -> tuple[LoadedNetwork, str, str | None]:
    """The network of a compiled folder's program, from `model` or where the folder says; its source and weights.

    A folder that the library wrote has no manifest, so that it may be another one than it was made from; of any other
    that is a ModelError. OutputError if its files are damaged.
    """
    if is_networks_folder(folder):
        return whole_network(folder, model), str(folder), None
    known = read_compiled_folder(folder)
    source = model or recorded_model(known.model, folder, ", or --model PATH says where it is now")
    with nullcontext() if model else named_by(folder):
        network = load_network(source, weights=known.weights)
    if (folder / MANIFEST).exists():
        expect_network(folder, _manifest(folder), network, source)
    return network, source, known.weights


def _manifest(folder: Path) -> dict[str, Any]:

    path = folder / MANIFEST
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise OutputError(
            f"{folder}: expected a folder of `pimdse compile` or `pimdse pick`, found no {MANIFEST}"
        ) from None
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
        models=tuple(content.get("models", ())),
        combine=content.get("combine", ""),
    )


def _side_by_side(
    folder: Path, recipe: Recipe, layers: Sequence[Mapping[str, Any]], observe: Observe
) -> tuple[Residents, list[dict[str, Any]]]:
    """The networks of a folder on their stored cores, and what its index says of each alone."""
    content = read_networks(folder)
    entries = content["networks"]
    built = []
    for entry, network in zip(entries, networks_of(folder, content), strict=True):
        prefix, first = prefix_of(entry["label"]), entry["first_core"]
        try:
            own = [layer for layer in layers if layer["name"].startswith(prefix)]
            stored = StoredPlan(str(entry["outcome"]["solver"]), _outcome(entry["outcome"], own, first))
        except (KeyError, TypeError, ValueError) as error:
            raise OutputError(f"{folder}: no complete recipe there ({type(error).__name__}: {error})") from None
        chip = region(recipe.arch, first, entry["cores"])
        built.append(build(replace(recipe, model=entry["model"], arch=chip), observe, solver=stored, source=network))
    return joined(recipe, [entry["label"] for entry in entries], built), [entry["alone"] for entry in entries]


def _outcome(stored: Mapping[str, Any], layers: Sequence[Mapping[str, Any]], first_core: int = 0) -> Outcome:

    return Outcome(
        status=Status(stored["status"]),
        plan=Plan(
            option=tuple(layer["option"] for layer in layers),
            replication=tuple(layer["replication"] for layer in layers),
            core_of=tuple(np.array(layer["cores"], dtype=np.int32) - np.int32(first_core) for layer in layers),
        ),
        objective_ns=_float(stored["objective_ns"]),
        bound_ns=_float(stored["bound_ns"]),
        notes=tuple(map(str, stored["notes"])),
        time_limited=bool(stored["time_limited"]),
    )


def _float(stored: Any) -> float | None:
    return None if stored is None else float(stored)


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
