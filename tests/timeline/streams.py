"""Random programs whose transfers are matched, as hypothesis strategies: steps are laid out in one global order."""

from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st

from pimcomp.ir.arch import Arch
from pimcomp.ir.program import Op
from pimcomp.timeline.work import Instructions, Widths

GROUPS = 3
LOCAL_OPS = (Op.MVMUL, Op.VVADD, Op.VVMUL, Op.VRELU, Op.VAVG, Op.VMV, Op.LLDI, Op.LMV, Op.LD, Op.ST)


class Step(NamedTuple):
    """An instruction on `core`, or a transfer from `core` to `peer` when op is SEND."""

    op: Op
    core: int
    peer: int
    size: int
    group: int
    addresses: tuple[int, int, int]
    bubbles: int


def small_arch(**changes: object) -> Arch:
    """A chip whose units differ enough in speed to overlap in many ways."""
    fields: dict[str, object] = {
        "name": "small",
        "cores": 4,
        "crossbars_per_core": 16,
        "adc_count": 64,
        "vector_width": 16,
        "local_read_cycles": 2,
        "local_write_cycles": 3,
        "bus_width_bytes": 8,
    }
    return Arch(**(fields | changes))  # type: ignore[arg-type]


@st.composite
def steps(draw: st.DrawFn, cores: int = 3, most: int = 25) -> list[Step]:
    """A list of steps over few addresses, so that hazards occur."""
    address = st.integers(0, 11).map(lambda k: k * 48)
    step = st.builds(
        Step,
        st.sampled_from((*LOCAL_OPS, Op.SEND, Op.SEND)),
        st.integers(0, cores - 1),
        st.integers(1, cores - 1),
        st.sampled_from((1, 8, 30, 64, 200)),
        st.integers(0, GROUPS - 1),
        st.tuples(address, address, address),
        st.integers(0, 3),
    )
    drawn = draw(st.lists(step, min_size=1, max_size=most))
    return [s._replace(peer=(s.core + s.peer) % cores) for s in drawn]


def stream_of_steps(program: list[Step], cores: int = 3) -> Instructions:
    """Every core's projection of the global order; each list starts with one `setbw`."""
    lists: list[list[tuple[Step, Op, int]]] = [[] for _ in range(cores)]
    for s in program:
        lists[s.core].append((s, s.op, s.peer if s.op == Op.SEND else -1))
        if s.op == Op.SEND:
            lists[s.peer].append((s, Op.RECV, s.core))
    rows = [row for one in lists for row in one]
    starts = np.concatenate([[0], np.cumsum([len(one) for one in lists])]).astype(np.int64)
    bubbles = np.array([s.bubbles for s, _, _ in rows], np.int32)
    bubbles[starts[:-1][np.diff(starts) > 0]] += 1
    op = np.array([o for _, o, _ in rows], np.uint8)
    group = np.array([s.group if o == Op.MVMUL else -1 for s, o, _ in rows], np.int32)
    dst, src, src2 = np.array([s.addresses for s, _, _ in rows], np.int64).T
    eight = np.array([8], np.int32)
    size = np.array([0 if o == Op.MVMUL else s.size for s, o, _ in rows], np.int32)
    return Instructions(
        core_start=starts,
        op=op,
        group=group,
        crossbars=(group + 1).astype(np.int32),
        dst=dst,
        src=src,
        src2=src2,
        size=size,
        lock_size=size,
        peer=np.array([p for _, _, p in rows], np.int32),
        event=np.zeros(len(rows), np.int32),
        bubbles=bubbles,
        tail_bubbles=np.zeros(cores, np.int32),
        width=np.zeros(len(rows), np.uint8),
        widths=Widths(input_bits=eight, output_bits=eight, weight_bits=eight),
    )
