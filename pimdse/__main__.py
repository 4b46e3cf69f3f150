"""The `pimdse` program, also as `python -m pimdse`."""

import sys

from pimdse.foundation.interrupt import noticed_interrupt

INTERRUPTED = 130


def main() -> None:
    """Run the command line; Ctrl-C at any moment, also while modules load, ends it with a message and status 130."""
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


if __name__ == "__main__":
    main()
