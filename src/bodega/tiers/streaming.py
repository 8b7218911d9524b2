"""An object that is written piece by piece, by somebody who learns of the next piece when this one is written.

What is written lies in a draft, which nobody sees and which goes with its writer. It needs room in memory for all of
it; where there is none, it moves to the next folder below and grows on there.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack

from bodega import layout
from bodega.errors import StoreFull
from bodega.memory import pool
from bodega.memory.files import Draft
from bodega.tiers.directory import DirectoryTier
from bodega.tiers.writing import describe

_PART = 8 << 20
"""Bytes that are copied at a time when a draft moves."""

Pieces = Generator[None, Sequence[layout.Buffer] | layout.Encoded, layout.ObjectInfo]
"""Takes buffers by ``send``, and last what to say of them all, without buffers; closing it leaves nothing behind."""


def write_pieces(
    folders: Sequence[DirectoryTier],
    run: str,
    name: str,
    publishing: Callable[[DirectoryTier], AbstractContextManager[None]],
) -> Pieces:
    """Write an object whose buffers come one after the other.

    Args:
        folders: where it may lie: the first that has room for it.
        run: namespace of the name.
        name: of the object.
        publishing: gives what is held while the object gets its name in a folder.

    Raises:
        StoreFull: it does not fit; the old object of the name is untouched.
    """
    lengths: list[int] = []
    end = layout.HEADER_SIZE
    with ExitStack() as drafts:
        remaining = iter(folders)
        tier = next(remaining)
        draft = drafts.enter_context(tier.draft(name))
        # Always sealed: where it will be published is not known yet, and below memory an object needs its digest.
        draft.hasher = layout.digester()
        draft.begin(pool.MINIMUM_SIZE)
        while not isinstance(sent := (yield), layout.Encoded):
            for buffer in sent:
                offset = layout.aligned(end, buffer.nbytes)
                pieces = [layout.padding(offset - end), buffer]
                try:
                    draft.write(end, pieces)
                except StoreFull:
                    below = next(remaining, None)
                    if below is None:
                        raise
                    tier, draft = below, _move(draft, end, below.draft(name), drafts)
                    draft.write(end, pieces)
                lengths.append(buffer.nbytes)
                end = offset + buffer.nbytes
        encoded = sent._replace(buffers=[layout.Pieces(length, _nothing) for length in lengths])
        info = describe(tier.url, run, name, encoded, 0)
        plan = layout.plan(info, encoded, stream_length=0, stream_crc=0, stream_written=True)
        draft.write(plan.description_offset, [memoryview(plan.description)])
        head = layout.seal(plan.head, plan.description, draft.hasher.digest())
        draft.write(0, [memoryview(head)])
        with publishing(tier):
            tier.publish(draft, run, name, synced=tier.is_on_disk)
    return info


def _move(old: Draft, end: int, draft: Draft, drafts: ExitStack) -> Draft:
    """Go on in another draft; the old one goes at once, for its room is what was needed."""
    with ExitStack() as moving:
        moving.enter_context(draft)
        draft.begin(end)
        # Not the header's place, which is written last.
        for start in range(layout.HEADER_SIZE, end, _PART):
            draft.write(start, [memoryview(old.read(start, min(_PART, end - start)))])
        draft.hasher, old.hasher = old.hasher, None
        drafts.close()
        drafts.push(moving.pop_all())
    return draft


def _nothing() -> Iterator[memoryview]:
    return iter(())
