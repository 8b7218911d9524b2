"""What a class is called in public, how its values are described, and which codec pickles them."""

from __future__ import annotations

import importlib
import sys
import weakref
from collections.abc import Callable, Sized
from typing import Any, NamedTuple

from bodega.codecs import constructors
from bodega.codecs.handles import Handle, handle, module_of, root_module
from bodega.errors import NotShareable, panics_as_errors
from bodega.texts import install

Reducer = Callable[[Any], Any]
"""Like ``__reduce__``: a tuple whose function and arguments rebuild the value, or ``NotImplemented``."""

SHOWN = 100
"""Columns that a description names: to name a thousand takes longer than to pickle their frame."""

_LIBRARIES = {
    "numpy": "bodega.codecs.numpy",
    "pandas": "bodega.codecs.pandas",
    "polars": "bodega.codecs.polars",
    "pyarrow": "bodega.codecs.arrow",
    "scipy": "bodega.codecs.numpy",
    "torch": "bodega.codecs.torch",
    "xarray": "bodega.codecs.xarray",
}
"""By the first part of a class's module: the module that has `reducer` and `describe` for it."""


_EXTRAS = {"pandas": "pandas", "polars": "polars", "pyarrow": "arrow"}
"""By the name of a library: what is installed with it."""


class Traits(NamedTuple):
    """What the encoder needs to know of a class."""

    handle: Handle | None
    reducer: Reducer | None


_TRAITS: weakref.WeakKeyDictionary[type, Traits] = weakref.WeakKeyDictionary()


def traits(cls: type) -> Traits:
    """The traits of a class, found once."""
    found = _TRAITS.get(cls)
    if found is None:
        found = _TRAITS[cls] = _find_traits(cls)
    return found


def _find_traits(cls: type) -> Traits:
    refused = handle(cls)
    # A subclass made elsewhere pickles itself, so its own module counts and not those of its bases.
    module = _LIBRARIES.get(root_module(cls))
    reducer: Reducer | None = None
    if refused is None and module is not None:
        try:
            reducer = importlib.import_module(module).reducer(cls)
        except ImportError as error:
            raise NotShareable(needs(error) or str(error), kind=public_name(cls)) from error
    if cls is memoryview:
        from bodega.codecs.views import reduce_view

        reducer = reduce_view
    return Traits(refused, reducer or constructors.reducer(cls))


def needs(error: ImportError) -> str | None:
    """What to install for a codec whose library is missing; nothing where something else is."""
    extra = _EXTRAS.get((error.name or "").partition(".")[0])
    return extra and f"This needs {error.name}, which is not installed here: {install(f'bodega[{extra}]')}"


def public_name(cls: type) -> str:
    """The shortest name under which a class can be imported: ``pandas.DataFrame``, ``dict``, ``mymodule.Model``."""
    module = module_of(cls)
    if module in ("builtins", ""):
        return cls.__qualname__
    parts = module.split(".")
    for length in range(1, len(parts)):
        prefix = ".".join(parts[:length])
        if getattr(sys.modules.get(prefix), "__dict__", {}).get(cls.__qualname__) is cls:
            return f"{prefix}.{cls.__qualname__}"
    return f"{module}.{cls.__qualname__}"


def describe(value: object) -> dict[str, Any]:
    """What a person wants to know of a value, as JSON: shape and dtypes where it has them, else a length.

    A value that fails when it is looked at is described by nothing: that is no reason not to store it.
    """
    try:
        with panics_as_errors():
            return _description(value)
    except Exception:
        return {}


def _description(value: object) -> dict[str, Any]:
    for base in type(value).__mro__:
        module = _LIBRARIES.get(root_module(base))
        if module is not None:
            schema: dict[str, Any] | None = importlib.import_module(module).describe(value)
            if schema is not None:
                return schema
    if isinstance(value, Sized) and module_of(type(value)) in ("builtins", "collections"):
        return {"length": len(value)}
    return {}
