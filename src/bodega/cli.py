"""The command line: ``bodega ls``, ``info``, ``rm``, ``usage``, ``sweep``, ``doctor``, ``bench`` and ``demo``.

Facts go to standard output, as tables for people or as one JSON document; everything else goes to standard error.
Only click is imported here, so that ``bodega --help`` and completion are quick.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from bodega.errors import BodegaError, LayoutError, ObjectNotFound
from bodega.settings import ROOT_VARIABLE, RUN_VARIABLE, format_size

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from bodega.layout import ObjectInfo
    from bodega.store import Store

INTERRUPTED = 130
"""What shells expect of a command that Ctrl-C ended."""

MOST_NAMES = 20
"""That a question shows."""

_Command = TypeVar("_Command", bound=Callable[..., object])


class _Bodega(click.Group):
    """The commands; errors end as one line on standard error."""

    def list_commands(self, _: click.Context) -> list[str]:
        return [*self.commands, "bench", "demo"]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name == "bench":
            from bodega.bench.command import bench

            return bench
        if cmd_name == "demo":
            from bodega.demo import demo

            return demo
        return super().get_command(ctx, cmd_name)

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run and, unless a program calls, leave the process with the exit code."""
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        try:
            result = super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        except click.ClickException as error:
            context = getattr(error, "ctx", None)
            hint = f" See '{context.command_path} --help'." if context is not None else ""
            _complain(error.format_message() + hint)
            sys.exit(error.exit_code)
        except (BodegaError, OSError) as error:
            _complain(str(error))
            sys.exit(1)
        except click.Abort:
            _complain("interrupted.")
            sys.exit(INTERRUPTED)
        sys.exit(result if isinstance(result, int) else 0)


def _complain(sentence: str) -> None:
    click.echo(f"bodega: error: {sentence}", err=True)


def _complete_name(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    try:
        names = _open(ctx.params.get("root"), ctx.params.get("run")).names()
    except (BodegaError, OSError):
        return []  # A shell in the middle of a line is no place for an error.
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def _root_option(command: _Command) -> _Command:
    return click.option(
        "--root",
        envvar=ROOT_VARIABLE,
        show_envvar=True,
        type=click.Path(readable=False, path_type=Path),
        help="Folder that holds the store; by default this user's in shared memory.",
    )(command)


def _run_option(command: _Command) -> _Command:
    return click.option(
        "--run", envvar=RUN_VARIABLE, show_envvar=True, metavar="RUN", help="The run; by default 'default'."
    )(command)


_json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


@click.group(cls=_Bodega, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="bodega", message="bodega %(version)s")
@click.pass_context
def main(ctx: click.Context) -> None:
    """Look at and look after a store of shared data.

    \b
    Examples:
      bodega ls                      what the run holds
      bodega info house_prices       everything about one object
      bodega rm --run nightly-42     give a whole run's memory back
      bodega doctor                  is this machine set up well?
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


@main.command()
@click.argument("pattern", default="*", shell_complete=_complete_name)
@_root_option
@_run_option
@click.option("--all-runs", is_flag=True, help="List the objects of every run.")
@click.option("--runs", "only_runs", is_flag=True, help="List the runs instead of objects.")
@_json_option
@click.pass_context
def ls(
    ctx: click.Context,
    pattern: str,
    root: Path | None,
    run: str | None,
    *,
    all_runs: bool,
    only_runs: bool,
    as_json: bool,
) -> None:
    """List objects, or runs.

    PATTERN is one of a shell (*, ?, [...]) that names match.

    A damaged object is listed as such, and the exit code is then 1.

    \b
    Examples:
      bodega ls
      bodega ls 'features/*' --run nightly-42
      bodega ls --all-runs --json | jq '.objects[].name'
      bodega ls --runs
    """
    if all_runs and _is_given(ctx, "run"):
        raise click.UsageError("--run and --all-runs contradict each other.", ctx)
    if only_runs and (all_runs or _is_given(ctx, "run") or pattern != "*"):
        raise click.UsageError("--runs lists all runs: it takes no pattern, --run or --all-runs.", ctx)
    store = _open(root, run)
    runs = store.runs() if all_runs or only_runs else [store.run]
    objects: list[ObjectInfo] = []
    damaged: list[dict[str, str]] = []
    for each in runs:
        for name, found in _look(store.with_run(each), pattern):
            if isinstance(found, LayoutError):
                damaged.append({"name": name, "run": each, "reason": str(found)})
            else:
                objects.append(found)
    if only_runs:
        _show_runs(store, runs, objects, damaged, as_json=as_json)
    elif as_json:
        facts = [_facts(info) for info in objects]
        _print_json({"root": str(store.root), "runs": runs, "objects": facts, "damaged": damaged})
    else:
        from bodega.tables import print_objects

        print_objects(objects, damaged, with_run=all_runs)
        if not objects and not damaged:
            matching = "no object" if pattern == "*" else f"no object that matches {pattern!r}"
            where = "any run" if all_runs else f"run {store.run!r}"
            click.echo(f"There is {matching} in {where} of {store.root}.", err=True)
    ctx.exit(1 if damaged else 0)


def _show_runs(
    store: Store, runs: list[str], objects: list[ObjectInfo], damaged: list[dict[str, str]], *, as_json: bool
) -> None:
    rows = []
    for run in runs:
        sizes = [info.nbytes for info in objects if info.run == run]
        harmed = sum(each["run"] == run for each in damaged)
        rows.append({"run": run, "objects": len(sizes) + harmed, "damaged": harmed, "nbytes": sum(sizes)})
    if as_json:
        _print_json({"root": str(store.root), "runs": rows})
        return
    from bodega.tables import print_runs

    print_runs(rows)


@main.command()
@click.argument("name", shell_complete=_complete_name)
@_root_option
@_run_option
@_json_option
def info(name: str, root: Path | None, run: str | None, *, as_json: bool) -> None:
    """Show all facts of an object.

    Reads the header of NAME only, not its data.

    \b
    Examples:
      bodega info house_prices
      bodega info house_prices --run nightly-42 --json | jq .schema
    """
    store = _open(root, run)
    found = store.info(name)
    if as_json:
        _print_json({"root": str(store.root), **_facts(found)})
        return
    from bodega.tables import print_object

    print_object(found, str(store.root))


@main.command()
@click.argument("names", nargs=-1, metavar="[NAME|PATTERN]...", shell_complete=_complete_name)
@_root_option
@_run_option
@click.option("--yes", is_flag=True, help="Do not ask before a pattern or a whole run is removed.")
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@_json_option
@click.pass_context
def rm(
    ctx: click.Context,
    names: tuple[str, ...],
    root: Path | None,
    run: str | None,
    *,
    yes: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Remove objects, or a whole run.

    By name or pattern; with --run alone all objects of that run. If one of the names is not there, nothing is
    removed. Processes that hold an object keep it.

    \b
    Examples:
      bodega rm house_prices model
      bodega rm 'features/*' --dry-run
      bodega rm --run nightly-42 --yes
    """
    if not names and not _is_given(ctx, "run"):
        raise click.UsageError("Say what to remove: names, patterns, or --run RUN for a whole run.", ctx)
    store = _open(root, run)
    if not names and store.run not in store.runs():
        there = f"there are {', '.join(store.runs())}" if store.runs() else "the store is empty"
        raise ObjectNotFound(
            f"There is no run {store.run!r} in {store.root}: {there}.", name="", run=store.run, matches=[]
        )
    chosen, ask = _choose(store, names)
    if ask and not yes and not dry_run and not _agreed(ctx, store, chosen):
        click.echo("Nothing was removed.", err=True)
        ctx.exit(1)
    removed: dict[str, int | None] = {}
    for name in chosen:
        try:
            nbytes = _size(store, name)
            if not dry_run:
                store.delete(name)
        except ObjectNotFound:
            continue  # Somebody else removed it meanwhile.
        removed[name] = nbytes
    if not names and not dry_run:
        store.drop_run()  # With what bodega itself keeps of the run.
    total = sum(nbytes or 0 for nbytes in removed.values())
    if as_json:
        facts = {"root": str(store.root), "run": store.run, "dry_run": dry_run}
        objects = [{"name": name, "nbytes": nbytes} for name, nbytes in removed.items()]
        _print_json({**facts, "removed": objects, "nbytes": total})
        return
    verb = "Would remove" if dry_run else "Removed"
    for name, nbytes in removed.items():
        click.echo(f"{verb} {_printable(name)} ({'damaged' if nbytes is None else format_size(nbytes)})")
    click.echo(f"{verb} {_count(len(removed), 'object')}, {format_size(total)}.", err=True)


def _choose(store: Store, names: tuple[str, ...]) -> tuple[list[str], bool]:
    """The names that arguments stand for, and whether a person should look at them first."""
    there = store.names()
    if not names:
        return there, True
    chosen: dict[str, None] = {}
    ask = False
    for argument in names:
        if argument in there:
            matching = [argument]  # Whatever it looks like, it is a name.
        elif any(character in argument for character in "*?["):
            matching = [name for name in there if fnmatchcase(name, argument)]
            ask = True
        else:
            matching = []
        if not matching:
            store.info(argument)  # Raises, with the names that look alike.
        chosen.update(dict.fromkeys(matching))
    return list(chosen), ask


def _agreed(ctx: click.Context, store: Store, names: list[str]) -> bool:
    if not sys.stdin.isatty():
        raise click.UsageError("There is no terminal to ask for confirmation: pass --yes, or --dry-run to look.", ctx)
    for name in names[:MOST_NAMES]:
        click.echo(f"  {_printable(name)}", err=True)
    if len(names) > MOST_NAMES:
        click.echo(f"  and {len(names) - MOST_NAMES:,} more", err=True)
    return click.confirm(f"Remove {_count(len(names), 'object')} of run {store.run!r}?", err=True)


@main.command()
@_root_option
@_json_option
def usage(root: Path | None, *, as_json: bool) -> None:
    """Show what is taken and what is left.

    \b
    Examples:
      bodega usage
      bodega usage --json | jq .free
    """
    used = asdict(_open(root, None).usage())
    if as_json:
        _print_json(used)
        return
    from bodega.tables import print_facts

    sizes, tiers = {"capacity", "used", "pool", "free"}, used.pop("tiers")
    facts = {key: format_size(value) if key in sizes else str(value) for key, value in used.items()}
    for tier in tiers:
        held = "" if tier["used"] is None else f", {format_size(tier['used'])} of {format_size(tier['capacity'])}"
        facts[f"tier {tier['url']}"] = f"{_count(tier['objects'], 'object')}{held}"
    print_facts(facts)


@main.command()
@_root_option
@click.option("--empty-pool", is_flag=True, help="Also free the segments that are kept warm for the next puts.")
@_json_option
def sweep(root: Path | None, *, empty_pool: bool, as_json: bool) -> None:
    """Free what crashes left; safe at any time.

    \b
    Examples:
      bodega sweep
      bodega sweep --empty-pool --json
    """
    store = _open(root, None)
    swept = store.sweep(empty_pool=empty_pool)
    if as_json:
        _print_json({"root": str(store.root), **swept._asdict()})
    else:
        click.echo(f"Swept {_count(swept.files, 'left-over')}, {format_size(swept.nbytes)}.")


@main.command()
@_root_option
@_json_option
@click.pass_context
def doctor(ctx: click.Context, root: Path | None, *, as_json: bool) -> None:
    """Check the machine and the root.

    Says how to mend what is found.

    The exit code is 1 if something keeps a store from working.

    \b
    Examples:
      bodega doctor
      bodega doctor --root /mnt/bodega/me
      bodega doctor --json | jq -r '.findings[] | select(.level != "ok").remedy'
    """
    from bodega.doctor import check
    from bodega.memory.root import default_root

    findings = check(root)
    if as_json:
        _print_json({"root": str(root or default_root()), "findings": [asdict(finding) for finding in findings]})
    else:
        from bodega.tables import print_findings

        print_findings(findings)
    ctx.exit(1 if any(finding.level == "error" for finding in findings) else 0)


def _open(root: Path | None, run: str | None) -> Store:
    import bodega

    if root is not None and not root.expanduser().exists():
        # Making a folder because its name was misspelt would hide the mistake.
        raise click.ClickException(f"There is no store at {root}: check --root and {ROOT_VARIABLE}.")
    return bodega.open(root, run=run)


def _is_given(ctx: click.Context, option: str) -> bool:
    """Whether an option is on the command line: the environment must not select what is removed."""
    return ctx.get_parameter_source(option) is click.core.ParameterSource.COMMANDLINE


def _look(store: Store, pattern: str) -> Iterator[tuple[str, ObjectInfo | LayoutError]]:
    for name in store.names(pattern):
        try:
            yield name, store.info(name)
        except LayoutError as error:
            yield name, error
        except ObjectNotFound:
            continue  # Removed since the names were read.


def _size(store: Store, name: str) -> int | None:
    try:
        return store.info(name).nbytes
    except LayoutError:
        return None


def _facts(info: ObjectInfo) -> dict[str, Any]:
    facts = asdict(info)
    facts["created"] = info.created.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    facts["shape"] = info.schema.get("shape")
    return facts


def _print_json(document: dict[str, Any]) -> None:
    click.echo(json.dumps(document, indent=2))


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}" + ("" if number == 1 else "s")


def _printable(text: str) -> str:
    from bodega.tables import printable

    return printable(text)
