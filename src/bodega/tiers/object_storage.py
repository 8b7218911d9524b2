"""Objects in object storage (S3, Google Cloud Storage, Azure, a folder): the durable tier, through obstore.

An object is one blob, its bytes those of its file in memory, so that any tool can copy it. Every transfer is in parts, several at
once, each tried again by itself. The storage shows an object when its last part is there, and not before.
"""

from __future__ import annotations

import math
import os
import random
import re
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from itertools import count, islice
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeVar

from bodega.codecs import Sink
from bodega.env import KEDRO_METHOD_VARIABLE
from bodega.errors import BodegaError, InvalidName, ObjectReplaced, Panic, SettingsError, TierError, panics_as_errors
from bodega.format import Encoded, ObjectInfo, damaged, parse_description, parse_header
from bodega.names import from_filename, to_filename
from bodega.settings import check_place
from bodega.texts import install
from bodega.tiers.access import hide, is_without_tls, with_profile
from bodega.tiers.stored import sealed
from bodega.tiers.writing import Resent

if TYPE_CHECKING:
    from types import ModuleType

_Result = TypeVar("_Result")

SCHEMES = ("s3", "s3a", "gs", "az", "azure", "abfs", "abfss", "adl", "file", "memory")
_FIRST_READ = 1 << 20
_LONGEST = 240
"""Bytes of an escaped name: one in a folder gets a few more while it is written."""
_PART = 8 << 20
_PARTS_AT_ONCE = 8
_IN_FLIGHT = 128 << 20
"""Bytes of an upload's parts at once, however large they have to be."""
_MOST_PARTS = 10_000
"""Of one object in S3, in whose terms the others are no stricter."""
_AT_ONCE = 1_000
"""Keys that one request removes."""
_TRIES = 5
"""Of each request, by us; obstore itself tries again when a server answers with an error of its own."""
_FIRST_PAUSE = 0.1
_RETRIES = {"max_retries": 3, "retry_timeout": timedelta(seconds=20)}
_runtime_process: int | None = None
"""Which process has obstore's runtime."""
_CLIENT = {"timeout": "30 seconds", "connect_timeout": "5 seconds"}
_HOPELESS = re.compile(r"status code: (401|403|404(?!.*NoSuchUpload)|416)\b", re.DOTALL)
"""Answers that stay the same, where obstore has no error of their own for them."""


class Range(NamedTuple):
    """A range of an object."""

    data: memoryview
    size: int
    """Bytes of the whole object."""
    e_tag: str | None
    """Of its version."""


class Download:
    """An object on its way out of object storage."""

    def __init__(self, tier: ObjectStorageTier, run: str, name: str, first: Range) -> None:
        self._tier, self._run, self._name, self._e_tag = tier, run, name, first.e_tag
        self._head = first.data
        self.header = parse_header(first.data, first.size, tier.where(run, name))

    def parts(self) -> Iterator[memoryview]:
        """All bytes of the object in order, some megabytes at a time.

        Raises:
            ObjectReplaced: the storage has another object under the name now, or none.
            TierError: it failed.
        """
        total = self.header.total
        yield self._head[:total]
        ranges = iter(range(len(self._head), total, _PART))
        waiting: deque[Future[memoryview]] = deque()
        with ThreadPoolExecutor(_PARTS_AT_ONCE, thread_name_prefix="bodega-download") as pool:
            try:
                for start in ranges:
                    waiting.append(pool.submit(self._part, start, min(start + _PART, total)))
                    if len(waiting) == _PARTS_AT_ONCE:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()

    def _part(self, start: int, end: int) -> memoryview:
        def read() -> memoryview:
            data = self._tier.read(self._run, self._name, start, end, self._e_tag).data
            if len(data) != end - start:
                raise ConnectionError(f"{len(data)} bytes came of {end - start}")
            return data

        try:
            return self._tier.attempt(read, self._run, self._name, "read")
        except FileNotFoundError:
            raise self._tier.replaced(self._run, self._name) from None


class Upload:
    """A value on its way into object storage; nothing is there before it is published."""

    def __init__(self, tier: ObjectStorageTier, run: str, name: str) -> None:
        self._tier, self._run, self._name = tier, run, name
        self._resent: Resent | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to give up."""

    def put(self, encode: Callable[[Sink], Encoded]) -> ObjectInfo:
        """Encode a value to learn what its header says; it must stay as it is until it is published."""
        self._resent = Resent(self._tier.url, self._run, self._name, encode)
        return self._resent.info

    def publish(self) -> None:
        """Encode the value once more, on its way.

        Raises:
            NotShareable: the value pickles differently each time.
            TierError: the tier failed; what was under the name before is still there.
        """
        assert self._resent is not None
        self._tier.send(self._run, self._name, self._resent)


class ObjectStorageTier:
    """Objects under a URL.

    Args:
        url: such as ``s3://bucket/prefix``.
        options: obstore's configuration, such as endpoint and keys; what is missing comes from the environment.

    Raises:
        SettingsError: the URL or an option is not understood, the URL has a secret in it, or obstore is not installed.
    """

    def __init__(self, url: str, options: Mapping[str, str] | None = None) -> None:
        scheme = url.partition("://")[0]
        check_place(url)
        if scheme not in SCHEMES:
            raise SettingsError(f"The scheme {scheme!r} of {url!r} is not known: use one of {', '.join(SCHEMES)}.")
        self._address = url
        self._options = dict(options or {})
        self._config = self._options
        self._client: Any = None
        self._obstore()

    @property
    def url(self) -> str:
        """Where it is; it holds no secrets."""
        return self._address

    def check(self, run: str, name: str) -> None:
        """Refuse a name that cannot be kept.

        Raises:
            InvalidName: it cannot be kept.
        """
        self._key(run, name)

    def exists(self, run: str, name: str) -> bool:
        """Whether the run has the name."""
        return self._size(run, name) is not None

    def info(self, run: str, name: str) -> ObjectInfo | None:
        """What the header of an object says; reads its first bytes only."""
        found = self._first(run, name, 1 << 14)
        if found is None:
            return None
        head, where = found.data, self.where(run, name)
        header = parse_header(head, found.size, where)
        end = header.description_offset + header.block_length
        block = head[header.description_offset : end]
        if len(block) < header.block_length:
            start, e_tag = header.description_offset, found.e_tag
            try:
                block = self.attempt(lambda: self.read(run, name, start, end, e_tag).data, run, name, "read")
            except (FileNotFoundError, ObjectReplaced):
                return self.info(run, name)  # Deleted or put anew between the two requests.
        return parse_description(header, head, block, owner=(run, name), path=where).info

    def names(self, run: str) -> list[str]:
        """The names of a run, sorted."""
        return sorted(from_filename(key.rpartition("/")[2]) for key in self._keys(run))

    def runs(self) -> list[str]:
        """The runs that hold objects, sorted."""
        found = self.attempt(lambda: self._obstore().list_with_delimiter(self._opened()), "", "", "listed")
        folders = [prefix.strip("/").rpartition("/")[2] for prefix in found["common_prefixes"]]
        # Folders stay when their last file goes, and some servers keep them too.
        return sorted(run for run in map(from_filename, filter(_is_ours, folders)) if self._keys(run, most=1))

    def begin(self, run: str, name: str) -> Upload:
        """Begin to write an object, without having all of it in memory or on a disk before.

        Raises:
            InvalidName: it cannot be kept.
        """
        self.check(run, name)
        return Upload(self, run, name)

    def send(self, run: str, name: str, resent: Resent) -> None:
        """Keep a value that passes, in one atomic step; durable when this returns."""

        def send(part: int, at_once: int) -> None:
            path = self._key(run, name)
            # One that is left by an error is given up, and shows nothing.
            with self._obstore().open_writer(self._opened(), path, buffer_size=part, max_concurrency=at_once) as writer:

                def take(view: memoryview) -> None:
                    try:
                        writer.write(view)
                    except Exception as error:
                        # A pickler takes whatever else its file raises for a fault of the value.
                        raise ConnectionError(str(error)) from None

                resent.send(take)

        self._write(run, name, resent.nbytes, send)

    def upload(self, run: str, name: str, data: memoryview, *, time_to_live: float | None = None) -> None:  # noqa: ARG002
        """Keep a whole object in one atomic step; durable when this returns. No times are kept here.

        Raises:
            LayoutError: it is no object.
            TierError: the tier failed; what was under the name before is still there.
        """
        whole = sealed(run, name, data)

        def send(part: int, at_once: int) -> None:
            path = self._key(run, name)
            self._obstore().put(self._opened(), path, whole, chunk_size=part, max_concurrency=at_once)

        self._write(run, name, whole.nbytes, send)

    def sync(self, run: str) -> None:
        """Nothing to do: what was uploaded is durable."""

    def _write(self, run: str, name: str, nbytes: int, send: Callable[[int, int], None]) -> None:
        """Have an object sent, by so many bytes a part and so many parts at once."""
        part, at_once = _parts(nbytes)
        # A part has to be through before the time-out: on a slow line, fewer at once are.
        concurrency = (max(1, at_once >> tried) for tried in count())

        def put() -> None:
            try:
                send(part, next(concurrency))
            except FileNotFoundError as error:
                # The bucket is missing, or the parts are: they became the object, and the answer that said so was lost.
                raise ConnectionError(error) from None

        self.attempt(put, run, name, "written")
        size = self._size(run, name)
        if size != nbytes:
            raise self._failed(run, name, "written", f"it has {size} bytes of {nbytes} afterwards")

    def fetch(self, run: str, name: str) -> Download | None:
        """Begin to read an object."""
        found = self._first(run, name, _FIRST_READ)
        return None if found is None else Download(self, run, name, found)

    def delete(self, run: str, name: str) -> int | None:
        """Take a name away; returns its bytes, or None where there was none."""
        size = self._size(run, name)
        if size is not None:
            self._remove([self._key(run, name)], run, name)
        return size

    def drop_run(self, run: str, *, until: float = math.inf) -> int:
        """Take all names of a run away; returns how many there were.

        Args:
            run: whose names.
            until: a moment of the monotonic clock at which to end, be there more.
        """
        dropped, before = 0, None
        while keys := self._keys(run, most=_AT_ONCE):
            if keys == before:
                raise self._failed(run, "", "removed", "it is still listed afterwards")
            self._remove(keys, run, "")
            dropped, before = dropped + len(keys), keys
            if len(keys) < _AT_ONCE or time.monotonic() >= until:
                break
        return dropped

    def last_put(self, run: str) -> float:
        """When the newest object of a run came, by the storage's clock, in seconds since the epoch; 0 where there is none."""
        prefix = f"{self._run_key(run)}/"

        def newest() -> float:
            chunks = self._obstore().list(self._opened(), prefix)
            return max((meta["last_modified"].timestamp() for chunk in chunks for meta in chunk), default=0.0)

        return self.attempt(newest, run, "", "listed")

    def read(self, run: str, name: str, start: int, end: int, e_tag: str | None = None) -> Range:
        """A range of an object, in one request and one try.

        Args:
            run: namespace of the name.
            name: of the object.
            start: first byte.
            end: behind the last byte; may lie behind the object's.
            e_tag: fail where the object is of another version.
        """
        options: dict[str, Any] = {"range": (start, end)}
        if e_tag is not None:
            options["if_match"] = e_tag
        result = self._obstore().get(self._opened(), self._key(run, name), options=options)
        return Range(memoryview(result.bytes()), int(result.meta["size"]), result.meta["e_tag"])

    def attempt(self, action: Callable[[], _Result], run: str, name: str, done: str) -> _Result:
        """Do a request, again after a while where it failed for a reason that may pass.

        Raises:
            FileNotFoundError: no such key.
            ObjectReplaced: the object is of another version.
            TierError: it failed for good.
        """
        from obstore import exceptions

        final = (
            exceptions.PermissionDeniedError,
            exceptions.UnauthenticatedError,
            exceptions.InvalidPathError,
            exceptions.UnknownConfigurationKeyError,
            Panic,
        )
        pause = _FIRST_PAUSE
        for tried in range(1, _TRIES + 1):
            try:
                with panics_as_errors():
                    return action()
            except FileNotFoundError as error:
                if "NoSuchBucket" in str(error):
                    raise self._failed(run, name, done, self._reason(error)) from None
                raise
            except BodegaError:
                raise
            except exceptions.PreconditionError:
                raise self.replaced(run, name) from None
            except final as error:
                raise self._failed(run, name, done, self._reason(error)) from None
            except Exception as error:
                if tried == _TRIES or _HOPELESS.search(str(error)):
                    raise self._failed(run, name, done, self._reason(error)) from None
                time.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - many clients should not come at once
                pause *= 2
        raise AssertionError("unreachable")

    def replaced(self, run: str, name: str) -> ObjectReplaced:
        """The error of a read that found another object than the one it began with."""
        return ObjectReplaced(
            f"{name!r} of run {run!r} was replaced or deleted in {self.url} while it was read. Read it again.",
            tier=self.url,
            run=run,
            name=name,
        )

    def where(self, run: str, name: str) -> str:
        """The URL of one object, for messages."""
        return f"{self.url.rstrip('/')}/{self._key(run, name)}"

    def __repr__(self) -> str:
        return f"<ObjectStorageTier {self.url}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._address, self._options)

    def _first(self, run: str, name: str, length: int) -> Range | None:
        from obstore import exceptions

        def read() -> Range:
            try:
                return self.read(run, name, 0, length)
            except exceptions.GenericError as error:
                # Nothing has a range in an empty file, and each storage says so in words of its own.
                if "range" in str(error).lower() and self._head(run, name) == 0:
                    raise damaged(self.where(run, name), "it is empty") from None
                raise

        try:
            return self.attempt(read, run, name, "read")
        except FileNotFoundError:
            return None

    def _size(self, run: str, name: str) -> int | None:
        try:
            return self.attempt(lambda: self._head(run, name), run, name, "found")
        except FileNotFoundError:
            return None

    def _head(self, run: str, name: str) -> int:
        return int(self._obstore().head(self._opened(), self._key(run, name))["size"])

    def _keys(self, run: str, most: int | None = None) -> list[str]:
        """The keys of a run's objects; what others keep in its folder is neither shown nor removed."""
        prefix = f"{self._run_key(run)}/"

        def collect() -> list[str]:
            chunks = self._obstore().list(self._opened(), prefix)
            paths = (meta["path"] for chunk in chunks for meta in chunk)
            return list(islice((path for path in paths if _is_ours(path.removeprefix(prefix))), most))

        return self.attempt(collect, run, "", "listed")

    def _remove(self, keys: list[str], run: str, name: str) -> None:
        def remove() -> None:
            try:
                self._obstore().delete(self._opened(), keys)
            except FileNotFoundError:  # Somebody else was faster; a folder says so, S3 does not.
                return

        self.attempt(remove, run, name, "removed")

    def _run_key(self, run: str) -> str:
        return to_filename(run, portable=True, what="run", most=_LONGEST)

    def _key(self, run: str, name: str) -> str:
        return f"{self._run_key(run)}/{to_filename(name, portable=True, most=_LONGEST)}"

    def _obstore(self) -> ModuleType:
        try:
            import obstore
        except ImportError:
            raise SettingsError(
                f"The lower tier {self.url} needs obstore, which is not installed: {install('bodega[s3]')}"
            ) from None
        return obstore

    def _opened(self) -> Any:
        """The client of this process.

        Raises:
            TierError: this process was forked from one that used object storage. The threads of obstore's runtime, of
                which there is one a process, were left behind, and a request would hang.
        """
        global _runtime_process
        if _runtime_process not in (None, os.getpid()):
            raise TierError(
                f"{self.url} cannot be reached from a process that was forked after its parent had used object storage. "
                f"Start it by 'spawn' or 'forkserver' instead ({KEDRO_METHOD_VARIABLE}=spawn for bodega's ParallelRunner).",
                tier=self.url,
            )
        _runtime_process = os.getpid()
        if self._client is None:
            from obstore import store

            options: dict[str, Any] = {}
            scheme = self._address.partition("://")[0]
            if scheme == "file":
                options["mkdir"] = True
            elif scheme != "memory":
                if scheme.startswith("s3"):
                    self._config = with_profile(self._options)
                client = {**_CLIENT, "allow_http": "true"} if is_without_tls(self._config) else _CLIENT
                options = {"config": self._config, "client_options": client, "retry_config": _RETRIES}
            try:
                with panics_as_errors():
                    self._client = store.from_url(self._address, **options)
            except Exception as error:
                given = f" It was given {', '.join(map(repr, self._options))}." if self._options else ""
                raise SettingsError(
                    f"The lower tier {self.url} cannot be opened: {self._reason(error)}. See obstore's configuration "
                    f"of a storage.{given}"
                ) from None
        return self._client

    def _reason(self, error: BaseException) -> str:
        """The first line of what obstore says, without what may be a secret."""
        text = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        return f"{type(error).__name__}: {hide(text, self._config)[:400]}"

    def _failed(self, run: str, name: str, done: str, reason: str) -> TierError:
        subject = f"{name!r} of run {run!r}" if name else f"The run {run!r}" if run else "The list of runs"
        return TierError(
            f"{subject} could not be {done} in {self.url} ({reason}). What is in memory is untouched. Check that the "
            "storage is reachable, that the bucket exists, and that the keys may read, write, list and delete.",
            tier=self.url,
            run=run,
            name=name,
        )


def _is_ours(filename: str) -> bool:
    """Whether it is what `to_filename` makes of some name: a bucket may have other things in it."""
    try:
        return to_filename(from_filename(filename), portable=True, most=_LONGEST) == filename
    except InvalidName:
        return False


def _parts(nbytes: int) -> tuple[int, int]:
    """How large the parts of an upload are, and how many go at once."""
    part = max(_PART, -(-nbytes // _MOST_PARTS))
    return part, max(1, min(_PARTS_AT_ONCE, _IN_FLIGHT // part))
