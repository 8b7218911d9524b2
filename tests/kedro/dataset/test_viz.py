"""What Kedro-Viz shows of the store, asked of its real server; needs ``kedro-viz``, which the tests do not install."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from urllib.error import URLError

import pytest

pytest.importorskip("kedro_viz", reason="kedro-viz is not installed: pip install kedro-viz", exc_type=ImportError)

NODES = """
import pandas as pd

def frame():
    return pd.DataFrame({"x": [1.5, float("nan")]})

def array():
    return np.eye(2)

def score():
    return {"mae": 0.5}

def picture():
    from PIL import Image
    return Image.new("RGB", (8, 8), "red")

def stream():
    for number in range(3):
        yield pd.DataFrame({"x": [number] * 10})
"""
SHOWN = {
    "frame": "TablePreview",
    "array": "TablePreview",
    "score": "JSONPreview",
    "picture": "ImagePreview",
    "stream": "TablePreview",
}


def free_port() -> int:
    """A port that nobody uses at this moment."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


@pytest.fixture
def ask(opted_in):
    """Ask the API of a Kedro-Viz that shows a project after its run."""
    opted_in.code(NODES, ",".join(f"node({name}, None, {name!r}, name='make_{name}')" for name in SHOWN))
    opted_in.write(
        "conf/base/catalog.yml", "".join(f"{name}: {{type: bodega.kedro.BodegaDataset}}\n" for name in SHOWN)
    )
    opted_in.run()
    port, log = free_port(), opted_in.path / "viz.log"
    with log.open("w") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "kedro", "viz", "run", "--include-hooks", "--no-browser", "--port", str(port)],
            cwd=opted_in.path,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def ask(path: str):
        for _ in range(1500):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}") as answer:
                    return json.load(answer)
            except URLError:
                assert server.poll() is None, log.read_text()
                time.sleep(0.2)
        pytest.fail("Kedro-Viz does not answer")

    yield ask
    os.killpg(server.pid, signal.SIGKILL)
    server.wait()


def test_frames_arrays_json_images_and_streams_have_previews(ask) -> None:
    shown = {
        node["name"]: ask(f"/api/nodes/{node['id']}") for node in ask("/api/main")["nodes"] if node["type"] == "data"
    }
    assert {name: facts["preview_type"] for name, facts in shown.items()} == SHOWN
    assert shown["frame"]["preview"] == {"index": [0, 1], "columns": ["x"], "data": [[1.5], [None]]}
    assert json.loads(shown["score"]["preview"]) == {"mae": 0.5}
    assert base64.b64decode(shown["picture"]["preview"]).startswith(b"\x89PNG")
    assert shown["stream"]["preview"]["data"] == [[0]] * 5
