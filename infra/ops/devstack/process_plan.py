"""Which programs one run needs, in the order in which the table shows them."""

from collections.abc import Sequence

from infra.ops.devstack import mongo, nats, nginx
from infra.ops.devstack.endpoints import Whereabouts
from infra.ops.devstack.port_allocation import edge_processes, service_processes
from infra.ops.devstack.postgres import Postgres, written_by
from infra.ops.devstack.server_binaries import Search
from infra.ops.devstack.service_programs import Services, mailbox
from infra.ops.devstack.stack_settings import STORES
from infra.ops.devstack.supervised_process import Program


class Plan:
    """`postgres` is None when somebody else runs it, or nobody needs it."""

    def __init__(self, where: Whereabouts, search: Search) -> None:
        self._where = where
        self._search = search
        self.postgres: Postgres | None = None

    def programs(self) -> Sequence[Program]:
        return [*self._servers(), *self._souk(), *self._front()]

    def _servers(self) -> list[Program]:
        options, at = self._where.options, self._where.addresses
        layout, vault = self._where.layout, self._where.vault
        found: list[Program] = []
        if options.starts("nats"):
            found += nats.programs(self._search.nats(), layout, vault, at)
        if options.starts("postgres"):
            self.postgres = Postgres(self._search.postgres(written_by(layout)), layout, vault, at.postgres)
            found.append(self.postgres.program())
        if options.starts("mongo"):
            found.append(mongo.program(self._search.mongo(), layout, vault, at.mongo))
        if options.starts("mail"):
            found.append(mailbox(layout, at.smtp))
        return found

    def _souk(self) -> list[Program]:
        where = self._where
        make = Services(where.options, where.layout, where.vault, where.addresses)
        services = [
            make.service(process, service, nats_url=where.nats_url, database_url=self._database_url(service))
            for process, service in service_processes(where.options).items()
        ]
        return [*services, *(make.edge(process, nats_url=where.nats_url) for process in edge_processes(where.options))]

    def _database_url(self, service: str) -> str:
        return (
            self._where.dsn(service, with_password=False) if STORES[service] == "postgres" else self._where.cart_url()
        )

    def _front(self) -> list[Program]:
        options, at = self._where.options, self._where.addresses
        if not options.starts("nginx"):
            return []
        edges = list(at.edges.values())
        return [nginx.program(self._search.nginx(), self._where.layout, options, port=at.http, edge_ports=edges)]
