"""The dataset that keeps its data in the store."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from kedro.framework.project import pipelines
from kedro.io import AbstractDataset, DatasetError

import bodega
from bodega.errors import NotShareable, ObjectNotFound
from bodega.kedro.preview import JSONPreview, TablePreview, is_table, json_preview, table_preview
from bodega.settings import current_task

if TYPE_CHECKING:
    from bodega.kedro.place import Place
    from bodega.store import Store


class BodegaDataset(AbstractDataset[Any, Any]):
    """Keeps an object in bodega's store: other processes of the host read it without a copy.

    Loading maps the object: arrays and columns are not copied, and what a node changes in them is seen by nobody
    else, nor by its own next load. Saving publishes a new object under the name; readers of the old one keep it.
    Objects outlive the process, so that ``kedro run --from-nodes`` goes on from them and ``--only-missing-outputs``
    skips the nodes that made them.

    Under ``kedro run`` the name and the run need not be given: they are the entry's name and the project's run.

    Examples:
        Using the YAML API:

        ```yaml
        model_input:
          type: bodega.kedro.BodegaDataset

        "{namespace}.features":
          type: bodega.kedro.BodegaDataset

        nightly_scores:
          type: bodega.kedro.BodegaDataset
          name: scores
          run: nightly
          metadata:
            kedro-viz:
              layer: model_output

        model:
          type: bodega.kedro.BodegaDataset
          spill: s3://bucket/models
          persist: true
          credentials: bucket_keys
        ```

        Using the Python API:

        >>> import numpy as np
        >>> from bodega.kedro import BodegaDataset
        >>> dataset = BodegaDataset(name="prices", run="example")
        >>> dataset.save(np.array([200.0, 150.0]))
        >>> prices = dataset.load()
        >>> prices += 1  # Seen here only.
        >>> dataset.load()
        array([200., 150.])
    """

    # Objects outlive the process: resume hints and --only-missing-outputs may count on them.
    _EPHEMERAL = False

    def __init__(
        self,
        *,
        name: str | None = None,
        root: str | None = None,
        run: str | None = None,
        capacity: int | str | None = None,
        spill: str | list[str] | None = None,
        persist: bool = False,
        credentials: dict[str, str] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Describe an object; nothing is opened until it is used.

        Args:
            name: what the store knows the object by; under ``kedro run`` the name of the catalog entry by default.
            root: folder of the store, else the project's, ``BODEGA_ROOT`` or the user's default.
            run: namespace of the name, else ``BODEGA_RUN``, the project's run or ``default``.
            capacity: bytes the store may take in memory, such as ``8GiB``, or a share of it, such as ``50%``.
            spill: lower tiers, the fastest first: a folder, and last a URL such as ``s3://bucket/prefix``.
            persist: call the data saved only when the last tier of ``spill`` has it too.
            credentials: of object storage, in obstore's words (``access_key_id``, ``endpoint``, ...), else the
                environment's; under Kedro the name of an entry of ``credentials.yml``.
            metadata: for other plugins, such as Kedro-Viz; Kedro and bodega ignore it.
        """
        self.metadata = metadata
        self._name = name
        self._root = root
        self._run = run
        self._options: dict[str, Any] = {"capacity": capacity, "spill": spill, "storage_options": credentials}
        self._persist = persist
        self._place: Place | None = None
        self._task: str | None = None
        self._opened: Store | None = None

    def settle(self, place: Place, name: str, task: str | None = None) -> None:
        """Fill in what the entry leaves open. A dataset settles once, and stays where its data is.

        Args:
            place: root, run and capacity.
            name: the name of the catalog entry.
            task: the node that saves the dataset, to be recorded as its producer.
        """
        self._task = task or self._task
        if self._place is None:
            self._place = place
            self._name = self._name or stored_name(name)
            self._root = self._root or place.root
            self._run = self._run or place.run
            settings = place.settings
            project = {"capacity": settings.capacity, "spill": settings.spill, "time_to_live": settings.time_to_live}
            self._options = {**project, **{key: value for key, value in self._options.items() if value is not None}}
            self._persist = self._persist or place.persists(name)
            self._opened = None

    def load(self) -> Any:
        """The object: zero-copy, and private to the caller.

        Raises:
            DatasetError: nothing was saved under this name in this run, or the dataset has no name.
        """
        name = self._required_name()
        try:
            return self._store.get(name)
        except ObjectNotFound as error:
            node = maker(name)
            hint = f" Node {node!r} makes it: run that first, under the same run." if node else ""
            raise DatasetError(f"{error}{hint}") from error

    def save(self, data: Any) -> None:
        """Publish a value under the name.

        Raises:
            DatasetError: the value is a handle (an open file, a connection), it does not fit, or there is no name.
        """
        name = self._required_name()
        # Kedro saves after the node's hooks are done, and with --async in another thread: say again who is at work.
        token = current_task.set(self._task or current_task.get())
        try:
            self._store.put(name, data, persist=self._persist)
        except NotShareable as error:
            raise DatasetError(
                f"{error} To keep {name!r} in the process that makes it, list it under 'exclude' in bodega.yml."
            ) from error
        finally:
            current_task.reset(token)

    @property
    def preview(self) -> Callable[..., TablePreview] | Callable[..., JSONPreview]:
        """What Kedro-Viz calls to show the data; its return annotation, which Kedro-Viz reads, fits the object's kind.

        Raises:
            AttributeError: there is nothing to show, which Kedro-Viz understands.
        """
        try:
            kind = self._store.info(self._required_name()).kind
        except (ObjectNotFound, DatasetError) as error:
            raise AttributeError(f"{self} has no preview: {error}") from None
        return self._preview_table if is_table(kind) else self._preview_json

    def _preview_table(self, nrows: int = 5) -> TablePreview:
        return table_preview(self.load(), nrows)

    def _preview_json(self) -> JSONPreview:
        return json_preview(self._store.info(self._required_name()), self.load)

    def _exists(self) -> bool:
        return self._store.exists(self._required_name())

    def _release(self) -> None:
        """Keep the object: in a grouped task Kedro releases inputs that other tasks still need."""

    def _describe(self) -> dict[str, Any]:
        return {"name": self._name, "run": self._run, "root": self._root, "persist": self._persist}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": None}

    @property
    def _store(self) -> Store:
        if self._opened is None:
            self._opened = bodega.open(self._root, run=self._run, **self._options)
        return self._opened

    def _required_name(self) -> str:
        if self._name is None:
            raise DatasetError(
                "This BodegaDataset has no name, so the store cannot tell its data from others': write 'name: ...' "
                "in the catalog entry, or BodegaDataset(name=...). Under 'kedro run' the entry's name is filled in."
            )
        return self._name


def stored_name(name: str) -> str:
    """The object's name of a dataset's; transcoded datasets (``cars@pandas``, ``cars@polars``) are one object."""
    return name.partition("@")[0]


def maker(name: str) -> str | None:
    """The node of the project at work that makes an object, if any does."""
    nodes = (node for pipeline in pipelines.values() for node in pipeline.nodes)
    return next((node.name for node in nodes if name in map(stored_name, node.outputs)), None)
