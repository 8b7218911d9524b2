"""The bytes of an object: header, description, tables, digests, pickle stream and buffers.

Pure functions over bytes, no files and no locks. ``docs/format.md`` is the specification; this package is its only
implementation, and refuses with `LayoutError` whatever it does not know.

    header        the 128 bytes at the front, of both formats
    description   what an object says of itself
    segments      where its buffers are, in its own file or in others
    digest        what its bytes are checked by
    plan          where everything goes that is to be written
    parts, info   what an encoder hands over; what people are told

A segment may be longer than its object: lengths are never taken from the file.
"""

from bodega.format.description import Description, pack_description, parse_description, parse_stream
from bodega.format.digest import Digests, Passing, compare, is_sealed, measure, stated, verify
from bodega.format.header import FORMAT, HEADER_SIZE, Header, parse_header
from bodega.format.info import ObjectInfo, Producer, damaged, is_id, too_new
from bodega.format.parts import Buffer, Encoded, Pieces
from bodega.format.plan import Plan, aligned, padding, plan
from bodega.format.segments import ALIGNMENT, PAGE, Extent, Extents, length_of

__all__ = [
    "ALIGNMENT",
    "FORMAT",
    "HEADER_SIZE",
    "PAGE",
    "Buffer",
    "Description",
    "Digests",
    "Encoded",
    "Extent",
    "Extents",
    "Header",
    "ObjectInfo",
    "Passing",
    "Pieces",
    "Plan",
    "Producer",
    "aligned",
    "compare",
    "damaged",
    "is_id",
    "is_sealed",
    "length_of",
    "measure",
    "pack_description",
    "padding",
    "parse_description",
    "parse_header",
    "parse_stream",
    "plan",
    "stated",
    "too_new",
    "verify",
]
