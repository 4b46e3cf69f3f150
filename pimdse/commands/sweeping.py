"""`pimdse sweep` and `pimdse report`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pimdse.commands.arguments import Folder, LimitOption, checked_seed, out_option
from pimdse.commands.completion import chip_names, metrics
from pimdse.display.output import Output, output_of

if TYPE_CHECKING:
    from pimdse.report.findings import Findings

_SWEEP_EPILOG = """[bold]Examples[/bold]

pimdse sweep configs/isaac.yaml

pimdse sweep puma --trials 200 --jobs 4 --out results/puma_large

pimdse sweep configs/isaac.yaml --model squeezenet1_1

pimdse sweep isaac --objectives latency,energy --limit 'crossbars<=8000' --out results/small

pimdse sweep configs/isaac.yaml --cluster tls://scheduler.lan:8786   (workers on other hosts)

Stop it with Ctrl-C, or kill it: the same command goes on where it stopped. A larger --trials \
continues a finished sweep. The rest stands in the file's [bold]sweep:[/bold] section, \
which options go before."""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    panel = "Many chips"
    app.command("sweep", epilog=_SWEEP_EPILOG, rich_help_panel=panel)(sweep)
    app.command("report", epilog=_REPORT_EPILOG, rich_help_panel=panel)(report)


def sweep(
    context: typer.Context,
    config: Annotated[
        str,
        typer.Argument(
            metavar="CFG",
            help="A chip's YAML with a sweep: section, or a name of [bold]pimdse archs[/bold].",
            autocompletion=chip_names,
        ),
    ],
    trials: Annotated[
        int | None,
        typer.Option(
            "--trials", "-n", metavar="N", min=1, help="Candidates to judge; to keep, where every point is judged."
        ),
    ] = None,
    jobs: Annotated[int | None, typer.Option("--jobs", "-j", metavar="N", min=1, help="Worker processes.")] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", metavar="N", callback=checked_seed, help="Decides everything random.")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", "-m", metavar="MODEL", help="Another network than the file's.")
    ] = None,
    objectives: Annotated[
        str | None,
        typer.Option(
            "--objectives",
            metavar="METRIC,METRIC",
            help="What is to be best, two or three: latency,energy.",
            autocompletion=metrics,
        ),
    ] = None,
    limit: LimitOption = None,
    sampler: Annotated[
        str | None,
        typer.Option(
            "--sampler",
            metavar="NAME",
            help="Chooses the candidates of a space that is not judged completely: tpe, nsga2, nsga3, qmc, gp, random.",
        ),
    ] = None,
    out: Annotated[Path | None, out_option("Default results/NAME.")] = None,
    cluster: Annotated[
        str | None,
        typer.Option(
            "--cluster", metavar="ADDRESS", help="A Dask scheduler, or its file; default: --jobs processes here."
        ),
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify/--no-verify", help="Execute the knee's and each objective's best program.")
    ] = True,
) -> None:
    """Search chip parameters, solvers and pipelines for the best trade-offs; leaves a Pareto report."""
    from pimdse.sweep.run import run_and_report
    from pimdse.sweep.settings import load_sweep

    output = output_of(context)
    settings = load_sweep(
        config,
        trials=trials,
        jobs=jobs,
        seed=seed,
        model=model,
        objectives=objectives.split(",") if objectives is not None else None,
        limits=limit or (),
        sampler=sampler,
    )
    folder = out if out is not None else Path("results") / settings.name
    findings, files, interrupted = run_and_report(output, settings, folder, cluster=cluster, verify=verify)
    show_findings(output, findings, folder, files)
    if interrupted:
        done = len(findings.trials)
        output.note(f"interrupted after {done} of {settings.budget} candidates; the same command goes on")
        raise typer.Exit(130)


_REPORT_EPILOG = """[bold]Example[/bold]

pimdse report results/isaac

Writes front.csv, front.png, report.html, trials.csv and manifest.yaml from the stored trials, finished or not."""


def report(context: typer.Context, folder: Folder) -> None:
    """Write the report of a sweep again from its stored trials."""
    from pimdse.report.findings import find
    from pimdse.report.write import write_report
    from spaces.search.study import load_stored

    findings = find(load_stored(folder))
    files = write_report(findings, folder)
    show_findings(output_of(context), findings, folder, files)


def show_findings(output: Output, findings: "Findings", folder: Path, files: tuple[Path, ...]) -> None:
    """Show the front of a sweep and where its files are."""
    from pimdse.report.claims import claims
    from pimdse.report.page import summary_sentence
    from pimdse.report.tables import trial_row
    from pimdse.sweep.front_table import front_table

    data = {
        "folder": str(folder),
        "points": findings.enumeration.points if findings.enumeration else None,
        "points_feasible": findings.enumeration.feasible if findings.enumeration else None,
        "certificate": findings.certificate,
        **findings.counts,
        "verified": sorted({n for (n, _), proof in findings.proofs.items() if proof.passed}),
        "knee": findings.knee.number if findings.knee else None,
        "front": [trial_row(t) for t in findings.front],
        "reasons": findings.reason_rows,
        "files": [str(f) for f in files],
    }
    summary = "\n".join((summary_sentence(findings), *claims(findings)))
    output.show(data, lambda console: front_table(console, findings, summary, folder))
