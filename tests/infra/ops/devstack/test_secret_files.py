"""Secrets are generated once and closed to other users."""

from pathlib import Path

from infra.ops.devstack.secret_files import NATS_PASSWORD, SecretFiles


def test_a_secret_is_generated_once_and_closed_to_other_users(tmp_path: Path) -> None:
    secret = SecretFiles(tmp_path / "secrets").get_or_create("order", NATS_PASSWORD)
    again = SecretFiles(tmp_path / "secrets").get_or_create("order", NATS_PASSWORD)
    folder = tmp_path / "secrets" / "order"
    assert secret == again == (folder / "souk_nats_password").read_text()
    assert len(secret) >= 32
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "souk_nats_password").stat().st_mode & 0o777 == 0o600


def test_every_owner_has_another_secret(tmp_path: Path) -> None:
    vault = SecretFiles(tmp_path)
    assert vault.get_or_create("order", NATS_PASSWORD) != vault.get_or_create("cart", NATS_PASSWORD)


def test_a_half_written_secret_is_generated_again(tmp_path: Path) -> None:
    (SecretFiles(tmp_path).owner_dir("order") / f".{NATS_PASSWORD}.new").write_text("ha")
    assert len(SecretFiles(tmp_path).get_or_create("order", NATS_PASSWORD)) >= 32


def test_readers_are_listed_from_their_files(tmp_path: Path) -> None:
    vault = SecretFiles(tmp_path)
    assert vault.reader_passwords() == {}
    (vault.owner_dir("readers") / "warehouse").write_text("secret\n")
    assert vault.reader_passwords() == {"warehouse": "secret"}


def test_the_key_file_is_valid_for_mongodb(tmp_path: Path) -> None:
    text = SecretFiles(tmp_path).mongo_keyfile().read_text()
    assert 6 <= len(text) <= 1024
    assert text.isalnum()
