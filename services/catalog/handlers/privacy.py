"""The catalog holds nothing on anybody but the answers that an administrator was given.

Who moved stock or brought a file is an id there, which tells nothing once the account is gone.
"""

from contracts.privacy import ErasedPart, ErasePerson, ExportPerson, HeldPart
from infra.messaging.rpc import Ask
from services.catalog.deps import Shop


async def erase(shop: Shop, ask: Ask[ErasePerson]) -> ErasedPart:
    await shop.db.forget(ask.body.user_id, [])
    return ErasedPart()


async def export(_shop: Shop, _ask: Ask[ExportPerson]) -> HeldPart:
    return HeldPart()
