"""For the tests of whoever builds on bodega: the contract of a tier, and a real S3 server on this machine.

A name of `contract` is loaded when it is used: the servers, which benchmarks run too, need little besides the standard library.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bodega.testing.contract import (
        FolderContract,
        TierContract,
        fetched,
        raw_files,
        read_raw,
        sealed,
        store_machine,
        tier_machine,
    )

__all__ = [
    "FolderContract",
    "TierContract",
    "fetched",
    "raw_files",
    "read_raw",
    "sealed",
    "store_machine",
    "tier_machine",
]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from bodega.testing import contract

    return getattr(contract, name)
