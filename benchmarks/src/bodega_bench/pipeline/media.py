"""What is compared: each medium, and how a project says that its tables go through it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

PREFIX_VARIABLE = "BODEGA_BENCH_PREFIX"
"""Where in a bucket the tables of one measurement are."""
SOCKET_VARIABLE = "BODEGA_BENCH_SOCKET"
"""Where the vineyardd of one measurement listens."""
_CSV = {"type": "pandas.CSVDataset", "load_args": {"keep_default_na": False, "na_values": [""]}}
"""As in the example, where "None" is a value."""
_PARQUET = {"type": "pandas.ParquetDataset"}
_PICKLE = {"type": "pickle.PickleDataset"}
_CLOUDPICKLE = {"type": "bodega_bench.pipeline.datasets.CloudpickleZstdDataset"}

Entry = Callable[[str], Mapping[str, Any]]
"""The catalog's entry of a dataset."""


def _file(entry: Mapping[str, Any], suffix: str) -> Entry:
    return lambda name: {**entry, "filepath": f"data/02_intermediate/{name}{suffix}"}


def _in_bucket(entry: Mapping[str, Any], suffix: str) -> Entry:
    return lambda name: {**entry, "filepath": f"${{oc.env:{PREFIX_VARIABLE}}}/{name}{suffix}"}


def _in_vineyard(name: str) -> Mapping[str, Any]:
    return {
        "type": "vineyard.contrib.kedro.io.VineyardDataSet",
        "ds_name": name,
        "vineyard_ipc_socket": f"${{oc.env:{SOCKET_VARIABLE}}}",
    }


@dataclass(frozen=True)
class Medium:
    """What tables go through from node to node."""

    name: str
    title: str
    place: str
    """What has to be there while it is measured, see `bodega_bench.pipeline.places`."""
    entry: Entry | None = None
    """None means the example's own environment of this name."""
    environment: str = ""
    """Of the project; its name, if not said."""
    runner: str | None = None
    """Runs the whole pipeline in one ``kedro run``; None means one process per node."""
    is_memory: bool = False
    """Whether what is handed on takes memory of this machine."""
    needs: Sequence[str] = ()
    """Modules."""
    note: str = ""

    def __post_init__(self) -> None:
        if not self.environment:
            object.__setattr__(self, "environment", f"bench-{self.name}" if self.entry else self.name)

    @property
    def crosses_processes(self) -> bool:
        """Whether what a node makes leaves its process."""
        return self.name != FLOOR

    @property
    def is_one_run(self) -> bool:
        """Whether all nodes share one start-up."""
        return self.runner is not None

    def at_a_distance(self, distance: str) -> Medium:
        """The same medium, whose server seems far away."""
        return replace(
            self,
            name=f"{self.name}{SIMULATED}",
            title=f"{self.title}, simulated distance ({distance})",
            place="distant bucket",
        )


FLOOR = "memory"
"""The medium that nothing leaves a process through: what there is without sharing."""
OURS, OURS_IN_ONE_RUN = "bodega", "bodega-parallel"
SIMULATED = "-simulated"
"""Ends the name of a medium at a simulated distance."""

MEDIA = {
    medium.name: medium
    for medium in (
        Medium(OURS, "bodega", "store", is_memory=True, needs=("pyarrow",)),
        Medium(
            FLOOR,
            "one process",
            "nowhere",
            runner="kedro.runner.SequentialRunner",
            note="All nodes in one process, Kedro's MemoryDataset between them: the floor.",
        ),
        Medium(
            "bodega-parallel",
            "bodega's ParallelRunner",
            "store",
            environment=OURS,
            runner="bodega.kedro.ParallelRunner",
            is_memory=True,
            needs=("pyarrow",),
            note="The whole pipeline in one run, each node in a worker process.",
        ),
        Medium(
            "kedro-parallel",
            "Kedro's ParallelRunner",
            "nowhere",
            environment=FLOOR,
            runner="kedro.runner.ParallelRunner",
            is_memory=True,
            note="The whole pipeline in one run, each node in a worker process, tables through Kedro's manager process.",
        ),
        Medium("csv", "CSV files", "folder", _file(_CSV, ".csv"), needs=("kedro_datasets",)),
        Medium("parquet", "Parquet files", "folder", _file(_PARQUET, ".parquet"), needs=("kedro_datasets", "pyarrow")),
        Medium("pickle", "pickle files", "folder", _file(_PICKLE, ".pkl"), needs=("kedro_datasets",)),
        Medium("s3-csv", "CSV on S3", "bucket", _in_bucket(_CSV, ".csv"), needs=("kedro_datasets", "s3fs", "obstore")),
        Medium(
            "s3-parquet",
            "Parquet on S3",
            "bucket",
            _in_bucket(_PARQUET, ".parquet"),
            needs=("kedro_datasets", "s3fs", "obstore", "pyarrow"),
        ),
        Medium(
            "s3-cloudpickle-zstd",
            "cloudpickle + zstd on S3",
            "bucket",
            _in_bucket(_CLOUDPICKLE, ".pkl.zst"),
            needs=("s3fs", "obstore", "zstandard"),
        ),
        Medium(
            "vineyard",
            "Vineyard",
            "vineyard",
            _in_vineyard,
            is_memory=True,
            note="vineyardd and vineyard-kedro, with the Kedro, pandas and numpy they need.",
        ),
    )
}


def find_medium(name: str, distance: str = "") -> Medium:
    """The medium of a name, which may end with `SIMULATED`."""
    near = name.removesuffix(SIMULATED)
    return MEDIA[near] if near == name else MEDIA[near].at_a_distance(distance)
