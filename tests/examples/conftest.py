"""The example's own package, importable as in its project."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "house-prices" / "src"))
