"""The table, the JSON and the chart of a comparison with known times."""

import json
from pathlib import Path

import pytest
from rich.console import Console

from bodega.demo.measure import Medium
from bodega.demo.project import Step
from bodega.demo.report import Comparison, as_json, as_table


def medium(name: str, save: float) -> Medium:
    steps = [Step(node, load=1.0, compute=0.5, save=save, process=save + 4.0, shape=(20, 3)) for node in ("one", "two")]
    return Medium(name, steps, 2_500_000)


@pytest.fixture
def comparison() -> Comparison:
    return Comparison(multiplier=2, files=medium("CSV files", 8.0), shared=medium("bodega", 0.25))


def test_the_table_has_each_step_the_sums_and_their_ratios(comparison: Comparison) -> None:
    console = Console(width=100)
    with console.capture() as capture:
        console.print(as_table(comparison))
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in capture.get().splitlines() if "│" in line]
    assert rows == [
        ["one", "CSV files", "2.50", "1.00", "0.50", "8.00", "12.00"],
        ["", "bodega", "2.50", "1.00", "0.50", "0.25", "4.25"],
        ["two", "CSV files", "2.50", "1.00", "0.50", "8.00", "12.00"],
        ["", "bodega", "2.50", "1.00", "0.50", "0.25", "4.25"],
        ["all nodes", "CSV files", "5.00", "2.00", "1.00", "16.00", "24.00"],
        ["", "bodega", "5.00", "2.00", "1.00", "0.50", "8.50"],
        ["", "ratio", "1.0x", "1.0x", "1.0x", "32x", "2.8x"],
    ]


def test_json_holds_the_same_numbers(comparison: Comparison) -> None:
    found = json.loads(json.dumps(as_json(comparison)))
    assert (found["rows"], found["columns"], found["ratio"]["save"]) == (20, 3, 32.0)
    assert found["media"]["bodega"]["steps"][0]["start_up"] == pytest.approx(2.5)
    assert found["machine"]["pandas"]


def test_the_chart_is_a_picture_of_the_size_it_says(comparison: Comparison, tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    chart = pytest.importorskip("bodega.demo.chart")
    chart.draw(comparison, tmp_path / "chart.png")
    with image.open(tmp_path / "chart.png") as picture:
        assert (picture.format, picture.size) == ("PNG", (1500, 1050))
