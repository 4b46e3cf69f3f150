"""Where machine code of kernels is kept, and when it is made again."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pimcomp.foundation import kernels
from pimcomp.foundation.kernels import kernel, watching

ROOT = Path(__file__).parents[2]
CALLER = """
import numpy as np
from pimcomp.foundation.kernels import kernel
from tiny_callee import added

@kernel
def doubled(x):
    return added(x, 0) + added(np.int32(x), x)

if __name__ == "__main__":
    import sys
    print(doubled(1), len(added._twin.signatures), sum(doubled._cache_hits.values()))
"""
CALLEE = """
from pimcomp.foundation.kernels import kernel
MORE = {more}

@kernel
def added(x, y):  # {comment}
    return x + y + MORE
"""


def run(folder: Path, environment: dict[str, str], more: int = 0, comment: str = "") -> tuple[list[str], str]:
    """Result, specialisations of the callee if it was compiled, and hits of the cache; what went to stderr."""
    (folder / "tiny_caller.py").write_text(CALLER, encoding="utf-8")
    (folder / "tiny_callee.py").write_text(CALLEE.format(more=more, comment=comment), encoding="utf-8")
    search = os.pathsep.join([str(ROOT), str(folder)])
    done = subprocess.run(
        [sys.executable, "-B", str(folder / "tiny_caller.py")],
        env={
            **os.environ,
            "TMPDIR": str(folder),
            "PYTHONPATH": search,
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split(), done.stderr


@pytest.mark.slow
def test_an_edited_callee_compiles_its_callers_again_and_a_comment_does_not(tmp_path: Path) -> None:
    kept = {"NUMBA_CACHE_DIR": str(tmp_path / "kept")}
    assert run(tmp_path, kept)[0] == ["3", "1", "0"]
    assert run(tmp_path, kept, comment="the same")[0] == ["3", "0", "1"]
    assert run(tmp_path, kept, more=1)[0] == ["5", "1", "0"]


@pytest.mark.slow
def test_equal_kernels_in_another_folder_share_what_is_compiled(tmp_path: Path) -> None:
    for name, hits in (("one", "0"), ("two", "1")):
        (tmp_path / name).mkdir()
        assert run(tmp_path / name, {"NUMBA_CACHE_DIR": str(tmp_path / "kept")})[0][2] == hits


@pytest.mark.slow
def test_a_cache_that_cannot_be_written_is_noted_once_and_replaced_by_a_temporary_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder", encoding="utf-8")
    (tmp_path / "tmp").mkdir()
    places = {"NUMBA_CACHE_DIR": str(tmp_path / "file"), "TMPDIR": str(tmp_path / "tmp")}
    result, said = run(tmp_path, places)
    assert result[0] == "3"
    assert said.count("kernels cannot be kept in") == 1
    assert "NUMBA_CACHE_DIR" in said
    assert run(tmp_path, places) == (["3", "0", "1"], "")


@pytest.mark.skipif(sys.platform == "win32", reason="folders of temporary files belong to their user there")
def test_a_temporary_folder_that_others_can_write_is_not_used(tmp_path: Path) -> None:
    temporary = tmp_path / "tmp"
    stranger = temporary / f"pimdse-kernels-{os.getuid()}"
    stranger.mkdir(parents=True)
    stranger.chmod(0o777)
    (tmp_path / "file").write_text("no folder", encoding="utf-8")
    result, _ = run(tmp_path, {"NUMBA_CACHE_DIR": str(tmp_path / "file"), "TMPDIR": str(temporary)})
    assert result[0] == "3"
    assert list(stranger.iterdir()) == []


def test_kernels_that_have_to_be_compiled_are_counted() -> None:
    seen: list[int] = []

    def added(x: int, y: int) -> int:
        return x + y + secrets

    secrets = os.getpid()  # in no cache

    compiled = kernel(added)
    with watching(seen.append):
        assert compiled(1, 2) == 3 + secrets
        assert compiled(3, 4) == 7 + secrets
    assert seen == [1]


def _added(x: int, y: int) -> int:
    return x + y + 1


def test_what_was_not_used_for_longest_makes_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "cache_folders", lambda: (tmp_path,))
    monkeypatch.setattr(kernels, "_MOST_BYTES", 3 << 20)
    for day, name in enumerate(("old.nbc", "older.nbc.unfinished", "recent.nbc")):
        (tmp_path / name).write_bytes(bytes(1 << 20))
        os.utime(tmp_path / name, (1e9 + 1e5 * day,) * 2)
    (tmp_path / "chip.yaml").write_bytes(bytes(4 << 20))  # whatever else is there stays
    assert kernel(_added)(1, 2) == 4
    assert {path.name for path in tmp_path.iterdir() if path.suffix != ".nbc"} == {"older.nbc.unfinished", "chip.yaml"}
    assert not (tmp_path / "old.nbc").exists()
    (mine,) = tmp_path.glob("_added-*.nbc")
    os.utime(mine, (1e9, 1e9))
    assert kernel(_added)(1, 2) == 4
    assert mine.stat().st_mtime > 1e9 + 1e6, "it is used"


def test_others_may_remove_files_at_the_same_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "_MOST_BYTES", 0)
    (tmp_path / "gone.nbc").symlink_to(tmp_path / "removed")
    (tmp_path / "folder.nbc").mkdir()
    kernels._prune(tmp_path)
    assert (tmp_path / "folder.nbc").is_dir()


@pytest.mark.parametrize("newer", [True, False], ids=["raises", "relative"])
def test_a_user_without_a_home_keeps_kernels_in_the_temporary_folder(
    newer: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As platformdirs says it for a user whom no file names, of its versions."""

    def user_cache_path(*_: object) -> Path:
        if newer:
            raise RuntimeError("could not determine the home directory")
        return Path("~/.cache/pimdse")

    monkeypatch.setattr("numba.config.CACHE_DIR", "")
    monkeypatch.setattr("platformdirs.user_cache_path", user_cache_path)
    (folder,) = kernels.cache_folders()
    assert folder.is_absolute()
    assert folder.name.startswith("pimdse-kernels-")
