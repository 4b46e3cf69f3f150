"""Ctrl-C: a command stops at once, except long work that wants to finish what is running first."""

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def noticed_interrupt() -> Iterator[Callable[[], bool]]:
    """Within the block Ctrl-C raises KeyboardInterrupt as ever, and the yielded function remembers it.

    The exception alone is not reliable: one raised while a compiled module loads comes out as an ImportError, and one
    in what a library calls back (LLVM, for every kernel) comes out nowhere: Python only shows it, here not.
    """
    asked, show = False, sys.unraisablehook

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        asked = True
        raise KeyboardInterrupt

    def show_others(lost: "sys.UnraisableHookArgs") -> None:
        if not issubclass(lost.exc_type, KeyboardInterrupt):
            show(lost)

    before, sys.unraisablehook = signal.signal(signal.SIGINT, handle), show_others
    try:
        yield lambda: asked
    finally:
        sys.unraisablehook = show
        signal.signal(signal.SIGINT, before)


@contextmanager
def stop_on_interrupt(announce: Callable[[], None]) -> Iterator[Callable[[], bool]]:
    """Within the block the first Ctrl-C (or SIGTERM) makes the yielded function true and calls `announce`; another one
    raises KeyboardInterrupt. In another thread than the main one there are no signals, and it stays false.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    asked = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        announce()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
