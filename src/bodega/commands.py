"""What the commands on objects do, whoever has opened the store: ``bodega``, or ``kedro bodega`` in a project.

Facts go to standard output, as tables for people or as one JSON document; everything else goes to standard error.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from bodega.errors import LayoutError, ObjectNotFound
from bodega.memory.root import root_option
from bodega.texts import clean, command, format_size, printable

if TYPE_CHECKING:
    from bodega.format import ObjectInfo
    from bodega.memory.root import Root
    from bodega.store import Store

_Command = TypeVar("_Command", bound=Callable[..., object])

MOST_NAMES = 20
"""That a question shows."""
MOST_RUNS = 5
"""That an answer names."""

_OUTPUT = f"{__name__}.output"
"""Where a command keeps the file that its document goes to."""

json_flag = click.option(
    "--json",
    "as_json",
    is_flag=True,
    callback=lambda ctx, _, value: value or _OUTPUT in ctx.meta,
    help="Print one JSON document.",
)


def json_option(command: _Command) -> _Command:
    """What ``json_flag`` does, and ``--output``: standard output may have lines of others, such as Kedro's."""
    output = click.option(
        "--output",
        "-o",
        type=click.Path(dir_okay=False, path_type=Path),
        expose_value=False,
        is_eager=True,  # Before --json, which it implies.
        callback=_remember_output,
        help="Write the JSON document to this file instead.",
    )
    return output(json_flag(command))


def _remember_output(ctx: click.Context, _: click.Parameter, file: Path | None) -> None:
    if file is not None:
        ctx.meta[_OUTPUT] = file


all_runs_option = click.option("--all-runs", is_flag=True, help="List the objects of every run.")
only_runs_option = click.option("--runs", "only_runs", is_flag=True, help="List the runs instead of objects.")
yes_option = click.option("--yes", is_flag=True, help="Do not ask before a pattern or a whole run is removed.")
dry_run_option = click.option("--dry-run", is_flag=True, help="Only say what would be removed.")


def list_objects(
    ctx: click.Context, store: Store, pattern: str, *, all_runs: bool, only_runs: bool, as_json: bool
) -> None:
    """Show objects, or runs; the exit code is 1 if one is damaged.

    Raises:
        click.UsageError: the options contradict each other.
    """
    if all_runs and is_given(ctx, "run"):
        raise click.UsageError("--run and --all-runs contradict each other.", ctx)
    if only_runs and (all_runs or is_given(ctx, "run") or pattern != "*"):
        raise click.UsageError("--runs lists all runs: it takes no pattern, --run or --all-runs.", ctx)
    runs = store.runs() if all_runs or only_runs else [store.run]
    objects: list[ObjectInfo] = []
    damaged: list[dict[str, str]] = []
    for each in runs:
        for name, found in _look(store.with_run(each), pattern):
            if isinstance(found, str):
                damaged.append({"name": name, "run": each, "reason": found})
            else:
                objects.append(found)
    if only_runs:
        _show_runs(store, runs, objects, damaged, as_json=as_json)
    elif as_json:
        facts = [_facts(info) for info in objects]
        print_json({"root": str(store.root), "runs": runs, "objects": facts, "damaged": damaged})
    else:
        from bodega.tables import print_objects

        print_objects(objects, damaged, by_run=all_runs)
        if not objects and not damaged:
            matching = "no object" if pattern == "*" else f"no object that matches {pattern!r}"
            where = "any run" if all_runs else f"run {store.run!r}"
            click.echo(clean(f"There is {matching} in {where} of {store.root}.{_elsewhere(store, all_runs)}"), err=True)
    ctx.exit(1 if damaged else 0)


def _elsewhere(store: Store, all_runs: bool) -> str:
    """Which other runs have objects, for somebody who found none: the run is seldom what people think of."""
    others = [] if all_runs else [run for run in store.runs() if run != store.run and store.with_run(run).names()]
    if not others:
        return ""
    shown = ", ".join(map(repr, others[:MOST_RUNS])) + (
        f" and {len(others) - MOST_RUNS:,} more" if others[MOST_RUNS:] else ""
    )
    which = ("--run", others[0]) if len(others) == 1 else ("--all-runs",)
    look = command("bodega", "ls", *which, *root_option(store.root))
    return f" There are objects in run{'' if len(others) == 1 else 's'} {shown}: {look} shows them."


def _show_runs(
    store: Store, runs: list[str], objects: list[ObjectInfo], damaged: list[dict[str, str]], *, as_json: bool
) -> None:
    rows = []
    for run in runs:
        sizes = [info.nbytes for info in objects if info.run == run]
        harmed = sum(each["run"] == run for each in damaged)
        rows.append({"run": run, "objects": len(sizes) + harmed, "damaged": harmed, "nbytes": sum(sizes)})
    if as_json:
        print_json({"root": str(store.root), "runs": rows})
        return
    from bodega.tables import print_runs

    print_runs(rows)


def show_object(
    store: Store, name: str, *, as_json: bool, known: Mapping[str, str | list[str] | None] | None = None
) -> None:
    """Show all facts of an object, from its header.

    Args:
        store: seen from the run.
        name: of the object.
        as_json: as one JSON document.
        known: what else is known of it.

    Raises:
        ObjectNotFound: no such name.
    """
    found = store.info(name)
    if as_json:
        print_json({"root": str(store.root), **_facts(found), **(known or {})})
        return
    from bodega.tables import print_object

    more = {
        key.replace("_", " "): value if isinstance(value, str) else ", ".join(value or ()) or "-"
        for key, value in (known or {}).items()
    }
    print_object(found, str(store.root), more)


def remove_objects(
    ctx: click.Context, store: Store, names: tuple[str, ...], *, yes: bool, dry_run: bool, as_json: bool
) -> None:
    """Remove objects by names and patterns, or without any a whole run; asks a person before it takes several.

    Raises:
        click.UsageError: nothing is named, or there is nobody to ask.
        ObjectNotFound: no such name or run; then nothing is removed.
    """
    if not names and not is_given(ctx, "run"):
        raise click.UsageError("Say what to remove: names, patterns, or --run RUN for a whole run.", ctx)
    if not names and store.run not in store.runs():
        there = f"there are {', '.join(map(repr, store.runs()))}" if store.runs() else "the store is empty"
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
        print_json({**facts, "removed": objects, "nbytes": total})
        return
    verb = "Would remove" if dry_run else "Removed"
    for name, nbytes in removed.items():
        click.echo(f"{verb} {printable(name)} ({'damaged' if nbytes is None else format_size(nbytes)})")
    click.echo(f"{verb} {count(len(removed), 'object')}, {format_size(total)}.", err=True)


def _choose(store: Store, names: tuple[str, ...]) -> tuple[list[str], bool]:
    """The names that arguments stand for, and whether a person should look at them first."""
    if not names:
        return store.names(), True
    chosen: dict[str, None] = {}
    ask = False
    for argument in names:
        matching = _matching(store, argument)
        if not matching:
            store.info(argument)  # Raises, with the names that look alike.
        ask = ask or matching != [argument]
        chosen.update(dict.fromkeys(matching))
    return list(chosen), ask


def _matching(store: Store, argument: str) -> list[str]:
    """The names that an argument stands for: one that is there is that name, whatever it looks like."""
    return [argument] if argument in store else store.names(argument)


def _agreed(ctx: click.Context, store: Store, names: list[str]) -> bool:
    if not sys.stdin.isatty():
        raise click.UsageError("There is no terminal to ask for confirmation: pass --yes, or --dry-run to look.", ctx)
    for name in names[:MOST_NAMES]:
        click.echo(f"  {printable(name)}", err=True)
    if len(names) > MOST_NAMES:
        click.echo(f"  and {len(names) - MOST_NAMES:,} more", err=True)
    return click.confirm(f"Remove {count(len(names), 'object')} of run {store.run!r}?", err=True)


def show_usage(store: Store, *, as_json: bool) -> None:
    """Show what is taken and what is left."""
    used = asdict(store.usage())
    if as_json:
        print_json(used)
        return
    from bodega.tables import print_facts

    sizes, tiers = {"capacity", "used", "pool", "free"}, used.pop("tiers")
    facts = {
        key: format_size(value) if key in sizes else f"{value:,}" if isinstance(value, int) else value
        for key, value in used.items()
    }
    if tiers:
        facts["objects"] += " in memory"
    for tier in tiers:
        held = "" if tier["used"] is None else f", {format_size(tier['used'])} of {format_size(tier['capacity'])}"
        facts[f"tier {tier['url']}"] = f"{count(tier['objects'], 'object')}{held}"
    print_facts(facts)


def show_settings(root: Root, *, as_json: bool) -> None:
    """Show what a root is set to, without looking at its lower tiers: they may be gone."""
    from bodega.tiers.kept import holds_below, recall

    known = recall(root)
    capacity, spill = known.get("capacity"), [clean(str(each)) for each in known.get("spill", ())]
    holds = bool(spill) and holds_below(known)
    if as_json:
        print_json({"root": str(root.path), "capacity": capacity, "spill": spill, "holds": holds})
        return
    from bodega.tables import print_facts

    tiers = {f"spill {number}": each for number, each in enumerate(spill, 1)}
    held = {"below": "objects may lie there" if holds else "no object lies there"} if spill else {"spill": "-"}
    print_facts({"root": str(root.path), "capacity": str(capacity or "-"), **tiers, **held})


def forget_settings(root: Root, *, as_json: bool) -> None:
    """Let a root have no settings, whatever they are: damaged ones, too."""
    from bodega.tiers.kept import forget, holds_below, recall

    try:
        known = recall(root)
    except LayoutError:
        known = {}
    forget(root)
    show_settings(root, as_json=as_json)
    if (spill := known.get("spill")) and holds_below(known):
        again = (word for each in spill for word in ("--spill", each))
        kept = command("bodega", "settings", "--root", root.path, *again)
        click.echo(clean(f"What lies below stays there. Where it is there again, this finds it: {kept}"), err=True)


def is_given(ctx: click.Context, option: str) -> bool:
    """Whether an option is on the command line: the environment must not select what is removed."""
    return ctx.get_parameter_source(option) is click.core.ParameterSource.COMMANDLINE


_Unreadable = (LayoutError, PermissionError, MemoryError)
"""What one object can be to blame for: the others are shown all the same."""


def _look(store: Store, pattern: str) -> Iterator[tuple[str, ObjectInfo | str]]:
    """The names that an argument stands for, with what is known of each object, or why it cannot be read."""
    for name in _matching(store, pattern):
        try:
            yield name, store.info(name)
        except _Unreadable as error:
            yield name, clean(str(error) or "Its description does not fit into memory.")
        except ObjectNotFound:
            continue  # Removed since the names were read.


def _size(store: Store, name: str) -> int | None:
    try:
        return store.info(name).nbytes
    except _Unreadable:
        return None


def _facts(info: ObjectInfo) -> dict[str, Any]:
    # Not `asdict`, which copies all that it finds.
    facts = {field.name: getattr(info, field.name) for field in fields(info)}
    facts["producer"] = asdict(info.producer)
    facts["created"] = info.created.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    facts["shape"] = info.schema.get("shape")
    return facts


def print_json(document: dict[str, Any]) -> None:
    """Print a document as people can read it too, or write it to the file that the command was given.

    Raises:
        click.ClickException: the file cannot be written.
    """
    text = json.dumps(document, indent=2)
    context = click.get_current_context(silent=True)
    file = None if context is None else context.meta.get(_OUTPUT)
    if file is None:
        click.echo(text)
    else:
        write_file(file, f"{text}\n")


def write_file(file: Path, text: str) -> None:
    """Write a file whole or not at all, in one atomic step.

    What a link leads to is written, and the link stays; a device or a pipe takes the text.

    Raises:
        click.ClickException: it cannot be written.
    """
    try:
        file = Path(os.path.realpath(file))
        if file.exists() and not file.is_file():
            file.write_text(text, encoding="utf-8")
            return
        if not file.parent.exists():
            raise click.ClickException(f"{file} cannot be written: there is no folder {file.parent}. Make it first.")
        descriptor, draft = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
        try:
            with open(descriptor, "w", encoding="utf-8") as target:
                target.write(text)
            os.chmod(draft, 0o644)  # What other files of a project have; a draft is the user's alone.
            os.replace(draft, file)
        except BaseException:
            os.unlink(draft)
            raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise click.ClickException(f"{file} cannot be written: {reason}. Name a file in a folder of yours.") from error


def fill_standard_streams() -> None:
    """Let standard streams that are closed lead nowhere: libraries write to them, and no file may take their numbers."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - open to the end


def count(number: int, thing: str) -> str:
    """A number of things, such as ``1 object``."""
    return f"{number:,} {thing}" + ("" if number == 1 else "s")
