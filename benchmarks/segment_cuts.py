"""Cheapest cuts against greedy ones, and where the time of segments goes; writes a section of docs/segments.md.

    python -m benchmarks.segment_cuts                # vgg16 and resnet50 on the ISSCC macros: an hour
    python -m benchmarks.segment_cuts --networks resnet50 --chips isscc23_16_6     # these rows anew, the others stay

By the prices that `pimdse compile --segments` cuts with, element pipeline, one image per visit; nothing is compiled.
Each is asked twice: with free writes, and with the chip's own time per row. Greedy segments are as long as they fit,
and use all crossbars. Maps: what crosses a cut, stored and loaded, by the rates of the global memory and its link.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from benchmarks.sections import read_section, rows_of, table, write_section
from pimcomp.config import load_arch
from pimcomp.frontend import load_network
from pimcomp.ir.arch import Arch
from pimcomp.ir.graph import Graph, Input
from pimcomp.ir.plan import Pipeline
from pimcomp.plan.segments import cut_candidates, segment
from pimcomp.schedule import ScheduleOptions
from solvers.segments import Price, Prices, cut_cheaply

NETWORKS = ("vgg16", "resnet50")
CHIPS = ("isscc20_15_4", "isscc21_16_1", "isscc22_11_4", "isscc23_16_6")
SECTION = "segment cuts"
HEADER = (
    "network", "chip", "row write", "segments", "rows", "greedy", "greedy rows", "cheapest ms", "greedy ms",
    "greedy / cheapest", "compute", "reload", "maps",
)  # fmt: skip


def greedy_cuts(candidates: Sequence[int], fits: Callable[[int, int], bool]) -> tuple[int, ...]:
    """From the front, every segment as long as it fits."""
    positions = [candidates[0]]
    for before, stop in pairwise(candidates):
        if before > positions[-1] and not fits(positions[-1], stop):
            positions.append(before)
    return (*positions, candidates[-1])


def maps_ns(part: Graph, arch: Arch) -> float:
    """Time in which the global memory and its links are busy with a segment's inputs and outputs."""
    loaded = [i for i, node in enumerate(part.nodes) if isinstance(node.operation, Input)]

    def busy_ns(nodes: Sequence[int], cycles: int) -> float:
        sizes = [n.channels * n.height * n.width * arch.element_bytes for n in (part.nodes[i] for i in nodes)]
        beats = sum(-(-size // arch.global_width_bytes) for size in sizes)
        link_ns = sum(map(arch.flits, sizes)) * arch.noc_memory_ns / arch.total_cores  # every core has one of its own
        return beats * cycles * arch.global_period_ns + link_ns

    return busy_ns(loaded, arch.global_read_cycles) + busy_ns(part.stored(), arch.global_write_cycles)


def row(name: str, whole: Graph, arch: Arch) -> tuple[str, ...]:
    """One network on one chip."""
    prices = Prices(arch, Pipeline.ELEMENT, ScheduleOptions())
    best = cut_cheaply(whole, prices)
    graph = best.graph

    def priced(first: int, stop: int) -> Price | None:
        return prices.whole(segment(graph, first, stop))

    greedy = greedy_cuts(cut_candidates(graph), lambda first, stop: priced(first, stop) is not None)
    plain = [price for pair in pairwise(greedy) if (price := priced(*pair)) is not None]
    plain_ns = sum(price.of_visit(1) for price in plain)
    latency_ns, written_ns = (sum(getattr(p, what) for p in best.prices) for what in ("latency_ns", "write_ns"))
    crossing_ns = sum(maps_ns(segment(graph, *pair), arch) for pair in pairwise(best.positions))
    parts_ns = (latency_ns - crossing_ns, written_ns, crossing_ns)
    return (
        name, arch.name, f"{arch.row_write_ns / 1000:g} us" if arch.row_write_ns else "free",
        *(text for found in (best.prices, plain) for text in (f"{len(found)}", f"{sum(p.rows for p in found):,}")),
        f"{best.visit_ns / 1e6:.4g}", f"{plain_ns / 1e6:.4g}", f"{plain_ns / best.visit_ns:.3f}",
        *(f"{100 * ns / best.visit_ns:.1f} %" for ns in parts_ns),
    )  # fmt: skip


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=NETWORKS)
    parser.add_argument("--chips", nargs="+", default=CHIPS)
    parser.add_argument("--page", type=Path, default=Path("docs/segments.md"))
    given = parser.parse_args()
    order = [(network, chip) for network in NETWORKS for chip in CHIPS]
    for network in given.networks:
        graph = load_network(network, weights="random:0").graph
        for chip in given.chips:
            arch = load_arch(chip)
            made = [row(network, graph, asked) for asked in (replace(arch, row_write_ns=0.0), arch)]
            print("\n".join(map(" | ".join, made)), flush=True)
            others = [r for r in rows_of(read_section(given.page, SECTION))[2:] if (r[0], r[1]) != (network, chip)]
            rows = sorted([*others, *made], key=lambda r: order.index((r[0], r[1])))
            write_section(given.page, SECTION, table(HEADER, rows), "Networks larger than the chip")


if __name__ == "__main__":
    main()
