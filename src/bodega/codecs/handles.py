"""What is a handle and not data: it means something only to the process, the session or the connection that holds it.

What refers to data elsewhere is one too, such as a file that is read only when it is used: those who read the value
would get what lies there then.

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
_GENERATOR = ("a generator, which can be read only once", "Make a list of it.")
_ITERATOR = ("an iterator, of which only what is left could be stored", "Make a list of it.")
_FOREIGN = ("an object of a C library", "Store list() or bytes() of it, or numpy.ctypeslib.as_array(it).")
_KEYS = ("an open database of keys", "Store dict() of it.")
_QUEUE = ("a queue", "Take what it holds out of it, and store that as a list.")
_LAZY = ("an array in a file that was not read yet", "Call .load() on what was opened, and store that.")
_ARRAY = ("a part of an open file", "Read what is needed of it, such as dataset[...], and store that.")
_STORE = (
    "a place of arrays, which others can change",
    "Read what is needed of them, such as array[...], and store that.",
)
_DATASET = (
    "a dataset of Kedro, whose data are elsewhere",
    "Load it (call what loads it), and store what that returns.",
)
_ELSEWHERE = ("a reference to data that are elsewhere", "Read them into memory, and store those.")
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
        _each("builtins", "generator async_generator", *_GENERATOR),
        _each("builtins", "map filter zip enumerate reversed iterator callable_iterator async_iterator", *_ITERATOR),
        _each(
            "builtins",
            "list_iterator list_reverseiterator tuple_iterator range_iterator longrange_iterator",
            *_ITERATOR,
        ),
        _each(
            "builtins", "set_iterator dict_keyiterator dict_valueiterator dict_itemiterator odict_iterator", *_ITERATOR
        ),
        _each("builtins", "dict_reversekeyiterator dict_reversevalueiterator dict_reverseitemiterator", *_ITERATOR),
        _each("builtins", "str_iterator str_ascii_iterator bytes_iterator bytearray_iterator", *_ITERATOR),
        # Those without an end (count, cycle, repeat) are state that objects keep, and are whole wherever they stand.
        _each("itertools", "accumulate batched chain combinations combinations_with_replacement compress", *_ITERATOR),
        _each("itertools", "dropwhile filterfalse groupby _grouper islice pairwise permutations product", *_ITERATOR),
        _each("itertools", "starmap takewhile _tee tee zip_longest", *_ITERATOR),
        _each("_collections", "_deque_iterator _deque_reverse_iterator", *_ITERATOR),
        _each("_csv", "reader", *_ITERATOR),
        _each("csv", "DictReader", *_ITERATOR),
        _each("_ctypes", "Array PyCArrayType PyCFuncPtrType", *_FOREIGN),
        _each("ctypes", "CDLL LibraryLoader", *_FOREIGN),
        _each("dbm", "_Database", *_KEYS),
        _each("shelve", "Shelf", *_KEYS),
        _each("queue", "Queue", *_QUEUE),
        _each("_queue", "SimpleQueue", *_QUEUE),
        _each("multiprocessing", "Queue SimpleQueue JoinableQueue", *_QUEUE),
        _each("multiprocessing", "SharedMemory", "a name of shared memory", "Store bytes(.buf), or an array's copy."),
        _each("multiprocessing", "ShareableList", "a list in shared memory", "Store list() of it."),
        _each("multiprocessing", "SynchronizedBase", "memory that processes share", "Store what it holds, as a list."),
        _each("multiprocessing", "_ConnectionBase", "an end of a pipe", "Store what was read from it."),
        _each(
            "multiprocessing", "BaseProxy", "a proxy of another process's object", "Store a copy, such as list() of it."
        ),
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
        _each("kedro", "AbstractDataset", *_DATASET),
        _each("xarray", "BackendArray", *_LAZY),
        _each("zarr", "Store BaseStore", *_STORE),
        _each("icechunk", "IcechunkStore Repository Session", *_STORE),
        _each("h5py", "HLObject AttributeManager ObjectID", *_ARRAY),
        _each("h5netcdf", "Group Variable Dimension Attributes", *_ARRAY),
        _each("netCDF4", "Dataset Variable Dimension", *_ARRAY),
        _each("tables", "File Node AttributeSet", *_ARRAY),
        _each("rasterio", "DatasetBase", "an open file", "Store what .read() returns."),
        _each("nibabel", "ArrayProxy", "an array in a file", "Store .get_fdata(), or an image over that."),
        _each("tifffile", "TiffFile", "an open file", "Store what .asarray() returns."),
        _each("numpy", "NpzFile", "an open archive of arrays", "Store dict() of it."),
        _each("pandas", "HDFStore ExcelFile", "an open file", "Read its tables, and store those."),
        _each(
            "pandas",
            "TextFileReader JsonReader StataReader SAS7BDATReader XportReader",
            "a reader of a file in pieces",
            "Store pandas.concat() of it.",
        ),
        _each("datasets", "MemoryMappedTable", "a table in a file", "Load it with keep_in_memory=True."),
        _each("datasets", "IterableDataset", "a stream of examples", "Make a list of it."),
        _each("fsspec", "OpenFile LocalFileOpener AbstractBufferedFile", *_FILE),
        _each("fsspec", "FSMap", *_KEYS),
        _each("joblib", "MemorizedResult", "a result in a cache", "Store what .get() returns."),
        _each("onnxruntime", "InferenceSession", "a session over a model", "Store the bytes of the model."),
        _each("builtins", "safe_open", *_ARRAY),
        _each("soundfile", "SoundFile", "an open file", "Store what .read() returns."),
        _each("xgboost", "DMatrix", "memory of a library", "Store the arrays or the frame that it was made of."),
        _each("catboost", "Pool", "memory of a library", "Store the arrays or the frame that it was made of."),
        _each("tensorstore", "TensorStore", *_ARRAY),
        _each("uproot", "ReadOnlyFile ReadOnlyDirectory", *_ELSEWHERE),
        _each("lance", "LanceDataset LanceFragment", *_ELSEWHERE),
        _each("deltalake", "DeltaTable", *_ELSEWHERE),
        _each("vaex", "DataFrame", *_ELSEWHERE),
        _each("h2o", "H2OFrame", *_ELSEWHERE),
        _each("polars", "LazyFrame", "a lazy query", "Call .collect() and store the frame."),
        _each("polars", "LazyGroupBy GroupBy DynamicGroupBy RollingGroupBy", *_QUERY),
        _each("pyarrow", "NativeFile", *_FILE),
        _each("pyarrow", "RecordBatchReader", "a stream of record batches", "Call .read_all() and store the table."),
        _each("pyarrow", "ParquetFile ParquetReader", "an open file", "Call .read() and store the table."),
        _each("pyarrow", "_RecordBatchFileReader", "an open file", "Call .read_all() and store the table."),
        _each("pyarrow", "Dataset Scanner Fragment", "a lazy query", "Call .to_table() and store the table."),
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
_DATA = {
    ("_io", "BytesIO"),
    ("_io", "StringIO"),
    ("kedro", "MemoryDataset"),
    ("zarr", "KVStore"),
    ("zarr", "MemoryStore"),
}
"""Files and the like that are their own contents."""
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
