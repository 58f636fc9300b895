"""The passwords of one local stack: generated once, each owner's in a folder that only this user can open."""

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

READERS_DIR = "readers"
OPERATOR = "operator"
NATS_PASSWORD = "souk_nats_password"  # noqa: S105 - the name of a file
DATABASE_PASSWORD = "souk_database_password"  # noqa: S105 - the name of a file
MONGO_PASSWORD = "souk_mongo_password"  # noqa: S105 - the name of a file
NATS_ROUTES_PASSWORD = "nats_routes_password"  # noqa: S105 - the name of a file
ACCESS_SECRET = "souk_access_secret"  # noqa: S105 - the name of a file
GIFT_CARD_SECRET = "souk_gift_card_secret"  # noqa: S105 - the name of a file
PROXY_SECRET = "souk_edge_proxy_secret"  # noqa: S105 - the name of a file
SMTP_PASSWORD = "souk_smtp_password"  # noqa: S105 - the name of a file
KEYS_SECRET = "souk_keys_secret"  # noqa: S105 - the name of a file
POSTGRES_PASSWORD = "souk_postgres_password"  # noqa: S105 - the name of a file


@dataclass(frozen=True)
class SecretFiles:
    """Reads secrets from files below `root`, and generates those that are missing."""

    root: Path

    def owner_dir(self, owner: str) -> Path:
        """Returns the folder that a process gets as `SOUK_SECRETS_DIR`; its files are named like settings."""
        path = self.root / owner
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return path

    def get_or_create(self, owner: str, name: str) -> str:
        """Returns a secret, and generates it on first use."""
        path = self.owner_dir(owner) / name
        if not path.exists():
            _write(path, secrets.token_urlsafe(24))
        return path.read_text().strip()

    def mongo_keyfile(self) -> Path:
        """Returns the key file by which replica set members authenticate; MongoDB reads it as base64."""
        path = self.owner_dir(OPERATOR) / "mongo_keyfile"
        if not path.exists():
            _write(path, secrets.token_hex(64))
        return path

    def reader_passwords(self) -> Mapping[str, str]:
        """Returns name and password of the event readers that `souk provision --reader` has added."""
        return {
            path.name: path.read_text().strip()
            for path in sorted(self.owner_dir(READERS_DIR).iterdir())
            if path.is_file()
        }


def _write(path: Path, text: str) -> None:
    """Writes atomically, so that a stack killed here leaves no empty password behind."""
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
