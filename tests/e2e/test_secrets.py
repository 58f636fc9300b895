"""Secrets appear in no process list, log or response, in normal use and after misuse."""

from pathlib import Path

import asyncpg
import psutil
import pytest

from contracts.operation import EDGE
from infra.ops.devstack.child_environment import PROCESS_SETTINGS, own_settings
from infra.ops.devstack.port_allocation import service_processes
from infra.ops.devstack.stack import Stack
from infra.ops.devstack.stack_settings import SERVICE_STORES
from tests.conftest import PLANTED_VARIABLES
from tests.support.http import HttpClient, RegisteredCustomer

POSTGRES_SERVICES = [service for service, store in SERVICE_STORES.items() if store == "postgres"]


def all_secrets(stack: Stack) -> set[str]:
    """Every password, key and key file of this stack."""
    values = {path.read_text().strip() for path in stack.data_dir.secrets_dir.rglob("*") if path.is_file()}
    assert len(values) > 10
    return values


def found_in(text: str, stack: Stack, *more: str) -> list[str]:
    return [secret for secret in (*all_secrets(stack), *more) if secret in text]


async def test_no_process_shows_a_secret(stack: Stack) -> None:
    """Neither command lines nor environments hold one: secrets lie in a directory that only this user can read."""
    for name, process in stack.processes.items():
        for member in [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]:
            shown = "\n".join([*member.cmdline(), *member.environ().values()])
            assert not found_in(shown, stack), name


async def test_a_process_is_given_only_its_own_settings(stack: Stack) -> None:
    """`souk up` may hold the administrator's password and the secrets of other programs; no child gets them."""
    for name, process in stack.processes.items():
        user = service_processes(stack.settings).get(name) or EDGE
        own = own_settings(user, {f"SOUK_{field}".upper(): "" for field in PROCESS_SETTINGS[user].model_fields})
        expected = {*own, "SOUK_SECRETS_DIR"} if name in {*stack.settings.services, EDGE} else set()
        for member in [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]:
            variables = member.environ()
            found = {one for one, value in PLANTED_VARIABLES.items() if value in variables.values()}
            assert found == ({"SOUK_SMTP_PASSWORD"} if name == "notification" else set()), name
            assert {one for one in variables if one.upper().startswith("SOUK_")} <= expected, name


async def test_no_other_user_can_read_a_file_of_the_shop(stack: Stack, http: HttpClient) -> None:
    """Logs hold addresses, mails hold links, and a configuration may hold a password."""
    assert (await http.get("/products", headers={"Expect": "x" * 9000})).status == 400
    top = stack.data_dir.path
    assert top.stat().st_mode & 0o066 == 0, "no other user may list it"
    readable = [path for path in top.rglob("*") if not path.is_symlink() and path.stat().st_mode & 0o077]
    assert not [path for path in readable if not _is_in_closed_folder(path, top)]
    for log in (*stack.data_dir.logs_dir.iterdir(), top / "nginx" / "refused.log"):
        assert log.stat().st_mode & 0o777 == 0o600, log


def _is_in_closed_folder(path: Path, top: Path) -> bool:
    folders = [folder for folder in path.parents if top in folder.parents]
    return any(folder.stat().st_mode & 0o077 == 0 for folder in folders)


async def test_no_log_and_no_response_contains_a_secret(
    stack: Stack, customer: RegisteredCustomer, admin_http: HttpClient
) -> None:
    """Nor do they contain a password, a token or an e-mail address of a customer, even after a failed login."""
    body = {"email": customer.email, "password": f"{customer.password} but wrong"}
    assert (await customer.http.post("/auth/login", body)).status == 401
    assert (await customer.http.post("/auth/login", body | {"password": {"$ne": customer.password}})).status == 422
    used = (customer.password, customer.session["access_token"], customer.session["refresh_token"], customer.email)
    for log in stack.data_dir.log_file("edge").parent.iterdir():
        assert not found_in(log.read_text(errors="replace"), stack, *used), log.name
    for path in ("//metrics", "//readyz", "//openapi.json", "/users", "/payments"):
        assert not found_in((await admin_http.get(path)).body.decode(), stack), path


@pytest.mark.parametrize("service", POSTGRES_SERVICES)
async def test_a_service_owns_its_database_and_nothing_of_the_server(stack: Stack, service: str) -> None:
    connection = await asyncpg.connect(stack.dsn(service))
    rights = "rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls"
    row = await connection.fetchrow(f"SELECT {rights} FROM pg_roles WHERE rolname = current_user")  # noqa: S608
    assert row is not None
    assert not any(row.values())
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.fetch("SELECT pg_read_file('/etc/hostname')")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute("COPY (SELECT 1) TO PROGRAM 'true'")
    await connection.close()


async def test_every_user_has_its_own_password(stack: Stack) -> None:
    passwords = [stack.nats_password(name) for name in (*SERVICE_STORES, EDGE, "operator")]
    assert len(set(passwords)) == len(passwords)
    assert min(map(len, passwords)) >= 32
