"""The passwords of one local stack: made once, each owner's in a folder of its own that only this user can open."""

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

READERS = "readers"
OPERATOR = "operator"
NATS = "souk_nats_password"
DATABASE = "souk_database_password"
MONGO = "souk_mongo_password"
NATS_ROUTES = "nats_routes_password"
KEYS = "souk_keys_secret"
POSTGRES_SUPERUSER = "souk_postgres_password"


@dataclass(frozen=True)
class Vault:
    folder: Path

    def of(self, owner: str) -> Path:
        """The folder that a process gets as `SOUK_SECRETS_DIR`: files named like the settings they hold."""
        path = self.folder / owner
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return path

    def secret(self, owner: str, name: str) -> str:
        """This secret, made when it is asked for the first time."""
        path = self.of(owner) / name
        if not path.exists():
            _write(path, secrets.token_urlsafe(24))
        return path.read_text().strip()

    def mongo_keyfile(self) -> Path:
        """What the members of the replica set know one another by; MongoDB reads it as base64."""
        path = self.of(OPERATOR) / "mongo_keyfile"
        if not path.exists():
            _write(path, secrets.token_hex(64))
        return path

    def readers(self) -> Mapping[str, str]:
        """Name and password of those who may only listen, made by `souk provision --reader`."""
        return {path.name: path.read_text().strip() for path in sorted(self.of(READERS).iterdir()) if path.is_file()}


def _write(path: Path, text: str) -> None:
    """Whole or not at all: a stack killed here must not leave an empty password behind."""
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
