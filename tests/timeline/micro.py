"""Reads programs and configurations in pimsim-nn's JSON form into what the timing kernels take.

Scalar instructions are executed here (they only compute addresses), so any hand-written program becomes `Instructions`.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pimcomp.ir.arch import Arch
from pimcomp.ir.program import Op
from pimcomp.isa.listing import Listing
from pimcomp.timeline.work import Instructions, Widths

MICRO_FILE = Path(__file__).parent.parent / "data" / "pimsim_micro.json"
MEMORY_ID = -10


@dataclass(frozen=True)
class Case:
    """One program with its configuration and the simulator's report."""

    name: str
    program: dict[str, Any]
    config: dict[str, Any]
    result: dict[str, Any]

    @property
    def mode(self) -> int:
        """0 throughput, 1 latency."""
        return int(self.config["sim_config"]["sim_mode"])

    @property
    def rob_size(self) -> int:
        """Reorder buffer entries."""
        return int(self.config["chip_config"]["core_config"].get("rob_size", 1))


def cases() -> list[Case]:
    """The programs of pimsim_micro.json."""
    return [Case(e["name"], e["program"], e["config"], e["result"]) for e in json.loads(MICRO_FILE.read_text())]


def arch_of(config: dict[str, Any]) -> Arch:
    """The chip of a simulator configuration, absent keys at the simulator's defaults."""
    chip = config["chip_config"]
    core, network = chip["core_config"], chip["network_config"]
    matrix, local, gm = core.get("matrix_config", {}), core.get("local_memory_config", {}), chip["global_memory_config"]
    rows, cols = matrix.get("xbar_size", [128, 128])
    layout = network.get("layout", [4, 4])
    return Arch(
        name="micro",
        cut_off=True,
        cores=layout[0] * layout[1],
        mesh_rows=layout[0],
        crossbars_per_core=matrix.get("xbar_array_count", 1),
        crossbar_rows=rows,
        crossbar_cols=cols,
        cell_bits=matrix.get("cell_precision", 2),
        rob_size=core.get("rob_size", 1),
        core_period_ns=core.get("period", 1),
        vector_width=core.get("vector_width", 16),
        vector_latency_ns=core.get("vector_latency_cycle", 8),
        matrix_period_ns=matrix.get("period", 1 / 1.28),
        matrix_pipelined=matrix.get("pipeline_mode", True),
        dac_bits=matrix.get("dac_resolution", 1),
        dac_count=matrix.get("dac_count", 128),
        dac_latency_cycles=matrix.get("dac_latency_cycle", 1),
        crossbar_latency_ns=matrix.get("xbar_latency", 30),
        sample_hold_latency_cycles=matrix.get("sample_hold_latency_cycle", 1),
        adc_count=matrix.get("adc_count", 1),
        adc_latency_cycles=matrix.get("adc_latency_cycle", 1),
        shift_add_latency_cycles=matrix.get("shift_adder_latency_cycle", 1),
        output_buffer_latency_cycles=matrix.get("output_buffer_latency_cycle", 1),
        local_width_bytes=local.get("data_width", 16),
        local_period_ns=local.get("period", 1),
        local_read_cycles=local.get("read_latency_cycle", 8),
        local_write_cycles=local.get("write_latency_cycle", 10),
        global_width_bytes=gm.get("data_width", 16),
        global_period_ns=gm.get("period", 1),
        global_read_cycles=gm.get("read_latency_cycle", 8),
        global_write_cycles=gm.get("write_latency_cycle", 10),
        bus_width_bytes=network.get("bus_width", 16),
        crossbar_read_mw=matrix.get("xbar_read_power", 0),
        dac_mw=matrix.get("dac_dynamic_power", 0),
        sample_hold_mw=matrix.get("sample_hold_dynamic_power", 0),
        adc_mw=matrix.get("adc_dynamic_power", 0),
        shift_add_mw=matrix.get("shift_adder_dynamic_power", 0),
        output_buffer_mw=matrix.get("output_buffer_dynamic_power", 0),
        local_read_pj=local.get("read_dynamic_energy", 0),
        local_write_pj=local.get("write_dynamic_energy", 0),
        global_read_pj=gm.get("read_dynamic_energy", 0),
        global_write_pj=gm.get("write_dynamic_energy", 0),
        vector_alu_pj=core.get("vector_alu_dynamic_energy", 0),
        vector_reg_read_pj=core.get("vector_reg_read_dynamic_energy", 0),
        vector_reg_write_pj=core.get("vector_reg_write_dynamic_energy", 0),
        fetch_dynamic_mw=core.get("inst_fetch_dynamic_power", 0),
        decode_dynamic_mw=core.get("inst_decode_dynamic_power", 0),
        decode_offset_dynamic_mw=core.get("inst_decode_offset_dynamic_power", 0),
        scalar_dynamic_mw=core.get("scalar_dynamic_power", 0),
        reg_file_read_mw=core.get("reg_file_read_dynamic_power", 0),
        reg_file_write_mw=core.get("reg_file_write_dynamic_power", 0),
        fetch_static_mw=core.get("inst_fetch_static_power", 0),
        decode_static_mw=core.get("inst_decode_static_power", 0),
        decode_offset_static_mw=core.get("inst_decode_offset_static_power", 0),
        reg_file_static_mw=core.get("reg_file_static_power", 0),
        scalar_static_mw=core.get("scalar_static_power", 0),
        vector_alu_static_mw=core.get("vector_alu_static_power", 0),
        vector_reg_static_mw=core.get("vector_reg_static_power", 0),
        transfer_static_mw=core.get("transfer_static_power", 0),
        local_static_mw=local.get("static_power", 1),
        global_static_mw=gm.get("static_power", 1),
    )


_SCALAR: dict[str, Callable[[int, int, int], int]] = {
    "sadd": lambda a, b, _: a + b,
    "ssub": lambda a, b, _: a - b,
    "smul": lambda a, b, _: a * b,
    "saddi": lambda a, _, imm: a + imm,
    "smuli": lambda a, _, imm: a * imm,
    "sldi": lambda _a, _b, imm: imm,
    "sld": lambda _a, _b, _imm: 0,
}
_BY_LENGTH = {"lldi", "lmv"}


def stream_of_json(program: dict[str, Any], cores: int) -> Instructions:
    """The resolved instructions of a simulator program."""
    rows: list[dict[str, int]] = []
    starts, tails = [0], []
    widths: list[tuple[int, int, int]] = []
    groups = program["config"].get("array_group_map", {})
    for core in range(cores):
        registers, bubbles, width = [0] * 33, 0, (0, 0)
        for entry in program.get(f"core{core}", []):
            name = entry["op"]
            rd, rs1, rs2 = entry.get("rd", 0), entry.get("rs1", 0), entry.get("rs2", 0)
            if name in _SCALAR or name in {"nop", "setbw"}:
                bubbles += 1
                if name == "setbw":
                    width = (entry.get("ibiw", 0), entry.get("obiw", 0))
                elif name != "nop":
                    target = 0 if name == "sld" else rd
                    registers[target] = _SCALAR[name](registers[rs1], registers[rs2], entry.get("imm", 0))
                continue
            key = (*width, entry.get("mbiw", 0))
            if key not in widths:
                widths.append(key)
            row = _row(name, entry, registers, rd, rs1, rs2, -(-width[0] // 8), -(-width[1] // 8))
            group = entry.get("group", -1) if name == "mvmul" else -1
            row |= {
                "group": group,
                "crossbars": groups[f"core{core}"][group] if name == "mvmul" else 0,
                "bubbles": bubbles,
                "width": widths.index(key),
            }
            rows.append(row)
            bubbles = 0
        starts.append(len(rows))
        tails.append(bubbles)

    def column(name: str, kind: type[np.generic]) -> Any:
        return np.array([r[name] for r in rows], kind)

    return Instructions(
        core_start=np.array(starts, np.int64),
        tail_bubbles=np.array(tails, np.int32),
        widths=Widths(
            **{
                field: np.array([w[k] for w in widths] or [0], np.int32)
                for k, field in enumerate(("input_bits", "output_bits", "weight_bits"))
            }
        ),
        op=column("op", np.uint8),
        width=column("width", np.uint8),
        **{k: column(k, np.int64) for k in ("dst", "src", "src2")},
        **{k: column(k, np.int32) for k in ("group", "crossbars", "size", "lock_size", "peer", "event", "bubbles")},
    )


def _row(
    name: str, entry: dict[str, Any], registers: list[int], rd: int, rs1: int, rs2: int, ib: int, ob: int
) -> dict[str, int]:
    """Operands of one instruction. The rs offsets obey bits of the offset's *value*, as in the simulator."""
    offset = entry.get("offset", {})
    value, select = offset.get("offset_value", 0), offset.get("offset_select", 0)
    at_rd, at_rs1, at_rs2 = (value if on else 0 for on in (select & 1, value & 2, value & 4))
    dst, src, src2 = registers[rd], registers[rs1], registers[rs2]
    if name in {"vvdmul", "vavg", "vmv"}:
        at_rd = 0
    if name == "vmv":
        at_rs1 = at_rs2 = 0
    if name in {"vavg", "vrsu", "vrsl"}:
        at_rs2 = 0
    vector = name.startswith("v")
    unit_rd = (ib if name in {"vvadd", "vvsub", "vvmax", "vrelu"} else ob) if vector else 1
    unit_rs = ib if vector else 1
    if name == "mvmul":
        at_rd = at_rs1 = at_rs2 = 0
    length = entry.get("len", 0) if vector or name in _BY_LENGTH else entry.get("size", 0)
    return {
        "op": int(Op[name.upper()]),
        "dst": dst + at_rd * unit_rd,
        "src": src + at_rs1 * unit_rs,
        "src2": src2 + at_rs2 * unit_rs,
        "size": entry.get("wait_value", 0) if name == "wait" else length,
        "lock_size": entry.get("size", 0),
        "peer": entry.get("core", -1) if name in {"send", "recv", "sync"} else -1,
        "event": entry.get("event_register", 0),
    }


def listing_of_json(program: dict[str, Any], cores: int) -> Listing:
    """Every entry of a simulator program's lists."""
    lists = [program.get(f"core{core}", []) for core in range(cores)]
    entries = [entry for entries in lists for entry in entries]
    op = np.array([Op[e["op"].upper()] for e in entries], np.uint8)
    core_start = np.concatenate([[0], np.cumsum([len(x) for x in lists])]).astype(np.int64)

    def column(name: str, kind: type[np.generic]) -> Any:
        return np.array([e.get(name, 0) for e in entries], kind)

    return Listing(
        core_start=core_start,
        op=op,
        imm=column("imm", np.int64),
        **{name: column(name, np.uint8) for name in ("rd", "rs1", "rs2")},
    )
