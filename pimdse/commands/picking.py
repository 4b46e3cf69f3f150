"""`pimdse pick`: the best stored candidate within limits, compiled again with the files the simulator runs."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pimdse.commands.arguments import Folder, LimitOption, out_option
from pimdse.commands.completion import metrics
from pimdse.display.output import Output, output_of

if TYPE_CHECKING:
    from pimdse.compiling.building import Recipe
    from spaces.candidate import Trial
    from spaces.space import Network, Sweep

_EPILOG = """[bold]Examples[/bold]

pimdse pick results/isaac

pimdse pick results/isaac --objective latency_ns --max-crossbars 8000

pimdse pick results/isaac --knee --limit 'energy<3mJ' --limit 'memory<=64KiB'

pimdse pick results/isaac --pipeline batch --objective throughput_per_s --out out/fastest

pimdse pick results/isaac --trial 12"""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("pick", epilog=_EPILOG, rich_help_panel="Many chips")(pick)


def pick(
    context: typer.Context,
    folder: Folder,
    objective: Annotated[
        str | None,
        typer.Option(
            "--objective",
            metavar="METRIC",
            help="What must be best: latency_ns (default), energy_pj, ...",
            autocompletion=metrics,
        ),
    ] = None,
    limit: LimitOption = None,
    max_crossbars: Annotated[
        int | None, typer.Option("--max-crossbars", metavar="N", min=1, help="Largest chip, in crossbars.")
    ] = None,
    pipeline: Annotated[
        str | None, typer.Option("--pipeline", "-p", metavar="element|batch", help="Only this pipeline.")
    ] = None,
    knee: Annotated[bool, typer.Option("--knee", help="The balanced candidate of the front.")] = False,
    trial: Annotated[int | None, typer.Option("--trial", metavar="N", min=0, help="This trial and no other.")] = None,
    verify: Annotated[
        bool, typer.Option("--verify/--no-verify", help="Execute the result and compare with onnxruntime.")
    ] = True,
    out: Annotated[Path | None, out_option("Folder to write; default DIR/pick.")] = None,
) -> None:
    """Compile the best stored candidate within limits and write the simulator's files."""
    from pimdse.compiling.building import check_target
    from pimdse.report.findings import find
    from pimdse.sweep.choice import choose, explain, make_wish
    from pimdse.sweep.settings import same_networks
    from spaces.search.study import load_stored

    output = output_of(context)
    stored = load_stored(folder)
    findings = find(replace(stored, sweep=same_networks(stored.sweep, stored.content, folder)))
    wish = make_wish(
        objective=objective, limits=limit or (), max_crossbars=max_crossbars, pipeline=pipeline, knee=knee, trial=trial
    )
    chosen = choose(findings, wish)
    target = out if out is not None else folder / "pick"
    networks = findings.sweep.networks
    places = [target / network.label if len(networks) > 1 else target for network in networks]
    for place in places:
        check_target(place, findings.sweep.arch)
    output.note(explain(findings, chosen, wish))
    programs = []
    for network, place in zip(networks, places, strict=True):
        programs.append(_compile(output, findings.sweep, chosen, network, place, verify=verify))
    wrong = [p["verification"]["error"] for p in programs if p["verification"] and "error" in p["verification"]]
    failure = {"error": wrong[0]} if wrong else {}
    output.show({"trial": chosen.number, "programs": programs, **failure}, lambda console: None)
    if wrong:
        raise typer.Exit(1)


def _compile(
    output: Output, sweep: "Sweep", chosen: "Trial", network: "Network", target: Path, *, verify: bool
) -> dict[str, Any]:
    """Compile one network for the chosen candidate, write its folder and prove it; what came out, for machines."""
    from pimdse.compiling.building import build, write
    from pimdse.compiling.summary import compiled_data, render_compiled
    from pimdse.folder.proof import prove, render_verdict, verdict_data, write_record
    from pimdse.sweep.choice import changed_figures
    from pimdse.sweep.recipe import recipe_of
    from spaces.evaluate import figures
    from spaces.space import Fidelity

    candidate = chosen.candidate
    stored = dict(candidate.by_network).get(network.label, candidate.metrics)
    recipe, title = recipe_of(sweep, chosen, network), f"compiling trial {chosen.number}, {network.label}"
    if stored is not None and stored.segments > 1:
        return {"network": network.label, **_compile_segments(output, recipe, target, title, verify=verify)}
    with output.stages(title) as observe:
        built = build(recipe, observe)
        report = write(built, target)
    output.text(lambda console: render_compiled(console, report, target, built.stages_s))
    known = candidate.fidelity is Fidelity.TIMELINE and stored is not None
    if known and stored and (differences := changed_figures(figures(built.compiled), stored)):
        output.note(f"not the stored figures: {differences}")
    verification = None
    if verify:
        verdict = prove(target, built.network)
        write_record(target, verdict)
        verification = verdict_data(verdict, str(target))
        output.text(lambda console: render_verdict(console, verdict, str(target)))
    return {
        "network": network.label,
        **compiled_data(report, target, built.stages_s),
        "verification": verification,
    }


def _compile_segments(output: Output, recipe: "Recipe", target: Path, title: str, *, verify: bool) -> dict[str, Any]:
    """The same of a design that runs the network in segments."""
    from pimdse.compiling.segmented import compile_segments
    from pimdse.compiling.summary import render_segments
    from pimdse.folder.proof import prove_segments, render_verdict, verdict_data
    from pimdse.folder.segments import read_segments

    with output.stages(title) as observe:
        content = compile_segments(recipe, target, observe, host=False)
    output.text(lambda console: render_segments(console, content, target))
    verification = None
    if verify:
        verdict = prove_segments(target, read_segments(target).wholes())
        verification = verdict_data(verdict, str(target))
        output.text(lambda console: render_verdict(console, verdict, str(target)))
    return {**content, "folder": str(target), "verification": verification}
