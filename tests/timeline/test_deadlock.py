"""Programs that block are reported with every waiting core and the cycle."""

import pytest

from pimcomp.errors import DeadlockError, PimdseError
from pimcomp.ir.program import Op
from pimcomp.timeline.deadlock import Deadlock
from pimcomp.timeline.timing import time_stream
from tests.timeline.micro import stream_of_json
from tests.timeline.streams import small_arch

SETBW = {"op": "setbw", "ibiw": 8, "obiw": 8}


def send(core: int, size: int = 8) -> dict[str, object]:
    return {"op": "send", "core": core, "size": size, "rd": 0, "rs1": 0}


def recv(core: int, size: int = 8) -> dict[str, object]:
    return {"op": "recv", "core": core, "size": size, "rd": 0}


def blocked(lists: dict[int, list[dict[str, object]]], rob_size: int) -> Deadlock:
    program = {"config": {"core_cnt": 4}} | {f"core{c}": [SETBW, *entries] for c, entries in lists.items()}
    with pytest.raises(DeadlockError) as error:
        time_stream(stream_of_json(program, 4), small_arch(rob_size=rob_size))
    assert isinstance(error.value, PimdseError)
    assert isinstance(error.value.report, Deadlock)
    return error.value.report


@pytest.mark.parametrize("rob_size", [1, 4])
def test_three_cores_in_a_ring_all_send_first(rob_size: int) -> None:
    lists = {c: [send((c + 1) % 3), recv((c + 2) % 3)] for c in range(3)}
    report = blocked(lists, rob_size)
    assert report.cycle == (0, 1, 2)
    assert [(b.core, b.instruction, b.op, b.peer) for b in report.blocked] == [
        (0, 0, Op.SEND, 1),
        (1, 0, Op.SEND, 2),
        (2, 0, Op.SEND, 0),
    ]
    assert "cycle of cores 0 -> 1 -> 2 -> 0" in report.message()
    assert "core 1, instruction 0: send to core 2, waiting since 4 ns" in report.message()


@pytest.mark.parametrize("rob_size", [1, 4])
def test_a_peer_that_has_finished_is_no_cycle(rob_size: int) -> None:
    report = blocked({0: [send(1), send(1)], 1: [recv(0)]}, rob_size)
    assert report.cycle == ()
    assert [(b.core, b.instruction, b.op) for b in report.blocked] == [(0, 1, Op.SEND)]
    assert "a peer has already finished" in report.message()


@pytest.mark.parametrize("rob_size", [1, 4])
def test_send_to_self_blocks(rob_size: int) -> None:
    report = blocked({2: [send(2), recv(2)]}, rob_size)
    assert report.cycle == (2,)


@pytest.mark.parametrize("rob_size", [1, 4])
def test_third_parties_wait_too_but_are_not_in_the_cycle(rob_size: int) -> None:
    report = blocked({0: [recv(1), send(1)], 1: [recv(0), send(0)], 2: [recv(0)], 3: []}, rob_size)
    assert report.cycle == (0, 1)
    assert [b.core for b in report.blocked] == [0, 1, 2]


def test_a_wait_without_enough_syncs_blocks() -> None:
    sync = {"op": "sync", "core": 1, "event_register": 3}
    wait = {"op": "wait", "event_register": 3, "wait_value": 2}
    report = blocked({0: [sync], 1: [wait]}, 1)
    assert [(b.core, b.op, b.peer) for b in report.blocked] == [(1, Op.WAIT, -1)]
    assert "wait for event 3, which no core is going to sync" in report.message()


@pytest.mark.parametrize("rob_size", [1, 4])
def test_a_cycle_through_send_recv_and_wait(rob_size: int) -> None:
    """0 waits for 2's sync, 2 for data of 1, 1 for 0 to take its data."""
    wait = {"op": "wait", "event_register": 5, "wait_value": 1}
    sync = {"op": "sync", "core": 0, "event_register": 5}
    lists = {0: [wait, recv(1)], 1: [send(0), send(2)], 2: [recv(1), sync], 3: []}
    report = blocked(lists, rob_size)
    assert report.cycle == (0, 2, 1)
    assert [(b.core, b.instruction, b.op, b.peer) for b in report.blocked] == [
        (0, 0, Op.WAIT, 2),
        (1, 0, Op.SEND, 0),
        (2, 0, Op.RECV, 1),
    ]
    message = report.message()
    assert "cycle of cores 0 -> 2 -> 1 -> 0" in message
    assert "core 0, instruction 0: wait for event 5, which core 2 has yet to sync, waiting since" in message


def test_counting_and_exact_waits_differ_when_tokens_pile_up() -> None:
    from pimcomp.timeline.deadlock import find_deadlock
    from pimcomp.timeline.out_of_order import run_out_of_order
    from pimcomp.timeline.work import work_of

    sync = {"op": "sync", "core": 1, "event_register": 0}
    slow = {"op": "lldi", "rd": 0, "imm": 0, "len": 4096}
    wait = {"op": "wait", "event_register": 0, "wait_value": 1}
    program = {"config": {"core_cnt": 4}, "core0": [SETBW, sync, sync], "core1": [SETBW, slow, wait, wait]}
    arch, stream = small_arch(), stream_of_json(program, 4)
    work = work_of(stream, arch)
    assert find_deadlock(stream, run_out_of_order(stream, work, arch, 1, counting_wait=True)) is None
    # Upstream compares with ==: two tokens before the wait are one too many.
    assert find_deadlock(stream, run_out_of_order(stream, work, arch, 1, counting_wait=False)) is not None
