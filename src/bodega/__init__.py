"""Share the intermediate data of a pipeline between its tasks without copying or serialising it."""

from bodega.errors import (
    BodegaError,
    InvalidName,
    LayoutError,
    NotShareable,
    ObjectNotFound,
    RootError,
    SettingsError,
    StoreBusy,
    StoreFull,
    UnsupportedPlatform,
)
from bodega.layout import ObjectInfo, Producer
from bodega.store import Store, Usage, open
from bodega.sweep import Swept

__version__ = "0.1.0"

__all__ = [
    "BodegaError",
    "InvalidName",
    "LayoutError",
    "NotShareable",
    "ObjectInfo",
    "ObjectNotFound",
    "Producer",
    "RootError",
    "SettingsError",
    "Store",
    "StoreBusy",
    "StoreFull",
    "Swept",
    "UnsupportedPlatform",
    "Usage",
    "open",
]
