"""``espcn-core upscale``: make files and folders of volumes finer."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import typer

from espcn_core.cli import options
from espcn_core.cli.messages import complain
from espcn_core.cli.process import import_less
from espcn_core.errors import RequestError


def upscale(
    context: typer.Context,
    inputs: options.Inputs,
    output: options.Output = None,
    bids: options.Bids = False,
    keep_headers: options.KeepHeaders = False,
    trust: options.Trust = None,
    suffix: options.Suffix = "",
    compress: options.Compress = None,
    output_format: options.OutputFormat = None,
    anonymise: options.Anonymise = False,
    existing: options.Existing = "error",
    force: options.Force = False,
    scale: options.Scale = None,
    spacing: options.Spacing = None,
    isotropic: options.Isotropic = False,
    model: options.Model = None,
    plane: options.Plane = "auto",
    dtype: options.Dtype = "same",
    slice_thickness: options.SliceThickness = None,
    consistent: options.Consistent = True,
    dry_run: options.DryRun = False,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    engine: options.Engine = "auto",
    jobs: options.Jobs = 1,
    part: options.Part = None,
    scheduler: options.Scheduler = None,
    log: options.Log = None,
    page: options.Report = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Make volumes finer: in the slices, across them, or to any spacing.

    The field of view, the data type and the header stay as they are.

    A batch goes on past a bad file. An output folder keeps a manifest: call the same line again with
    --existing resume to do the rest, and espcn-core status FOLDER to see how far it is.

    Exit code: 0 all done, 1 all failed, 2 wrong call, 3 some failed, 130 interrupted.
    """
    import_less()
    from espcn_core import __version__
    from espcn_core.cli.interruption import INTERRUPTED, ending_in_time
    from espcn_core.cli.report import Listing, Log, Plans, Report
    from espcn_core.cli.requests import bids_jobs_of, check_request, check_slice_thickness, parse_request
    from espcn_core.cli.worker import COMMAND
    from espcn_core.cohort.jobs import check_anonymous, find_jobs, folder_of
    from espcn_core.cohort.page import Call, check_page, words_of, write_page
    from espcn_core.cohort.parts import parse_part
    from espcn_core.cohort.run import Manner, run_cohort
    from espcn_core.cohort.settings import parameters_of
    from espcn_core.cohort.work import Wanted
    from espcn_core.upscaling.engines import Engines

    started = time.monotonic()
    folder: Path | None
    request = parse_request(scale, spacing, isotropic, plane, model)
    check_slice_thickness(slice_thickness)
    if bids:
        others = {
            "--trust": trust, "--suffix": suffix or None, "--compress": compress,
            "--output-format": output_format, "--anonymise": anonymise or None,
        }  # fmt: skip
        given = [name for name, value in others.items() if value is not None]
        found, folder, left_out = bids_jobs_of(inputs, output, given)
        if left_out and not quiet:
            reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(left_out.items()))
            typer.echo(f"left out in {inputs[0]}: {reasons}", err=True)
    elif keep_headers:
        raise RequestError("--keep-headers goes with --bids, which alone writes sidecars: leave it out")
    elif output is None:
        raise RequestError("--output is missing: name a file for one input file, a folder otherwise")
    else:
        found = find_jobs(
            inputs, output, suffix,
            trust=trust, compress=compress, output_format=output_format,
            resume=existing in ("resume", "skip"),
        )  # fmt: skip
        folder = folder_of(found, output)
    if existing == "resume" and folder is None:
        raise RequestError(
            "--existing resume goes with an output folder, which keeps a manifest: use --existing skip"
        )
    if page is not None:
        check_page(page, found, folder, dry_run=dry_run)
    if anonymise:
        check_anonymous(found)
    mine = None if part is None else parse_part(part)
    if mine is not None:
        if folder is None:
            raise RequestError("--part goes with an output folder, which keeps its manifest: name one")
        if page is not None:
            raise RequestError("--report shows a whole cohort: merge its parts first, and leave --part out")
        found = mine.of(found)
    if scheduler is not None and (mine is not None or folder is None):
        raise RequestError("--scheduler goes with an output folder, and without --part: leave one out")
    engines = Engines(device, precision, engine)
    check_request(request, engines)

    wanted = Wanted(
        request, dtype, slice_thickness, consistent, force, dry_run, anonymise, page is not None, keep_headers
    )
    debug = bool(context.find_root().params.get("debug"))
    manner = Manner(
        folder, existing, suffix, (device, precision, engine), jobs, COMMAND, debug, mine, scheduler,
        (lambda line: None) if quiet else (lambda line: typer.echo(line, err=True)),
    )  # fmt: skip
    listing = Listing() if as_json else None
    written = Log(log) if log is not None else None
    if written is not None:
        written.write("start", version=__version__, files=len(found), jobs=jobs, existing=existing)
    plans = Plans() if dry_run and not as_json else None
    report = Report(found, quiet, [who for who in (listing, written, plans) if who is not None])
    interrupted = "interrupted: the outputs that are there are complete; --existing "
    interrupted += f"{'skip' if folder is None else 'resume'} does the rest"
    try:
        with ending_in_time(interrupted), report:
            counts = run_cohort(found, wanted, manner, report, engines)
    except KeyboardInterrupt:
        complain(interrupted)
        if written is not None:
            written.conclude({}, interrupted=True)
        if listing is not None:
            listing.conclude(engines.place)
        raise typer.Exit(INTERRUPTED) from None
    report.conclude(counts)
    if plans is not None:
        plans.conclude()
    if written is not None:
        written.conclude(counts)
    if listing is not None:
        listing.conclude(engines.place)
    if page is not None and folder is not None:
        trusted = any(job.trust is not None for job in found)
        asked = words_of(parameters_of(wanted, precision=precision, engine=engine, trust=trusted))
        call = Call(list(map(str, inputs)), str(folder), asked, time.monotonic() - started)
        write_page(page, found, folder, call)
    raise typer.Exit(_exit_code(counts))


def _exit_code(counts: Mapping[str, int]) -> int:
    """0 if nothing failed, 1 if everything did, 3 if something is there."""
    if not counts["failed"]:
        return 0
    return 3 if any(counts[state] for state in ("done", "planned", "skipped")) else 1
