"""Only what the record knows is replaced or removed, whatever happens in between."""

import os
from pathlib import Path

import pytest

from pimcomp.errors import OutputError
from pimcomp.foundation.own_files import RECORD, check_free, recorded, staged, write_file, write_files


def tree(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name != RECORD
    }


def write(folder: Path, command: str = "compile", whole: bool = True, **contents: str) -> None:
    with staged(folder, command, whole=whole, last="last") as place:
        for name, text in contents.items():
            path = place / name.replace("__", "/")
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)


def test_a_command_replaces_and_removes_what_it_left_and_nothing_else(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    write(out, a="1", b="2", cores__one="3", last="4")
    (out / "mine").write_text("m")
    (out / "cores" / "mine").write_text("m")
    write(out, a="5", last="6")
    assert tree(out) == {"a": b"5", "last": b"6", "mine": b"m", "cores/mine": b"m"}
    assert recorded(out, "compile") == ("a", "last")
    write(out, "trace", whole=False, t="7")
    write(out, b="8", last="9")
    assert tree(out) == {"b": b"8", "last": b"9", "t": b"7", "mine": b"m", "cores/mine": b"m"}
    assert [p.name for p in out.parent.iterdir()] == ["out"]
    assert not [p for p in out.iterdir() if p.name.startswith(".pimdse-")]


def foreign(out: Path) -> None:
    (out / "a").write_text("mine")


def changed(out: Path) -> None:
    write(out, a="1")
    (out / "a").write_text("edited")


def other(out: Path) -> None:
    write(out, "sweep", a="1")


def link(out: Path) -> None:
    (out.parent / "target").write_text("mine")
    (out / "a").symlink_to(out.parent / "target")


def dangling(out: Path) -> None:
    (out / "a").symlink_to("nowhere")


def directory(out: Path) -> None:
    (out / "a").mkdir()
    (out / "a" / "thesis").write_text("mine")


def device(out: Path) -> None:
    os.mkfifo(out / "a")


def forged(out: Path) -> None:
    (out / "a").write_text("mine")
    (out / RECORD).write_bytes(b'\xff{"command": 3}\n[]\n{"command":"compile","file":"a"}\n{"command":"comp')


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (foreign, "not written by pimdse"),
        (changed, "changed since"),
        (other, "of `pimdse sweep`"),
        (link, "a link"),
        (dangling, "a link"),
        (directory, "a folder"),
        (device, "no regular file"),
        (forged, "not written by pimdse"),
    ],
)
def test_what_is_not_ours_is_refused_before_and_after_the_work(tmp_path: Path, make: object, reason: str) -> None:
    out = tmp_path / "out"
    out.mkdir()
    make(out)  # type: ignore[operator]
    before = tree(tmp_path)
    in_the_way = rf"in the way: (\{RECORD} \(not written by pimdse\), )?a \({reason}"
    with pytest.raises(OutputError, match=in_the_way + ".*use another --out"):
        check_free(out, ["a", "b"], "compile")
    with pytest.raises(OutputError, match=in_the_way):
        write(out, a="2", b="3")
    assert tree(tmp_path) == before
    assert os.path.lexists(out / "a")


@pytest.mark.parametrize("there", ["text", "link", "dangling", "folder"])
def test_a_record_that_is_not_ours_is_in_the_way_itself(there: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (tmp_path / "mine").write_text("mine")
    if there == "text":
        (out / RECORD).write_text("mine")
    elif there == "folder":
        (out / RECORD).mkdir()
    else:
        (out / RECORD).symlink_to(tmp_path / ("mine" if there == "link" else "nothing"))
    before = tree(tmp_path)
    with pytest.raises(OutputError, match=rf"in the way: \{RECORD} \((not written by pimdse|a link|a folder)\)"):
        check_free(out, ["a"], "compile")
    with pytest.raises(OutputError, match=rf"in the way: \{RECORD}"):
        write(out, a="1")
    assert tree(tmp_path) == before
    assert not (tmp_path / "nothing").exists()


@pytest.mark.parametrize("length", [0, 1, 11, 30])
def test_a_record_of_which_little_reached_the_disk_is_ours(length: int, tmp_path: Path) -> None:
    (tmp_path / RECORD).write_bytes(b'{"command":"compile","file":"a","sha256":"0"}'[:length])
    write(tmp_path, a="1")
    write(tmp_path, a="2")
    assert (tmp_path / "a").read_text() == "2"


def test_a_file_where_a_folder_must_be_is_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "cores").symlink_to(tmp_path)
    with pytest.raises(OutputError, match=r"in the way: cores \(not written"):
        write(tmp_path, cores__one="1")
    (tmp_path / "cores").unlink()
    (tmp_path / "cores").write_text("mine")
    with pytest.raises(OutputError, match=r"in the way: cores"):
        write(tmp_path, cores__one="1")
    assert tree(tmp_path) == {"cores": b"mine"}


def test_an_input_is_never_the_target_even_where_it_is_ours(tmp_path: Path) -> None:
    write(tmp_path, a="1")
    check_free(tmp_path, ["a"], "compile", inputs=["a name", tmp_path])
    with pytest.raises(OutputError, match=r"a \(an input of this run\)"):
        check_free(tmp_path, ["a"], "compile", inputs=[tmp_path / "a"])


def test_many_things_in_the_way_are_counted(tmp_path: Path) -> None:
    for name in "abcdef":
        (tmp_path / name).write_text("mine")
    with pytest.raises(OutputError, match=r"d \(not written by pimdse\) and 2 more"):
        write_files(tmp_path, dict.fromkeys("abcdef", b""), "compile")


@pytest.mark.parametrize("survives", range(4))
def test_a_crash_between_two_files_loses_nothing_and_the_next_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, survives: int
) -> None:
    out = tmp_path / "out"
    write(out, a="1", b="2", last="3")
    (out / "mine").write_text("m")
    moves = iter(range(survives))
    move = Path.replace

    def dies(path: Path, target: Path) -> Path:
        if next(moves, None) is None:
            raise KeyboardInterrupt
        return move(path, target)

    monkeypatch.setattr(Path, "replace", dies)
    with pytest.raises(KeyboardInterrupt):
        write(out, a="4", b="5", c="6", last="7")
    monkeypatch.undo()
    assert ("last" in tree(out)) == (survives > 3)
    assert tree(out)["mine"] == b"m"
    write(out, a="8", b="9", c="0", last="1")
    assert tree(out) == {"a": b"8", "b": b"9", "c": b"0", "last": b"1", "mine": b"m"}


def test_a_folder_made_meanwhile_is_asked_like_any_other(tmp_path: Path) -> None:
    def beaten() -> None:
        with staged(tmp_path / "out", "compile") as place:
            (place / "a").write_text("ours")
            (tmp_path / "out").mkdir()
            (tmp_path / "out" / "a").write_text("mine")

    with pytest.raises(OutputError, match="in the way: a"):
        beaten()
    assert tree(tmp_path) == {"out/a": b"mine"}
    with staged(tmp_path / "two", "compile") as first:
        (first / "a").write_text("1")
        write(tmp_path / "two", a="2")  # another run that is done sooner
    assert tree(tmp_path / "two") == {"a": b"1"}


def test_modes_follow_the_umask(tmp_path: Path) -> None:
    for mask, folder_mode, file_mode in ((0o002, 0o775, 0o664), (0o077, 0o700, 0o600)):
        old = os.umask(mask)
        try:
            out = tmp_path / f"{mask:o}" / "out"
            write(out, a="1", cores__one="2")
            write_file(out / "more", b"3", "trace")
        finally:
            os.umask(old)
        assert {p.stat().st_mode & 0o777 for p in (out, out.parent, out / "cores")} == {folder_mode}
        assert {p.stat().st_mode & 0o777 for p in (out / "a", out / "more", out / RECORD)} == {file_mode}


def test_equal_content_does_not_make_the_record_grow(tmp_path: Path) -> None:
    for _ in range(3):
        write(tmp_path / "out", a="1", b="2")
    assert len((tmp_path / "out" / RECORD).read_text().splitlines()) == 2


def test_a_torn_line_of_the_record_costs_only_itself(tmp_path: Path) -> None:
    write(tmp_path, a="1")
    with (tmp_path / RECORD).open("ab") as file:
        file.write(b'{"command":"comp')
    write(tmp_path, a="2", b="3")
    write(tmp_path, a="4", b="5")
    assert tree(tmp_path) == {"a": b"4", "b": b"5"}


def test_places_that_cannot_be_written_are_said_to_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to("nowhere")
    for out, message in (
        (tmp_path / "file", "is a file, expected a folder"),
        (tmp_path / "file" / "out", "is a file, expected a folder"),
        (tmp_path / "link", "is no folder, expected a folder"),
        (tmp_path / ("x" * 300), "cannot be written: File name too long"),
    ):
        with pytest.raises(OutputError, match=message):
            write(out, a="1")
    assert sorted(os.listdir(tmp_path)) == ["file", "link"]
