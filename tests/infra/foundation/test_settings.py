"""Settings: where they come from, and which secrets are accepted."""

import os
from pathlib import Path

import pytest

from infra.foundation.settings import MongoSettings, PostgresSettings, Settings, load_settings
from services.order.settings import OrderSettings
from services.payment.settings import PaymentSettings
from services.user.settings import UserSettings

STRONG = "uXr3-0hJ_4qkTbN8wZyA6vEs"
SECRETS = {
    Settings: ["nats_password"],
    PostgresSettings: ["nats_password", "database_password"],
    MongoSettings: ["nats_password", "mongo_password"],
    UserSettings: ["nats_password", "database_password", "keys_secret"],
    OrderSettings: ["nats_password", "database_password", "access_secret"],
    PaymentSettings: ["nats_password", "database_password", "gift_card_secret"],
}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment without secrets of this machine."""
    secrets = {name for names in SECRETS.values() for name in names}
    for name in ("SOUK_SECRETS_DIR", *(f"SOUK_{secret.upper()}" for secret in secrets)):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SOUK_DATABASE_URL", "postgresql://souk_user@127.0.0.1/souk_user")
    monkeypatch.setenv("SOUK_MONGO_URL", "mongodb://127.0.0.1")
    return monkeypatch


@pytest.mark.parametrize("settings_class", SECRETS, ids=lambda settings_class: settings_class.__name__)
def test_missing_secrets_are_named(environment: pytest.MonkeyPatch, settings_class: type[Settings]) -> None:
    with pytest.raises(SystemExit) as exit_error:
        load_settings(settings_class)
    assert all(f"SOUK_{name.upper()}" in str(exit_error.value) for name in SECRETS[settings_class])


@pytest.mark.parametrize("settings_class", SECRETS, ids=lambda settings_class: settings_class.__name__)
@pytest.mark.parametrize("weak", ["changeme", "", "a" * 40, "password-password"])
def test_production_refuses_weak_secrets(
    environment: pytest.MonkeyPatch, settings_class: type[Settings], weak: str
) -> None:
    """The message names the setting and never contains its value."""
    environment.setenv("SOUK_ENVIRONMENT", "production")
    for name in SECRETS[settings_class]:
        environment.setenv(f"SOUK_{name.upper()}", STRONG)
    assert load_settings(settings_class).environment == "production"
    for name in SECRETS[settings_class]:
        environment.setenv(f"SOUK_{name.upper()}", weak)
        with pytest.raises(SystemExit) as exit_error:
            load_settings(settings_class)
        assert f"SOUK_{name.upper()}" in str(exit_error.value)
        assert not weak or weak not in str(exit_error.value)
        environment.setenv(f"SOUK_{name.upper()}", STRONG)


def test_secrets_are_never_shown(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("SOUK_NATS_PASSWORD", STRONG)
    settings = load_settings(Settings)
    assert STRONG not in f"{settings} {settings!r} {settings.model_dump_json()}"


def test_settings_come_from_files_and_are_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "souk_nats_password").write_text("hush")
    (tmp_path / "souk_database_password").write_text("hush")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SOUK_SECRETS_DIR", str(tmp_path))
    monkeypatch.setenv("SOUK_DATABASE_URL", "postgresql://here")
    settings = load_settings(PostgresSettings)
    assert settings.nats_password.get_secret_value() == "hush"
    assert "hush" not in repr(settings)


def test_wrong_settings_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SOUK_SECRETS_DIR", raising=False)
    monkeypatch.setenv("SOUK_OPS_PORT", "hunter2")
    with pytest.raises(SystemExit) as exit_error:
        load_settings(PostgresSettings)
    assert "SOUK_NATS_PASSWORD" in str(exit_error.value)
    assert "SOUK_OPS_PORT" in str(exit_error.value)
    assert "hunter2" not in str(exit_error.value)


def test_an_empty_number_of_hashing_threads_is_one_for_each_processor(environment: pytest.MonkeyPatch) -> None:
    """Docker Compose passes an empty variable on."""
    secrets = dict.fromkeys(("nats_password", "database_password", "keys_secret"), "x" * 32)
    environment.setenv("SOUK_BCRYPT_THREADS", "")
    settings = UserSettings(_env_file=None, database_url="postgresql://", **secrets)
    assert settings.bcrypt_threads == os.cpu_count()
