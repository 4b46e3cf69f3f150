"""Energy of one pass of a program: the simulator's accounting, by contributor.

Source: pimsim-nn's counters (docs/timing.md, "energy"): every access to a memory beat, every beat of a vector, every
flit and every MVM of a full crossbar costs a constant; static power runs on all cores until the slowest has finished.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pimcomp.errors import InvariantError
from pimcomp.ir.arch import Arch
from pimcomp.ir.graph import IntArray
from pimcomp.ir.program import ByteArray, Program
from pimcomp.ir.report import Energy, LayerEnergy
from pimcomp.isa.listing import Listing, listing_of, rows_of
from pimcomp.isa.table import (
    BYTES,
    DST,
    INPUT,
    LOAD,
    MATRIX,
    OUTPUT,
    RECV,
    SEND,
    SRC,
    SRC2,
    STORE,
    SYNC,
    UNIT,
    VECTOR,
)
from pimcomp.timeline.front_end import evaluations_of
from pimcomp.timeline.work import Instructions, column_bytes, stream_of

Rows = npt.NDArray[np.intp]
_UNITS = range(SYNC + 1)


def energy_of(program: Program, arch: Arch, latency_ns: float) -> Energy:
    """Energy of one pass that takes `latency_ns`."""
    listing = listing_of(program) if _front_end_mw(arch).any() else None
    return energy_of_stream(stream_of(program, arch), arch, latency_ns, listing)


def energy_of_stream(stream: Instructions, arch: Arch, latency_ns: float, listing: Listing | None = None) -> Energy:
    """The same for a program of any origin. listing: needed where the chip's front end has dynamic power.

    Raises InvariantError if it is needed and missing.
    """
    parts = _dynamic_pj(stream, arch, _rows_by_unit(UNIT[stream.op]))
    parts["static_pj"] = static_power_mw(arch, present_cores(stream)) * latency_ns
    parts["front_end_pj"] = float(_front_end_pj(stream, arch, listing).sum())
    return Energy(total_pj=sum(parts.values()), **parts)


def energy_of_stream_by_layer(
    stream: Instructions, node: IntArray, names: Sequence[str], arch: Arch, *, listing: Listing | None = None
) -> tuple[LayerEnergy, ...]:
    """What the instructions of each graph node cost, nodes in their order, those of no node (if any) last.

    node: int32[instructions], index into `names` (may be short) or -1. The sums over all layers are the dynamic parts
    of `energy_of_stream`; static power belongs to no layer.
    """
    front_end = _front_end_pj(stream, arch, listing)
    unit = UNIT[stream.op]
    order = np.argsort(node, kind="stable")
    layers = []
    for rows in np.split(order, np.flatnonzero(np.diff(node[order])) + 1):
        if not len(rows):
            continue
        index = int(node[rows[0]])
        layers.append(
            LayerEnergy(
                node=index,
                layer=names[index] if 0 <= index < len(names) else "",
                front_end_pj=float(front_end[rows].sum()),
                **_dynamic_pj(stream, arch, {kind: rows[unit[rows] == kind] for kind in _UNITS}),
            )
        )
    return tuple(sorted(layers, key=lambda layer: (layer.node < 0, layer.node)))


def _dynamic_pj(stream: Instructions, arch: Arch, rows: dict[int, Rows]) -> dict[str, float]:
    """What the given instructions cost, by contributor."""
    reads, writes = local_beats(stream, arch, rows)
    loads, stores = stream.size[rows[LOAD]], stream.size[rows[STORE]]
    global_pj = (
        _beats(loads, arch.global_width_bytes) * arch.global_read_pj
        + _beats(stores, arch.global_width_bytes) * arch.global_write_pj
    )
    beats = _beats(stream.size[rows[VECTOR]], arch.vector_width)
    return {
        "mvm_pj": _mvm_pj(stream, arch, rows[MATRIX]),
        "local_memory_pj": reads * arch.local_read_pj + writes * arch.local_write_pj,
        "global_memory_pj": global_pj,
        # The simulator charges two register reads for one-operand instructions too.
        "vector_pj": beats * (arch.vector_alu_pj + 2 * arch.vector_reg_read_pj + arch.vector_reg_write_pj),
        "noc_pj": _noc_pj(stream, arch, rows),
    }


def present_cores(stream: Instructions) -> int:
    """Cores that the program file contains: those with at least one instruction."""
    return int(((np.diff(stream.core_start) > 0) | (stream.tail_bubbles > 0)).sum())


def static_power_mw(arch: Arch, cores: int) -> float:
    """Power that flows whatever a program on `cores` cores does. Crossbars, converters and network have none."""
    core_mw = (
        arch.fetch_static_mw
        + arch.decode_static_mw
        + arch.decode_offset_static_mw
        + arch.reg_file_static_mw
        + arch.scalar_static_mw
        + arch.vector_alu_static_mw
        + arch.vector_reg_static_mw
        + arch.transfer_static_mw
        + arch.local_static_mw
    )
    return cores * core_mw + arch.global_static_mw


def not_counted(arch: Arch) -> tuple[str, ...]:
    """Contributors (fields of Energy) that the chip's description has no figures for: they are 0 in every program."""
    noc = arch.noc_table.energy_pj if arch.noc_table is not None else (arch.noc_energy_pj,)
    figures = {
        "mvm": mvm_crossbar_pj(arch),
        "local_memory": arch.local_read_pj + arch.local_write_pj,
        "global_memory": arch.global_read_pj + arch.global_write_pj,
        "vector": arch.vector_alu_pj + arch.vector_reg_read_pj + arch.vector_reg_write_pj,
        "noc": any(noc),
        "static": static_power_mw(arch, 1),
        "front_end": _front_end_mw(arch).any(),
    }
    return tuple(name for name, figure in figures.items() if not figure)


def local_beats(stream: Instructions, arch: Arch, rows: dict[int, Rows]) -> tuple[int, int]:
    """Beats read from and written to all local memories."""
    width = arch.local_width_bytes
    in_bytes, out_bytes = stream.widths.input_bytes, stream.widths.output_bytes
    fires, vectors = rows[MATRIX], rows[VECTOR]
    # The factor 8 is the simulator's (see Arch.mvm_ns).
    reads = _beats(8 * arch.crossbar_rows * in_bytes[stream.width[fires]], width)
    writes = _beats(column_bytes(stream.widths, arch)[stream.width[fires]] * stream.crossbars[fires], width)
    op, elements, setting = stream.op[vectors], stream.size[vectors], stream.width[vectors]
    read_beats = -(-elements * in_bytes[setting] // width)
    reads += int(np.where(SRC2[op] == INPUT, 2 * read_beats, read_beats).sum())
    writes += _beats(elements * np.where(DST[op] == OUTPUT, out_bytes[setting], in_bytes[setting]), width)
    moves = np.concatenate([rows[unit] for unit in _UNITS if unit > VECTOR])
    reads += _beats(stream.size[moves[SRC[stream.op[moves]] == BYTES]], width)
    writes += _beats(stream.size[moves[DST[stream.op[moves]] == BYTES]], width)
    return reads, writes


def mvm_crossbar_pj(arch: Arch, activation_bits: Any = 0) -> Any:
    """One crossbar in one MVM: always the full crossbar, whatever is used of it. activation_bits: 0: the chip's."""
    return arch.slices(arch.input_bits_at(activation_bits)) * sum(mvm_stages_pj(arch).values())


def mvm_stages_pj(arch: Arch) -> dict[str, float]:
    """One crossbar in one input slice of an MVM, by what the energy is spent in."""
    period = arch.matrix_period_ns
    step = arch.adc_steps * period
    return {
        "dac": period * arch.dac_mw * arch.dac_latency_cycles * arch.dac_count,
        "cells": arch.crossbar_read_mw * arch.crossbar_latency_ns,
        "sample_hold": period * arch.sample_hold_mw * arch.sample_hold_latency_cycles * arch.crossbar_cols,
        "adc": step * arch.adc_mw * arch.adc_latency_cycles * arch.adc_count,
        "shift_add": step * arch.shift_add_mw * arch.shift_add_latency_cycles,
        "output_buffer": step * arch.output_buffer_mw * arch.output_buffer_latency_cycles,
    }


def _mvm_pj(stream: Instructions, arch: Arch, fires: Rows) -> float:
    per_crossbar = mvm_crossbar_pj(arch, stream.widths.input_bits)
    return float((per_crossbar[stream.width[fires]] * stream.crossbars[fires]).sum())


def _noc_pj(stream: Instructions, arch: Arch, rows: dict[int, Rows]) -> float:
    """A send asks with one flit before its data, a recv grants with one; a load is one flit, its answer free."""
    flit_pj = arch.noc_flit_energy_pj
    memory = len(flit_pj) - 1

    def core(of: Rows) -> Rows:
        return np.searchsorted(stream.core_start, of, side="right") - 1

    total = 0.0
    for unit in (SEND, RECV, LOAD, STORE, SYNC):
        own = rows[unit]
        flits = np.ones(len(own), np.int64)
        if unit in (SEND, STORE):
            flits = -(-stream.size[own].astype(np.int64) // arch.bus_width_bytes) + (unit == SEND)
        target = memory if unit in (LOAD, STORE) else stream.peer[own]
        total += float((flits * flit_pj[core(own), target]).sum())
    return total


def _front_end_mw(arch: Arch) -> npt.NDArray[np.float64]:
    """Power that one evaluation of each counter of `front_end` costs for one core period, and a fetch (last)."""
    decode_mw = arch.decode_dynamic_mw + arch.decode_offset_dynamic_mw
    return np.array(
        [decode_mw, arch.reg_file_read_mw, arch.reg_file_write_mw, arch.scalar_dynamic_mw, arch.fetch_dynamic_mw]
    )


def _front_end_pj(stream: Instructions, arch: Arch, listing: Listing | None) -> npt.NDArray[np.float64]:
    """float64[instructions]: fetch, decoder, register file and scalar unit, those of scalar instructions included."""
    power_mw = _front_end_mw(arch)
    if not power_mw.any():
        return np.zeros(len(stream.op))
    if listing is None:
        raise InvariantError("the energy of a front end with dynamic power depends on the lists' scalar instructions")
    entry_mw = power_mw[-1] + evaluations_of(listing, stream, arch) @ power_mw[:-1]
    return np.asarray(arch.core_period_ns * np.bincount(rows_of(listing), entry_mw, len(stream.op)), np.float64)


def _rows_by_unit(unit: ByteArray) -> dict[int, Rows]:
    return {kind: np.flatnonzero(unit == kind) for kind in _UNITS}


def _beats(sizes: npt.NDArray[np.integer], width: int) -> int:
    return int((-(-sizes.astype(np.int64) // width)).sum())
