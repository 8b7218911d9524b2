"""The group ``bodega bench``; a benchmark is imported when it is asked for."""

from __future__ import annotations

from importlib import import_module

import click

_COMMANDS = {
    "micro": "bodega_bench.micro.arrays",
    "against": "bodega_bench.micro.against",
    "values": "bodega_bench.micro.values",
    "scale": "bodega_bench.micro.scale",
    "tiers": "bodega_bench.micro.tiers",
    "store": "bodega_bench.store.command",
    "pipeline": "bodega_bench.pipeline.command",
    "report": "bodega_bench.pipeline.command",
    "runners": "bodega_bench.pipeline.runners",
    "argo-manifests": "bodega_bench.cluster.manifests",
    "argo-report": "bodega_bench.cluster.report",
}
"""The module of each."""


class _Benchmarks(click.Group):
    """The benchmarks by name."""

    def list_commands(self, _: click.Context) -> list[str]:
        return [*_COMMANDS]

    def get_command(self, _: click.Context, cmd_name: str) -> click.Command | None:
        module = _COMMANDS.get(cmd_name)
        return None if module is None else getattr(import_module(module), cmd_name.replace("-", "_"))


@click.group(cls=_Benchmarks)
def bench() -> None:
    """Measure what sharing data costs on this machine.

    \b
    Examples:
      bodega bench micro                      put and get, beside the limits of this machine
      bodega bench against HEAD~20            what this checkout costs beside an older commit
      bodega bench store                      put and get, beside other systems
      bodega bench store --sizes 1KiB,1MiB    small objects only
      bodega bench pipeline                   a Kedro pipeline through every medium
      bodega bench report                     its reports, made again
    """
