"""`pimdse pick`: the best stored candidate within limits, compiled again with the files the simulator runs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pimdse.commands.arguments import Folder
from pimdse.output import output_of

if TYPE_CHECKING:
    from pimdse.building import Recipe
    from spaces.search.study import Stored, Trial

_EPILOG = """[bold]Examples[/bold]

pimdse pick results/isaac

pimdse pick results/isaac --objective latency_ns --max-crossbars 8000

pimdse pick results/isaac --pipeline batch --objective throughput_per_s --out out/fastest

pimdse pick results/isaac --trial 12"""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("pick", epilog=_EPILOG, rich_help_panel="Many chips")(pick)


def pick(
    context: typer.Context,
    folder: Folder,
    objective: Annotated[
        str,
        typer.Option("--objective", metavar="METRIC", help="What must be best: latency_ns, energy_pj, ..."),
    ] = "latency_ns",
    max_crossbars: Annotated[
        int | None, typer.Option("--max-crossbars", metavar="N", min=1, help="Largest chip, in crossbars.")
    ] = None,
    pipeline: Annotated[
        str | None, typer.Option("--pipeline", "-p", metavar="element|batch", help="Only this pipeline.")
    ] = None,
    trial: Annotated[int | None, typer.Option("--trial", metavar="N", min=0, help="This trial and no other.")] = None,
    verify: Annotated[
        bool, typer.Option("--verify/--no-verify", help="Execute the result and compare with onnxruntime.")
    ] = True,
    out: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Folder to write; default DIR/pick.")] = None,
) -> None:
    """Compile the best stored candidate within limits and write the simulator's files."""
    from pimdse.building import build, check_writable, write
    from pimdse.choice import changed_figures, choose, explain
    from pimdse.proof import prove, show_verdict
    from pimdse.summary import show_compiled
    from spaces.search.study import load_stored

    output = output_of(context)
    stored = load_stored(folder)
    chosen = choose(stored, objective=objective, max_crossbars=max_crossbars, pipeline=pipeline, trial=trial)
    target = out if out is not None else folder / "pick"
    check_writable(target)
    output.note(explain(stored, chosen, objective, given=trial is not None))
    recipe = _recipe(stored, chosen)
    with output.stages(f"compiling trial {chosen.number}") as observe:
        built = build(recipe, observe)
        report = write(built, target)
    show_compiled(output, report, target, built.stages_s)
    if differences := changed_figures(built.compiled, chosen):
        output.note(f"not the stored figures: {differences}")
    if verify:
        show_verdict(output, prove(target, built.network), str(target))


def _recipe(stored: "Stored", chosen: "Trial") -> "Recipe":
    from pimcomp.schedule import ScheduleOptions
    from pimdse.building import Recipe
    from spaces.chip import apply

    sweep, point = stored.sweep, chosen.candidate.point
    return Recipe(
        model=sweep.model,
        weights=sweep.weights,
        arch=apply(sweep.arch, point.parameters),
        arch_source="chip.yaml",
        solver=point.solver,
        pipeline=point.pipeline,
        time_limit_s=sweep.time_limit_s,
        seed=sweep.seed,
        options=ScheduleOptions(),
        notes=(f"trial {chosen.number} of the sweep {sweep.name}",),
    )
