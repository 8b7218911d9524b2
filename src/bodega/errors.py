"""Every error bodega raises on purpose.

Each subclasses the builtin that a caller would catch anyway, and says in one sentence what was asked for,
why it failed and what to do. All of them pickle, since pipeline runners carry errors between processes.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Any

from bodega.texts import clean


def did_you_mean(name: str, known: Iterable[str], otherwise: str, *, most: int = 1) -> str:
    """The end of a message about a name that is not known.

    Args:
        name: as it was written.
        known: what it may be.
        otherwise: what to say where none of those looks like it; the question begins as this does, great or small.
        most: names that the question may have.
    """
    near = nearest(name, known, most=most)
    if not near:
        return otherwise
    return f"{'did' if otherwise[:1].islower() else 'Did'} you mean {' or '.join(map(repr, near))}?"


def nearest(name: str, known: Iterable[str], *, most: int = 1) -> list[str]:
    """The known names that an unknown one looks like, the likest first."""
    from difflib import get_close_matches  # Slow to import, and seldom needed.

    known = list(known)
    return get_close_matches(name, known, n=most) or [each for each in known if _initials(each) == name.lower()][:most]


def _initials(name: str) -> str:
    """``ttl`` of ``time_to_live``."""
    return "".join(word[0] for word in re.split(r"[_\W]+", name.lower()) if word)


class Panic(RuntimeError):
    """A panic of a library that is written in Rust; see `panics_as_errors`."""


class panics_as_errors:  # noqa: N801 - reads as the statement it is
    """Turns a panic of a library in Rust, which is no `Exception`, into one, so that what fails is handled as errors are.

    The interrupts of a program (`KeyboardInterrupt`, `SystemExit` and the like) pass.
    """

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Raise `Panic` for a panic."""
        if kind is not None and kind.__name__ == "PanicException":
            raise Panic(str(error)) from error


class BodegaError(Exception):
    """Base of all errors of this library; a message shows no secret of a URL, and steers no terminal.

    The attributes that a class declares are set where the cause is known; a caller may look at them instead of the text.
    """

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(clean(message))
        self.__dict__.update(details)

    def add_hint(self, hint: str) -> None:
        """Say more: of whoever called with what was wrong."""
        self.args = (f"{self.args[0]} {clean(hint)}", *self.args[1:])

    def __str__(self) -> str:
        # KeyError shows the repr of its argument and OSError its errno: here the sentence is the message.
        return str(self.args[0])


class InvalidName(BodegaError, ValueError):
    """A name of an object or a run that the store cannot keep."""

    name: str = ""
    """Name that was refused."""
    reason: str = ""
    """Cause in a word: ``type``, ``empty``, ``length``, ``unicode`` or ``folder``."""


class ImageError(BodegaError, RuntimeError):
    """The image of a project cannot be described or built."""


class IncompleteInstallation(BodegaError, FileNotFoundError):
    """A file that comes with this library is not there."""


class ObjectNotFound(BodegaError, KeyError):
    """No object has this name in this run.

    Args:
        message: what is not found.
        suggest: looks for names that look alike, and says so in a sentence. That takes a while in a large run, so it is
            called when somebody wants to see it, if at all.
    """

    name: str = ""
    """Name that was asked for."""
    run: str = ""
    """Run in which it was looked up."""

    def __init__(
        self,
        message: str,
        *,
        matches: Iterable[str] = (),
        suggest: Callable[[], tuple[list[str], str]] | None = None,
        **details: Any,
    ) -> None:
        super().__init__(message, **details)
        self._matches, self._suggest = list(matches), suggest

    @property
    def matches(self) -> list[str]:
        """Names of the run that look alike."""
        self._complete()
        return self._matches

    def add_hint(self, hint: str) -> None:
        """Say more: of whoever called with what was wrong."""
        self._complete()
        super().add_hint(hint)

    def __str__(self) -> str:
        self._complete()
        return super().__str__()

    def __reduce__(self) -> str | tuple[Any, ...]:
        self._complete()
        return super().__reduce__()

    def _complete(self) -> None:
        suggest, self._suggest = self._suggest, None
        if suggest is None:
            return
        try:
            self._matches, hint = suggest()
        except OSError:
            return  # The store has gone since; what was not found is true all the same.
        super().add_hint(hint)


class LintError(BodegaError, ValueError):
    """A project would lose data or stop in the middle of a run."""

    findings: Sequence[Any] = ()
    """Findings of lint that are errors."""


class NotShareable(BodegaError, TypeError):
    """The value is a handle to something (an open file, a lazy query), or cannot be pickled."""

    kind: str = ""
    """Public name of the value's type."""


class CannotRebuild(BodegaError, ImportError):
    """An object needs a class or a module that cannot be imported here."""

    module: str | None = None
    """Name of the module, where it is known."""


class ClusterError(BodegaError, ConnectionError):
    """A cluster cannot be reached, or refuses what was asked of it."""

    status: int | None = None
    """HTTP status of the answer, where there was one."""


class LayoutError(BodegaError, ValueError):
    """A file of the store is damaged, truncated, foreign, or of a format this version does not know."""

    path: str = ""
    """Path or URL of the file."""
    reason: str = ""
    """What is wrong with it."""


class PlanError(BodegaError, ValueError):
    """A pipeline cannot be cut into the tasks that were asked for.

    ``code`` says why in a word, such as ``group-cycle``; ``groups`` are those to blame, where some are.
    """

    code = "plan"
    groups: tuple[str, ...] = ()


class RootError(BodegaError, OSError):
    """A folder cannot be used as a store's root or as a lower tier."""

    path: str = ""
    """Path of the folder."""
    reason: str = ""
    """What is wrong with it."""
    remedy: str = ""
    """What to do about it."""


class SettingsError(BodegaError, ValueError):
    """A setting, an environment variable or a key of a configuration file is not understood."""

    mistakes: tuple[str, ...] = ()
    """All that is wrong with a configuration file, a sentence each."""


class StoreBusy(BodegaError, TimeoutError):
    """A lock was not free before the deadline: its holder is stopped or very slow."""

    path: str = ""
    """Path of the lock's file."""


class StoreFull(BodegaError, OSError):
    """An object does not fit. What was there is untouched."""

    name: str = ""
    """Name of the object."""
    need: int | None = None
    """Bytes that were asked for, where they are known."""
    free: int = 0
    """Bytes that were left."""
    path: str = ""
    """Path of the root."""

    errno = errno.ENOSPC


class TaskFailed(BodegaError, RuntimeError):
    """A task of a pipeline left no result: its process died, or its own error cannot travel to this process."""


class TierError(BodegaError, OSError):
    """A lower tier cannot be reached, denies access or answers wrongly."""

    tier: str = ""
    """URL or folder of the tier."""
    run: str = ""
    """Run of the object."""
    name: str = ""
    """Name of the object."""


class ObjectReplaced(TierError):
    """An object was replaced or deleted in a lower tier while it was read: reading it again may do."""


class UntrustedObject(BodegaError, PermissionError):
    """An object would have to be unpickled, which could run code of whoever put it."""

    name: str = ""
    """Name of the object."""
    kind: str = ""
    """Public name of its type."""


class UnsupportedPlatform(BodegaError, RuntimeError):
    """The operating system lacks what a store needs."""
