"""Settings: nothing secret has a default, and production takes no weak secret."""

import pytest

from infra.foundation.settings import MongoSettings, PostgresSettings, Settings, load_settings
from services.user.app import UserSettings

STRONG = "uXr3-0hJ_4qkTbN8wZyA6vEs"
SECRETS = {
    Settings: ["nats_password"],
    PostgresSettings: ["nats_password", "database_password"],
    MongoSettings: ["nats_password", "mongo_password"],
    UserSettings: ["nats_password", "database_password", "keys_secret"],
}


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Nothing of this machine's."""
    for name in ("SOUK_SECRETS_DIR", "SOUK_NATS_PASSWORD", "SOUK_DATABASE_PASSWORD", "SOUK_KEYS_SECRET"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SOUK_DATABASE_URL", "postgresql://souk_user@127.0.0.1/souk_user")
    monkeypatch.setenv("SOUK_MONGO_URL", "mongodb://127.0.0.1")
    return monkeypatch


@pytest.mark.parametrize("kind", SECRETS, ids=lambda kind: kind.__name__)
def test_without_its_secrets_nothing_starts(bare: pytest.MonkeyPatch, kind: type[Settings]) -> None:
    with pytest.raises(SystemExit) as told:
        load_settings(kind)
    assert all(f"SOUK_{name.upper()}" in str(told.value) for name in SECRETS[kind])


@pytest.mark.parametrize("kind", SECRETS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("weak", ["changeme", "", "a" * 40, "password-password"])
def test_production_takes_no_weak_secret(bare: pytest.MonkeyPatch, kind: type[Settings], weak: str) -> None:
    """And it is told by its name, never by what it is."""
    bare.setenv("SOUK_ENVIRONMENT", "production")
    for name in SECRETS[kind]:
        bare.setenv(f"SOUK_{name.upper()}", STRONG)
    assert load_settings(kind).environment == "production"
    for name in SECRETS[kind]:
        bare.setenv(f"SOUK_{name.upper()}", weak)
        with pytest.raises(SystemExit) as told:
            load_settings(kind)
        assert f"SOUK_{name.upper()}" in str(told.value)
        assert not weak or weak not in str(told.value)
        bare.setenv(f"SOUK_{name.upper()}", STRONG)


def test_no_secret_is_shown(bare: pytest.MonkeyPatch) -> None:
    bare.setenv("SOUK_NATS_PASSWORD", STRONG)
    settings = load_settings(Settings)
    assert STRONG not in f"{settings} {settings!r} {settings.model_dump_json()}"
