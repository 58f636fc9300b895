"""The certificate that Nginx shows in compose: somebody's own, or one made here that signs itself."""

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

HOSTS = ("localhost", "127.0.0.1", "::1")
ISSUER = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Souk, made on this machine")])
LIFETIME = timedelta(days=397)
"""Browsers refuse one that lives longer."""
RENEWED_BEFORE = timedelta(days=30)


def self_signed(hosts: Sequence[str], at: datetime) -> tuple[bytes, bytes]:
    """A certificate for these names and addresses, and its key; both PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(ISSUER)
        .issuer_name(ISSUER)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(at - timedelta(hours=1))  # clocks differ
        .not_valid_after(at + LIFETIME)
        .add_extension(x509.SubjectAlternativeName([_general(host) for host in hosts]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return certificate.public_bytes(Encoding.PEM), secret


def _general(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def may_stay(certificate: Path, hosts: Sequence[str], at: datetime) -> bool:
    """Whether what is there needs no new one: somebody's own always, ours while it is valid and has these names."""
    if not certificate.exists():
        return False
    known = x509.load_pem_x509_certificate(certificate.read_bytes())
    if known.issuer != ISSUER:
        return True
    names = known.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {_general(host) for host in hosts} <= set(names) and at < known.not_valid_after_utc - RENEWED_BEFORE


def own(certificate: Path, key: Path) -> tuple[bytes, bytes]:
    """Somebody's certificate (with its chain) and key, when they belong together."""
    with _in_plain_words(certificate):
        shown = certificate.read_bytes()
        of_certificate = x509.load_pem_x509_certificate(shown).public_key()
    with _in_plain_words(key):
        secret = key.read_bytes()
        of_key = load_pem_private_key(secret, None).public_key()
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if of_certificate.public_bytes(*form) != of_key.public_bytes(*form):
        raise StackError(f"{key} is not the key of {certificate}.")
    return shown, secret


@contextmanager
def _in_plain_words(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StackError(f"{path} cannot be read: {error.strerror}.") from None
    except (ValueError, TypeError) as error:
        raise StackError(f"{path} cannot be used: PEM without a password is expected ({error}).") from None


def now() -> datetime:
    return datetime.now(UTC)
