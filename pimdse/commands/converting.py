"""`pimdse import-config`, `export-json`: to and from the formats of PIMCOMP-NN and pimsim-nn; `config-schema`."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from pimdse.commands.arguments import Model, out_option
from pimdse.display.output import output_of, plain

JsonFile = Annotated[Path | None, out_option("JSON to write; default: print it.", "FILE")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    panel = "Other formats"
    app.command("import-config", epilog=_IMPORT_EPILOG, rich_help_panel=panel)(import_config)
    app.command("export-json", epilog=_EXPORT_EPILOG, rich_help_panel=panel)(export_json)
    app.command("config-schema", epilog=_SCHEMA_EPILOG, rich_help_panel=panel)(config_schema)


_IMPORT_EPILOG = """[bold]Example[/bold]

pimdse import-config config.json --crossbars logical --out configs/mine.yaml"""


def import_config(
    context: typer.Context,
    config: Annotated[Path, typer.Argument(metavar="CONFIG.JSON", help="A config.json of PIMCOMP-NN or pimsim-nn.")],
    crossbars: Annotated[
        str,
        typer.Option(
            "--crossbars", metavar="physical|logical", help="logical: one cell holds a weight, as PIMCOMP-NN counts."
        ),
    ] = "physical",
    out: Annotated[Path | None, out_option("YAML to write; default: print it.", "FILE")] = None,
) -> None:
    """Turn a simulator's config.json into a chip's YAML, with notes on what the file leaves open."""
    from pimcomp.config import arch_from_simulator_config, arch_to_yaml
    from pimcomp.errors import check_name

    check_name("--crossbars", crossbars, ("physical", "logical"))
    if crossbars == "logical":
        arch, notes = arch_from_simulator_config(config, crossbars="logical")
    else:
        arch, notes = arch_from_simulator_config(config)
    text = arch_to_yaml(arch, notes)
    data = {"name": arch.name, "notes": list(notes), "crossbars": arch.crossbars, "cores": arch.total_cores}
    _give(context, text, out, data, printed={"yaml": text}, notes=notes)


_EXPORT_EPILOG = """[bold]Example[/bold]

pimdse export-json squeezenet1_1 --out squeezenet.json"""


def export_json(
    context: typer.Context,
    model: Model,
    out: JsonFile = None,
) -> None:
    """Write a network as PIMCOMP-NN's node list, the form its compiler reads."""
    from pimcomp.frontend.load_network import load_structure
    from pimcomp.frontend.node_list.export import export_pimcomp_text

    text = export_pimcomp_text(load_structure(model))
    _give(context, text, out, {}, printed={"network": json.loads(text)})


_SCHEMA_EPILOG = """[bold]Example[/bold]

pimdse config-schema --out chip.schema.json

An editor that knows YAML schemas checks and completes a chip beside it whose first line is
# yaml-language-server: $schema=chip.schema.json"""


def config_schema(
    context: typer.Context,
    out: JsonFile = None,
) -> None:
    """Write the JSON Schema of a chip's YAML and its sweep: section, for editors."""
    from pimdse.sweep.schema import chip_schema, schema_text

    _give(context, schema_text(), out, {}, printed={"json_schema": chip_schema()})


def _give(
    context: typer.Context,
    text: str,
    out: Path | None,
    data: Mapping[str, object],
    *,
    printed: Mapping[str, object],
    notes: Sequence[str] = (),
) -> None:
    """Write a text into a file, or print it; for machines `data`, and the file's name or what was printed."""
    from pimcomp.foundation.own_files import write_file

    output = output_of(context)
    if out is None:
        output.show({**data, **printed}, lambda console: typer.echo(text.encode(), nl=False))
        return
    write_file(out, text.encode(), context.info_name or "")
    said = "\n".join([*(f"note: {n}" for n in notes), f"wrote {out}"])
    output.show({**data, "file": str(out)}, lambda console: plain(console, said))
