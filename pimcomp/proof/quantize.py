"""Gives every value of a program an integer scale: powers of two, from the magnitudes seen on calibration images.

Values that are added or compared share a scale (`interpret.scale_classes`); a layer's products share one; constants
take the scale of what they are added to.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pimcomp.emit.npz import write_npz
from pimcomp.foundation.own_files import COMPILE, staged
from pimcomp.ir.graph import FloatArray, IntArray
from pimcomp.ir.program import Op
from pimcomp.isa.table import COMPUTES, MATRIX, UNIT
from pimcomp.proof.interpret.integer_kernel import Scales, Weights
from pimcomp.proof.interpret.integer_run import IntegerProgram, to_integers
from pimcomp.proof.interpret.moves import BINS, OCTAVES, bin_magnitudes
from pimcomp.proof.interpret.run import Prepared, Values, execute
from pimcomp.proof.interpret.scale_classes import ANY, Classes, find_classes
from pimcomp.proof.rounding import FAR_BELOW, MASK_GAP

_FINER = 6  # how many halvings of the scale below the one that fits everything are considered

_NOTHING = 8.0  # what is so far below the largest is less than a thousandth to a softmax


def exponent_of(largest: FloatArray, bits: int) -> IntArray:
    """Smallest exponents for which these magnitudes fit `bits` signed bits; 0 for magnitude 0."""
    top = (1 << (bits - 1)) - 1
    safe = np.where(largest > 0, largest, top).astype(np.float64)
    return np.ceil(np.log2(safe / top) - 1e-9).astype(np.int32)


def quantize(prepared: Prepared, instruction_node: IntArray, calibration: Values) -> IntegerProgram:
    """Scales, integer weights and constants of a program.

    instruction_node: int32[emitted instructions], the graph node each works for (checkpoints.npz). calibration: inputs
    as for `execute`; the program runs on them in real numbers to see how large its values become.
    """
    p, stream = prepared, prepared.stream
    row_node = instruction_node[stream.emitted]
    classes = find_classes(p, row_node)
    computing = COMPUTES[stream.op]
    whole = computing & (UNIT[stream.op] != MATRIX)  # an mvmul may read fewer bits than elements have
    bits = int(min(stream.ibits[whole].min(initial=16), stream.obits[computing].min(initial=16)))
    exponent = _exponents(p, classes, row_node, calibration, bits)

    def of(numbers: IntArray) -> IntArray:
        return np.where(numbers == ANY, 0, exponent[np.maximum(numbers, 0)]).astype(np.int32)

    weights, product_exponent = _weights(p, classes, row_node, of, bits)
    mvmul = UNIT[stream.op] == MATRIX
    product = of(classes.a) + of(classes.b)
    product[mvmul] = product_exponent[stream.group[mvmul]]
    bounded = np.isfinite(p.bounds)
    bound = np.zeros(len(stream.op), np.int32)
    bound[bounded] = to_integers(p.bounds[bounded], of(classes.out)[bounded], bits)
    return IntegerProgram(
        bits=bits,
        scales=Scales(of(classes.out) - product, of(classes.a), of(classes.out), bound),
        weights=weights,
        constants=to_integers(p.memory.global_values.ravel(), of(classes.constant), bits),
        input_exponent=of(classes.input),
        output_exponent=of(classes.output),
    )


def _exponents(p: Prepared, classes: Classes, row_node: IntArray, calibration: Values, bits: int) -> IntArray:
    """int32[classes]: the exponent of every class: the one with the least noise on the calibration images.

    Noise is rounding (step ** 2 / 12) and clipping, relative to the power of the values, and summed over the kinds of
    values in the class: one kind per graph node and operation, and the inputs. So a mean, which is small, counts as
    much as what it is the mean of. Constants count where nothing else is in their class: there they must fit.
    """
    kinds, class_of_kind = _kinds(p, classes, row_node)
    counts = execute(p, calibration, kinds=kinds).counts
    extra, owners = [], []
    for name, slot in p.inputs.slot.items():
        extra.append(_histogram(calibration[name]))
        owners.append(int(classes.input[slot.ravel()[0]]))
    values = p.memory.global_values.ravel()
    known = classes.constant != ANY
    counts = np.concatenate([counts, *(e[None] for e in extra)])
    owner_of = np.concatenate([class_of_kind, np.array(owners, np.int32)])
    exponent = np.zeros(classes.classes, np.int32)
    computed = np.zeros(classes.classes, bool)
    computed[class_of_kind] = True
    computed[classes.input[classes.input != ANY]] = True
    largest = np.zeros(classes.classes)
    np.maximum.at(largest, classes.constant[known], np.abs(values[known]))
    exponent = exponent_of(largest.astype(np.float32), bits)
    outputs = set(classes.output.tolist())
    for c in np.flatnonzero(computed).tolist():
        # What decides is the largest output: outputs are never clipped.
        own, masked = _masks_nearer(counts[owner_of == c])
        exponent[c] = _quietest(own, bits, 0 if masked or c in outputs else _FINER)
    shift_counts = classes.b[np.isin(p.stream.op, (Op.VVSLL, Op.VVSRA))]
    exponent[shift_counts[shift_counts != ANY]] = 0  # whole numbers
    return exponent


def _kinds(p: Prepared, classes: Classes, row_node: IntArray) -> tuple[IntArray, IntArray]:
    """(int32[rows], int32[kinds]): a number per (class, node, operation) of rows that compute, and the kind's class."""
    made = np.flatnonzero(classes.out != ANY)
    key = np.stack([classes.out[made], row_node[made], p.stream.op[made].astype(np.int32)])
    unique, number = np.unique(key, axis=1, return_inverse=True)
    kinds = np.full(len(p.stream.op), -1, np.int32)
    kinds[made] = number.ravel()
    return kinds, unique[0].astype(np.int32)


def _histogram(values: npt.NDArray[np.floating]) -> npt.NDArray[np.int64]:
    """Counts of magnitudes, as the interpreter counts them."""
    mantissa, exponent = np.frexp(np.abs(values.ravel().astype(np.float64)))
    bins = 1 + np.clip(4 * (exponent + OCTAVES) + ((mantissa - 0.5) * 8).astype(np.int64), 0, BINS - 2)
    return np.bincount(np.where(mantissa > 0, bins, 0), minlength=BINS).astype(np.int64)


def _masks_nearer(counts: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], bool]:
    """Counts (int64[kinds, BINS]) in which a mask is only so far below the rest that a softmax makes nothing of it, and
    whether there is one. It is saturated to that: held as it is, it would leave no integers to the rest.
    """
    middle = bin_magnitudes()
    far = middle >= -FAR_BELOW
    seen = np.flatnonzero(counts.any(axis=0) & ~far)
    if not counts[:, far].any() or not len(seen) or middle[seen[-1]] > -MASK_GAP * FAR_BELOW:
        return counts, False
    # Of scores within [-r, r] the largest is -r at least, and what is masked r + mask at most: e^-8 of it, or less.
    near = int(np.searchsorted(middle, 2 * middle[seen[-1]] + _NOTHING))
    moved = np.where(far, 0, counts)
    moved[:, near] += counts[:, far].sum(axis=1)
    return moved, True


def _quietest(counts: npt.NDArray[np.int64], bits: int, finer: int) -> int:
    """The exponent with the least relative noise, summed over kinds (counts: int64[kinds, BINS]).

    finer: how many halvings of the scale that fits everything are considered.
    """
    middle, top = bin_magnitudes(), (1 << (bits - 1)) - 1
    total = counts.sum(axis=1)
    power = counts @ middle**2
    counts, total, power = counts[power > 0], total[power > 0], power[power > 0]
    if not len(counts):
        return 0
    largest = middle[np.flatnonzero(counts.sum(axis=0))[-1]]
    fits = int(exponent_of(np.array([largest], np.float32), bits)[0])
    best, least = fits, np.inf
    for e in range(fits, fits - finer - 1, -1):
        clipped = counts @ np.maximum(middle - np.ldexp(float(top), e), 0.0) ** 2
        noise = float(((total * np.ldexp(1.0, 2 * e) / 12 + clipped) / power).sum())
        if noise < least:
            best, least = e, noise
    return best


def _weights(
    p: Prepared, classes: Classes, row_node: IntArray, of: Callable[[IntArray], IntArray], input_bits: int
) -> tuple[Weights, IntArray]:
    """(integer matrices, int32[groups] exponent of a product), one exponent per layer.

    Rows of a matrix may be fed in different scales (the branches of a concatenation, a constant for the bias): a row's
    weights take the exponent that makes all its products come out in the layer's.
    """
    m, stream = p.matrices, p.stream
    groups = len(m.rows)
    fired = np.flatnonzero(UNIT[stream.op] == MATRIX)
    layer = np.arange(groups) + row_node.max(initial=0) + 1  # a group that fires for no node is a layer of its own
    own = fired[row_node[fired] >= 0]
    layer[stream.group[own]] = row_node[own]
    bits = group_weight_bits(p)
    rows = [classes.matrix_row[a:b] for a, b in zip(classes.row_start[:-1], classes.row_start[1:], strict=True)]
    views = [m.values[s : s + r * c].reshape(r, c) for s, r, c in zip(m.start, m.rows, m.cols, strict=True)]
    unset = np.iinfo(np.int32).min
    least = np.full(int(layer.max(initial=0)) + 1, unset, np.int64)
    for g, (view, row) in enumerate(zip(views, rows, strict=True)):
        magnitude = np.abs(view).max(axis=1, initial=0.0)
        counts = (magnitude > 0) & (row != ANY)  # rows that only zeros enter (padding) may hold anything
        needed = (exponent_of(magnitude, int(bits[g])) + of(row))[counts]
        least[layer[g]] = max(least[layer[g]], needed.max(initial=unset))
    exponent = np.where(least[layer] == unset, 0, least[layer]).astype(np.int32)
    parts = [
        _nearest(view, (exponent[g] - of(row))[:, None], int(bits[g])).ravel()
        for g, (view, row) in enumerate(zip(views, rows, strict=True))
    ]
    values = np.concatenate([np.zeros(0, np.int32), *parts])
    start = np.concatenate([[0], np.cumsum(m.rows * m.cols)])[:-1].astype(np.int64)
    largest = int(np.abs(values).max(initial=0)) * int(m.rows.max(initial=0)) << (input_bits - 1)
    return Weights(start, m.rows, m.cols, values, largest < 1 << 31), exponent


def group_weight_bits(p: Prepared) -> npt.NDArray[np.int64]:
    """int64[groups]: bits of the weights of every array group, as the mvmuls that fire it say."""
    fired = np.flatnonzero(UNIT[p.stream.op] == MATRIX)
    bits = np.full(len(p.matrices.rows), 8, np.int64)
    bits[p.stream.group[fired]] = p.decoded.mbiw[p.stream.emitted[fired]]
    return bits


def _nearest(weights: FloatArray, exponent: npt.NDArray[np.integer], bits: int) -> IntArray:
    """Weights as integers, rounded to nearest (ties to even, as the cells in weights.npz) and saturated."""
    limit = 1 << (bits - 1)
    scaled = np.rint(np.ldexp(weights.astype(np.float64), -exponent))
    return np.asarray(np.clip(scaled, -limit, limit - 1), np.int32)


def write_integer(program: IntegerProgram, prepared: Prepared, path: Path) -> None:
    """Writes integer.npz: an integer q stands for q * 2 ** exponent.

    instruction int64[n]: positions in the emitted lists laid end to end; shift, in_exponent, out_exponent, bound
    int32[n]: of those instructions. constants int32: in the order of memory.npz's global_values. NAME_input_exponent,
    NAME_output_exponent int32 in the shape of the tensor's addresses. core{c}_group{g} int16[rows, cols]: weights.
    """
    scales, weights = program.scales, program.weights
    rescaled = np.flatnonzero(np.any([column != 0 for column in scales], axis=0))
    arrays = {
        "bits": np.array(program.bits, np.int64),
        "instruction": prepared.stream.emitted[rescaled].astype(np.int64),
        **{name: getattr(scales, name)[rescaled] for name in Scales._fields},
        "constants": program.constants,
    }
    for name, slot in prepared.inputs.slot.items():
        arrays[f"{name}_input_exponent"] = program.input_exponent[slot]
    for name, slot in prepared.outputs.slot.items():
        arrays[f"{name}_output_exponent"] = program.output_exponent[slot]
    for core in range(prepared.decoded.cores):
        for g in range(prepared.group_start[core], prepared.group_start[core + 1]):
            start, size = weights.start[g], weights.rows[g] * weights.cols[g]
            matrix = weights.values[start : start + size].reshape(weights.rows[g], weights.cols[g])
            arrays[f"core{core}_group{g - prepared.group_start[core]}"] = matrix.astype(np.int16)
    with staged(path.parent, COMPILE) as folder:
        write_npz(folder / path.name, arrays)
