"""The chip as pimsim-nn reads it: config.json and the network file beside it.

Accepted by the original simulator, which checks nothing, and by forks that check layout, core count and the network
file's presence. Keys come from the same models that read such files (pimcomp/config/simulator.py).
"""

from collections.abc import Collection
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from pimcomp.config.fields import nest
from pimcomp.config.noc_file import MEMORY_ID
from pimcomp.config.simulator import ChipConfig
from pimcomp.errors import InvariantError
from pimcomp.ir.arch import Arch

FULL_TABLE_CORES = 1024  # the table is quadratic: 1,024 cores make about 25 MB

Pairs = npt.NDArray[np.integer[Any]] | Collection[tuple[int, int]]


def simulator_config(
    arch: Arch, *, sim_mode: int, sim_time_ms: float, network_file: str = "network.json", report_verbose_level: int = 0
) -> bytes:
    """config.json, indented, with every key the simulator uses.

    sim_mode: 0 throughput, 1 latency. sim_time_ms: simulated time; in mode 1 it must exceed the latency. network_file:
    relative to config.json. report_verbose_level: 1 adds figures per core; 2 makes the simulator fail.
    """
    if sim_mode not in (0, 1) or not sim_time_ms > 0 or report_verbose_level not in (0, 1):
        raise InvariantError(f"no such run: {sim_mode=}, {sim_time_ms=}, {report_verbose_level=}")
    chip = nest(ChipConfig, arch)
    rows, columns = arch.mesh
    network = {
        "bus_topology": "bus" if arch.interconnect == "bus" else "mesh",
        **chip["network_config"],
        "layout": [rows * arch.chips, columns],
        "net_config_file_path": network_file,
    }
    core = {**chip["core_config"], "global_memory_switch_id": int(MEMORY_ID)}
    core["matrix_config"]["xbar_size"] = [arch.crossbar_rows, arch.crossbar_cols]
    core["matrix_config"]["adc_resolution"] = arch.adc_resolution
    core["vector_latency_cycle"] = int(arch.vector_latency_ns)  # whole ns: checked when the chip is read
    config = {
        "chip_config": {
            "core_cnt": arch.total_cores,
            "global_memory_switch_id": int(MEMORY_ID),
            "core_config": core,
            "global_memory_config": chip["global_memory_config"],
            "network_config": network,
        },
        "sim_config": {
            "sim_mode": sim_mode,
            "sim_time": float(sim_time_ms),
            "report_verbose_level": report_verbose_level,
        },
    }
    return orjson.dumps(config, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def network_json(arch: Arch, pairs: Pairs | None = None) -> bytes:
    """The network file: ns and pJ per flit between any two cores and memory.

    pairs: (source, destination) core pairs that exchange messages, as int[n, 2] or pairs of ints; above 1,024 cores
    only these, in both directions (a message is answered), and all cores with memory are written. None: every pair.
    The simulator takes 0 for a pair that is absent, so `pairs` has to be complete.
    """
    cores = arch.total_cores
    wanted = ~np.eye(cores + 1, dtype=bool)
    if pairs is not None and cores > FULL_TABLE_CORES:
        wanted[:cores, :cores] = False
        used = np.asarray(pairs if isinstance(pairs, np.ndarray) else sorted(pairs), dtype=np.int64).reshape(-1, 2)
        if used.size and (used.min() < 0 or used.max() >= cores):
            raise InvariantError(f"a message between cores outside 0..{cores - 1}")
        wanted[used[:, 0], used[:, 1]] = wanted[used[:, 1], used[:, 0]] = True
        np.fill_diagonal(wanted, False)
    names = [*(str(core) for core in range(cores)), MEMORY_ID]
    tables = {
        "latency": _table(arch.noc_latency_ns, wanted, names),
        "energy": _table(arch.noc_flit_energy_pj, wanted, names),
    }
    return orjson.dumps(tables, option=orjson.OPT_APPEND_NEWLINE)


def _table(
    costs: npt.NDArray[np.float64], wanted: npt.NDArray[np.bool_], names: list[str]
) -> dict[str, dict[str, float]]:
    """{src: {dst: cost}} of the wanted pairs."""
    table: dict[str, dict[str, float]] = {}
    for source, name in enumerate(names):
        destinations = np.flatnonzero(wanted[source])
        values = costs[source, destinations].tolist()
        table[name] = dict(zip((names[d] for d in destinations.tolist()), values, strict=True))
    return table
