"""A sweep on two hosts, one of which is killed: `python -m tests.spaces.two_hosts FOLDER`.

The hosts are network namespaces where the kernel lets us make some (run it under `unshare --map-root-user --net`): a
scheduler and the sweep in one, workers in two others, joined by virtual cables. `--alone`: all in one.
"""

import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from tests.spaces.sweeping_process import PROPOSED, start


def main(folder: Path, *, alone: bool) -> None:
    """Sweep in `folder` with both hosts until some candidates are judged, then with the one that is left."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with ExitStack() as stack:

        def run(*words: str) -> subprocess.Popen[bytes]:
            child = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            stack.callback(child.wait)
            stack.callback(child.kill)
            return child

        if not alone:
            _do("ip", "link", "set", "lo", "up")
        run(*_dask("scheduler"), "--host", "0.0.0.0", "--port", str(port), "--no-dashboard")
        hosts = []
        for i in (1, 2):
            address, prefix = ("127.0.0.1", []) if alone else _cable(i, run("unshare", "--net", "sleep", "600").pid)
            worker = [*_dask("worker"), f"tcp://{address}:{port}", "--nthreads", "1", "--no-dashboard", "--no-nanny"]
            hosts.append(run(*prefix, *worker))
        sweep = start(folder, cluster=f"tcp://127.0.0.1:{port}", **PROPOSED)
        study = folder / "study.db"
        while not study.exists() or study.stat().st_size < 200_000:  # some candidates are stored
            time.sleep(0.05)
        hosts[0].kill()
        sweep.join()
        assert sweep.exitcode == 0


def _dask(role: str) -> list[str]:
    return [sys.executable, "-m", f"distributed.cli.dask_{role}"]


def _cable(number: int, host: int) -> tuple[str, list[str]]:
    """Join the namespace of a process to this one: (this end's address, how to run something there)."""
    inside = ["nsenter", "--net", "--target", str(host)]
    time.sleep(0.5)  # until it has its namespace
    _do("ip", "link", "add", f"cable{number}", "type", "veth", "peer", "name", "eth0", "netns", str(host))
    _do("ip", "address", "add", f"10.9.{number}.1/24", "dev", f"cable{number}")
    _do("ip", "link", "set", f"cable{number}", "up")
    _do(*inside, "ip", "address", "add", f"10.9.{number}.2/24", "dev", "eth0")
    _do(*inside, "ip", "link", "set", "eth0", "up")
    return f"10.9.{number}.1", inside


def _do(*words: str) -> None:
    subprocess.run(words, check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), alone="--alone" in sys.argv[2:])
