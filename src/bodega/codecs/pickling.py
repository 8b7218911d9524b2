"""The general codec: pickle protocol 5 with every big buffer out of band, at any depth of any object.

The reducers of the libraries' codecs come first, then cloudpickle's (lambdas, local classes, ``__main__``), then
pickle's own. The pickler is CPython's C one, writing straight to the sink.
"""

from __future__ import annotations

import dataclasses
import pickle
import sys
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from types import FunctionType, MemberDescriptorType, MethodType, ModuleType
from typing import Any, cast

import cloudpickle

from bodega.codecs import Sink
from bodega.codecs.outofband import Collector
from bodega.codecs.types import Reducer, describe, needs, public_name, traits
from bodega.errors import BodegaError, CannotRebuild, LayoutError, NotShareable, panics_as_errors
from bodega.format import Encoded

_PROTOCOL = 5
_PLAIN = (bool, int, float, complex, str)
"""Classes whose values need no reducer, so that cloudpickle's pickler, slow to make, can be left out."""


class Pickler(cloudpickle.Pickler):  # type: ignore[misc] # cloudpickle has no types
    """Refuses handles, and takes the big parts of values out of the stream."""

    def __init__(self, sink: Sink, collector: Collector) -> None:
        # One plain dict: the chain of maps that cloudpickle has is slower to look into than most objects to pickle.
        self.dispatch_table: dict[type, Reducer] = {}
        for entries in reversed(cloudpickle.Pickler.dispatch_table.maps):
            self.dispatch_table.update(entries)
        super().__init__(sink, protocol=_PROTOCOL, buffer_callback=collector.add)
        self.refused: object = None
        """The handle that ended the pickling."""
        self.met: object = None
        """The latest object that was asked how to pickle it: the one to blame where that fails."""
        self._reducers: dict[type, Reducer | None] = {}
        """By class, so that the many objects of one class are looked up in one step each."""
        self._by_value = bool(cloudpickle.list_registry_pickle_by_value())
        """Whether somebody asked for modules whose classes and functions are pickled by value."""

    def reducer_override(self, obj: Any) -> Any:
        """Called by the pickler for every object that is not of a basic type."""
        self.met = obj
        cls = type(obj)
        try:
            reducer = self._reducers[cls]
        except KeyError:
            reducer = self._reducers[cls] = self._reducer(obj)
        return NotImplemented if reducer is None else reducer(obj)

    def _reducer(self, obj: object) -> Reducer | None:
        """How to pickle objects of this one's class, where pickle's own way is not right."""
        cls = type(obj)
        handle, reducer = traits(cls)
        if handle is not None:
            self.refused = obj
            raise NotShareable(handle.what, kind=public_name(cls))
        # Classes and functions are all that cloudpickle looks at here.
        by_value = cls is FunctionType or issubclass(cls, type)
        return self._reduce_code if reducer is None and by_value else reducer

    def _reduce_code(self, obj: Any) -> Any:
        """How to pickle a class or a function: by value where it cannot be imported, or somebody asked for it."""
        # Of the many that a frame has cloudpickle would find out the same with much more looking.
        if not self._by_value and _is_importable(obj):
            return NotImplemented
        return super().reducer_override(obj)


def _is_importable(obj: Any) -> bool:
    """Whether a class or a function is found by its name at the top of a module that others have as well."""
    name = getattr(obj, "__module__", None)
    if not isinstance(name, str) or name == "__main__":
        return False
    return getattr(sys.modules.get(name), "__dict__", {}).get(obj.__qualname__) is obj


def encode_object(value: object, sink: Sink) -> Encoded:
    """Pickle a value to the sink. See `bodega.codecs.encode`."""
    cls = type(value)
    kind = public_name(cls)
    collector = Collector()
    if cls in _PLAIN:
        pickle.Pickler(cast("Any", sink), protocol=_PROTOCOL).dump(value)
    else:
        _dump(value, kind, sink, collector)
    recipe: dict[str, Any] = {"codec": "pickle", "buffers": len(collector.buffers)}
    if len(collector.order) > len(collector.buffers):
        recipe["order"] = collector.order
    return Encoded(kind, describe(value), recipe, collector.buffers)


def decode_object(recipe: Mapping[str, Any], stream: memoryview, buffers: Sequence[memoryview]) -> Any:
    """The inverse of `encode_object`. See `bodega.codecs.decode`."""
    count, order = recipe.get("buffers"), recipe.get("order")
    if count != len(buffers):
        raise LayoutError(f"The recipe names {count!r} buffers, and there are {len(buffers)}: the object is damaged.")
    if order is not None:
        if not isinstance(order, list) or not all(type(at) is int and 0 <= at < count for at in order):
            raise LayoutError(f"The recipe's order of buffers {order!r} does not fit {count} of them: it is damaged.")
        buffers = [buffers[at] for at in order]
    remaining = iter(buffers)
    try:
        with panics_as_errors():
            value = pickle.loads(stream, buffers=remaining)
    except (BodegaError, MemoryError, Warning):
        raise
    except (ImportError, AttributeError) as error:
        raise _cannot_rebuild(error) from error
    except Exception as error:
        message = (
            "The pickle stream of the object is damaged, or a class in it could not take its state back "
            f"({type(error).__name__}: {error}). Put the object again, with the library versions that are to read it."
        )
        raise LayoutError(message) from error
    if next(remaining, None) is not None:
        raise LayoutError("The pickle stream of the object leaves buffers over: it is damaged.")
    return value


def _dump(value: object, kind: str, sink: Sink, collector: Collector) -> None:
    """Pickle, with errors that say what was refused, where it lies and what to do."""
    if isinstance(value, ModuleType):
        raise NotShareable(f"The module {value.__name__!r} is code, not data: import it where it is needed.", kind=kind)
    pickler = Pickler(sink, collector)
    try:
        with panics_as_errors():
            pickler.dump(value)
    except NotShareable as error:
        if pickler.refused is None:
            raise
        raise _refusal(value, pickler.refused) from error.__cause__
    except (BodegaError, OSError, MemoryError):
        # Of the sink, which is full or broken.
        raise
    except Exception as error:
        subject = f"A value of type {kind}"
        cause = error.__cause__ if isinstance(error.__cause__, RecursionError) else error
        if isinstance(cause, RecursionError):
            reason = "its parts are nested too deeply: flatten it, for example a linked list into a list"
        else:
            reason = f"{str(cause).rstrip('.')}. Store the data it holds instead, or give its class a __reduce__ method"
            if pickler.met is not None and pickler.met is not value:
                subject, kind = _holder(value, pickler.met), public_name(type(pickler.met))
        raise NotShareable(f"{subject} cannot be pickled: {reason}.", kind=kind) from cause


def _refusal(value: object, refused: object) -> NotShareable:
    kind = public_name(type(refused))
    what, remedy = cast("tuple[str, str]", traits(type(refused)).handle)
    if refused is value:
        subject = f"The value ({kind})"
    else:
        subject = _holder(value, refused)
    return NotShareable(f"{subject} is {what}, and not data. {remedy}", kind=kind)


def _holder(value: object, part: object) -> str:
    """The beginning of a sentence on a part of a value."""
    return f"The {public_name(type(value))} holds, {_where(value, part)}, a {public_name(type(part))}, which"


_LOOKED_AT = 10_000
"""Objects to search for the place of a refused one, which only makes a message better."""


def _where(value: object, refused: object) -> str:
    """The place of an object inside a value, such as ``at ['model'].log[2]``."""
    waiting: deque[tuple[object, str]] = deque([(value, "")])
    seen: set[int] = set()
    while waiting and len(seen) < _LOOKED_AT:
        current, path = waiting.popleft()
        for part, step in _parts(current):
            if part is refused:
                return f"at {path}{step}"
            if id(part) not in seen:
                seen.add(id(part))
                waiting.append((part, path + step))
    return "somewhere inside"


def _parts(value: object) -> Iterator[tuple[object, str]]:
    """What a container or a plain object holds, and how to get there."""
    if isinstance(value, dict):
        yield from ((part, f"[{key!r}]") for key, part in value.items())
    elif isinstance(value, (list, tuple)):
        yield from ((part, f"[{place}]") for place, part in enumerate(value))
    elif dataclasses.is_dataclass(value):
        yield from ((getattr(value, item.name, None), f".{item.name}") for item in dataclasses.fields(value))
    elif isinstance(value, MethodType):
        yield value.__self__, ".__self__"
    elif isinstance(value, partial):
        yield from ((getattr(value, name), f".{name}") for name in ("func", "args", "keywords"))
    elif isinstance(value, (set, frozenset)):
        yield from ((part, "{}") for part in value)
    else:
        yield from ((part, f".{name}") for name, part in getattr(value, "__dict__", {}).items())
        for base in type(value).__mro__:
            # The descriptors of slots, which run no code of the class.
            slots = [item for item in vars(base).values() if isinstance(item, MemberDescriptorType)]
            yield from ((item.__get__(value), f".{item.__name__}") for item in slots if _has(value, item))


def _has(value: object, slot: MemberDescriptorType) -> bool:
    """Whether a slot of an object is filled."""
    try:
        slot.__get__(value)
    except AttributeError:
        return False
    return True


def _cannot_rebuild(error: ImportError | AttributeError) -> CannotRebuild:
    missing = needs(error) if isinstance(error, ImportError) else None
    message = missing or (
        f"The object needs code that is not here: {error}. Define its class in a module that every task can import "
        "and install that here; or, where the object is put, call cloudpickle.register_pickle_by_value(module) first."
    )
    return CannotRebuild(message, module=getattr(error, "name", None))
