"""What a task's pod tells the workflow, and where it leaves that: agreed between the pod and the manifest."""

from __future__ import annotations

import os
from pathlib import Path

from bodega.env import OUTPUTS_VARIABLE

FOLDER = "/tmp/bodega-outputs"  # noqa: S108 # of the pod's own container
"""A file for each output parameter; ``BODEGA_OUTPUTS`` names another folder."""

HOST = "host"
"""The host that the task ran on, as Kubernetes calls it."""
BYTES = "bytes"
"""Sizes of what it made, by name: a JSON object."""

MISTAKE = 2
"""Exit code of what will not get better by trying again, such as a parameter of a wrong type."""


def write(name: str, text: str) -> None:
    """Leave an output parameter."""
    folder = Path(os.environ.get(OUTPUTS_VARIABLE, FOLDER))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")
