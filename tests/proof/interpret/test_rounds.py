"""Several cores and several rounds: rendezvous, run-ahead, pipelines that fill, looks and events.

Covers: moves, order, world.
"""

import numpy as np
import pytest

from pimcomp.errors import InvariantError, ModelError
from pimcomp.ir.program import Op
from pimcomp.proof.interpret.faults import Deadlock, ExecutionError, Fault
from pimcomp.proof.interpret.moves import bin_magnitudes
from pimcomp.proof.interpret.run import Looks, execute, prepare
from tests.proof.interpret.assembler import Body, assemble, at, image, raw

INPUT, OUTPUT, SPILL = 0, 64, 128


def test_cores_run_ahead_into_the_next_round() -> None:
    """The loader loads round r + 1 before the consumer stores round r; an ld or st belongs to its own core's round."""
    loader = [at(Op.LD, dst=0, src=INPUT, n=2), at(Op.SEND, src=0, n=2, core=1)]
    consumer = [
        at(Op.RECV, dst=0, n=2, core=0),
        at(Op.VVADD, dst=2, src=0, src2=0, n=2),
        at(Op.ST, dst=OUTPUT, src=2, n=2),
    ]
    prepared = prepare(
        assemble([loader, consumer]), image(inputs=[INPUT, INPUT + 1], outputs=[OUTPUT, OUTPUT + 1]), rounds=4
    )
    x = np.random.default_rng(0).standard_normal((3, 4, 2)).astype(np.float32)
    np.testing.assert_array_equal(execute(prepared, {"x": x}).outputs["y"], 2 * x)


def test_a_pipeline_that_fills_delivers_one_round_late() -> None:
    """Round r stores what round r - 1 loaded: in round 0 there is nothing, which only a declared delay excuses."""
    program = [[at(Op.VRELU, dst=1, src=0, n=1), at(Op.ST, dst=OUTPUT, src=1, n=1), at(Op.LD, dst=0, src=INPUT, n=1)]]
    x = np.array([[[-1.0], [2.0], [3.0]]], np.float32)
    late = image(inputs=[INPUT], outputs=[OUTPUT], delay=1)
    y = execute(prepare(assemble(program), late, rounds=3), {"x": x}).outputs["y"]
    assert np.isnan(y[0, 0]).all()
    np.testing.assert_array_equal(y[0, 1:, 0], [0.0, 2.0])
    with pytest.raises(ExecutionError) as error:
        execute(prepare(assemble(program), image(inputs=[INPUT], outputs=[OUTPUT]), rounds=3), {"x": x})
    assert error.value.fault == Fault.UNREADABLE


def test_many_lanes_go_in_chunks() -> None:
    program = [
        [at(Op.LD, dst=0, src=INPUT, n=2), at(Op.MVMUL, dst=4, src=0, group=0), at(Op.ST, dst=OUTPUT, src=4, n=2)]
    ]
    w = np.array([[1.0, 2.0], [0.0, -1.0]])
    memory = image(inputs=[INPUT, INPUT + 1], outputs=[OUTPUT, OUTPUT + 1], matrices={(0, 0): w})
    x = np.random.default_rng(0).standard_normal((150, 1, 2)).astype(np.float32)
    y = execute(prepare(assemble(program, groups=[1]), memory), {"x": x}).outputs["y"]
    np.testing.assert_allclose(y, x @ w, rtol=1e-5)


def test_data_through_global_memory() -> None:
    """A spilled and reloaded value, constants of two bytes and an element that straddles nothing."""
    program = [
        [
            at(Op.LD, dst=0, src=INPUT, n=2),
            at(Op.ST, dst=SPILL, src=0, n=2),
            at(Op.LD, dst=8, src=SPILL, n=2),
            at(Op.LD, dst=10, src=200, n=2),
            at(Op.VVMUL, dst=12, src=8, src2=10, n=1),
            at(Op.ST, dst=OUTPUT, src=12, n=2),
        ]
    ]
    memory = image(inputs=[INPUT], outputs=[OUTPUT], constants={200: -1.5})
    y = execute(prepare(assemble(program, bits=16), memory), {"x": np.full((1, 1, 1), 4.0, np.float32)}).outputs["y"]
    assert y.item() == -6.0


def test_looks_copy_elements_out() -> None:
    program = [[at(Op.LD, dst=0, src=INPUT, n=4), at(Op.VRELU, dst=8, src=0, n=1), at(Op.ST, dst=OUTPUT, src=8, n=2)]]
    memory = image(inputs=[INPUT], outputs=[OUTPUT])
    looks = Looks(
        core=np.array([0, 0], np.int32), index=np.array([9, 5]), address=np.array([8, 0]), length=np.array([1, 1])
    )
    prepared = prepare(assemble(program, bits=16), memory, rounds=2)
    x = np.array([[[-1.0], [3.0]]], np.float32)
    for turn, seen in ((0, [0.0, -1.0]), (1, [3.0, 3.0])):
        assert execute(prepared, {"x": x}, looks=looks, look_round=turn).seen[0].tolist() == seen
    with pytest.raises(ModelError, match="does not name"):
        execute(
            prepared,
            {"x": x},
            looks=Looks(core=looks.core, index=looks.index - 1, address=looks.address, length=looks.length),
        )


def test_magnitudes_are_counted_by_kind() -> None:
    program = [
        [at(Op.LD, dst=0, src=INPUT, n=1), at(Op.VVADD, dst=1, src=0, src2=0, n=1), at(Op.ST, dst=OUTPUT, src=1, n=1)]
    ]
    x = np.array([[[-2.0]], [[1.5]]], np.float32)
    done = execute(
        prepare(assemble(program), image(inputs=[INPUT], outputs=[OUTPUT])),
        {"x": x},
        kinds=np.array([-1, 1, -1], np.int32),
    )
    middles = bin_magnitudes()
    found = {(kind, middles[b]): n for (kind, b), n in np.ndenumerate(done.counts) if n}
    assert set(found.values()) == {1}
    assert {k for k, _ in found} == {1}
    assert sorted(m for _, m in found) == [pytest.approx(3.0, rel=0.15), pytest.approx(4.0, rel=0.15)]


def test_events_count() -> None:
    waiter: Body = [
        raw(Op.WAIT, event_register=3, wait_value=2),
        at(Op.LLDI, dst=0, n=1),
        at(Op.ST, dst=OUTPUT, src=0, n=1),
    ]
    giver: Body = [raw(Op.SYNC, event_register=3, core=0), raw(Op.SYNC, event_register=3, core=0)]
    memory = image(outputs=[OUTPUT])
    assert execute(prepare(assemble([waiter, giver]), memory, rounds=2), {}).outputs["y"].shape == (1, 2, 1)
    with pytest.raises(Deadlock, match="core 0 at instruction 1: wait event 3"):
        prepare(assemble([waiter, giver[:1]]), memory)


def test_inputs_must_not_overlap_constants() -> None:
    with pytest.raises(InvariantError, match="two of"):
        prepare(assemble([[at(Op.LLDI, dst=0, n=1)]]), image(inputs=[3], constants={3: 1.0}))
