"""The catalog holds nothing on anybody but the answers that an administrator was given.

Who moved stock or brought a file is an id there, which tells nothing once the account is gone.
"""

from contracts.privacy import EraseProgress, EraseUserData, ExportUserData, UserDataPart
from infra.messaging.rpc import Request
from services.catalog.deps import CatalogDeps


async def erase(shop: CatalogDeps, ask: Request[EraseUserData]) -> EraseProgress:
    await shop.db.forget_replies(ask.body.user_id, [])
    return EraseProgress()


async def export(_shop: CatalogDeps, _ask: Request[ExportUserData]) -> UserDataPart:
    return UserDataPart()
