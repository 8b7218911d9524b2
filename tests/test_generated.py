"""What is made from declarations is current: the JSON schema of ``bodega.yml``, and tables of the documentation."""

import importlib.util
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "scripts" / "generated.py"


def test_what_is_generated_is_current():
    spec = importlib.util.spec_from_file_location("generated", SCRIPT)
    generated = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generated)
    for file, text in generated.files().items():
        assert file.read_text(encoding="utf-8") == text, f"{file.name} is not current: run 'python {SCRIPT}'"
