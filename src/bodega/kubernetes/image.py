"""The image of a project: what its Dockerfile and its .dockerignore say.

The Dockerfile has two stages of one base image, so that no package manager, no cache and no wheel is left in what is
kept. It keeps to what every builder understands, also Docker's own from before BuildKit: no mounts, no frontend that
would have to be pulled first. Its user is a number, which Kubernetes can check not to be root.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bodega.errors import ImageError

Installer = Literal["pip", "uv"]

DOCKERFILE = "Dockerfile"
DOCKERIGNORE = ".dockerignore"
WHEELS = "wheels"
"""The folder of a project whose wheels are all installed, before an index is asked for what is missing."""
PROJECT_FOLDER = "/home/kedro/project"
"""Of the project, in the image."""
BASE_IMAGE = f"python:{sys.version_info.major}.{sys.version_info.minor}-slim"
"""As small as an image with Python and pip is, and of the Python that the project is developed with."""

_PYTHON = "/opt/venv/bin/python"
_PIP = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST", "PIP_NO_INDEX")
_INDEX_ARGUMENTS = {
    "pip": _PIP,
    "uv": ("UV_DEFAULT_INDEX", "UV_INDEX", "UV_INSECURE_HOST", "UV_NO_INDEX", *_PIP),  # pip installs uv.
}
"""What says where packages come from. The first stage has it while it is built; the image does not keep it."""
_IGNORED = {
    "What belongs to one person or one run": ("conf/local/*", ".env*", "data", "logs"),
    "What has a place of its own": (".git", ".github", "docs", "notebooks", "tests"),
    "What tools leave": (
        "**/__pycache__",
        "**/.ipynb_checkpoints",
        "**/*.egg-info",
        ".*_cache",
        ".venv*",
        "venv",
        ".viz",
        "build",
        "dist",
    ),
    "What only the build needs": (DOCKERFILE, DOCKERIGNORE),
}


@dataclass(frozen=True)
class Requirements:
    """Where a project says what it needs, and who installs it."""

    file: str
    """``uv.lock``, ``requirements.txt`` or ``pyproject.toml``."""
    installer: Installer
    names_bodega: bool
    """Whether bodega is among them."""


def find_requirements(project: Path, installer: Installer | None = None) -> Requirements:
    """What an image of the project has to have installed.

    Args:
        project: the folder of the project.
        installer: None: uv where the project has a lock file of uv's or nothing that pip could read, else pip.

    Raises:
        ImageError: the project does not say what it needs, or not in a way that this installer reads.
    """
    found = [name for name in ("uv.lock", "requirements.txt", "pyproject.toml") if _says_something(project / name)]
    readable = ["requirements.txt"] if installer == "pip" else found
    file = next((name for name in found if name in readable), None)
    if file is None:
        what = f"pip needs a requirements.txt, and {project} has {found[0]}" if found else f"{project} lists none"
        remedy = "choose --installer uv, or write" if found else "write"
        raise ImageError(
            f"An image needs the requirements of the project: {what}; {remedy} requirements.txt with a line for each, "
            "bodega and kedro among them."
        )
    text = (project / file).read_text(encoding="utf-8")
    chosen = installer or ("pip" if file == "requirements.txt" else "uv")
    return Requirements(file, chosen, names_bodega=re.search(r"(?<![\w-])bodega(?![\w-])", text) is not None)


def dockerfile(requirements: Requirements, base_image: str = BASE_IMAGE) -> str:
    """The text of a Dockerfile."""
    arguments = "\n".join(f"ARG {name}" for name in _INDEX_ARGUMENTS[requirements.installer])
    files = "pyproject.toml uv.lock" if requirements.file == "uv.lock" else requirements.file
    return f"""\
ARG BASE_IMAGE={base_image}

# Installs what the project needs. Nothing of this stage is kept but what the next one copies.
FROM ${{BASE_IMAGE}} AS build
# Where packages come from, if not from the usual index: --build-arg {_INDEX_ARGUMENTS[requirements.installer][0]}=...
{arguments}
WORKDIR /tmp/build
RUN python3 -m venv --without-pip /opt/venv
# The wheels, if there is a folder of that name, come before the index.
COPY {files} {WHEELS[:-1]}[{WHEELS[-1]}] ./
{_install(requirements)}
WORKDIR {PROJECT_FOLDER}
COPY . .
# Kedro wants the folder of the default environment to be there, whatever is in it.
RUN rm -rf {WHEELS} && mkdir -p conf/local

FROM ${{BASE_IMAGE}}
# The store's files belong to this user: give every image that shares a store, and the host, the same.
ARG USER_ID=1000
ARG GROUP_ID=1000
ENV PATH=/opt/venv/bin:$PATH HOME=/home/kedro USER=kedro PYTHONUNBUFFERED=1
COPY --from=build /opt/venv /opt/venv
COPY --from=build --chown=${{USER_ID}}:${{GROUP_ID}} /home/kedro /home/kedro
WORKDIR {PROJECT_FOLDER}
USER ${{USER_ID}}:${{GROUP_ID}}
CMD ["kedro", "run"]
"""


def dockerignore(include: Iterable[str] = ()) -> str:
    """The text of a .dockerignore.

    Args:
        include: files and folders of the project that the image needs although they lie in an ignored folder.
    """
    parts = [f"# {why}\n" + "".join(f"{pattern}\n" for pattern in patterns) for why, patterns in _IGNORED.items()]
    exceptions = "".join(f"!{path}\n" for path in include)
    if exceptions:
        parts.append(f"# What the image needs all the same\n{exceptions}")
    return "\n".join(parts)


def _says_something(file: Path) -> bool:
    """Whether the file is there and lists requirements."""
    if not file.is_file():
        return False
    if file.name != "pyproject.toml":
        return True
    try:
        return "dependencies" in tomllib.loads(file.read_text("utf-8")).get("project", {})
    except tomllib.TOMLDecodeError as error:
        raise ImageError(f"{file} is not TOML: {error}. Correct it.") from error


def _install(requirements: Requirements) -> str:
    """The instructions that install the wheels and the requirements into the environment."""
    wheels = 'set -- *.whl; test -e "$1" || shift'
    if requirements.installer == "pip":
        return (
            f"RUN {wheels}; \\\n"
            f'    python3 -m pip --python {_PYTHON} install --no-cache-dir "$@" -r {requirements.file}'
        )
    file, export = requirements.file, ""
    if file == "uv.lock":
        file = "requirements.lock"
        export = f"    uv export --quiet --frozen --no-dev --no-emit-project --output-file {file} && \\\n"
    return (
        "RUN python3 -m venv /opt/uv && /opt/uv/bin/python -m pip install --no-cache-dir uv\n"
        "ENV PATH=/opt/uv/bin:$PATH\n"
        f"RUN {wheels}; \\\n"
        f"{export}"
        f'    uv pip install --no-cache --compile-bytecode --python {_PYTHON} "$@" -r {file}'
    )
