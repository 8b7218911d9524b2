"""What a root says of itself, and who may open it."""

import json
import multiprocessing
import shutil
from pathlib import Path

import pytest

import bodega
from bodega import format as layout
from bodega.errors import LayoutError
from bodega.memory.root import MARKER, TAG, VERSIONS, open_root, strangers

ROOT_1 = Path(__file__).parents[1] / "data" / "root-1"


def marker(root):
    return json.loads((root / MARKER).read_text())


def change(root, **facts):
    (root / MARKER).write_text(json.dumps({**marker(root), **facts}))


@pytest.fixture
def old(root):
    """A root that version 0.1 made."""
    shutil.rmtree(root)
    shutil.copytree(ROOT_1, root)
    root.chmod(0o700)
    return root


def test_a_root_has_an_id_that_stays(root):
    opened = open_root(root)
    assert layout.is_id(opened.id)
    assert open_root(root).id == opened.id
    shutil.rmtree(root)
    assert open_root(root).id != opened.id


def test_a_root_says_its_versions(root):
    open_root(root)
    said = marker(root)
    assert said["format"] == 2
    assert said["parts"] == {"names": 1, "attempts": 0, "ledger": 1, "pool": 1, "references": 0}


@pytest.mark.parametrize("part", [*VERSIONS, "a part to come"])
def test_a_version_of_a_part_that_is_not_known_is_refused_by_name(root, part):
    bodega.open(root).put("x", 1)
    change(root, parts={**marker(root)["parts"], part: 7})
    with pytest.raises(
        LayoutError, match=f"another version of bodega: it has version 7 of '{part}', and this one knows"
    ):
        bodega.open(root)


def test_what_a_root_lacks_disturbs_nobody(root):
    bodega.open(root).put("x", 1)
    parts = marker(root)["parts"]
    del parts["references"]
    change(root, parts={**parts, "a part to come": 0}, more="said by another version")
    assert bodega.open(root)["x"] == 1


@pytest.mark.parametrize("facts", [
    {"id": None}, {"id": "../../etc"}, {"id": "0" * 31}, {"parts": None}, {"parts": []}, {"parts": 5}, {"format": []},
    {"portable_names": None, "format": None}, {"parts": {"names": [1]}},
])  # fmt: skip
def test_a_damaged_marker_is_refused(root, facts):
    open_root(root)
    change(root, **facts)
    with pytest.raises(LayoutError, match=r"damaged|another version"):
        open_root(root)


@pytest.mark.parametrize("version", [0, 3, "2"])
def test_another_format_is_refused_by_its_number(root, version):
    open_root(root)
    change(root, format=version)
    with pytest.raises(LayoutError, match=rf"it has format {version!r}, and this one knows 1 and 2"):
        open_root(root)


def test_an_old_root_gets_its_id_when_it_is_opened(old):
    assert marker(old) == {"format": 1, "portable_names": False, "group": False}
    opened = open_root(old)
    assert layout.is_id(opened.id)
    assert marker(old)["id"] == open_root(old).id == opened.id
    assert marker(old)["parts"] == {part: known[-1] for part, known in VERSIONS.items()}


def _open(path, ids):
    ids.put(open_root(path).id)


def test_all_who_open_an_old_root_at_once_find_one_id(old):
    context = multiprocessing.get_context("fork")
    ids = context.Queue()
    processes = [context.Process(target=_open, args=(old, ids)) for _ in range(8)]
    for process in processes:
        process.start()
    found = {ids.get(timeout=60) for _ in processes}
    for process in processes:
        process.join(60)
    assert found == {open_root(old).id}


def test_an_old_root_opens_without_room_for_its_id(old, monkeypatch):
    from bodega.memory import root as module

    def full(self, name, data):
        raise bodega.StoreFull("no room")

    monkeypatch.setattr(module.Root, "write", full)
    assert open_root(old).id == ""
    assert marker(old)["format"] == 1
    monkeypatch.undo()
    assert layout.is_id(open_root(old).id)


def test_a_root_keeps_backups_out_but_a_folder_below_memory_does_not(root, tmp_path):
    store = bodega.open(root, spill=tmp_path / "below")
    assert (root / TAG).read_text().startswith("Signature: 8a477f597d28d172789f06886806bc55\n")
    assert not (tmp_path / "below" / TAG).exists()
    store.put("x", 1)
    assert store.usage().objects == 1


def test_a_root_that_was_given_up_half_made_is_no_stranger(root):
    open_root(root)
    (root / MARKER).unlink()
    assert strangers(root) == []
    assert bodega.open(root).names() == []
