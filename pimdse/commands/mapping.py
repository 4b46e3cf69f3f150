"""`pimdse map`: the chip from above."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pimdse.commands.arguments import Folder, out_option
from pimdse.display.output import output_of

if TYPE_CHECKING:
    from pimdse.folder.chip_use import ChipUse

_FORMS = ("png", "svg", "pdf")
_EPILOG = """[bold]Examples[/bold]

pimdse map results/compile/squeezenet1_1-pimcomp_default-element

pimdse map out/my -o my.svg --lines 30

A square is a core, filled by its crossbars in the colours of their layers, from the first (dark) to the last (light).
Lines join the pairs of cores that exchange most bytes."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("map", epilog=_EPILOG, rich_help_panel="One network")(map_)


def map_(
    context: typer.Context,
    folder: Folder,
    out: Annotated[Path | None, out_option("Default DIR/map.png; .svg and .pdf work too.", "FILE", "-o")] = None,
    lines: Annotated[
        int, typer.Option("--lines", metavar="N", min=0, max=100_000, help="Pairs of cores that get a line.")
    ] = 60,
) -> None:
    """Draw the floorplan: crossbars by layer, the busiest connections, the global memory."""
    from pimcomp.errors import ConfigError
    from pimcomp.foundation.own_files import check_free
    from pimdse.commands.each import show_each

    output = output_of(context)
    form = out.suffix.lower().removeprefix(".") if out is not None else _FORMS[0]
    if form not in _FORMS:
        raise ConfigError("--out", f"expected a file that ends in .{', .'.join(_FORMS)}, found {out}")

    def drawn(program: Path, target: Path) -> dict[str, Any]:
        check_free(target.parent, [target.name], "map")
        with output.stages(f"drawing {program}"):
            use = draw_map(program, target, form=form, lines=lines)
        return {
            "file": str(target),
            "crossbars_used": int(use.fill[:, 2].sum()),
            "cores_with_crossbars": len(set(use.fill[:, 0].tolist())),
            "message_bytes_per_round": int(use.traffic[:, 2].sum()),
            "loaded_bytes_per_round": int(use.memory_bytes[:, 0].sum()),
            "stored_bytes_per_round": int(use.memory_bytes[:, 1].sum()),
        }

    show_each(output, folder, out, "map.png", drawn, lambda data: f"wrote {data['file']}")


def draw_map(folder: Path, target: Path, *, form: str = "png", lines: int = 60) -> "ChipUse":
    """Draw the floorplan of a compiled folder into a file; returns what is on it."""
    from pimcomp.foundation.own_files import write_file
    from pimdse.folder.chip_use import chip_use
    from pimdse.folder.program import read_program_folder
    from pimdse.report.floorplan import floorplan

    program = read_program_folder(folder)
    use = chip_use(program)
    write_file(target, floorplan(program, use, form=form, lines=lines), "map")
    return use
