"""`souk compose-secrets`: passwords, keys, the configuration of NATS, and the certificate."""

import asyncio
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography import x509
from typer.testing import CliRunner

from contracts.size_limits import MAX_MESSAGE_BYTES
from infra.ops.cli import certificate as certificates
from infra.ops.cli import compose_setup as deploy
from infra.ops.cli.admin_client import DEFAULT_EMAIL, PASSWORD_FILE
from infra.ops.cli.commands import app
from infra.ops.devstack.errors import StackError
from infra.ops.devstack.free_ports import LOOPBACK
from infra.ops.devstack.server_binaries import ServerFinder


def souk(*command: str) -> str:
    result = CliRunner().invoke(app, command, catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_secrets_are_generated_once(tmp_path: Path) -> None:
    output = souk("compose-secrets", "--data", str(tmp_path / "souk"))
    folder = tmp_path / "souk" / "compose"
    before = contents(folder)
    assert DEFAULT_EMAIL in output
    assert before[f"secrets/{PASSWORD_FILE}"].decode() not in output
    souk("compose-secrets", "--data", str(tmp_path / "souk"))
    assert contents(folder) == before


def test_chosen_passwords_are_written_to_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = tmp_path / "souk" / "compose" / "secrets"
    mail = secrets / "notification" / "souk_smtp_password"
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("SOUK_ADMIN_PASSWORD=open sesame 42\n")
    souk("compose-secrets", "--data", str(tmp_path / "souk"))
    assert mail.read_text() == "", "no login at the mail server"
    (tmp_path / ".env").write_text("SOUK_SMTP_PASSWORD=of the mail server\nSOUK_ADMIN_PASSWORD=too late\n")
    output = souk("compose-secrets", "--data", str(tmp_path / "souk"))
    assert mail.read_text() == "of the mail server"
    assert (secrets / PASSWORD_FILE).read_text() == "open sesame 42", "from the first run on, the account decides"
    assert "sesame" not in output
    (tmp_path / ".env").unlink()
    souk("compose-secrets", "--data", str(tmp_path / "souk"))
    assert mail.read_text() == "of the mail server", "it stays"


def test_secrets_are_readable_in_containers_only(tmp_path: Path) -> None:
    souk("compose-secrets", "--data", str(tmp_path / "souk"))
    folder = tmp_path / "souk" / "compose"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.rglob("*") if path.is_file()} == {0o444}
    assert {path.stat().st_mode & 0o777 for path in folder.rglob("*") if path.is_dir()} == {0o755}


def test_a_local_stack_may_use_the_same_data_folder(tmp_path: Path) -> None:
    deploy.compose_secrets(data=tmp_path / "souk")
    assert (tmp_path / "souk" / "souk-data.txt").exists(), "or `souk up` refuses the folder"
    assert "*" in (tmp_path / "souk" / ".gitignore").read_text()


def test_nats_accepts_its_configuration(tmp_path: Path) -> None:
    deploy.compose_secrets(data=tmp_path)
    config = tmp_path / "compose" / "nats" / "nats.conf"
    assert "sync_interval: always" in config.read_text()
    assert f"max_payload: {MAX_MESSAGE_BYTES}" in config.read_text()
    tried = subprocess.run([ServerFinder().nats().binary, "-t", "-c", config], capture_output=True, check=False)
    assert tried.returncode == 0, tried.stderr.decode()


def test_a_reader_added_later_is_configured(tmp_path: Path) -> None:
    deploy.compose_secrets(data=tmp_path)
    (tmp_path / "compose" / "secrets" / "readers" / "warehouse").write_text("a-secret-of-the-warehouse")
    deploy.compose_secrets(data=tmp_path)
    assert "a-secret-of-the-warehouse" in (tmp_path / "compose" / "nats" / "nats-users.conf").read_text()


@contextmanager
def shown(folder: Path) -> Iterator[ssl.SSLContext]:
    """Returns a TLS server context with the certificate in a folder."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    yield context


@pytest.mark.parametrize("name", ["localhost", LOOPBACK, "shop.example"])
async def test_the_certificate_is_valid_for_the_shop(tmp_path: Path, name: str) -> None:
    deploy.compose_secrets(data=tmp_path)
    deploy.compose_secrets(data=tmp_path, host=["shop.example"])
    folder = tmp_path / "compose" / "tls"
    client = ssl.create_default_context(cafile=folder / "certificate.pem")
    with shown(folder) as context:
        server = await asyncio.start_server(lambda _, writer: writer.close(), LOOPBACK, 0, ssl=context)
        async with server:
            port = server.sockets[0].getsockname()[1]
            _, writer = await asyncio.open_connection(LOOPBACK, port, ssl=client, server_hostname=name)
            writer.close()
            await writer.wait_closed()


def test_a_certificate_is_renewed_before_it_expires(tmp_path: Path) -> None:
    hosts, at = ["localhost"], certificates.utc_now()
    path = tmp_path / "certificate.pem"
    path.write_bytes(certificates.create_self_signed(hosts, at)[0])
    assert certificates.is_reusable(path, hosts, at)
    assert not certificates.is_reusable(
        path, hosts, at + certificates.CERTIFICATE_LIFETIME - certificates.RENEW_BEFORE_EXPIRY
    )
    assert not certificates.is_reusable(path, [*hosts, "shop.example"], at)


def test_a_users_certificate_is_used_if_its_key_matches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificates, "ISSUER", x509.Name([]))
    certificate, key = certificates.create_self_signed(["shop.example"], certificates.utc_now())
    _, other = certificates.create_self_signed(["shop.example"], certificates.utc_now())
    monkeypatch.undo()
    files = {"cert.pem": certificate, "key.pem": key, "other.pem": other, "no.pem": b"nothing"}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    data = tmp_path / "souk"

    deploy.compose_secrets(data=data, certificate=tmp_path / "cert.pem", key=tmp_path / "key.pem")
    deploy.compose_secrets(data=data)
    assert (data / "compose" / "tls" / "certificate.pem").read_bytes() == certificate, "it is not replaced by ours"
    for wrong, message in {
        "other.pem": "does not belong",
        "no.pem": "is not valid",
        "gone.pem": "is not readable",
    }.items():
        with pytest.raises(StackError, match=message):
            deploy.compose_secrets(data=data, certificate=tmp_path / "cert.pem", key=tmp_path / wrong)
    with pytest.raises(StackError, match="or neither"):
        deploy.compose_secrets(data=data, certificate=tmp_path / "cert.pem")
