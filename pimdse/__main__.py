"""The `pimdse` program, also as `python -m pimdse`."""

import os
import sys

from pimdse.foundation.interrupt import noticed_interrupt

INTERRUPTED = 130


def main() -> None:
    """Run the command line; Ctrl-C at any moment, also while modules load, ends it with a message and status 130."""
    _open_what_is_closed()
    with noticed_interrupt() as interrupted:
        try:
            from pimdse.cli import run

            status = run(sys.argv[1:])
        except BaseException:
            if not interrupted():
                raise
        if interrupted():
            sys.stderr.write("interrupted\n")
            status = INTERRUPTED
    sys.exit(status)


def _open_what_is_closed() -> None:
    """A standard stream that the caller closed leads to nowhere: the next file that is opened must not take its place.
    Python's own stream is None then, which not everything that writes expects.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)
    os.close(number)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", errors="replace"))  # noqa: SIM115 as long as the process


if __name__ == "__main__":
    main()
