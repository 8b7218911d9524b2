"""The command line: ``bodega ls``, ``info``, ``rm``, ``usage``, ``sweep``, ``settings``, ``doctor`` and ``demo``.

The commands on objects are in `bodega.objects`, for ``kedro bodega`` too. Only click is imported here, so that ``bodega --help`` and completion are quick.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from bodega.commands import (
    count,
    fill_standard_streams,
    forget_settings,
    is_given,
    json_option,
    print_json,
    show_settings,
)
from bodega.env import ROOT_VARIABLE, RUN_VARIABLE
from bodega.errors import BodegaError
from bodega.objects import Mount, Opened, info_command, list_command, remove_command, usage_command
from bodega.texts import clean, format_size

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from click.shell_completion import CompletionItem

    from bodega.store import Store

COMMANDS = "bodega.commands"
"""The group of entry points by which a distribution adds commands."""
INTERRUPTED = 130
"""What shells expect of a command that Ctrl-C ended."""

_Command = TypeVar("_Command", bound=Callable[..., object])


class _Bodega(click.Group):
    """The commands; errors end as one line on standard error."""

    def list_commands(self, _: click.Context) -> list[str]:
        return [*self.commands, *_installed_commands(), "demo"]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name == "demo":
            from bodega.demo.command import demo

            return demo
        if (command := super().get_command(ctx, cmd_name)) is not None:
            return command
        installed = _installed_commands().get(cmd_name)
        return None if installed is None else installed.load()

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
        fill_standard_streams()
        try:
            result = super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        except click.ClickException as error:
            context = getattr(error, "ctx", None)
            hint = f" See '{context.command_path} --help'." if context is not None else ""
            _complain(error.format_message() + hint)
            sys.exit(error.exit_code)
        except BodegaError as error:
            _complain(str(error))
            sys.exit(1)
        except OSError as error:
            # Of any other file it would have a name.
            _complain(str(error) if error.filename else f"standard output cannot be written: {error.strerror}.")
            sys.exit(1)
        except click.Abort:
            _complain("interrupted.")
            sys.exit(INTERRUPTED)
        sys.exit(result if isinstance(result, int) else 0)


def _installed_commands() -> dict[str, EntryPoint]:
    """Commands of other distributions, such as ``bodega bench`` of the benchmarks, by name."""
    from importlib.metadata import entry_points  # Slow to import, and seldom needed.

    return {entry.name: entry for entry in entry_points(group=COMMANDS)}


def _complain(sentence: str) -> None:
    click.echo(f"bodega: error: {clean(sentence)}", err=True)


def _complete_name(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    try:
        names = _open(ctx.params.get("root"), ctx.params.get("run")).names()
    except (BodegaError, OSError):
        return []  # A shell in the middle of a line is no place for an error.
    return [CompletionItem(name) for name in names if name.startswith(incomplete) and name.isprintable()]


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


def _open(root: Path | None, run: str | None = None) -> Store:
    import bodega

    _require(root)
    return bodega.open(root, run=run)


def _mounted(root: Path | None, run: str | None = None) -> Opened:
    return Opened(_open(root, run))


def _require(root: Path | None) -> None:
    if root is not None and not root.expanduser().exists():
        # Making a folder because its name was misspelt would hide the mistake.
        given = is_given(click.get_current_context(), "root")
        named = "check --root" if given else f"check {ROOT_VARIABLE}, or name another one with --root"
        raise click.ClickException(
            f"There is no store at {root}, for there is no such folder: {named}. A store is made where a program opens "
            "it (bodega.open)."
        )


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


_mount = Mount("bodega", (_root_option,), _run_option, _mounted, _complete_name)
for _command in (list_command, info_command, remove_command, usage_command):
    main.add_command(_command(_mount))


@main.command()
@_root_option
@click.option("--empty-pool", is_flag=True, help="Also free the segments that are kept warm for the next puts.")
@json_option
def sweep(root: Path | None, *, empty_pool: bool, as_json: bool) -> None:
    """Free what crashes left; safe at any time.

    \b
    Examples:
      bodega sweep
      bodega sweep --empty-pool --json
    """
    store = _open(root)
    swept = store.sweep(empty_pool=empty_pool)
    if as_json:
        print_json({"root": str(store.root), **swept._asdict()})
    else:
        click.echo(f"Swept {count(swept.files, 'left-over')}, {format_size(swept.nbytes)}.")


@main.command()
@_root_option
@click.option("--capacity", metavar="SIZE", help="What objects in memory may take together, such as 8GiB or 50%.")
@click.option(
    "--spill", multiple=True, metavar="PLACE", help="A lower tier, a folder or a URL; again for the one below it."
)
@click.option("--forget", "forgets", is_flag=True, help="Have no settings; nothing is removed.")
@json_option
def settings(root: Path | None, capacity: str | None, spill: tuple[str, ...], *, forgets: bool, as_json: bool) -> None:
    """Show what a root is set to, or change it.

    Capacity and lower tiers of whoever opens the root without saying any.

    \b
    Examples:
      bodega settings
      bodega settings --capacity 8GiB --spill /var/tmp/bodega --spill s3://bucket/prefix
      bodega settings --forget
    """
    from bodega.memory.root import open_root

    if forgets and (capacity is not None or spill):
        raise click.UsageError("--forget takes no --capacity or --spill.")
    _require(root)
    if forgets:
        forget_settings(open_root(root), as_json=as_json)
        return
    if capacity is not None or spill:
        import bodega

        bodega.open(root, capacity=capacity, spill=spill or None).keep_settings()
    show_settings(open_root(root), as_json=as_json)


@main.command()
@_root_option
@json_option
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
        shown = [
            {"check": found.code, "level": found.level, "finding": found.message, "remedy": found.remedy}
            for found in findings
        ]
        print_json({"root": str(root or default_root()), "findings": shown})
    else:
        from bodega.tables import print_findings

        print_findings(findings)
    ctx.exit(1 if any(finding.level == "error" for finding in findings) else 0)
