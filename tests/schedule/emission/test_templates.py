"""What a core stages and fires is the input vector of the unfolded matrix."""

import numpy as np
import pytest

from pimcomp.ir.array_group import LayerMatrix
from pimcomp.ir.graph import Graph
from pimcomp.schedule.emission.templates import ConvTemplate, conv_template
from tests.schedule.stages import SEEDS, stages

ELEMENT = 2  # bytes
NOTHING = (-1, 0, 0, 0)

Element = tuple[int, int, int, int]  # source, dy, dx, channel


def slot_contents(graph: Graph, template: ConvTemplate, slot: int) -> list[Element]:
    """The elements of an input row from the window's first column on, as far as the slot reaches."""
    source, dy, _, last = (int(x) for x in template.slots[slot])
    return [(source, dy, dx, c) for dx in range(last + 1) for c in range(graph.nodes[source].channels)]


def input_vectors(graph: Graph, template: ConvTemplate, rows: dict[int, int]) -> dict[int, list[Element]]:
    """What every array group is given, by group; rows: length of the vector of each."""
    staging = [NOTHING] * (template.staging_bytes // ELEMENT)
    for slot, offset, size, at in template.pieces.tolist():
        first = offset // ELEMENT
        staging[at // ELEMENT : (at + size) // ELEMENT] = slot_contents(graph, template, slot)[
            first : first + size // ELEMENT
        ]
    vectors = {}
    for group, slot, offset, *_ in template.groups.tolist():
        held = staging if slot < 0 else slot_contents(graph, template, slot)
        vectors[group] = held[offset // ELEMENT : offset // ELEMENT + rows[group]]
    return vectors


def expected(matrix: LayerMatrix, group: int) -> list[Element]:
    """The elements that the rows of an array group multiply."""
    rows = slice(matrix.groups[group].row_start, matrix.groups[group].row_stop)
    columns = (matrix.row_source, matrix.row_dy, matrix.row_dx, matrix.row_channel)
    return list(zip(*(column[rows].tolist() for column in columns), strict=True))


def matrices(seed: int) -> list[LayerMatrix]:
    """All unfoldings of all layers of a random network."""
    return [matrix for options in stages(seed).partition.options for matrix in options]


def subsets(matrix: LayerMatrix, seed: int) -> list[tuple[int, ...]]:
    """All array groups, one alone, and some."""
    count = len(matrix.groups)
    chosen = np.flatnonzero(np.random.default_rng(seed).random(count) < 0.5).tolist() or [0]
    return [tuple(range(count)), (count - 1,), tuple(chosen)]


@pytest.mark.parametrize("seed", SEEDS)
def test_array_groups_are_given_the_elements_that_their_rows_multiply(seed: int) -> None:
    graph = stages(seed).graph
    for matrix in matrices(seed):
        for members in subsets(matrix, seed):
            template = conv_template(graph, matrix, members, ELEMENT)
            rows = {g: matrix.groups[g].row_stop - matrix.groups[g].row_start for g in members}
            found = input_vectors(graph, template, rows)
            assert found == {group: expected(matrix, group) for group in members}


@pytest.mark.parametrize("seed", SEEDS)
def test_slots_are_distinct_rows_and_reach_no_further_than_needed(seed: int) -> None:
    graph = stages(seed).graph
    for matrix in matrices(seed):
        template = conv_template(graph, matrix, tuple(range(len(matrix.groups))), ELEMENT)
        rows = [tuple(row) for row in template.slots[:, :2].tolist()]
        assert len(set(rows)) == len(rows)
        for source, dy, low, high in template.slots.tolist():
            dx = matrix.row_dx[(matrix.row_source == source) & (matrix.row_dy == dy)]
            assert (low, high) == (dx.min(), dx.max())


@pytest.mark.parametrize("seed", SEEDS)
def test_a_group_of_all_columns_comes_first_and_spans_are_those_of_the_partition(seed: int) -> None:
    graph = stages(seed).graph
    for matrix in matrices(seed):
        template = conv_template(graph, matrix, tuple(range(len(matrix.groups))), ELEMENT)
        full = [columns == matrix.columns for _, _, _, columns, _, _ in template.groups.tolist()]
        assert full == sorted(full, reverse=True)
        for group, _, _, columns, first, count in template.groups.tolist():
            spans = [tuple(span) for span in template.spans[first : first + count].tolist()]
            assert spans == list(matrix.groups[group].col_spans)
            assert sum(stop - start for start, stop in spans) == columns
