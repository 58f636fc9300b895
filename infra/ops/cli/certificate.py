"""The certificate of Nginx in Docker Compose: one that the user provides, or a self-signed one."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from infra.ops.devstack.errors import StackError

DEFAULT_HOSTS = ("localhost", "127.0.0.1", "::1")
ISSUER = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Souk, made on this machine")])
"""Marks self-signed certificates. An installed one is recognised by it, so the text stays."""
CERTIFICATE_LIFETIME = timedelta(days=397)
"""Browsers refuse certificates that are valid for longer."""
RENEW_BEFORE_EXPIRY = timedelta(days=30)


def create_self_signed(hosts: Sequence[str], at: datetime) -> tuple[bytes, bytes]:
    """Returns a self-signed certificate for these names and addresses, and its key, both as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(ISSUER)
        .issuer_name(ISSUER)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(at - timedelta(hours=1))  # clocks differ
        .not_valid_after(at + CERTIFICATE_LIFETIME)
        .add_extension(x509.SubjectAlternativeName([_general_name(host) for host in hosts]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return certificate.public_bytes(Encoding.PEM), secret


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def is_reusable(certificate: Path, hosts: Sequence[str], at: datetime) -> bool:
    """Tells whether to keep the certificate: a user's always, a self-signed one while it is valid for these names."""
    if not certificate.exists():
        return False
    known = x509.load_pem_x509_certificate(certificate.read_bytes())
    if known.issuer != ISSUER:
        return True
    names = known.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {_general_name(host) for host in hosts} <= set(
        names
    ) and at < known.not_valid_after_utc - RENEW_BEFORE_EXPIRY


def load_certificate_pair(certificate: Path, key: Path) -> tuple[bytes, bytes]:
    """Reads a user's certificate (with its chain) and key, both as PEM, and checks that they belong together."""
    with _readable_errors(certificate):
        shown = certificate.read_bytes()
        of_certificate = x509.load_pem_x509_certificate(shown).public_key()
    with _readable_errors(key):
        secret = key.read_bytes()
        of_key = load_pem_private_key(secret, None).public_key()
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if of_certificate.public_bytes(*form) != of_key.public_bytes(*form):
        raise StackError(f"{key} does not belong to the certificate {certificate}.")
    return shown, secret


@contextmanager
def _readable_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StackError(f"{path} is not readable: {error.strerror}.") from None
    except (ValueError, TypeError) as error:
        raise StackError(f"{path} is not valid: provide PEM without a password ({error}).") from None


def utc_now() -> datetime:
    """Returns the current time."""
    return datetime.now(UTC)
