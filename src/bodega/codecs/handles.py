"""What is a handle and not data: it means something only to the process, the session or the connection that holds it.

Types are told by the names along their method resolution order, so that nothing is imported to look.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Handle(NamedTuple):
    """A kind of handle, for a sentence that refuses it."""

    what: str
    """With its article: ``an open file``."""
    remedy: str
    """What to store instead, in the imperative."""


def _each(root: str, names: str, what: str, remedy: str) -> Iterable[tuple[tuple[str, str], Handle]]:
    return (((root, name), Handle(what, remedy)) for name in names.split())


_FILE = ("an open file", "Read it and store what it holds, or store its path.")
_MEMBER = ("an open archive", "Store the path, or what its members hold.")
_LOCK = ("a lock", "Make it in the task that needs it.")
_THREAD = ("a running thread or process", "Store what it computes.")
_FUTURE = ("a result that is still to come", "Wait for it and store its result.")
_ITERATOR = ("a generator, which can be read only once", "Make a list of it.")
_COROUTINE = ("a coroutine", "Await it and store its result.")
_DATABASE = ("a database connection", "Store the rows that were read, or connect again in the task that needs it.")
_QUERY = ("a lazy query", "Run it first and store its result, such as a data frame.")
_SPARK = ("a Spark object, which lives in its session", "Store .toPandas(), or keep it in Spark's own tables.")
_FRAME = ("a part of a running program", "Store what is needed of it, such as a text.")

_HANDLES: dict[tuple[str, str], Handle] = dict(
    entry
    for group in (
        _each("_io", "_IOBase", *_FILE),
        _each("tempfile", "_TemporaryFileWrapper SpooledTemporaryFile", *_FILE),
        _each("tempfile", "TemporaryDirectory", "a temporary folder", "Store what its files hold."),
        _each("zipfile", "ZipFile", *_MEMBER),
        _each("tarfile", "TarFile", *_MEMBER),
        _each("mmap", "mmap", "a memory map", "Store bytes() of it, or a numpy array over it."),
        _each("builtins", "memoryview", "a view on memory", "Store bytes() of it, or a numpy array over it."),
        _each("builtins", "generator async_generator", *_ITERATOR),
        _each("builtins", "coroutine", *_COROUTINE),
        _each("builtins", "frame traceback", *_FRAME),
        _each("weakref", "ReferenceType ProxyType CallableProxyType", "a weak reference", "Store the object itself."),
        _each("socket", "socket", "a socket", "Store what was read from it."),
        _each("_socket", "socket", "a socket", "Store what was read from it."),
        _each("_thread", "lock RLock _localdummy", *_LOCK),
        _each("threading", "_RLock Condition Event Semaphore Barrier", *_LOCK),
        _each("multiprocessing", "SemLock Condition Event Barrier", *_LOCK),
        _each("multiprocessing", "BaseProcess Pool", *_THREAD),
        _each("threading", "Thread", *_THREAD),
        _each("subprocess", "Popen", *_THREAD),
        _each("concurrent", "Executor", *_THREAD),
        _each("concurrent", "Future", *_FUTURE),
        _each("_asyncio", "Future Task", *_FUTURE),
        _each("asyncio", "Future Task", *_FUTURE),
        _each("sqlite3", "Connection Cursor Blob", *_DATABASE),
        _each("polars", "LazyFrame", "a lazy query", "Call .collect() and store the frame."),
        _each("polars", "LazyGroupBy GroupBy DynamicGroupBy RollingGroupBy", *_QUERY),
        _each("pyarrow", "NativeFile", *_FILE),
        _each("pyarrow", "RecordBatchReader", "a stream of record batches", "Call .read_all() and store the table."),
        _each("pyarrow", "Dataset Scanner", "a lazy query", "Call .to_table() and store the table."),
        _each("pyspark", "DataFrame Column RDD GroupedData SparkSession SparkContext Broadcast Frame", *_SPARK),
        _each("py4j", "JavaObject JavaGateway JavaMember", *_SPARK),
        _each("dask", "DaskMethodsMixin", "a lazy query", "Call .compute() and store the result."),
        _each("distributed", "Client Cluster", "a connection to a cluster", "Store the results that it computes."),
        _each("distributed", "Future", *_FUTURE),
        _each("ibis", "Expr", "a lazy query", "Call .execute() or .to_pyarrow() and store the result."),
        _each("ibis", "BaseBackend", *_DATABASE),
        *(
            _each(root, "DuckDBPyRelation", "a lazy query", "Call .arrow() or .df() and store the result.")
            for root in ("duckdb", "_duckdb")
        ),
        *(_each(root, "DuckDBPyConnection", *_DATABASE) for root in ("duckdb", "_duckdb")),
        _each("sqlalchemy", "Engine Connection Session AsyncEngine AsyncConnection AsyncSession Result", *_DATABASE),
        _each("sqlalchemy", "ClauseElement Query", *_QUERY),
    )
    for entry in group
)
_DATA = {("_io", "BytesIO"), ("_io", "StringIO")}
"""Files that are their own contents."""
_OWN_PICKLES = frozenset({"__reduce__", "__reduce_ex__", "__getstate__"})


def module_of(cls: type) -> str:
    """The name of the module that says it made a class; empty where none says so."""
    # A class may set it to None, or to something that is computed for its objects.
    name: object = cls.__module__
    return name if isinstance(name, str) else ""


def root_module(cls: type) -> str:
    """The first part of `module_of`: the name of a library."""
    return module_of(cls).partition(".")[0]


def handle(cls: type) -> Handle | None:
    """What kind of handle the values of a class are, if any.

    A class derived from a handle is none when it says itself how to pickle it.
    """
    for base in type.mro(cls):
        name = (root_module(base), base.__name__)
        if name in _DATA:
            return None
        if name in _HANDLES:
            return _HANDLES[name]
        if name[0] not in _ROOTS and not _OWN_PICKLES.isdisjoint(vars(base)):
            return None
    return None


_ROOTS = {root for root, _ in _HANDLES}
