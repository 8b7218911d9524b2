"""The dataset that keeps its data in the store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from kedro.framework.project import pipelines
from kedro.io import AbstractVersionedDataset, DatasetError, Version
from kedro.io.core import VersionNotFoundError

import bodega
from bodega.codecs.chunks import Chunks
from bodega.codecs.tabular import LIBRARIES, convert
from bodega.errors import NotShareable, ObjectNotFound, SettingsError, did_you_mean
from bodega.kedro.dataset.preview import Preview, preview_of
from bodega.kedro.dataset.versions import Versions
from bodega.names import stored_name
from bodega.settings import current_task

if TYPE_CHECKING:
    from bodega.kedro.project.config import ProjectSettings
    from bodega.kedro.project.place import Place
    from bodega.store import Store
    from bodega.streams import StreamWriter

CHUNKS = "chunks"
LOAD_AS = (CHUNKS, *LIBRARIES)
"""What ``load_as`` can be."""


class _Streaming(NamedTuple):
    """A stream that has begun."""

    writer: StreamWriter
    version: str | None


class BodegaDataset(AbstractVersionedDataset[Any, Any]):
    """Keeps an object in bodega's store: other processes of the host read it without a copy.

    Loading maps the object: arrays and columns are not copied, and what a node changes in them is seen by nobody
    else, nor by its own next load. Saving publishes a new object under the name; readers of the old one keep it.
    Objects outlive the process, so that ``kedro run --from-nodes`` goes on from them and ``--only-missing-outputs``
    skips the nodes that made them.

    Under ``kedro run`` the name and the run need not be given: they are the entry's name and the project's run.

    What a generator node yields is saved chunk by chunk and visible when the generator has ended; it is loaded whole,
    or with ``load_as: chunks`` as a `bodega.Chunks` to iterate over. ``load_as: pandas`` (``polars``, ``arrow``) makes
    a frame or table one of that library, whichever it was saved as; in a transcoded name the part behind the ``@`` says
    so. ``versioned: true`` keeps every version, in the run, or where it persists for all runs.

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
          versioned: true
          spill: s3://bucket/models
          persist: true
          credentials: bucket_keys

        trips@chunks:
          type: bodega.kedro.BodegaDataset

        trips@polars:
          type: bodega.kedro.BodegaDataset
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
        load_as: str | None = None,
        version: Version | None = None,
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
            load_as: ``chunks``, or the library whose frame or table it is to be: ``pandas``, ``polars``, ``arrow``.
            version: which one to load and to save; Kedro gives it where the entry says ``versioned: true``.
            credentials: of object storage, in obstore's words (``access_key_id``, ``endpoint``, ...), else the
                environment's; under Kedro the name of an entry of ``credentials.yml``.
            metadata: for other plugins, such as Kedro-Viz; Kedro and bodega ignore it.

        Raises:
            SettingsError: ``load_as`` is none of those.
        """
        # There is no path: where a version is, `Versions` knows.
        super().__init__(cast("Any", None), version)
        if load_as is not None and load_as not in LOAD_AS:
            remedy = did_you_mean(load_as, LOAD_AS, f"it can be {', '.join(LOAD_AS)}.")
            raise SettingsError(f"load_as: {load_as!r} is not known: {remedy}")
        self._load_as = load_as
        self.metadata = metadata
        self._name = name
        self._root = root
        self._run = run
        self._options: dict[str, Any] = {"capacity": capacity, "spill": spill, "storage_options": credentials}
        self._has_own_store = root is not None or any(value is not None for value in self._options.values())
        self._persist = persist
        self._place: Place | None = None
        self._shared_run: str | None = None
        self._task: str | None = None
        self._opened: Store | None = None
        self._opened_versions: Versions | None = None
        self._streaming: _Streaming | None = None

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
            suffix = name.partition("@")[2]
            self._load_as = self._load_as or (suffix if suffix in LOAD_AS else None)
            self._root = self._root or place.root
            has_own_run, self._run = self._run is not None, self._run or place.run
            settings = place.settings
            project: dict[str, Any] = {"capacity": settings.capacity, "spill": settings.spill}
            if self._run == place.run:  # The clock is the project's run's: a run that the entry names is there to stay.
                project["time_to_live"] = settings.time_to_live
            self._options = {**project, **{key: value for key, value in self._options.items() if value is not None}}
            is_kept = self._persist or settings.persists(name)  # And not only handed over to another host.
            self._persist = is_kept or place.persists(name)
            self._shared_run = place.versions_run if self._version and is_kept and not has_own_run else None
            self._opened = self._opened_versions = None

    def is_of(self, run: str) -> bool:
        """Whether the object, which has no versions, lies in this run."""
        return self._run == run and self._version is None

    def is_shared_by_runs(self, rules: ProjectSettings, name: str) -> bool:
        """Whether the data is not that of one run: the entry names a run, or it has versions that are kept.

        Args:
            rules: of the project.
            name: the name of the catalog entry.
        """
        if self._place is None:
            return self._run is not None or (bool(self._version) and (self._persist or rules.persists(name)))
        return self._shared_run is not None or self._run != self._place.run

    def require_store(self) -> None:
        """Open the store, where the entry names one of its own or sets it up otherwise.

        Raises:
            RootError: it cannot be used.
        """
        if self._has_own_store:
            _ = self._store

    def load(self) -> Any:
        """The object: zero-copy, and private to the caller.

        Raises:
            DatasetError: nothing was saved under this name in this run, it cannot be loaded as what is asked for, or
                the dataset has no name.
        """
        version = self.resolve_load_version()
        store, name = self._where(version)
        try:
            value = store.get(name)
        except ObjectNotFound as error:
            raise DatasetError(f"{error}{self._hint()}") from error
        if self._place is not None and self._place.is_task and version is not None and not self._versions.pinned():
            self._pin(version)
        try:
            return self._converted(value)
        except (TypeError, ValueError) as error:
            how = f" (load_as: {self._load_as})" if self._load_as else ""
            raise DatasetError(f"{name!r} cannot be loaded{how}: {error}.") from error

    def save(self, data: Any) -> None:
        """Publish a value under the name; while a stream is on, its next chunk.

        Raises:
            DatasetError: the value is a handle (an open file, a connection), it does not fit, or there is no name.
        """
        with self._saving():
            if self._streaming is not None:
                self._streaming.writer.append(data)
                return
            version = self.resolve_save_version()
            store, name = self._new(version)
            store.put(name, data, persist=self._persist)
            self._pin(version)

    def begin_stream(self) -> None:
        """What is saved from now on are chunks of one value.

        Raises:
            DatasetError: there is no name, or the version is there already.
        """
        self.give_up_stream()
        version = self.resolve_save_version()
        store, name = self._new(version)
        self._streaming = _Streaming(store.stream(name, persist=self._persist), version)

    def end_stream(self) -> None:
        """The chunks saved since the stream began are the value; only now anybody sees it."""
        if self._streaming is None:
            return
        with self._saving():
            self._streaming.writer.publish()
            self._pin(self._streaming.version)
        self._streaming = None

    def give_up_stream(self) -> None:
        """Forget the chunks of a stream that has not ended; the value is what it was before."""
        if self._streaming is not None:
            self._streaming.writer.close()
            self._streaming = None

    def list_versions(self, full_path: bool = True) -> list[str]:
        """The versions there are, the newest first.

        Args:
            full_path: the names of their objects rather than the versions alone.
        """
        versions = self._versions
        return [versions.object_name(version) if full_path else version for version in versions.saved()]

    @property
    def preview(self) -> Callable[..., Preview]:
        """What Kedro-Viz calls to show the data; its return annotation, which Kedro-Viz reads, fits the object's kind.

        Raises:
            AttributeError: there is nothing to show, which Kedro-Viz understands.
        """
        try:
            store, name = self._where(self.resolve_load_version())
            return preview_of(store, name)
        except (ObjectNotFound, DatasetError) as error:
            raise AttributeError(f"{self} has no preview: {error}") from None

    def _exists(self) -> bool:
        store, name = self._where(self.resolve_load_version())
        return store.exists(name)

    def _release(self) -> None:
        """Keep the object: in a grouped task Kedro releases inputs that other tasks still need."""

    def _describe(self) -> dict[str, Any]:
        described = {"name": self._name, "run": self._run, "root": self._root, "persist": self._persist}
        optional = {"load_as": self._load_as, "version": self._version}
        return described | {key: value for key, value in optional.items() if value is not None}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": None, "_opened_versions": None, "_streaming": None}

    def _converted(self, value: Any) -> Any:
        if self._load_as == CHUNKS:
            # So that a node reads a value the same way, whether it was streamed or not.
            return value if isinstance(value, Chunks) else [value]
        whole = value.whole() if isinstance(value, Chunks) else value
        return whole if self._load_as is None else convert(whole, self._load_as)

    @contextmanager
    def _saving(self) -> Iterator[None]:
        # Kedro saves after the node's hooks are done, and with --async in another thread: say again who is at work.
        token = current_task.set(self._task or current_task.get())
        try:
            yield
        except NotShareable as error:
            raise DatasetError(
                f"{error} To keep {self._name!r} in the process that makes it, list it under 'exclude' in bodega.yml."
            ) from error
        finally:
            current_task.reset(token)

    @property
    def _store(self) -> Store:
        if self._opened is None:
            self._opened = bodega.open(self._root, run=self._run, **self._options)
        return self._opened

    @property
    def _versions(self) -> Versions:
        if self._opened_versions is None:
            name = self._required_name()
            if self._shared_run is None:
                self._opened_versions = Versions(name, self._store, None)
            else:
                # They are kept for other runs: no time to live.
                options = {**self._options, "time_to_live": None}
                kept = bodega.open(self._root, run=self._shared_run, **options)
                self._opened_versions = Versions(name, kept, self._store)
        return self._opened_versions

    def _where(self, version: str | None) -> tuple[Store, str]:
        """The store and the name of the object; each version has its own."""
        if version is None:
            return self._store, self._required_name()
        versions = self._versions
        return versions.kept, versions.object_name(version)

    def _new(self, version: str | None) -> tuple[Store, str]:
        store, name = self._where(version)
        if version is not None and store.exists(name):
            raise DatasetError(f"{name!r} is there already, and a version is never replaced: save under another one.")
        return store, name

    def _pin(self, version: str | None) -> None:
        if version is not None:
            self._versions.pin(version)

    def _fetch_latest_load_version(self) -> str:
        """Kedro asks for it where no version is pinned; always looked up, for another process may have saved one."""
        if self._streaming is not None and self._streaming.version is not None:
            return self._streaming.version
        latest = self._versions.latest()
        if latest is None:
            raise VersionNotFoundError(f"There is no version of {self._name!r} in {self._run!r}.{self._hint()}")
        return latest

    def _fetch_latest_save_version(self) -> str:
        """Kedro asks for it where none is given, before each chunk too."""
        if self._streaming is not None and self._streaming.version is not None:
            return self._streaming.version
        version: str = super()._fetch_latest_save_version()
        return version

    def _hint(self) -> str:
        node = maker(self._required_name())
        return f" Node {node!r} makes it: run that first, under the same run." if node else ""

    def _required_name(self) -> str:
        if self._name is None:
            raise DatasetError(
                "This BodegaDataset has no name, so the store cannot tell its data from others': write 'name: ...' "
                "in the catalog entry, or BodegaDataset(name=...). Under 'kedro run' the entry's name is filled in."
            )
        return self._name


def maker(name: str) -> str | None:
    """The node of the project at work that makes an object, if any does."""
    nodes = (node for pipeline in pipelines.values() for node in pipeline.nodes)
    return next((node.name for node in nodes if name in map(stored_name, node.outputs)), None)
