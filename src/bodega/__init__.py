"""Share the intermediate data of a pipeline between its tasks without copying or serialising it."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bodega.codecs.chunks import Chunks
    from bodega.errors import (
        BodegaError,
        CannotRebuild,
        ClusterError,
        ImageError,
        IncompleteInstallation,
        InvalidName,
        LayoutError,
        LintError,
        NotShareable,
        ObjectNotFound,
        ObjectReplaced,
        PlanError,
        RootError,
        SettingsError,
        StoreBusy,
        StoreFull,
        TaskFailed,
        TierError,
        UnsupportedPlatform,
        UntrustedObject,
    )
    from bodega.format import ObjectInfo, Producer
    from bodega.memory.sweep import Swept
    from bodega.store import Store, Usage, open

__version__ = "0.2.0.dev0"

__all__ = [
    "BodegaError",
    "CannotRebuild",
    "Chunks",
    "ClusterError",
    "ImageError",
    "IncompleteInstallation",
    "InvalidName",
    "LayoutError",
    "LintError",
    "NotShareable",
    "ObjectInfo",
    "ObjectNotFound",
    "ObjectReplaced",
    "PlanError",
    "Producer",
    "RootError",
    "SettingsError",
    "Store",
    "StoreBusy",
    "StoreFull",
    "Swept",
    "TaskFailed",
    "TierError",
    "UnsupportedPlatform",
    "UntrustedObject",
    "Usage",
    "open",
]

_HOMES = {
    "Chunks": "codecs.chunks",
    "ObjectInfo": "format",
    "Producer": "format",
    "Store": "store",
    "Swept": "memory.sweep",
    "Usage": "store",
    "open": "store",
}
"""Where the names live that are not errors. Loaded on first use: a command's ``--help`` needs none of them."""


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = globals()[name] = getattr(import_module(f"{__name__}.{_HOMES.get(name, 'errors')}"), name)
    return value


def __dir__() -> list[str]:
    return [*globals(), *__all__]
