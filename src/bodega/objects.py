"""The commands on objects, written once: ``bodega`` and ``kedro bodega`` mount them, each over the store that it opens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from bodega.commands import (
    all_runs_option,
    dry_run_option,
    json_option,
    list_objects,
    only_runs_option,
    remove_objects,
    show_object,
    show_usage,
    yes_option,
)
from bodega.errors import ObjectNotFound

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from bodega.store import Store


_Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class Known(NamedTuple):
    """What is known of an object before the store is asked."""

    name: str
    """Its name in the store."""
    facts: Mapping[str, str | list[str] | None] = {}
    """What its header does not say."""
    remedy: str = ""
    """What to do where there is no such object."""


class Opened(NamedTuple):
    """A store, as seen from the run that is meant."""

    store: Store
    know: Callable[[str], Known] = Known
    """What is known of an object, by the name that a person gives."""


@dataclass(frozen=True)
class Mount:
    """Where the commands are mounted."""

    program: str
    """What people type, such as ``bodega``."""
    options: tuple[_Decorator, ...]
    """The options that say which store."""
    run_option: _Decorator
    """The option ``run``; ``usage`` has none."""
    open: Callable[..., Opened]
    """Opens the store; takes the values of the options."""
    complete: Callable[[click.Context, click.Parameter, str], list[CompletionItem]] | None = None
    """What completes the name of an object in a shell."""


def list_command(mount: Mount) -> click.Command:
    """``ls``."""

    def ls(ctx: click.Context, pattern: str, *, all_runs: bool, only_runs: bool, as_json: bool, **options: Any) -> None:
        """List the objects of a run, or the runs.

        PATTERN is one of a shell (*, ?, [...]) that names match.

        A damaged object is listed as such, and the exit code is then 1.

        \b
        Examples:
          PROGRAM ls
          PROGRAM ls 'features*' --run nightly-42
          PROGRAM ls --all-runs --json | jq '.objects[].name'
          PROGRAM ls --runs
        """
        list_objects(ctx, mount.open(**options).store, pattern, all_runs=all_runs, only_runs=only_runs, as_json=as_json)

    argument = click.argument("pattern", default="*", shell_complete=mount.complete)
    return _command(mount, ls, argument, *mount.options, mount.run_option, all_runs_option, only_runs_option)


def info_command(mount: Mount) -> click.Command:
    """``info``."""

    def info(_ctx: click.Context, name: str, *, as_json: bool, **options: Any) -> None:
        """Show all facts of an object.

        Its kind, columns, size and tier, and who made it; in a project also the node that makes it and those that read it.
        Reads the header of NAME only, not its data.

        \b
        Examples:
          PROGRAM info house_prices
          PROGRAM info house_prices --run nightly-42 --json | jq .schema
        """
        opened = mount.open(**options)
        known = opened.know(name)
        try:
            show_object(opened.store, known.name, as_json=as_json, known=known.facts)
        except ObjectNotFound as error:
            if known.remedy:
                error.add_hint(known.remedy)
            raise

    argument = click.argument("name", shell_complete=mount.complete)
    return _command(mount, info, argument, *mount.options, mount.run_option)


def remove_command(mount: Mount) -> click.Command:
    """``rm``."""

    def rm(
        ctx: click.Context, names: tuple[str, ...], *, yes: bool, dry_run: bool, as_json: bool, **options: Any
    ) -> None:
        """Remove objects, or a whole run.

        By name or pattern; with --run alone all objects of that run. If one of the names is not there, nothing is
        removed. Processes that hold an object keep it.

        \b
        Examples:
          PROGRAM rm house_prices model
          PROGRAM rm 'features*' --dry-run
          PROGRAM rm --run nightly-42 --yes
        """
        remove_objects(ctx, mount.open(**options).store, names, yes=yes, dry_run=dry_run, as_json=as_json)

    argument = click.argument("names", nargs=-1, metavar="[NAME|PATTERN]...", shell_complete=mount.complete)
    return _command(mount, rm, argument, *mount.options, mount.run_option, yes_option, dry_run_option)


def usage_command(mount: Mount) -> click.Command:
    """``usage``."""

    def usage(_ctx: click.Context, *, as_json: bool, **options: Any) -> None:
        """Show what is taken and what is left.

        \b
        Examples:
          PROGRAM usage
          PROGRAM usage --json | jq .free
        """
        show_usage(mount.open(**options).store, as_json=as_json)

    return _command(mount, usage, *mount.options)


def _command(mount: Mount, function: Callable[..., None], *options: _Decorator) -> click.Command:
    """A click command of a function, whose docstring is the help."""
    function.__doc__ = (function.__doc__ or "").replace("PROGRAM", mount.program)
    decorated: Callable[..., Any] = click.pass_context(function)
    every: list[_Decorator] = [*options, json_option]
    for option in reversed(every):
        decorated = option(decorated)
    return click.command(name=function.__name__)(decorated)
