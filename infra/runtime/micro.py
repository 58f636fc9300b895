"""NATS micro (ADR-32): every service answers `$SRV.PING`, `$SRV.INFO` and `$SRV.STATS` with its operations.

So `nats micro ls`, `info` and `stats` of the NATS command line work with the operator's credentials. A request for all
services has no name in its subject; others name the service, and may also name the id of one process.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import orjson
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from contracts.operation import OPERATOR
from infra.foundation.ids import new_id
from infra.messaging.permissions import micro_subjects
from infra.messaging.rpc_server import RpcEndpoint

TYPE_PREFIX = "io.nats.micro.v1"
REPLY_PREFIXES = ("_INBOX.", f"_INBOX_{OPERATOR}.")
"""The inboxes of the NATS command line and of the operator's own client. No other user may send these requests."""


class MicroResponder:
    """Answers the requests about one process of a service."""

    def __init__(self, service: str, endpoints: Mapping[str, RpcEndpoint]) -> None:
        self.service = service
        self.endpoints = endpoints
        self.identity = {"name": service, "id": str(new_id()), "version": version("souk"), "metadata": {}}
        self.started = datetime.now(UTC)
        self._verbs = {"PING": self._ping, "INFO": self._info, "STATS": self._stats}
        self._subscriptions: list[Subscription] = []

    async def subscribe(self, client: Client) -> None:
        """Starts to answer. There is no queue group: every process answers for itself."""
        for subject in micro_subjects(self.service):
            self._subscriptions.append(await client.subscribe(subject, cb=self._answer))

    async def unsubscribe(self) -> None:
        """Stops to answer."""
        subscriptions, self._subscriptions = self._subscriptions, []
        for subscription in subscriptions:
            await subscription.unsubscribe()

    async def _answer(self, message: Msg) -> None:
        _, verb, *target = message.subject.split(".")
        is_other_process = len(target) > 1 and target[1] != self.identity["id"]
        if is_other_process or not message.reply.startswith(REPLY_PREFIXES):
            return
        await message.respond(orjson.dumps(self._verbs[verb]()))

    def _ping(self) -> dict[str, Any]:
        return {"type": f"{TYPE_PREFIX}.ping_response", **self.identity}

    def _info(self) -> dict[str, Any]:
        endpoints = [{**self._endpoint(one), "metadata": {}} for one in self.endpoints.values()]
        description = f"The {self.service} service of Souk"
        return {
            "type": f"{TYPE_PREFIX}.info_response",
            **self.identity,
            "description": description,
            "endpoints": endpoints,
        }

    def _stats(self) -> dict[str, Any]:
        endpoints = [{**self._endpoint(one), **one.stats.to_json()} for one in self.endpoints.values()]
        started = self.started.isoformat().replace("+00:00", "Z")
        return {
            "type": f"{TYPE_PREFIX}.stats_response",
            **self.identity,
            "started": started,
            "endpoints": endpoints,
        }

    def _endpoint(self, endpoint: RpcEndpoint) -> dict[str, Any]:
        operation = endpoint.operation
        return {"name": operation.name, "subject": operation.subject, "queue_group": self.service}
