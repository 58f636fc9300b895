"""Selects the programs of one run, in the order in which `souk status` shows them."""

from collections.abc import Sequence

from infra.ops.devstack import mongo, nats, nginx
from infra.ops.devstack.endpoints import StackEndpoints
from infra.ops.devstack.port_allocation import edge_processes, service_processes
from infra.ops.devstack.postgres import PostgresServer, check_data_version
from infra.ops.devstack.server_binaries import ServerFinder
from infra.ops.devstack.service_programs import ServicePrograms, smtp_sink_program
from infra.ops.devstack.stack_settings import SERVICE_STORES
from infra.ops.devstack.supervised_process import Program


class ProcessPlan:
    """The programs that the settings ask for. `postgres` is None when a URL names it or no part needs it."""

    def __init__(self, endpoints: StackEndpoints, finder: ServerFinder) -> None:
        self._endpoints = endpoints
        self._finder = finder
        self.postgres: PostgresServer | None = None

    def programs(self) -> Sequence[Program]:
        """Returns servers, services, edges and Nginx."""
        return [*self._servers(), *self._souk_processes(), *self._nginx()]

    def _servers(self) -> list[Program]:
        settings, ports = self._endpoints.settings, self._endpoints.ports
        data_dir, secrets = self._endpoints.data_dir, self._endpoints.secrets
        found: list[Program] = []
        if settings.starts("nats"):
            found += nats.nats_programs(self._finder.nats(), data_dir, secrets, ports)
        if settings.starts("postgres"):
            binary = self._finder.postgres()
            check_data_version(binary, data_dir)
            self.postgres = PostgresServer(binary, data_dir, secrets, ports.postgres)
            found.append(self.postgres.program())
        if settings.starts("mongo"):
            found.append(mongo.mongo_program(self._finder.mongo(), data_dir, secrets, ports.mongo))
        if settings.starts("mail"):
            found.append(smtp_sink_program(data_dir, ports.smtp))
        return found

    def _souk_processes(self) -> list[Program]:
        endpoints = self._endpoints
        factory = ServicePrograms(endpoints.settings, endpoints.data_dir, endpoints.secrets, endpoints.ports)
        services = [
            factory.service(process, service, nats_url=endpoints.nats_url, database_url=self._database_url(service))
            for process, service in service_processes(endpoints.settings).items()
        ]
        edges = [factory.edge(process, nats_url=endpoints.nats_url) for process in edge_processes(endpoints.settings)]
        return [*services, *edges]

    def _database_url(self, service: str) -> str:
        return (
            self._endpoints.dsn(service, with_password=False)
            if SERVICE_STORES[service] == "postgres"
            else self._endpoints.cart_url()
        )

    def _nginx(self) -> list[Program]:
        endpoints = self._endpoints
        if not endpoints.settings.starts("nginx"):
            return []
        return [
            nginx.nginx_program(
                self._finder.nginx(), endpoints.data_dir, endpoints.settings, endpoints.secrets, endpoints.ports
            )
        ]
