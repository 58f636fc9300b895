"""The metrics page and the log of every process of the running stack."""

import json

import pytest

from contracts.registry import SERVICES
from infra.messaging.topology import consumers_for
from infra.ops.devstack.stack import Stack
from tests.support.eventually import eventually
from tests.support.http import HttpClient

COMMON_METRICS = ("souk_build_info{", "process_resident_memory_bytes ", "souk_outbox_oldest_seconds ")


@pytest.mark.parametrize("service", SERVICES)
async def test_every_service_measures_what_waits(stack: Stack, http: HttpClient, service: str) -> None:
    wanted = [*COMMON_METRICS]
    for consumer in consumers_for(service):
        label = f'{{stream="{consumer.stream}"}} '
        wanted += [f"souk_consumer_pending{label}", f"souk_consumer_ack_pending{label}", "souk_dead_letters "]

    async def page() -> str:
        async with http.session.get(f"http://127.0.0.1:{stack.ports.ops[service]}/metrics") as response:
            text = await response.text()
        assert [name for name in wanted if name not in text] == []
        return text

    text = await eventually(page)
    assert "_created" not in text


def test_every_line_of_a_log_is_one_json_object(stack: Stack) -> None:
    for service in (*SERVICES, "edge"):
        for line in stack.data_dir.log_file(service).read_text().splitlines():
            assert list(json.loads(line))[:4] == ["time", "level", "service", "message"], line
