"""The services: each owns its data, and none imports another.

A service serves no HTTP but its ops port, so nats-py is loaded without aiohttp, which only its WebSocket transport
(`ws://` addresses) uses. It takes 0.1 s of CPU and 10 MB in each process.
"""

from infra.foundation.fast_imports import pause_gc_of_program, without

pause_gc_of_program()
with without("aiohttp"):
    import nats.aio.client  # noqa: F401 - here, so that no module loads it first with aiohttp
