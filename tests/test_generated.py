"""What is made from declarations is current: the JSON schema of ``bodega.yml``, and tables of the documentation."""

import runpy
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "scripts" / "generated.py"


def test_what_is_generated_is_current():
    files = runpy.run_path(str(SCRIPT))["files"]
    for file, text in files().items():
        assert file.read_text(encoding="utf-8") == text, f"{file.name} is not current: run 'python {SCRIPT}'"
