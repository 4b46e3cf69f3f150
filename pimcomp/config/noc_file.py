"""Network tables of pimsim-nn: {"latency": {src: {dst: ns per flit}}, "energy": {src: {dst: pJ per flit}}}.

Ids are texts, global memory has one of its own. A pair that is absent costs nothing in the simulator, silently, so a
table with gaps is refused unless a mesh explains it. A table that a mesh explains becomes that mesh's parameters.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from pimcomp.config.fields import ARCH_DEFAULTS
from pimcomp.config.validation import found_text
from pimcomp.errors import ConfigError
from pimcomp.foundation.file_kind import BOM
from pimcomp.ir.arch import NocTable

MEMORY_ID = "-10"  # the simulator's default id of global memory's switch
MAX_FILE_BYTES = 1_000_000_000

Table = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class MeshCosts:
    """Parameters of a mesh whose pairs all cost base_ns + hop_ns * hops, and energy_pj per flit."""

    base_ns: float
    hop_ns: float
    memory_ns: float
    energy_pj: float


def read_noc_tables(path: Path, cores: int, memory_id: str = MEMORY_ID) -> tuple[Table, Table]:
    """(latency_ns, energy_pj), float64[cores + 1, cores + 1] each, NaN for absent pairs; the last index is memory.

    Raises ConfigError for a file that is missing or malformed, a cost that is negative or not a number, an id that is
    neither a core nor the memory.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ConfigError(str(path), f"expected at most {MAX_FILE_BYTES} bytes")
        data = orjson.loads(path.read_bytes().removeprefix(BOM))
    except OSError as error:
        raise ConfigError(str(path), f"cannot be read: {error.strerror}") from None
    except orjson.JSONDecodeError as error:
        raise ConfigError(str(path), f"expected JSON: {error}") from None
    if not isinstance(data, dict) or not isinstance(data.get("latency"), dict):
        raise ConfigError(str(path), 'expected {"latency": {src: {dst: ns}}, "energy": {src: {dst: pJ}}}')
    index = {str(core): core for core in range(cores)} | {memory_id: cores}
    return _table(path, "latency", data["latency"], index), _table(path, "energy", data.get("energy", {}), index)


def _table(path: Path, key: str, rows: Any, index: dict[str, int]) -> Table:
    table = np.full((len(index), len(index)), np.nan)
    if not isinstance(rows, dict):
        raise ConfigError(f"{path}: {key}", f"expected a table of tables, found {found_text(rows)}")
    for source, row in rows.items():
        where = f"{path}: {key}.{source}"
        if source not in index or not isinstance(row, dict):
            raise ConfigError(where, f"expected a core below {len(index) - 1} or the memory's id with its table")
        if unknown := [destination for destination in row if destination not in index]:
            raise ConfigError(f"{where}.{unknown[0]}", f"expected a core below {len(index) - 1} or the memory's id")
        for destination, cost in row.items():
            if type(cost) not in (int, float) or not 0 <= cost < np.inf:
                raise ConfigError(f"{where}.{destination}", f"expected a number >= 0, found {found_text(cost)}")
            table[index[source], index[destination]] = cost
    return table


def complete_table(path: Path, latency_ns: Table, energy_pj: Table) -> NocTable:
    """The table as part of a chip. Raises ConfigError naming the first absent pair; a core to itself may be absent."""
    cores = len(latency_ns) - 1
    for key, table in (("latency", latency_ns), ("energy", energy_pj)):
        np.fill_diagonal(table, np.where(np.isnan(np.diag(table)), 0.0, np.diag(table)))
        absent = np.argwhere(np.isnan(table))
        if len(absent):
            pair = ", ".join(MEMORY_ID if i == cores else str(i) for i in absent[0])
            raise ConfigError(
                f"{path}: {key}", f"expected a cost for every pair, found none for ({pair}) and {len(absent) - 1} more"
            )
    return NocTable(cores, tuple(latency_ns.ravel().tolist()), tuple(energy_pj.ravel().tolist()))


def mesh_costs(latency_ns: Table, energy_pj: Table, mesh: tuple[int, int]) -> MeshCosts | None:
    """The mesh that explains every present pair of a table exactly, or None.

    mesh: (rows, columns). With a single core, or hops of one length only, the split of the cost is the default's.
    """
    cores = len(latency_ns) - 1
    y, x = np.divmod(np.arange(cores), mesh[1])
    hops = np.abs(y[:, None] - y) + np.abs(x[:, None] - x)
    between = latency_ns[:cores, :cores]
    present = ~np.isnan(between) & (hops > 0)
    by_hops = {int(h): np.unique(between[present & (hops == h)]) for h in np.unique(hops[present])}
    memory = _single(np.concatenate([latency_ns[cores, :cores], latency_ns[:cores, cores]]))
    energies = energy_pj[~np.isnan(energy_pj) & ~np.eye(cores + 1, dtype=bool)]
    energy = _single(energies)
    if memory is None or energy is None or any(len(costs) > 1 for costs in by_hops.values()):
        return None
    near = sorted(by_hops)[:2]
    hop, base = ARCH_DEFAULTS["noc_hop_ns"], ARCH_DEFAULTS["noc_base_ns"]
    if len(near) == 2:
        hop = round(float(by_hops[near[1]][0] - by_hops[near[0]][0]) / (near[1] - near[0]), 9)
    if near:
        base = round(float(by_hops[near[0]][0]) - hop * near[0], 9)
    explained = all(abs(float(costs[0]) - base - hop * h) < 1e-6 for h, costs in by_hops.items())
    return MeshCosts(base, hop, memory, energy) if explained and base >= 0 and hop >= 0 else None


def _single(costs: Table) -> float | None:
    """The one value that all present costs have, or None."""
    values = np.unique(costs[~np.isnan(costs)])
    return float(values[0]) if len(values) == 1 else None
