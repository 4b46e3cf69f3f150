"""Ctrl-C: noticed wherever it arrives, and no traceback of Python's beside the message."""

import ctypes
import os
import signal
import sys

import pytest

from pimdse.foundation.interrupt import noticed_interrupt


def test_an_interrupt_in_a_callback_of_a_library_is_noticed_and_not_shown(capfd: pytest.CaptureFixture[str]) -> None:
    call = ctypes.CFUNCTYPE(None)
    with noticed_interrupt() as interrupted:
        call(lambda: os.kill(os.getpid(), signal.SIGINT))()
        assert interrupted()
    assert capfd.readouterr().err == ""


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_other_errors_in_callbacks_are_shown() -> None:
    seen: list[sys.UnraisableHookArgs] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.unraisablehook", seen.append)
        with noticed_interrupt() as interrupted:
            ctypes.CFUNCTYPE(None)(lambda: 1 // 0)()
        assert not interrupted()
    assert [lost.exc_type for lost in seen] == [ZeroDivisionError]
