"""The documentation's examples run, and its links lead somewhere."""

import pkgutil
import re
from pathlib import Path

import pytest

import bodega
from bodega import memory, tiers

TOP = Path(__file__).parent.parent
PAGES = [TOP / "README.md", TOP / "CONTRIBUTING.md", *sorted((TOP / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_examples_run(page, root):
    for block in re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE):
        exec(compile(block, str(page), "exec"), {})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        assert link.startswith("https://") or (page.parent / link).exists(), link


@pytest.mark.parametrize(("package", "prefix"), [(bodega, ""), (tiers, "tiers."), (memory, "")])
def test_every_module_is_in_the_tables_of_the_architecture(package, prefix):
    page = (TOP / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("|")]
    named = {name for row in rows for name in re.findall(r"`([\w.]+)`", row)}
    modules = {prefix + module.name for module in pkgutil.iter_modules(package.__path__)} - {"tiers"}
    assert not modules - named
