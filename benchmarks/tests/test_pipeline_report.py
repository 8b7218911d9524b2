"""What the reports say of known times, and how the page looks in a browser."""

import io
import json
import re
import shutil

import pytest
from benchmarks.tests._measured import MOVING, NODES, full_journal, journal_of, measurement
from click.testing import CliRunner

from bodega_bench.journal import JournalError
from bodega_bench.pipeline.command import report
from bodega_bench.pipeline.measurements import Measurements
from bodega_bench.pipeline.report import write_reports
from bodega_bench.pipeline.summary import judge, summarise
from bodega_bench.pipeline.tables import parts_table, published_table, seconds_table

TITLES = {name: name.title() for name in MOVING}


@pytest.fixture
def cells(tmp_path):
    return summarise(full_journal(tmp_path).all)


def rows_of(table):
    return {row[0]: row[1:] for row in table.rows}


def test_sums_are_medians_of_repeats_with_their_spread(cells):
    rows = rows_of(seconds_table(cells, {("vineyard", 1000): "would not fit"}, TITLES))
    # Three nodes: 1 s of start-up, 0.1 s of computing, 2 and 2.2 times 2 s of moving.
    assert rows["Csv"][2] == "15.9 (15.3 to 16.5)"
    assert rows["Memory"][0] == "1.0 (1.0 to 1.0)"
    assert rows["Vineyard"][3] == "-"


def test_what_failed_is_told_from_what_was_not_measured(cells):
    rows = rows_of(seconds_table(cells, {("vineyard", 1000): "failed: no room"}, TITLES))
    assert rows["Vineyard"][3] == "failed"


def test_published_figures_stand_beside_their_counterparts(cells):
    table = published_table(cells, TITLES)
    assert table is not None
    rows = rows_of(table)
    assert list(table.header) == ["", "x1", "x10", "x100", "x1000"]
    assert rows["published: MinIO"] == ["4.3", "5.5", "20.3", "164.2"]
    assert rows["here: S3-Csv"][0] == "3.3"
    assert rows["here: S3-Csv-Simulated"][0] == "3.5"
    assert rows["published: Vineyard / MinIO"] == ["0.98", "0.89", "0.65", "0.67"]
    bodega, s3 = cells["bodega", 1000], cells["s3-csv", 1000]
    assert rows["here: bodega / CSV on S3"][3] == f"{bodega.total.median / s3.total.median:.2f}"
    assert rows["here: Vineyard / CSV on S3"][3] == "-"
    # No medium with cloudpickle was measured: its published row stands alone.
    assert not any("cloudpickle" in name for name in rows if name.startswith("here"))


def test_scales_that_nobody_published_have_no_published_table():
    assert published_table(summarise([measurement("bodega", 7)]), TITLES) is None


def test_the_floor_is_what_others_are_compared_with(cells):
    rows = rows_of(parts_table(cells, TITLES))
    header = parts_table(cells, TITLES).header[1:]
    row = dict(zip(header, rows["x100 Csv"], strict=True))
    assert row["start-up"] == "3.00"
    assert float(row["load"]) == pytest.approx(float(row["save"]))
    assert row["/ floor"] == f"{cells['csv', 100].total.median / cells['memory', 100].total.median:.2f}"
    assert rows["x100 Memory"][header.index("handed on")] == "-"


def test_aims_that_are_met(cells):
    aims = judge(cells, TITLES)
    assert [aim.met for aim in aims] == [True, True, True, True, True]
    assert aims[0].found == "in all 15 comparisons"
    assert aims[2].found == "0.02"


@pytest.mark.parametrize(
    ("number", "medium", "scale", "change", "words"),
    [
        (0, "csv", 10, {"moving": 0.0}, "Csv at x10"),
        (1, "bodega", 100, {"moving": 0.01}, "of 9"),
        (2, "bodega", 1000, {"moving": 0.039}, "0.9"),
        (3, "bodega", 1000, {"moving": 0.039}, "per GB"),
        (4, "bodega", 100, {"private": 111_000_000}, "x100: 1.11"),
    ],
)
def test_an_aim_that_is_missed_says_where(cells, number, medium, scale, change, words):
    changed = summarise([measurement(medium, scale, **change)])
    aim = judge({**cells, **changed}, TITLES)[number]
    assert aim.met is False
    assert words.lower() in aim.found.lower()


def test_what_was_not_measured_meets_no_aim():
    assert [aim.met for aim in judge(summarise([measurement("csv", 10)]), TITLES)] == [None] * 5


def test_one_run_is_not_compared_with_a_process_per_node():
    whole = measurement("memory", 1)
    cells = summarise([measurement("bodega", 1), type(whole)("kedro-parallel", 1, 0, whole.steps, 0)])
    assert judge(cells, TITLES)[0].met is None


def test_a_folder_without_measurements_is_refused(tmp_path):
    with pytest.raises(JournalError, match="no measurements in .*bodega bench pipeline"):
        write_reports(tmp_path)


def test_reports_are_made_again_from_measurements(tmp_path):
    full_journal(tmp_path)
    result = CliRunner().invoke(report, [str(tmp_path), "--json"])
    assert result.exit_code == 0, result.output
    facts = json.loads(result.stdout)
    assert facts == json.loads((tmp_path / "results.json").read_text())
    (figure,) = [each for each in facts["figures"] if (each["medium"], each["scale"]) == ("csv", 100)]
    assert list(figure["nodes"]) == list(NODES)
    assert figure["total"]["lowest"] < figure["total"]["median"] < figure["total"]["highest"]
    assert facts["left_out"] == [
        {
            "medium": "vineyard",
            "scale": 1000,
            "reason": "it would take about 30 GiB of memory, and 20 GiB are left",
        }
    ]
    again = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert CliRunner().invoke(report, [str(tmp_path)]).exit_code == 0
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == again


def test_markdown_shows_its_plots_and_names_what_is_simulated(tmp_path):
    full_journal(tmp_path)
    write_reports(tmp_path)
    text = (tmp_path / "report.md").read_text()
    plots = re.findall(r"!\[[^]]+\]\(([^)]+)\)", text)
    assert plots == ["time.svg", "parts.svg", "ratio.svg", "scaling.svg", "memory.svg"]
    assert all((tmp_path / plot).read_text().startswith("<svg") for plot in plots)
    assert "CSV on S3, simulated distance (20 ms, 500 Mbit/s)" in text
    assert "| Vineyard | x1000 | it would take about 30 GiB of memory" in text
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        assert len({line.count("|") for line in table.splitlines()}) == 1
    assert SESSION_COMMAND in text


SESSION_COMMAND = "bodega bench pipeline --scales 1,10,100"


def test_one_scale_alone_draws_no_lines(tmp_path):
    journal_of(tmp_path, [measurement("bodega", 1), measurement("memory", 1)])
    write_reports(tmp_path)
    assert [file.name for file in tmp_path.glob("*.svg")] == ["parts.svg"]


@pytest.fixture(scope="module")
def browser():
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("there is no Chromium: apt-get install chromium")
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_in_a_browser(tmp_path, browser, width):
    full_journal(tmp_path)
    write_reports(tmp_path)
    # Alone in a folder: it needs nothing beside it.
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.move(tmp_path / "report.html", alone)
    complaints = []
    context = browser.new_context(viewport={"width": width, "height": 800}, offline=True)
    page = context.new_page()
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("requestfailed", lambda request: complaints.append(request.url))
    page.goto((alone / "report.html").as_uri())
    assert complaints == []
    assert page.title() == "The house-prices pipeline through every medium"
    assert page.evaluate("[...document.images].filter(image => !image.naturalWidth).length") == 0
    # The plots are there and wide, and nothing makes the page wider than the window.
    widths = page.evaluate("[...document.querySelectorAll('figure svg')].map(svg => svg.getBoundingClientRect().width)")
    assert len(widths) == 5
    assert min(widths) > width / 2
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    # Two plots that share an id would be drawn with each other's parts.
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map(each => each.id)")
    assert len(ids) == len(set(ids))
    for number in range(5):
        picture = page.locator("figure svg").nth(number).screenshot()
        assert colours(picture) > 5, f"plot {number} is blank"
    assert colours(page.screenshot(full_page=True)) > 20
    context.close()


def colours(png):
    """How many there are in a picture."""
    image = pytest.importorskip("PIL.Image")
    with image.open(io.BytesIO(png)) as picture:
        return len(picture.convert("RGB").getcolors(picture.width * picture.height))


def test_journal_reads_what_it_wrote(tmp_path):
    wrote = full_journal(tmp_path)
    read = Measurements(tmp_path)
    assert read.all == wrote.all
    assert read.left_out == wrote.left_out
    assert read.sessions == wrote.sessions
