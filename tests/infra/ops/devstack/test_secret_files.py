from pathlib import Path

from infra.ops.devstack.secret_files import NATS, Vault


def test_a_secret_is_made_once_and_closed_to_others(tmp_path: Path) -> None:
    secret = Vault(tmp_path / "secrets").secret("order", NATS)
    again = Vault(tmp_path / "secrets").secret("order", NATS)
    folder = tmp_path / "secrets" / "order"
    assert secret == again == (folder / "souk_nats_password").read_text()
    assert len(secret) >= 32
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "souk_nats_password").stat().st_mode & 0o777 == 0o600


def test_everybody_has_another(tmp_path: Path) -> None:
    vault = Vault(tmp_path)
    assert vault.secret("order", NATS) != vault.secret("cart", NATS)


def test_a_secret_half_written_by_a_killed_stack_is_made_anew(tmp_path: Path) -> None:
    (Vault(tmp_path).of("order") / f".{NATS}.new").write_text("ha")
    assert len(Vault(tmp_path).secret("order", NATS)) >= 32


def test_readers_are_those_with_a_file(tmp_path: Path) -> None:
    vault = Vault(tmp_path)
    assert vault.readers() == {}
    (vault.of("readers") / "warehouse").write_text("secret\n")
    assert vault.readers() == {"warehouse": "secret"}


def test_the_keyfile_is_what_mongo_accepts(tmp_path: Path) -> None:
    text = Vault(tmp_path).mongo_keyfile().read_text()
    assert 6 <= len(text) <= 1024
    assert text.isalnum()
