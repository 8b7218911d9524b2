"""The project's store in a notebook: as ``store``, after ``%load_ext bodega.kedro`` or ``%bodega``.

Kedro's own extension finds the line magic by its entry point (``kedro.line_magic``) and gives it the name of the
function.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from bodega import open as open_store

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from bodega.store import Store


def load_ipython_extension(ipython: InteractiveShell) -> None:
    """Define ``store`` and the line magic ``%bodega``."""
    from IPython.core.magic import needs_local_scope

    ipython.register_magic_function(needs_local_scope(bodega), "line", "bodega")  # type: ignore[arg-type] # IPython says it less well
    _define(ipython, find_store(ipython.user_ns))


def bodega(line: str, local_ns: Mapping[str, Any] | None = None) -> None:
    r"""Define ``store``; of another run than the project's where one is named: ``%bodega nightly-42``.

    After ``%reload_kedro`` it is defined anew by itself, unless the name stands for something else by then.

    Args:
        line: the name of a run, or nothing for the project's own.
        local_ns: the variables of the notebook.
    """
    from IPython.core.interactiveshell import InteractiveShell

    store = find_store(local_ns or {})
    _define(InteractiveShell.instance(), store.with_run(line.strip()) if line.strip() else store)


def find_store(variables: Mapping[str, Any]) -> Store:
    """The store of the Kedro project at work, else of the one in this folder, else the user's.

    Args:
        variables: of the notebook; Kedro's extension defines ``context`` there.
    """
    from kedro.framework.context import KedroContext
    from kedro.framework.session import KedroSession
    from kedro.framework.startup import bootstrap_project
    from kedro.utils import find_kedro_project

    from bodega.kedro.project.place import Project

    context = variables.get("context")
    if not isinstance(context, KedroContext):
        folder = find_kedro_project(Path.cwd())
        if folder is None:
            return open_store()
        bootstrap_project(folder)
        context = KedroSession.create(project_path=folder).load_context()
    return Project.of(context).place().open()


class _Follower:
    """Defines ``store`` anew in a cell's wake when Kedro has another context: it would stay that of the old environment."""

    _followers: ClassVar[dict[int, _Follower]] = {}

    def __init__(self, ipython: InteractiveShell) -> None:
        self._ipython = ipython
        self._context: object = None
        self._store: Store | None = None
        ipython.events.register("post_run_cell", self._follow)

    @classmethod
    def of(cls, ipython: InteractiveShell) -> _Follower:
        """The one of a shell."""
        if id(ipython) not in cls._followers:
            cls._followers[id(ipython)] = cls(ipython)
        return cls._followers[id(ipython)]

    def note(self, store: Store) -> None:
        """Follow Kedro from here on."""
        self._store, self._context = store, self._ipython.user_ns.get("context")

    def _follow(self, _result: object = None) -> None:
        variables = self._ipython.user_ns
        if variables.get("context") is not self._context and variables.get("store") is self._store:
            _define(self._ipython, find_store(variables))


def _define(ipython: InteractiveShell, store: Store) -> None:
    ipython.push({"store": store})  # type: ignore[no-untyped-call]
    _Follower.of(ipython).note(store)
    print(f"Defined 'store': run {store.run!r} of {store.root}, {len(store)} objects.")
