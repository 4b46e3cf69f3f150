"""The figures of a chip's description (powers, energies, areas) and how they follow its parameters.

Anchors: a figure is right for the parameters it was published with. With others it is multiplied by the ratio of what
the components cost there and here, so that a published chip stays itself. A figure of 0 stays 0: it is not modelled,
or it is part of another. What a crossbar has no figure for is taken to be in the power of its read; what of a core has
no area of its own is in the core's.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import NamedTuple

from pimcomp.ir.price.components import COMPONENTS, PER_CHIP, Parameters, Price, price

Figures = Mapping[str, float]
PARTS = tuple(c.name for c in COMPONENTS if c.name not in (PER_CHIP, "control", "global_memory"))
"""Components with an area of their own in a chip's description (`NAME_mm2`, of all of a core)."""

Model = Callable[[Parameters, Mapping[str, Price]], float]


def _mw(component: str, per_step: Callable[[Parameters], float], cycles: str) -> Model:
    """Power of a stage of the crossbar's pipeline while it is active: its energy over its time."""

    def model(p: Parameters, prices: Mapping[str, Price]) -> float:
        active_ns = p.matrix_period_ns * max(getattr(p, cycles), 1)
        return float(prices[component].energy_pj * per_step(p) / active_ns)

    return model


def _sum_pj(*components: str) -> Model:
    return lambda p, prices: float(sum(prices[name].energy_pj for name in components))


def _static(component: str) -> Model:
    return lambda p, prices: float(prices[component].static_mw)


def _mm2(component: str) -> Model:
    return lambda p, prices: float(prices[component].area_mm2)


def _one(p: Parameters) -> float:
    return 1.0


def _converters(p: Parameters) -> float:
    return float(p.adc_count)


# Stages of a read: figure -> its model, and how often the component acts in one read of a crossbar.
_STAGES: dict[str, tuple[Model, str, Callable[[Parameters], float]]] = {
    "dac_mw": (_mw("dac", _one, "dac_latency_cycles"), "dac", lambda p: float(p.dac_count)),
    "sample_hold_mw": (
        _mw("sample_hold", _one, "sample_hold_latency_cycles"), "sample_hold", lambda p: float(p.crossbar_cols)
    ),
    "adc_mw": (_mw("adc", _one, "adc_latency_cycles"), "adc", lambda p: float(p.crossbar_cols)),
    "shift_add_mw": (
        _mw("shift_add", _converters, "shift_add_latency_cycles"), "shift_add", lambda p: float(p.crossbar_cols)
    ),
}  # fmt: skip
_CLOCKED = ("fetch", "decode", "decode_offset", "scalar")
_MODELS: dict[str, Model] = {
    **{name: model for name, (model, _, _) in _STAGES.items()},
    "output_buffer_mw": _mw("shift_add", _converters, "output_buffer_latency_cycles"),
    **dict.fromkeys(("local_read_pj", "local_write_pj"), _sum_pj("local_memory", "local_bus")),
    **dict.fromkeys(("global_read_pj", "global_write_pj"), _sum_pj("global_memory")),
    **dict.fromkeys(("vector_alu_pj", "vector_reg_read_pj", "vector_reg_write_pj"), _sum_pj("vector")),
    "row_write_pj": lambda p, prices: float(p.crossbar_cols),  # a row has a cell per column
    "noc_energy_pj": _sum_pj("router"),
    "offchip_energy_pj": _sum_pj("offchip_link"),
    "local_static_mw": _static("local_memory"),
    "transfer_static_mw": _static("router"),
    **dict.fromkeys(("vector_alu_static_mw", "vector_reg_static_mw"), _static("vector")),
    **dict.fromkeys(
        (
            *(f"{unit}_{kind}_mw" for unit in _CLOCKED for kind in ("dynamic", "static")),
            *("reg_file_read_mw", "reg_file_write_mw", "reg_file_static_mw"),
        ),
        _static("control"),
    ),
    **{f"{name}_mm2": _mm2(name) for name in PARTS},
    "chip_area_mm2": _mm2(PER_CHIP),
}
FIGURES = (*_MODELS, "crossbar_read_mw", "core_area_mm2")


@lru_cache(maxsize=4096)
def prices_at(p: Parameters) -> Mapping[str, Price]:
    """`price` of one chip, remembered."""
    return price(p)


def model_core_mm2(p: Parameters) -> float:
    """Area of a core by the models alone."""
    return float(sum(cost.area_mm2 for name, cost in prices_at(p).items() if name != PER_CHIP))


def model_chip_mm2(p: Parameters) -> float:
    """Area of what a chip has outside its cores, by the models alone."""
    return float(prices_at(p)[PER_CHIP].area_mm2)


class Rating(NamedTuple):
    """What the figures of a chip, and its mesh, belong to."""

    parameters: Parameters
    figures: dict[str, float]
    cores: int
    mesh_rows: int

    def figures_at(self, parameters: Parameters, given: dict[str, float]) -> dict[str, float]:
        """The figures of a copy with other parameters; those that differ from the original's are given, and stay."""
        if parameters == self.parameters:
            return given
        scaled = rescaled(self.figures, self.parameters, parameters)
        return {name: scaled[name] if value == self.figures[name] else value for name, value in given.items()}


def rescaled(figures: Figures, before: Parameters, after: Parameters) -> dict[str, float]:
    """The figures of a chip whose parameters change, from those that it had before."""
    old, new = prices_at(before), prices_at(after)
    scaled = dict(figures)
    for name, model in _MODELS.items():
        if figures[name]:
            scaled[name] = figures[name] * _ratio(model(after, new), model(before, old))
    if figures["crossbar_read_mw"]:
        ratio = _ratio(_read_mw(after, new, figures), _read_mw(before, old, figures))
        scaled["crossbar_read_mw"] = figures["crossbar_read_mw"] * ratio
    if figures["core_area_mm2"]:
        scaled["core_area_mm2"] = _core_mm2(figures, scaled, old, new)
    return scaled


def _read_mw(p: Parameters, prices: Mapping[str, Price], figures: Figures) -> float:
    """Power during a read: cells, input registers, and the stages that have no figure of their own."""
    energy_pj = prices["cells"].energy_pj + prices["registers"].energy_pj
    for name, (_, component, times) in _STAGES.items():
        if not figures[name]:
            energy_pj = energy_pj + times(p) * prices[component].energy_pj
    return float(energy_pj / max(p.crossbar_latency_ns, 1e-3))


def _core_mm2(before: Figures, after: Figures, old: Mapping[str, Price], new: Mapping[str, Price]) -> float:
    """A core: its parts, and the rest, which follows the components that have no part."""
    known = [name for name in PARTS if before[f"{name}_mm2"]]
    rest_mm2 = before["core_area_mm2"] - sum(before[f"{name}_mm2"] for name in known)
    others = [name for name in old if name not in known and name != PER_CHIP]
    ratio = _ratio(*(float(sum(prices[name].area_mm2 for name in others)) for prices in (new, old)))
    return rest_mm2 * ratio + sum(after[f"{name}_mm2"] for name in known)


def _ratio(new: float, old: float) -> float:
    return new / old if old else 1.0
