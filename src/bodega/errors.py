"""Every error bodega raises on purpose.

Each subclasses the builtin that a caller would catch anyway, and says in one sentence what was asked for,
why it failed and what to do. All of them pickle, since pipeline runners carry errors between processes.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from typing import Any


def did_you_mean(name: str, known: Iterable[str], otherwise: str, *, most: int = 1) -> str:
    """The end of a message about a name that is not known.

    Args:
        name: as it was written.
        known: what it may be.
        otherwise: what to say where none of those looks like it; the question begins as this does, great or small.
        most: names that the question may have.
    """
    from difflib import get_close_matches  # Slow to import, and seldom needed.

    names = list(known)
    # Who writes ttl means time_to_live.
    initials = [each for each in names if "".join(word[:1] for word in each.split("_")) == name and len(name) > 1]
    near = get_close_matches(name, names, n=most) or initials[:most]
    if not near:
        return otherwise
    return f"{'did' if otherwise[:1].islower() else 'Did'} you mean {' or '.join(map(repr, near))}?"


class BodegaError(Exception):
    """Base of all errors of this library."""

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.__dict__.update(details)

    def add_hint(self, hint: str) -> None:
        """Say more: of whoever called with what was wrong."""
        self.args = (f"{self.args[0]} {hint}", *self.args[1:])

    def __str__(self) -> str:
        # KeyError shows the repr of its argument and OSError its errno: here the sentence is the message.
        return str(self.args[0])


class InvalidName(BodegaError, ValueError):
    """A name of an object or a run that the store cannot keep (``name``, ``reason``)."""


class ImageError(BodegaError, RuntimeError):
    """The image of a project cannot be described or built."""


class IncompleteInstallation(BodegaError, FileNotFoundError):
    """A file that comes with this library is not there."""


class ObjectNotFound(BodegaError, KeyError):
    """No object has this name in this run (``name``, ``run``, ``matches``: names that look alike)."""


class LintError(BodegaError, ValueError):
    """A project would lose data or stop in the middle of a run (``findings``: those of lint that are errors)."""


class NotShareable(BodegaError, TypeError):
    """The value is a handle to something (an open file, a lazy query), or cannot be pickled; ``kind`` names its type."""


class CannotRebuild(BodegaError, ImportError):
    """An object needs a class or a module that cannot be imported here (``module``, where it is known)."""


class ClusterError(BodegaError, ConnectionError):
    """A cluster cannot be reached, or refuses what was asked of it (``status`` of its answer, where there was one)."""

    status: int | None = None


class LayoutError(BodegaError, ValueError):
    """A file of the store is damaged, truncated, foreign, or of a format this version does not know (``path``)."""


class PlanError(BodegaError, ValueError):
    """A pipeline cannot be cut into the tasks that were asked for.

    ``code`` says why in a word, such as ``group-cycle``; ``groups`` are those to blame, where some are.
    """

    code = "plan"
    groups: tuple[str, ...] = ()


class RootError(BodegaError, OSError):
    """A folder cannot be used as a store's root (``path``, ``reason``)."""


class SettingsError(BodegaError, ValueError):
    """A setting, an environment variable or a key of a configuration file is not understood."""


class StoreBusy(BodegaError, TimeoutError):
    """A lock was not free before the deadline: its holder is stopped or very slow."""


class StoreFull(BodegaError, OSError):
    """An object does not fit (``need`` and ``free`` in bytes, ``path`` of the root). What was there is untouched."""

    errno = errno.ENOSPC


class TaskFailed(BodegaError, RuntimeError):
    """A task of a pipeline left no result: its process died, or its own error cannot travel to this process."""


class TierError(BodegaError, OSError):
    """A lower tier cannot be reached, denies access or answers wrongly (``tier``, ``run``, ``name``)."""


class ObjectReplaced(TierError):
    """An object was replaced or deleted in a lower tier while it was read: reading it again may do."""


class UntrustedObject(BodegaError, PermissionError):
    """An object would have to be unpickled, which could run code of whoever put it (``name``, ``kind``)."""


class UnsupportedPlatform(BodegaError, RuntimeError):
    """The operating system lacks what a store needs."""
