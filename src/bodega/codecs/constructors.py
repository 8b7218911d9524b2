"""Objects whose pickle would not do for making them again, since their class asks for other arguments.

Python keeps the arguments of an exception's base, and none of a plain object; that its class takes others is noticed
only when it is unpickled. Here that is noticed while it is pickled.
"""

from __future__ import annotations

import copyreg
import inspect
from collections.abc import Callable
from types import FunctionType
from typing import Any

_PROTOCOL = 5
_OWN = ("__reduce__", "__reduce_ex__", "__getnewargs__", "__getnewargs_ex__")
"""With one of these a class says itself how it is made again."""


def reducer(cls: type) -> Callable[[Any], Any] | None:
    """How to pickle values of a class that asks for arguments and does not say which."""
    # Classes are pickled by their names, or by cloudpickle.
    if issubclass(cls, type) or cls in copyreg.dispatch_table or any(_is_python(cls, name) for name in _OWN):
        return None
    if issubclass(cls, BaseException):
        return _reduce_error if _is_python(cls, "__init__") else None
    return _reduce_object if _is_python(cls, "__new__") else None


def restore_error(cls: type[BaseException], arguments: tuple[Any, ...]) -> BaseException:
    """An exception by the arguments that its base took, without asking its own class for others."""
    error = cls.__new__(cls, *arguments)
    base = next(base for base in cls.__mro__ if not isinstance(vars(base).get("__init__"), (FunctionType, type(None))))
    base.__init__(error, *arguments)  # type: ignore[misc] # what the class itself adds is in its state
    return error


def _reduce_error(error: BaseException) -> Any:
    reduced = error.__reduce_ex__(_PROTOCOL)
    if isinstance(reduced, tuple) and reduced[0] is type(error):
        function, arguments, *state = reduced
        try:
            inspect.signature(function.__init__).bind(error, *arguments)
        except TypeError:
            return restore_error, (function, arguments), *state
    return reduced


def _reduce_object(value: object) -> Any:
    reduced = value.__reduce_ex__(_PROTOCOL)
    if isinstance(reduced, tuple) and reduced[0] is getattr(copyreg, "__newobj__"):  # noqa: B009 - has no type
        arguments = reduced[1]
        try:
            inspect.signature(arguments[0].__new__).bind(*arguments)
        except TypeError as error:
            raise TypeError(f"its class cannot be called with what pickle keeps of it ({error})") from None
    return reduced


def _is_python(cls: type, name: str) -> bool:
    """Whether a method is written in Python, and not that of a builtin base."""
    return isinstance(getattr(cls, name, None), FunctionType)
