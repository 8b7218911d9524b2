"""The entry point ``kedro.hooks``, at an address that stays; see `bodega.kedro.run.hooks`."""

from bodega.kedro.run.hooks import hooks

__all__ = ["hooks"]
