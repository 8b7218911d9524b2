"""The group ``bodega bench``; a benchmark is imported when it is asked for."""

from __future__ import annotations

import click


class _Benchmarks(click.Group):
    """The benchmarks by name."""

    def list_commands(self, _: click.Context) -> list[str]:
        return [*self.commands, "store"]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name == "store":
            from bodega.bench.store import store

            return store
        return super().get_command(ctx, cmd_name)


@click.group(cls=_Benchmarks)
def bench() -> None:
    """Measure what sharing data costs on this machine.

    \b
    Examples:
      bodega bench store                      put and get, beside other systems
      bodega bench store --sizes 1KiB,1MiB    small objects only
    """
