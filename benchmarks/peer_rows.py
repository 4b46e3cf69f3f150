"""What PIMCOMP-NN's programs score, read from a baseline file, and the least energy they can have taken."""

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pimcomp.ir.arch import Arch
from pimcomp.ir.graph import Conv, Graph
from pimcomp.timeline.energy import mvm_crossbar_pj

Case = tuple[str, str, str]  # (network, chip, pipeline)


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """The best program of a case: what chose its replication, one pass and the steady period in ns, cores with work."""

    replication: str
    latency_ns: float
    period_ns: float
    cores: int

    def score_ns(self, pipeline: str) -> float:
        """What is compared: latency in the element pipeline, period in the batch pipeline."""
        return self.latency_ns if pipeline == "element" else self.period_ns


GENETIC = "GA"


@dataclass(frozen=True, slots=True, kw_only=True)
class Peers:
    """The best program per case: of the genetic algorithm and the heuristics, and of the heuristics alone."""

    best: dict[Case, Peer]
    heuristic: dict[Case, Peer]


def read_peers(path: Path) -> Peers:
    """What a baseline file holds, in its order."""
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
    return Peers(best=best_peers(rows), heuristic=best_peers(r for r in rows if r["replication"] != GENETIC))


def best_peers(rows: Iterable[dict[str, str | float | bool]]) -> dict[Case, Peer]:
    """The best row per case, of several runs too; rows that did not compile or complete do not count."""
    best: dict[Case, Peer] = {}
    for row in rows:
        if not (row.get("compiles") and row.get("completes")):
            continue
        case = (str(row["network"]), str(row["config"]), str(row["pipeline"]))
        peer = Peer(
            replication=str(row["replication"]),
            latency_ns=float(row["latency_ns"]),
            period_ns=float(row["period_ns"]),
            cores=int(row["cores_used"]),
        )
        if case not in best or peer.score_ns(case[2]) < best[case].score_ns(case[2]):
            best[case] = peer
    return best


def peer_mvm_pj(graph: Graph, arch: Arch) -> float:
    """Energy of the peer's MVMs per image: every window of a layer enters all crossbars of one replica once.

    Its array groups are slabs of `crossbar_rows` rows over all output channels; grouped layers are stored dense.
    """
    return mvm_crossbar_pj(arch) * sum(firings for firings in _crossbar_firings(graph, arch))


def _crossbar_firings(graph: Graph, arch: Arch) -> Iterator[int]:
    for index in graph.weighted():
        node = graph.nodes[index]
        operation = node.operation
        if isinstance(operation, Conv):
            outputs, inputs, kernel_h, kernel_w = operation.weights.shape
            rows = inputs * operation.groups * kernel_h * kernel_w
            crossbars = math.ceil(rows / arch.crossbar_rows) * math.ceil(outputs / arch.weight_cols)
            yield node.height * node.width * crossbars


def geometric_mean(values: Iterable[float]) -> float:
    """NaN for no values."""
    logs = [math.log(v) for v in values]
    return math.exp(sum(logs) / len(logs)) if logs else math.nan
