from __future__ import annotations

import asyncio
import concurrent.futures
import csv
import ctypes
import dataclasses
import datetime as dt
import enum
import functools
import gzip
import importlib
import io
import itertools
import mmap
import pickle
import queue
import re
import shelve
import socket
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
import threading
import types
import weakref
import zipfile
from collections import Counter, OrderedDict, defaultdict, deque
from decimal import Decimal
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import Any
from uuid import UUID

import cloudpickle
import kedro.io
import kedro_datasets.json
import kedro_datasets.partitions
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.interpolate
import scipy.optimize
import scipy.sparse
import scipy.spatial
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import bodega
from bodega.codecs import decode, encode
from bodega.codecs.handles import handle
from bodega.codecs.types import describe, public_name
from bodega.errors import CannotRebuild, LayoutError, NotShareable, StoreFull


class Colour(enum.Enum):
    RED = 1


@dataclasses.dataclass
class Model:
    name: str
    weights: np.ndarray
    parts: dict[str, Any] = dataclasses.field(default_factory=dict)


PLAIN = {
    "none": None,
    "true": True,
    "int": -5,
    "big-int": 2**200,
    "float": 1.5,
    "infinity": float("inf"),
    "complex": 1j,
    "str": "text",
    "surrogate": "\ud800",
    "long-str": "ü" * 200_000,
    "bytes": b"abc",
    "no-bytes": b"",
    "big-bytes": b"x" * 3_000_000,
    "bytearray": bytearray(b"abc"),
    "list": [1, [2, "x", None]],
    "tuple": (1, (2,)),
    "dict": {"a": {1: b"x"}, (1, 2): None},
    "set": {1, 2},
    "frozenset": frozenset({"a"}),
    "bytes-inside": {"b": b"y" * 200_000, "a": bytearray(b"z" * 200_000)},
    "dates": [dt.date(2024, 1, 1), dt.datetime(2024, 1, 1, tzinfo=dt.UTC), dt.timedelta(1)],
    "numbers": [Decimal("1.50"), Fraction(1, 3), UUID(int=5)],
    "collections": [Counter("aab"), OrderedDict(a=1), deque([1], maxlen=3), defaultdict(list, a=[1])],
    "enum": Colour.RED,
    "path": PurePosixPath("a/b"),
    "range": range(3, 9, 2),
    "slice": slice(1, 2),
    "class": Model,
    "function": textwrap.dedent,
    "error": ValueError("x").args,
}


@pytest.mark.parametrize("name", PLAIN)
def test_plain_values(store, name):
    value = PLAIN[name]
    got = store(value).get()
    assert got == value
    assert type(got) is type(value)
    assert store([value]).get() == [value]


def test_byte_strings_are_one_buffer_and_no_stream(store):
    for value in (b"abc", bytearray(b"abc")):
        stored = store(value)
        assert stored.stream == b""
        assert stored.buffers == [b"abc"]
        assert stored.encoded.schema == {"length": 3}


def test_files_in_memory_are_data(store):
    text, binary = io.StringIO("abc"), io.BytesIO(b"abc")
    text.seek(1)
    got = store([text, binary]).get()
    assert got[0].read() == "bc"
    assert got[1].getvalue() == b"abc"


def test_big_parts_of_nested_values_are_read_in_place(store):
    array = np.arange(1000.0)
    model = Model("m", array, {"x": pd.DataFrame({"a": array, "b": array + 1})})
    value = {"models": [model, (model,)], "table": pa.table({"c": array[::-1]})}
    stored = store(value)
    got = stored.get()

    one = got["models"][0]
    assert one is got["models"][1][0]
    assert isinstance(one, Model)
    assert stored.holds(one.weights.ctypes.data, one.weights.nbytes)
    column = one.parts["x"]["b"].to_numpy()
    assert stored.holds(column.ctypes.data, column.nbytes)
    assert got["table"].column("c").to_pylist() == array[::-1].tolist()
    assert len(stored.stream) < 5000
    one.weights[0] = 5
    assert stored.get()["models"][0].weights[0] == 0


def test_a_value_that_holds_itself(store):
    value: list[object] = [np.arange(3)]
    value.append(value)
    got = store(value).get()
    assert got[1] is got


@pytest.mark.parametrize("make", [scipy.sparse.csr_matrix, scipy.sparse.coo_array, scipy.sparse.csc_array])
def test_sparse_matrices(store, make):
    matrix = make(np.eye(50))
    stored = store(matrix)
    got = stored.get()
    assert type(got) is make
    assert np.array_equal(got.toarray(), matrix.toarray())
    assert stored.holds(got.data.ctypes.data, got.data.nbytes)
    got.data[0] = 7
    assert stored.encoded.kind == f"scipy.sparse.{make.__name__}"


def test_fitted_models(store):
    frame = pd.DataFrame({"n": np.arange(40.0), "c": ["a", "b"] * 20})
    target = np.arange(40) % 2
    pipeline = make_pipeline(
        ColumnTransformer([("n", StandardScaler(), ["n"]), ("c", OneHotEncoder(), ["c"])]),
        RandomForestClassifier(n_estimators=5, random_state=0),
    ).fit(frame, target)
    assert np.array_equal(store(pipeline).get().predict_proba(frame), pipeline.predict_proba(frame))

    linear = LinearRegression().fit(frame[["n"]], target)
    stored = store(linear)
    got = stored.get()
    assert np.array_equal(got.coef_, linear.coef_)
    assert stored.holds(got.coef_.ctypes.data, got.coef_.nbytes)
    assert stored.encoded.kind == "sklearn.linear_model.LinearRegression"
    got.fit(frame[["n"]], target)


def test_lambdas_and_local_classes(store):
    factor = np.arange(3)

    class Local:
        def scaled(self) -> np.ndarray:
            return factor * 2

    function, local = store([lambda x: x + factor, Local()]).get()
    assert function(1).tolist() == [1, 2, 3]
    assert local.scaled().tolist() == [0, 2, 4]


def test_what_main_defines_is_read_by_another_process(tmp_path):
    writer = tmp_path / "writer.py"
    writer.write_text(
        textwrap.dedent(
            """
            import pickle, sys
            from dataclasses import dataclass
            import numpy as np
            from bodega.codecs import encode

            @dataclass
            class Mine:
                array: np.ndarray

            class Sink:
                data = b""
                def write(self, data):
                    self.data += bytes(data)
                    return len(data)

            sink = Sink()
            encoded = encode({"mine": Mine(np.arange(3)), "function": lambda mine: mine.array.sum()}, sink)
            buffers = [bytes(buffer) for buffer in encoded.buffers]
            sys.stdout.buffer.write(pickle.dumps((encoded.recipe, sink.data, buffers)))
            """
        )
    )
    run = subprocess.run([sys.executable, str(writer)], stdout=subprocess.PIPE, check=True, timeout=300)
    recipe, stream, buffers = pickle.loads(run.stdout)
    got = decode(recipe, memoryview(stream), [memoryview(bytearray(buffer)) for buffer in buffers])
    assert type(got["mine"]).__name__ == "Mine"
    assert got["function"](got["mine"]) == 3


def _generator():
    yield 1


async def _coroutine() -> None:
    """Never awaited."""


@pytest.fixture
def handles(tmp_path):
    """Handles by name, closed in the end."""
    file = (tmp_path / "file").open("w+b")
    file.write(b"x" * 100)
    file.flush()
    made = {
        "binary-file": file,
        "text-file": (tmp_path / "text").open("w"),
        "gzip": gzip.open(tmp_path / "file.gz", "wb"),
        "zip": zipfile.ZipFile(tmp_path / "a.zip", "w"),
        "temporary-file": tempfile.NamedTemporaryFile(),
        "memory-map": mmap.mmap(file.fileno(), 100),
        "generator": _generator(),
        "coroutine": _coroutine(),
        "socket": socket.socket(),
        "lock": threading.Lock(),
        "rlock": threading.RLock(),
        "event": threading.Event(),
        "semaphore": threading.Semaphore(),
        "thread": threading.Thread(),
        "popen": subprocess.Popen([sys.executable, "-c", ""]),
        "executor": concurrent.futures.ThreadPoolExecutor(),
        "future": concurrent.futures.Future(),
        "sqlite": sqlite3.connect(":memory:"),
        "iterator": iter([1, 2]),
        "map": map(str, [1]),
        "zipped": zip([1], [2]),
        "keys": iter({1: 2}),
        "chain": itertools.chain([1]),
        "csv": csv.reader(["a,b"]),
        "queue": queue.Queue(),
        "shelf": shelve.Shelf({}),
        "ctypes-array": (ctypes.c_int * 3)(1, 2, 3),
        "archive-of-arrays": np.load(_saved(np.savez, tmp_path / "a.npz")),
        "table-file": pq.ParquetFile(_saved(lambda path: pq.write_table(pa.table({"a": [1]}), path), tmp_path / "t")),
        "kedro-dataset": kedro_datasets.json.JSONDataset(filepath=str(tmp_path / "x.json")),
        "weakref": weakref.ref(Model),
        "traceback": _traceback(),
        "frame": sys._getframe(),
    }
    loop = asyncio.new_event_loop()
    made["asyncio-future"] = loop.create_future()
    yield made
    made["popen"].wait()
    made["coroutine"].close()
    for name in (
        "archive-of-arrays",
        "table-file",
        "memory-map",
        "binary-file",
        "text-file",
        "gzip",
        "zip",
        "temporary-file",
        "socket",
        "sqlite",
    ):
        made[name].close()
    made["executor"].shutdown()
    loop.close()


def _saved(save, path):
    save(path)
    return path


def _traceback() -> types.TracebackType | None:
    try:
        raise ValueError
    except ValueError as error:
        return error.__traceback__


def test_handles_are_refused_with_their_place_and_a_remedy(store, handles):
    for name, value in handles.items():
        with pytest.raises(NotShareable) as alone:
            store(value)
        with pytest.raises(NotShareable) as inside:
            store({"model": Model("m", np.arange(3), {"log": [0, value]})})
        assert alone.value.kind == inside.value.kind == public_name(type(value)), name
        for error in (alone.value, inside.value):
            assert "is a" in str(error), name
            assert "not data" in str(error), name
            assert str(error).endswith("."), name
        assert "at ['model'].parts['log'][1]" in str(inside.value), name
        assert pickle.loads(pickle.dumps(inside.value)).kind == inside.value.kind


def test_modules_are_refused_alone_and_kept_in_functions(store):
    with pytest.raises(NotShareable, match="'textwrap' is code"):
        store(textwrap)
    assert store(lambda: textwrap.dedent(" a")).get()() == "a"


def test_a_class_that_pickles_itself_is_data(store):
    class Worker(threading.Thread):
        def __reduce__(self) -> tuple[object, ...]:
            return (str, ("kept",))

    assert store(Worker()).get() == "kept"


@pytest.mark.parametrize(
    ("module", "name", "hint"),
    [
        ("pyspark.sql.classic.dataframe", "DataFrame", "toPandas"),
        ("dask.base", "DaskMethodsMixin", "compute"),
        ("ibis.expr.types.core", "Expr", "execute"),
        ("_duckdb", "DuckDBPyRelation", "arrow"),
        ("duckdb.duckdb", "DuckDBPyConnection", "connect again"),
        ("sqlalchemy.engine.base", "Engine", "connect again"),
        ("xarray.backends.common", "BackendArray", r"\.load\(\)"),
        ("zarr.abc.store", "Store", r"array\[\.\.\.\]"),
        ("h5py._hl.base", "HLObject", r"dataset\[\.\.\.\]"),
        ("netCDF4._netCDF4", "Variable", r"dataset\[\.\.\.\]"),
        ("nibabel.arrayproxy", "ArrayProxy", "get_fdata"),
        ("datasets.table", "MemoryMappedTable", "keep_in_memory"),
        ("fsspec.core", "OpenFile", "store its path"),
        ("xgboost.core", "DMatrix", "arrays or the frame"),
        ("sqlalchemy.sql.elements", "ClauseElement", "Run it first"),
    ],
)
def test_lazy_queries_are_known_by_name_along_their_bases(store, module, name, hint):
    base = type(name, (), {"__module__": module})
    derived = type("Derived", (base,), {"__module__": "elsewhere"})
    for cls in (base, derived):
        with pytest.raises(NotShareable, match=hint):
            store([cls()])


def test_rows_of_spark_and_the_like_are_data():
    row = type("Row", (tuple,), {"__module__": "pyspark.sql.types"})
    assert handle(row) is None


class Unpicklable:
    def __reduce__(self) -> str:
        raise ValueError("not today")


def test_what_pickle_refuses_is_not_shareable(store):
    with pytest.raises(NotShareable, match="not today") as caught:
        store({"a": Unpicklable()})
    assert isinstance(caught.value.__cause__, ValueError)
    assert caught.value.kind == f"{__name__}.Unpicklable"


class Slots:
    __slots__ = ("empty", "inner")

    def __init__(self, inner: object) -> None:
        self.inner = inner


@pytest.mark.parametrize(
    ("hold", "place"),
    [
        (lambda part: {"models": {"region": [1, part]}}, r"at \['models'\]\['region'\]\[1\]"),
        (lambda part: Model("m", np.arange(3), {"x": part}), r"at \.parts\['x'\]"),
        (lambda part: [Slots(part)], r"at \[0\]\.inner"),
        (lambda part: functools.partial(len, part), r"at \.args\[0\]"),
        (lambda part: [types.MethodType(len, part)], r"at \[0\]\.__self__"),
        (lambda part: (part,), r"at \[0\]"),
    ],
)
def test_what_cannot_be_pickled_is_named_with_its_place(store, hold, place):
    for part in (Unpicklable(), re.match("a", "a")):
        with pytest.raises(NotShareable, match=f"holds, {place}, a {public_name(type(part))}, which cannot be pickled"):
            store(hold(part))
    with pytest.raises(NotShareable, match=f"A value of type {__name__}.Unpicklable cannot be pickled: not today"):
        store(Unpicklable())


def test_functions_that_load_elsewhere_are_refused(store, tmp_path):
    partitions = kedro_datasets.partitions.PartitionedDataset(path=str(tmp_path / "parts"), dataset="json.JSONDataset")
    partitions.save({"one": [1]})
    with pytest.raises(NotShareable, match=r"\['one'\].*a dataset of Kedro, whose data are elsewhere"):
        store(partitions.load())
    data = kedro.io.MemoryDataset([1, 2])
    assert store(data).get().load() == [1, 2]


@pytest.mark.filterwarnings("ignore:Pickle, copy, and deepcopy support:DeprecationWarning")
def test_state_without_an_end_is_kept(store):
    counter = itertools.count(5)
    next(counter)
    assert next(store({"ids": counter}).get()["ids"]) == 6


class Called:
    """Asks for an argument that pickle does not keep."""

    def __new__(cls, size):
        return super().__new__(cls)


class Kept(tuple):
    __slots__ = ()

    def __new__(cls, *items):
        return super().__new__(cls, items)

    def __getnewargs__(self):
        return tuple(self)


def test_a_class_that_could_not_be_called_again_is_refused(store):
    with pytest.raises(
        NotShareable, match=r"at \[0\], a .*Called, which cannot be pickled: its class cannot be called"
    ):
        store([Called(3)])
    assert store(Kept(1, 2)).get() == (1, 2)
    assert store(OrderedDict(a=Fraction(1, 3))).get() == {"a": Fraction(1, 3)}


class Failure(Exception):
    def __init__(self, code: int, *, where: str) -> None:
        super().__init__(f"{code} in {where}")
        self.code = code


class FileFailure(OSError):
    def __init__(self, path: str, size: int) -> None:
        super().__init__(5, "too small", path)
        self.size = size


def test_errors_that_ask_for_other_arguments_come_back(store):
    got = store({"e": Failure(3, where="here")}).get()["e"]
    assert type(got) is Failure
    assert (got.args, got.code, str(got)) == (("3 in here",), 3, "3 in here")
    got = store(FileFailure("f", 3)).get()
    assert (got.errno, got.strerror, got.size) == (5, "too small", 3)
    assert store(UnicodeDecodeError("utf8", b"a", 0, 1, "why")).get().reason == "why"


VIEWS = {
    "bytes": memoryview(b"abc"),
    "nothing": memoryview(b""),
    "numbers": np.arange(6, dtype="i4").reshape(2, 3).data,
    "steps": memoryview(b"abcdef")[::2],
    "big": memoryview(bytes(200_000)),
    "zero-d": np.array(5.0).data,
    "truths": np.array([True, False]).data,
}


@pytest.mark.parametrize("name", VIEWS)
def test_views_on_memory(store, name):
    view = VIEWS[name]
    for got in (store(view).get(), store({"a": [view]}).get()["a"][0]):
        assert type(got) is memoryview
        assert (got.format, got.shape) == (view.format, view.shape)
        assert got.tobytes() == view.tobytes()
        assert not got.readonly or not got.nbytes


@pytest.mark.parametrize("array", [np.arange(3, dtype=">i4"), np.zeros(2, [("a", "i4")]), np.zeros((0, 3))], ids=str)
def test_views_that_nothing_can_make_again_are_refused(store, array):
    with pytest.raises(NotShareable, match="numpy array over it"):
        store([memoryview(array)])


def test_a_missing_extra_says_what_to_install():
    code = """
        import sys
        sys.modules["pyarrow"] = None  # as where it is not installed
        import pandas as pd
        from io import BytesIO
        from bodega.codecs import decode, encode
        from bodega.errors import CannotRebuild, NotShareable
        from bodega.texts import install
        for value in (pd.DataFrame({"a": [1]}), [pd.Series([1])]):
            try:
                encode(value, BytesIO())
            except NotShareable as error:
                assert install("bodega[arrow]") in str(error), error
            else:
                raise AssertionError
        stream = b"cbodega.codecs.pandas\\nrestore_arrow_backed\\n."
        try:
            decode({"codec": "pickle", "buffers": 0}, memoryview(stream), [])
        except CannotRebuild as error:
            assert install("bodega[arrow]") in str(error), error
        else:
            raise AssertionError
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, timeout=300)


def test_too_deep_a_nesting_is_not_shareable(store):
    value: list[object] = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(NotShareable, match="nested too deeply"):
        store(value)


@pytest.mark.parametrize("error", [StoreFull("full", need=1), OSError("broken"), MemoryError()])
def test_errors_of_the_sink_are_its_own(error):
    class Broken:
        def write(self, data: bytes | memoryview, /) -> int:
            raise error

    with pytest.raises(type(error)) as caught:
        encode(["a"], Broken())
    assert caught.value is error


def test_a_long_stream_is_written_as_it_is_made():
    written: list[int] = []

    class Sink:
        def write(self, data: bytes | memoryview, /) -> int:
            written.append(len(data))
            return len(data)

    encode([f"text {number}" for number in range(200_000)], Sink())
    assert sum(written) > 2_000_000
    assert max(written) < 200_000


def test_a_missing_class_is_named_with_a_remedy(store, monkeypatch):
    module = types.ModuleType("bodega_test_module")
    exec("class Gone:\n    pass", module.__dict__)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    stored = store([module.Gone()])
    del module.Gone
    with pytest.raises(CannotRebuild, match=r"Gone.*register_pickle_by_value"):
        stored.get()
    monkeypatch.delitem(sys.modules, module.__name__)
    with pytest.raises(CannotRebuild, match="bodega_test_module") as caught:
        stored.get()
    assert caught.value.module == "bodega_test_module"
    assert pickle.loads(pickle.dumps(caught.value)).module == "bodega_test_module"


@pytest.mark.parametrize(
    "change",
    [
        {"codec": "unknown"},
        {"codec": None},
        {"codec": ["pickle"]},
        {"buffers": 2},
        {"buffers": None},
        {"buffers": "1"},
        {"order": [0, 5]},
        {"order": [-1]},
        {"order": [True]},
        {"order": "0"},
        {"order": [0, 0]},
        {"order": []},
    ],
    ids=str,
)
def test_a_damaged_recipe_is_a_layout_error(store, change):
    stored = store([np.arange(3)])
    stored.recipe.update(change)
    with pytest.raises(LayoutError):
        stored.get()


@pytest.mark.parametrize("codec", ["array", "bytes", "bytearray"])
@pytest.mark.parametrize("count", [0, 2])
def test_a_direct_codec_has_one_buffer(codec, count):
    with pytest.raises(LayoutError):
        decode({"codec": codec, "dtype": "u1", "shape": [1]}, memoryview(b""), [memoryview(bytearray(1))] * count)


def test_a_truncated_stream_is_a_layout_error(store):
    stored = store({"a": np.arange(3), "b": "text", "c": pd.DataFrame({"a": [1]})})
    whole = stored.stream
    for length in range(0, len(whole) - 1, 7):
        stored.stream = whole[:length]
        with pytest.raises(LayoutError):
            stored.get()


def test_a_shortened_buffer_is_a_layout_error(store):
    for value in (np.arange(30), [np.arange(30)], pd.DataFrame({"a": [1.5] * 30}), pa.table({"a": [1] * 30})):
        stored = store(value)
        largest = max(range(len(stored.buffers)), key=lambda place: len(stored.buffers[place]))
        stored.buffers[largest] = stored.buffers[largest][:-1]
        with pytest.raises(LayoutError):
            stored.get()


def test_kinds_and_schemas_of_containers(store):
    for value, kind in (
        ([1, 2], "list"),
        ({"a": 1, "b": 2}, "dict"),
        ("ab", "str"),
        (Counter("ab"), "collections.Counter"),
    ):
        encoded = store(value).encoded
        assert encoded.kind == kind
        assert encoded.schema == {"length": 2}
    assert store(Model("m", np.zeros(1))).encoded.kind == f"{__name__}.Model"
    assert store(Model("m", np.zeros(1))).encoded.schema == {}
    assert store(5).encoded.schema == {}


LIBRARIES = {
    "dtype": lambda: np.dtype("i4"),
    "records": lambda: np.dtype([("a", "i4"), ("b", "U3")]),
    "class": lambda: type(np.dtype("i4")),
    "generator": lambda: np.random.default_rng(0),
    "ufunc": lambda: np.sin,
    "polynomial": lambda: np.polynomial.Polynomial([1, 2]),
    "vectorized": lambda: np.vectorize(len),
    "optimum": lambda: scipy.optimize.minimize(lambda x: (x**2).sum(), [1.0]),
    "spline": lambda: scipy.interpolate.CubicSpline([0, 1, 2], [0, 1, 4]),
    "tree": lambda: scipy.spatial.KDTree([[0.0, 1.0]]),
    "distribution": lambda: scipy.stats.norm(1, 2),
    "rotation": lambda: scipy.spatial.transform.Rotation.identity(3),
}


@pytest.mark.parametrize("name", LIBRARIES)
def test_what_is_no_array_of_a_library_of_arrays(store, name):
    value = LIBRARIES[name]()
    stored = store(value)
    assert type(stored.get()) is type(value)
    assert store([value]).encoded.kind == "list"


def test_a_description_never_fails():
    class Hostile(np.ndarray):
        shape = property(lambda self: 1 / 0)

    class Panicking(np.ndarray):
        @property  # type: ignore[misc]
        def shape(self):
            raise type("PanicException", (BaseException,), {})("it panicked")

    # Real arrays, whose own attributes fail.
    for cls in (Hostile, Panicking):
        assert describe(np.arange(3).view(cls)) == {}


def test_a_class_without_a_module(store):
    cls = type("Lonely", (), {"__module__": None})
    stored = store(cls())
    assert stored.encoded.kind == "Lonely"
    assert type(stored.get()).__name__ == "Lonely"
    with pytest.raises(NotShareable, match="Lonely"):
        store([type("Lonely", (threading.Thread,), {"__module__": None})()])


class Panicking:
    """Pickles as bindings to Rust do when they panic: by an error that is no `Exception`."""

    error: type[BaseException] = type("PanicException", (BaseException,), {})

    def __reduce__(self) -> str:
        raise self.error("it panicked")


def test_a_panic_of_a_library_is_not_shareable(store):
    with pytest.raises(NotShareable, match="it panicked"):
        store({"a": Panicking()})


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit, GeneratorExit, MemoryError])
def test_interrupts_pass_through_the_pickler(store, monkeypatch, interrupt):
    monkeypatch.setattr(Panicking, "error", interrupt)
    with pytest.raises(interrupt):
        store({"a": Panicking()})


def test_importing_the_codecs_imports_no_library_of_data():
    code = (
        "import sys, bodega.codecs; "
        "heavy = {'numpy', 'pandas', 'pyarrow', 'polars', 'torch', 'cloudpickle'} & set(sys.modules); "
        "assert not heavy, heavy; "
        "from io import BytesIO; bodega.codecs.encode([1], BytesIO()); "
        "heavy = {'numpy', 'pandas', 'pyarrow', 'polars', 'torch'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)


_LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary() | st.dates()


@given(
    st.recursive(
        _LEAVES,
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
        max_leaves=20,
    )
)
def test_any_nested_value(store, value):
    got = store(value).get()
    assert got == value
    assert type(got) is type(value)


def test_a_module_that_is_pickled_by_value_is_so_though_it_can_be_imported(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = bodega.open(root)
    (tmp_path / "by_value_here.py").write_text("class Thing:\n    number = 1\n\ndef twice(x):\n    return 2 * x\n")
    monkeypatch.syspath_prepend(tmp_path)
    by_value_here = importlib.import_module("by_value_here")
    store.put("reference", by_value_here.twice)
    cloudpickle.register_pickle_by_value(by_value_here)
    try:
        store.put("value", [by_value_here.twice, by_value_here.Thing])
    finally:
        cloudpickle.unregister_pickle_by_value(by_value_here)
    monkeypatch.delitem(sys.modules, "by_value_here")
    (tmp_path / "by_value_here.py").unlink()
    twice, thing = store["value"]
    assert twice(4) == 8 and thing.number == 1
    with pytest.raises(bodega.CannotRebuild):
        store["reference"]
