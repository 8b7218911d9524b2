"""``kedro bodega docker``: the image that a project's tasks run in.

Docker is a program like any other here: what is passed to it is printed, what it prints is passed on, and its exit
status decides. Whatever else understands its command line (podman, nerdctl) will do.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
from importlib.metadata import distribution
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click
from kedro.framework.cli.utils import env_option

from bodega.commands import json_flag, json_option, print_json
from bodega.errors import ImageError
from bodega.kedro.project.session import conf_source_option, open_project
from bodega.kubernetes.image import (
    BASE_IMAGE,
    DOCKERFILE,
    DOCKERIGNORE,
    WHEELS,
    Installer,
    Requirements,
    dockerfile,
    dockerignore,
    find_requirements,
)
from bodega.kubernetes.names import unique_names

if TYPE_CHECKING:
    from kedro.framework.startup import ProjectMetadata

DOCKER = "docker"
"""The program."""
_STDERR = 2


@click.group(name="docker")
def docker() -> None:
    """Put the project into an image.

    \b
    Examples:
      kedro bodega docker init       writes a Dockerfile and a .dockerignore
      kedro bodega docker build      builds the image
    """


@docker.command()
@click.option("--base-image", default=BASE_IMAGE, show_default=True, help="What the image is built upon; has Python 3.")
@click.option(
    "--installer",
    type=click.Choice(["pip", "uv"]),
    help="What installs the requirements; by default uv where there is a uv.lock, else pip with requirements.txt.",
)
@click.option(
    "--include",
    multiple=True,
    metavar="PATH",
    help="A file or folder that the image needs although it is in a folder that is left out, such as data/01_raw.",
)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the files, to compare them with what is there; by default the project.",
)
@json_flag
@click.pass_obj
def init(
    metadata: ProjectMetadata,
    base_image: str,
    installer: str | None,
    include: tuple[str, ...],
    output: Path | None,
    *,
    as_json: bool,
) -> None:
    """Write a Dockerfile and a .dockerignore.

    The image is small, runs `kedro run` as a user without rights, and holds neither data nor what is in conf/local.
    A file that is there already is never overwritten.

    \b
    Examples:
      kedro bodega docker init
      kedro bodega docker init --include data/01_raw
      kedro bodega docker init --output /tmp/new && diff /tmp/new/Dockerfile Dockerfile
    """
    project = Path(metadata.project_path)
    requirements = find_requirements(project, cast("Installer | None", installer))
    include = tuple(_inside(project, path) for path in include)
    texts = {
        DOCKERFILE: dockerfile(requirements, base_image),
        DOCKERIGNORE: dockerignore(include),
    }
    folder = output or project
    kept = [name for name in texts if (folder / name).exists()]
    if len(kept) == len(texts):
        raise ImageError(
            f"{folder} has a {' and a '.join(kept)} already, which are never overwritten. Move away what is to be "
            "written anew, or compare with new ones: kedro bodega docker init --output /tmp/new"
        )
    folder.mkdir(parents=True, exist_ok=True)
    written = [name for name in texts if name not in kept]
    for name in written:
        _write_new(folder / name, texts[name])
    if as_json:
        facts = {"folder": str(folder), "written": written, "kept": kept, "requirements": requirements.file}
        print_json(facts)
    else:
        click.echo(f"Wrote {' and '.join(written)} to {folder}.")
    for sentence in _advice(project, requirements, kept, include):
        click.echo(sentence, err=True)


@docker.command()
@click.option(
    "--image", metavar="NAME", help="What the image is called; by default as in bodega.yml, else as the project."
)
@click.option("--base-image", metavar="NAME", help="What the image is built upon; by default what the Dockerfile says.")
@click.option(
    "--uid", type=click.IntRange(min=1), help="Number of the user that runs; by default as in bodega.yml: 1000."
)
@click.option(
    "--gid", type=click.IntRange(min=0), help="Number of that user's group; by default as in bodega.yml: 1000."
)
@click.option("--platform", metavar="NAME", help="What it is built for, such as linux/amd64; by default this machine.")
@click.option("--docker-args", default="", metavar="ARGS", help="More arguments for `docker build`, as in a shell.")
@env_option
@conf_source_option
@json_option
@click.pass_obj
def build(
    metadata: ProjectMetadata,
    *,
    image: str | None,
    base_image: str | None,
    uid: int | None,
    gid: int | None,
    platform: str | None,
    docker_args: str,
    env: str | None,
    conf_source: str | None,
    as_json: bool,
) -> None:
    """Build the image of the project.

    With the Dockerfile that `kedro bodega docker init` wrote, or your own. An index of your own is passed to it
    without being written anywhere.

    \b
    Examples:
      kedro bodega docker build
      kedro bodega docker build --image registry.example.com/team/prices:1.4 --platform linux/amd64
      kedro bodega docker build --uid $(id -u) --gid $(id -g)
      kedro bodega docker build --docker-args "--network=host --build-arg PIP_INDEX_URL=$URL"
    """
    project = Path(metadata.project_path)
    more = _split(docker_args)
    _check_files(project)
    settings = open_project(metadata, env=env, conf_source=conf_source).deployment
    tag = image or settings.image or _name(metadata.project_name)
    arguments = {
        "BASE_IMAGE": base_image,
        "USER_ID": str(uid or settings.user),
        "GROUP_ID": str(settings.group if gid is None else gid),
    }
    command = [DOCKER, "build", "--tag", tag]
    for name, value in arguments.items():
        if value is not None:
            command += ["--build-arg", f"{name}={value}"]
    if platform:
        command += ["--platform", platform]
    command += [*more, str(project)]
    _check_engine()
    # Facts alone go to standard output.
    status = subprocess.run(command, check=False, stdout=_STDERR).returncode
    if status != 0:
        raise ImageError(
            f"The image {tag!r} was not built: docker build ended with exit status {status}, and its last lines above "
            "say why."
        )
    if as_json:
        print_json({"image": tag, "id": _image_id(tag), "user": uid or settings.user})
    else:
        click.echo(f"Built {tag}. Try it: docker run --rm --ipc=host {tag} kedro run")


def _split(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise click.BadParameter(
            f"{text!r} is not quoted as a shell wants it: {error}.", param_hint="--docker-args"
        ) from None


def _name(project_name: str) -> str:
    """The name of an image that reads like the project's."""
    return unique_names([project_name])[project_name]


def _inside(project: Path, path: str) -> str:
    """A path of the project, relative to it, as .dockerignore wants it."""
    target = Path(os.path.normpath(project / path))
    if not target.exists() or project not in target.parents:
        raise click.BadParameter(f"{path!r} is no file or folder of {project}.", param_hint="--include")
    return target.relative_to(project).as_posix()


def _write_new(path: Path, text: str) -> None:
    """Write a file whole or not at all, and never over another."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        draft.write_text(text, encoding="utf-8")
        os.link(draft, path)
    except FileExistsError:
        raise ImageError(f"{path} came into being meanwhile, and is left as it is: look at it first.") from None
    finally:
        draft.unlink(missing_ok=True)


def _advice(project: Path, requirements: Requirements, kept: list[str], include: tuple[str, ...]) -> list[str]:
    """What a person should know before the first build."""
    advice = [f"Kept {name}, which was there already." for name in kept]
    if DOCKERIGNORE in kept and include:
        lines = " and ".join(f"'!{path}'" for path in include)
        advice.append(f"So nothing was included: add the line {lines} at the end of {DOCKERIGNORE} yourself.")
    elif DOCKERIGNORE not in kept and (project / "data").is_dir() and not include:
        advice.append(
            "The image will not hold the folder data: mount it, or name what the image needs, such as --include "
            "data/01_raw, and write .dockerignore again."
        )
    wheels = list((project / WHEELS).glob("*.whl"))
    has_own = any(wheel.name.startswith("bodega-") for wheel in wheels)
    if not requirements.names_bodega and not has_own:
        advice.append(f"{requirements.file} does not name bodega: add it, or the image cannot share data.")
    elif (source := _unreleased()) and not has_own:
        advice.append(
            f"bodega is installed here from {source}, not from an index. Unless an index has the version you need, put "
            f"a wheel beside the Dockerfile: pip wheel --no-deps --wheel-dir {project / WHEELS} {source}"
        )
    return advice


def _unreleased() -> str | None:
    """Where this installation of bodega comes from, if not from an index."""
    record = distribution("bodega").read_text("direct_url.json")
    return str(json.loads(record)["url"]).removeprefix("file://") if record else None


def _check_files(project: Path) -> None:
    if not (project / DOCKERFILE).is_file():
        raise ImageError(f"{project} has no {DOCKERFILE}. Write one: kedro bodega docker init")
    if not (project / DOCKERIGNORE).is_file() and not (project / f"{DOCKERFILE}{DOCKERIGNORE}").is_file():
        raise ImageError(
            f"{project} has no {DOCKERIGNORE}: credentials in conf/local, data and .git could end up in the image. "
            "Write one: kedro bodega docker init"
        )


def _check_engine() -> None:
    if shutil.which(DOCKER) is None:
        raise ImageError(
            "There is no program 'docker' on the PATH. Install Docker's engine (Debian: apt-get install docker.io), or "
            "podman with its docker command (podman-docker)."
        )
    done = subprocess.run([DOCKER, "version"], capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return
    said = (done.stderr.strip() or done.stdout.strip()).splitlines()
    reason = said[-1] if said else f"exit status {done.returncode}"
    remedy = (
        "add yourself to the group that may (sudo usermod -aG docker $USER, then log in again)"
        if "permission denied" in done.stderr
        else "start it (systemctl start docker, or Docker Desktop), or say where it is with DOCKER_HOST"
    )
    raise ImageError(f"Docker's engine does not answer: {reason} Remedy: {remedy}.")


def _image_id(tag: str) -> str:
    done = subprocess.run(
        [DOCKER, "image", "inspect", "--format", "{{.Id}}", tag], capture_output=True, text=True, check=False
    )
    return done.stdout.strip()
