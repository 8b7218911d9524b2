"""A Docker engine and a base image, on a machine that may have neither and reaches no registry of images."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.e2e._cluster import wait_for

CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


def answers() -> bool:
    """Whether there is an engine."""
    return subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0


@contextmanager
def running_engine(folder: Path) -> Iterator[None]:
    """The machine's engine, or one with its data in the folder that ends with the context."""
    if answers():
        yield
        return
    address = f"unix://{folder}/socket"
    with (folder / "log").open("wb") as log, pytest.MonkeyPatch.context() as patch:
        server = subprocess.Popen(
            ["dockerd", "--iptables=false", "--bridge=none", f"--data-root={folder}/data", f"--exec-root={folder}/exec",
             f"--pidfile={folder}/pid", f"--host={address}"],
            stdout=log, stderr=log,
        )  # fmt: skip
        patch.setenv("DOCKER_HOST", address)
        try:
            wait_for("the Docker engine", answers)
            yield
        finally:
            server.terminate()
            server.wait()
            # It leaves the network of its containers mounted, and what is mounted cannot be removed.
            subprocess.run(["umount", folder / "exec" / "netns" / "default"], capture_output=True, check=False)
            shutil.rmtree(folder, ignore_errors=True)


def import_base_image(name: str, folder: Path) -> None:
    """Make an image of this machine's Debian with Python and pip, which trusts whom this machine trusts."""
    targets = _output("apt-get", "indextargets", "--format", "$(SITE)").splitlines()
    mirror = next(target for target in targets if target.rstrip("/").endswith("/debian"))
    release = _output("sh", "-c", ". /etc/os-release && echo $VERSION_CODENAME").strip()
    tree = folder / "tree"
    packages = "python3,python3-pip,python3-venv,ca-certificates"
    _output("debootstrap", "--variant=minbase", f"--include={packages}", release, str(tree), mirror)
    for left in ("var/cache/apt/archives", "var/lib/apt/lists"):
        shutil.rmtree(tree / left)
    shutil.copy(CERTIFICATES, tree / CERTIFICATES.relative_to("/"))
    trust = f"ENV PIP_CERT={CERTIFICATES} SSL_CERT_FILE={CERTIFICATES}"
    archive = subprocess.Popen(["tar", "-C", str(tree), "-c", "."], stdout=subprocess.PIPE)
    with archive:
        subprocess.run(["docker", "import", "--change", trust, "-", name], stdin=archive.stdout, check=True)
    shutil.rmtree(tree)


def run_container(image: str, *command: str, options: tuple[str, ...] = ()) -> str:
    """What a container prints that runs a command and goes."""
    return _output("docker", "run", "--rm", *options, image, *command)


def _output(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600, env=os.environ)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout
