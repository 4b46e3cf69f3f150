"""Cheapest cuts against greedy ones, and where the time of segments goes; writes a section of docs/segments.md.

    python -m benchmarks.segment_cuts                # vgg16 and resnet50 on the ISSCC macros: minutes

By the prices that `pimdse compile --segments` cuts with, element pipeline; nothing is compiled. No shipped chip says
how long writing a row takes, so each is asked twice: with free writes and with ROW_NS, an assumption. Maps: what
crosses a cut, stored and loaded, by the rates of the global memory and its link.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from benchmarks.sections import table, write_section
from pimcomp.frontend import load_network
from pimcomp.ir.arch import Arch
from pimcomp.ir.graph import Graph, Input
from pimcomp.plan.segments import cut_candidates, segment
from pimcomp.plan.split_layers import split_layers
from pimdse.compiling.building import Recipe, make_recipe
from pimdse.compiling.segmented import Prices, cheapest

NETWORKS = ("vgg16", "resnet50")
CHIPS = ("isscc20_15_4", "isscc21_16_1", "isscc22_11_4", "isscc23_16_6")
ROW_NS = 100.0
HEADER = (
    "network", "chip", "row write", "segments", "greedy", "cheapest ms", "greedy ms", "greedy / cheapest",
    "compute", "reload", "maps",
)  # fmt: skip


def greedy_cuts(candidates: Sequence[int], fits: Callable[[int, int], bool]) -> tuple[int, ...]:
    """From the front, every segment as long as it fits."""
    positions = [candidates[0]]
    for before, stop in pairwise(candidates):
        if before > positions[-1] and not fits(positions[-1], stop):
            positions.append(before)
    return (*positions, candidates[-1])


def maps_ns(part: Graph, arch: Arch) -> float:
    """Time in which the global memory and its link are busy with a segment's inputs and outputs."""
    loaded = [i for i, node in enumerate(part.nodes) if isinstance(node.operation, Input)]

    def busy_ns(nodes: Sequence[int], cycles: int) -> float:
        sizes = [n.channels * n.height * n.width * arch.element_bytes for n in (part.nodes[i] for i in nodes)]
        beats = sum(-(-size // arch.global_width_bytes) for size in sizes)
        return beats * cycles * arch.global_period_ns + sum(map(arch.flits, sizes)) * arch.noc_memory_ns

    return busy_ns(loaded, arch.global_read_cycles) + busy_ns(part.stored(), arch.global_write_cycles)


def row(graph: Graph, recipe: Recipe, row_ns: float) -> tuple[str, ...]:
    """One network on one chip."""
    priced = Prices(replace(recipe, arch=replace(recipe.arch, row_write_ns=row_ns)))
    free = Prices(replace(recipe, arch=replace(recipe.arch, row_write_ns=0.0)))
    graph = split_layers(graph, recipe.arch, recipe.options, priced.of)
    best = cheapest(graph, priced)

    def price_ns(prices: Prices, positions: Sequence[int]) -> float:
        return sum(prices.of(segment(graph, *pair)) or 0.0 for pair in pairwise(positions))

    plain = greedy_cuts(cut_candidates(graph), lambda first, stop: priced.of(segment(graph, first, stop)) is not None)
    plain_ns, latency_ns = price_ns(priced, plain), price_ns(free, best.positions)
    crossing_ns = sum(maps_ns(segment(graph, *pair), recipe.arch) for pair in pairwise(best.positions))
    parts_ns = (latency_ns - crossing_ns, best.price - latency_ns, crossing_ns)
    return (
        recipe.model, recipe.arch.name, f"{row_ns:g} ns" if row_ns else "free",
        f"{len(best.positions) - 1}", f"{len(plain) - 1}", f"{best.price / 1e6:.4g}", f"{plain_ns / 1e6:.4g}",
        f"{plain_ns / best.price:.3f}", *(f"{100 * ns / best.price:.1f} %" for ns in parts_ns),
    )  # fmt: skip


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=NETWORKS)
    parser.add_argument("--chips", nargs="+", default=CHIPS)
    parser.add_argument("--page", type=Path, default=Path("docs/segments.md"))
    given = parser.parse_args()
    rows = []
    for network in given.networks:
        graph = load_network(network, weights="random:0").graph
        for chip in given.chips:
            recipe = make_recipe(
                model=network, weights="random:0", arch=chip, solver="exact", pipeline="element", time_limit_s=None,
                seed=0, options=None,
            )  # fmt: skip
            for row_ns in (0.0, ROW_NS):
                rows.append(row(graph, recipe, row_ns))
                print(" | ".join(rows[-1]), flush=True)
    write_section(given.page, "segment cuts", table(HEADER, rows), "Networks larger than the chip")


if __name__ == "__main__":
    main()
