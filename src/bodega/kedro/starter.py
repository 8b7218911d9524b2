"""``kedro new --starter=bodega-house-prices``: the example as a project of one's own.

The template (``bodega/starter``) is an empty one: a question, the names that follow from the answer, and a hook that
copies the example of this installation into the new folder. So the example exists once, in a wheel as in a checkout,
no network is needed, and the braces of its Argo files never meet a template engine that would take them for its own.
"""

from __future__ import annotations

import keyword
import re
import sys
from pathlib import Path

from jinja2 import Environment
from jinja2.ext import Extension
from kedro.framework.cli.starters import KedroStarterSpec

from bodega.errors import InvalidName
from bodega.example import copy_example

STARTER = "bodega-house-prices"
"""What ``kedro new --starter`` and ``kedro starter list`` call it."""

specs = [KedroStarterSpec(STARTER, str(Path(__file__).parents[1] / "starter"))]
"""The entry point ``kedro.starters``."""

_TITLE, _REPO, _PACKAGE = "House prices", "house-prices", "house_prices"
_TEXTS = {".md", ".py", ".toml", ".txt", ".yaml", ".yml"}


def fill(project: Path, *, project_name: str, repo_name: str, package: str) -> None:
    """Write the example into the folder of a new project, under the project's own names, and say how to go on.

    Args:
        project: the folder, which exists.
        project_name: for people.
        repo_name: of the folder, of the distribution and, in the Argo files, of the image.
        package: of the Python package.

    Raises:
        InvalidName: the package could not be imported, or would hide another.
        IncompleteInstallation: this installation lacks the example.
    """
    _check(package, project_name)
    copy_example(project)
    source = project / "src"
    # The package has the name of a dataset: only where a module is meant, it is renamed.
    modules = "|".join(path.stem for path in (source / _PACKAGE).glob("[!_]*.py"))
    reference = re.compile(
        rf'(?:(?<=\bfrom )|(?<=src/)|(?<=package_name = ")){_PACKAGE}\b|\b{_PACKAGE}(?=\.(?:{modules})\b)'
    )
    for path in sorted(project.rglob("*")):
        if path.suffix in _TEXTS and path.is_file():
            text = reference.sub(package, path.read_text(encoding="utf-8"))
            path.write_text(text.replace(_TITLE, project_name).replace(_REPO, repo_name), encoding="utf-8")
        if _REPO in path.name:
            path.rename(path.with_name(path.name.replace(_REPO, repo_name)))
    (source / _PACKAGE).rename(source / package)
    print(
        "Go on with:\n"
        f"  cd {project.name}\n"
        "  pip install -r requirements.txt\n"
        "  kedro run                           # every table goes through bodega\n"
        "  bodega ls --all-runs                # what the run has left in memory"
    )


class Names(Extension):
    """The filter ``usable`` of the template: the name of a package, or the end of it all before anything is written.

    A hook that refuses leaves a traceback of cookiecutter's, and what Kedro makes of an exception is its type alone.
    """

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        environment.filters["usable"] = self._usable

    @staticmethod
    def _usable(package: str, project_name: str) -> str:
        try:
            _check(package, project_name)
        except InvalidName as error:
            sys.exit(f"bodega: error: {error}")
        return package


def _check(package: str, project_name: str) -> None:
    needed = {"bodega", "kedro", "numpy", "pandas", "pyarrow"}
    if package in needed or package in sys.stdlib_module_names:
        reason = f"{package!r} would hide the Python module of that name"
    elif not (package.isascii() and package.isidentifier()) or keyword.iskeyword(package):
        reason = f"{package!r} is no name for a Python package"
    else:
        return
    raise InvalidName(
        f"A project cannot be called {project_name!r}: {reason}. "
        "Begin with a letter, go on with letters, digits, spaces, hyphens and underscores.",
        name=project_name,
        reason=reason,
    )
