"""bodega under Kedro: a dataset, a hook that a project opts into, and runners.

Everything is imported on first use: Kedro loads this package in every project of an environment that has bodega
installed, whether the project uses it or not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from bodega.kedro.dataset import BodegaDataset
    from bodega.kedro.run.runners import ParallelRunner, SequentialRunner, ThreadRunner

__all__ = ["BodegaDataset", "ParallelRunner", "SequentialRunner", "ThreadRunner"]


def __getattr__(name: str) -> Any:
    if name == "BodegaDataset":
        from bodega.kedro.dataset import BodegaDataset

        return BodegaDataset
    if name in __all__:
        from bodega.kedro.run import runners

        return getattr(runners, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def load_ipython_extension(ipython: InteractiveShell) -> None:
    """What ``%load_ext bodega.kedro`` calls: ``store`` is the project's store from then on."""
    from bodega.kedro import notebook

    notebook.load_ipython_extension(ipython)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
