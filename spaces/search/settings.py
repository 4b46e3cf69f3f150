"""A sweep as plain values, and back: what a study remembers of the settings it was made with."""

import dataclasses
from collections.abc import Callable
from typing import Any

from pimcomp.ir.arch import Arch, NocTable
from pimcomp.ir.plan import Pipeline
from pimcomp.ir.precision import Precision
from spaces.space import Choice, Fidelity, FloatRange, IntRange, Limit, Network, Parameter, Sweep

FREE = ("trials", "timed", "jobs", "file", "name")  # settings that may change between two runs of the same study
_KINDS: dict[str, Callable[..., Parameter]] = {"int": IntRange, "float": FloatRange, "choice": Choice}


def settings_to_json(sweep: Sweep) -> dict[str, Any]:
    """Plain values of a sweep, chips included."""
    data = dataclasses.asdict(sweep)
    for chip in (data["arch"], *data["other_chips"]):
        del chip["rating"]  # follows
    data["parameters"] = [
        {"kind": kind, **dataclasses.asdict(p)}
        for p in sweep.parameters
        for kind, cls in _KINDS.items()
        if type(p) is cls
    ]
    for name in ("precisions", "segments"):
        if not data[name]:
            del data[name]  # as studies had it before
    plain: dict[str, Any] = as_json(data)
    return plain


def settings_from_json(data: dict[str, Any]) -> Sweep:
    """The inverse of `settings_to_json`."""
    values = dict(data)
    values["arch"] = _arch(data["arch"])
    values["other_chips"] = tuple(_arch(chip) for chip in data["other_chips"])
    values["precisions"] = tuple(
        (file, tuple((n, Precision(*own)) for n, own in layers)) for file, layers in data.get("precisions", ())
    )
    values["networks"] = tuple(Network(**network) for network in data["networks"])
    values["parameters"] = tuple(_parameter(p) for p in data["parameters"])
    values["limits"] = tuple(Limit(**limit) for limit in data["limits"])
    values["pipelines"] = tuple(Pipeline(p) for p in data["pipelines"])
    values["fidelity"] = Fidelity(data["fidelity"])
    values["solvers"], values["objectives"] = tuple(data["solvers"]), tuple(data["objectives"])
    return Sweep(**values)


def _arch(data: dict[str, Any]) -> Arch:
    table = data["noc_table"]
    if table is not None:
        table = NocTable(table["cores"], tuple(table["latency_ns"]), tuple(table["energy_pj"]))
    return Arch(**{**data, "noc_table": table})


def _parameter(data: dict[str, Any]) -> Parameter:
    fields = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items() if k != "kind"}
    return _KINDS[data["kind"]](**fields)


def as_json(value: Any) -> Any:
    """`value` with lists for tuples, as JSON gives it back."""
    if isinstance(value, dict):
        return {k: as_json(v) for k, v in value.items()}
    if isinstance(value, (tuple, list)):
        return [as_json(v) for v in value]
    return str(value) if isinstance(value, (Pipeline, Fidelity)) else value
