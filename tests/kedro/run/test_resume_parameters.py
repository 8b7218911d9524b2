"""The parameters of a finished node, which have to be those of the run that wants to skip it."""

from typing import Any

import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import node

from bodega.kedro.project.place import Place
from bodega.kedro.run.resume import RunRecord, _digest_of_parameters


def write(filling):
    return str(filling)


MAKE = node(write, "params:filling", "text", name="write")


def digest(value):
    return _digest_of_parameters(MAKE, DataCatalog({"params:filling": MemoryDataset(value)}))


def test_keys_of_several_types_can_be_recorded(root):
    values: dict[str, Any] = {"params:filling": MemoryDataset({"None": ["a"], 0: ["b"]}), "text": MemoryDataset("text")}
    catalog = DataCatalog(values)
    record = RunRecord(Place(run="some", root=str(root)))
    record.add(MAKE, catalog)
    found = record.find(MAKE)
    assert found is not None and found["parameters"] == digest({0: ["b"], "None": ["a"]})


@pytest.mark.parametrize("other", [{"0": ["b"]}, {0: ["c"]}, {0: "b"}, {0: ["b"], 1: []}, None])
def test_other_parameters_have_another_digest(other):
    assert digest(other) != digest({0: ["b"]})
