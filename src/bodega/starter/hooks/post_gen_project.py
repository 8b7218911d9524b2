"""Fill the new project; cookiecutter runs this in its folder, with the names put in."""

import sys
from pathlib import Path

from bodega.errors import BodegaError
from bodega.kedro.starter import fill

try:
    fill(
        Path.cwd(),
        project_name="{{ cookiecutter.project_name }}",
        repo_name="{{ cookiecutter.repo_name }}",
        package="{{ cookiecutter.python_package }}",
    )
except BodegaError as error:
    sys.exit(f"bodega: error: {error}")
