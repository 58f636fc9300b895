"""docker-compose.yml as Compose reads it: anchors merged, variables substituted."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "docker-compose.yml"
VARIABLE = re.compile(r"\$(?:\$|\{(?P<name>[A-Z0-9_]+)(?:(?P<how>:?-)(?P<default>[^${}]*))?\})")
"""A variable whose default has no variable of its own: those inside are substituted first."""


@dataclass(frozen=True)
class ContainerProgram:
    """What a container of the Souk image runs: `python -m module arguments` or `souk command`."""

    module: str = ""
    command: str = ""


def load_compose_file(**variables: str) -> dict[str, Any]:
    """The parsed file with only these variables set. A variable of a container without a value is passed on if set."""
    found: dict[str, Any] = substitute_variables(yaml.safe_load(FILE.read_text()), variables)
    for service in found["services"].values():
        environment = service.get("environment", {})
        passed_on = {name: variables.get(name) if value is None else value for name, value in environment.items()}
        if environment:
            service["environment"] = {name: value for name, value in passed_on.items() if value is not None}
    return found


def substitute_variables(value: Any, variables: Mapping[str, str]) -> Any:
    """Substitutes `${NAME:-default}` and `${NAME-default}` in all values; `$$` is a dollar."""
    if isinstance(value, dict):
        return {key: substitute_variables(one, variables) for key, one in value.items()}
    if isinstance(value, list):
        return [substitute_variables(one, variables) for one in value]
    return _substitute(value, variables) if isinstance(value, str) else value


def _substitute(text: str, variables: Mapping[str, str]) -> str:
    """Substitutes from the inside out, since a default may contain a variable."""
    while (changed := VARIABLE.sub(lambda match: _value(match, variables), text)) != text:
        text = changed
    return text


def _value(match: re.Match[str], variables: Mapping[str, str]) -> str:
    name, default = match["name"], match["default"]
    if name is None:
        return "$"
    set_ = variables.get(name)
    if set_ is None or (not set_ and match["how"] == ":-"):
        assert default is not None, f"{name} has no default"
        return default
    return set_


def compose_variables() -> set[str]:
    """The variables that the file substitutes."""
    text = "\n".join(line.partition(" #")[0] for line in FILE.read_text().splitlines() if not line.startswith("#"))
    return set(re.findall(r"\$\{([A-Z0-9_]+)", text))


def runs_souk_image(service: Mapping[str, Any]) -> bool:
    """Whether a service runs the Souk image."""
    return str(service["image"]).startswith("souk:")


def command_words(service: Mapping[str, Any]) -> list[str]:
    """The words of a service's command, with or without a shell."""
    return " ".join(service["command"]).split()


def container_programs(service: Mapping[str, Any]) -> Iterator[ContainerProgram]:
    """The Souk programs that a container runs."""
    arguments = command_words(service)
    for at, word in enumerate(arguments):
        if word == "-m" and arguments[at - 1] == "python":
            yield ContainerProgram(module=arguments[at + 1])
        if word == "souk" and at == 0:
            yield ContainerProgram(command=arguments[1])


def secret_targets(service: Mapping[str, Any]) -> dict[str, str]:
    """The names of a service's secrets: in /run/secrets, and in the file's `secrets`."""
    given = [one if isinstance(one, dict) else {"source": one} for one in service.get("secrets", [])]
    return {str(one.get("target", one["source"])): str(one["source"]) for one in given}
