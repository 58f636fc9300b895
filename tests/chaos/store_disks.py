"""A small disk for each store under test, so that a run can fill it."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from infra.ops.devstack.data_dir import open_data_dir
from infra.ops.devstack.run_as_user import postgres_user
from infra.ops.devstack.stack_settings import StackSettings
from tests.chaos.small_disk import SmallDisk, small_disk, unavailable_reason

DISK_MEGABYTES = 1536
"""The size of each small disk: more than a run writes. The file behind it is sparse."""


@asynccontextmanager
async def mount_disks(
    stack_settings: StackSettings, stored: Path, keep: Callable[[], bool]
) -> AsyncIterator[dict[str, SmallDisk]]:
    """Mounts a small disk each for PostgreSQL, MongoDB and one NATS node; none if this machine cannot.

    If `keep` returns true at the end, their contents are copied to `kept` for inspection.
    """
    if unavailable_reason():
        yield {}
        return
    data = open_data_dir(stack_settings.data).path
    folders = {"postgres": data / "postgres", "mongo": data / "mongo"}
    folders["nats"] = data / ("nats" if stack_settings.nats_nodes == 1 else "nats-1")
    async with AsyncExitStack() as mounted:
        made = {
            name: await mounted.enter_async_context(small_disk(folder, DISK_MEGABYTES))
            for name, folder in folders.items()
        }
        if user := postgres_user():
            os.chown(folders["postgres"], user.uid, user.gid)
        folders["postgres"].chmod(0o700)
        try:
            yield made
        finally:
            for name, folder in folders.items() if keep() else ():
                await asyncio.to_thread(shutil.copytree, folder, stored / name, symlinks=True, dirs_exist_ok=True)
