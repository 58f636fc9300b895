"""Stock counted in and out."""

from contracts.catalog import AdjustStock, ListStock, SkuOf, SkuUnknown, StockAdjusted, StockLevel
from contracts.model import Listing
from infra.foundation import pagination as cursor
from infra.messaging.rpc import Answer, Ask
from services.catalog.deps import Shop
from services.catalog.domain.stock import Level, adjusted
from services.catalog.store import stock
from services.catalog.store.stock import Author


async def get_stock(shop: Shop, ask: Ask[SkuOf]) -> StockLevel:
    async with shop.db.connection() as connection:
        level = await stock.get(connection, ask.body.sku)
    if level is None:
        raise SkuUnknown
    return level


async def list_stock(shop: Shop, ask: Ask[ListStock]) -> Listing[StockLevel]:
    body = ask.body
    (after,) = cursor.decode(body.after, str) if body.after else ("",)
    async with shop.db.connection() as connection:
        levels = await stock.page(connection, after.replace("\0", ""), body.below, body.limit + 1)
    shown = levels[: body.limit]
    return Listing(items=shown, next=cursor.encode(shown[-1].sku) if len(levels) > body.limit else None)


async def adjust_stock(shop: Shop, ask: Ask[AdjustStock]) -> Answer[StockLevel]:
    body = ask.body
    async with shop.db.transaction(ask) as tx:
        found = await stock.locked(tx.connection, body.sku)
        if found is None:
            raise SkuUnknown
        product_id, level = found
        on_hand = adjusted(level, body)
        tx.detail(before={"on_hand": level.on_hand}, after={"on_hand": on_hand})
        if on_hand != level.on_hand:
            await stock.set_on_hand(tx.connection, {body.sku: on_hand}, Author(body.reason, ask.who.user_id))
            tx.say(StockAdjusted(product_id=product_id, sku=body.sku, on_hand=on_hand, reserved=level.reserved))
        return tx.answer(stock.told(body.sku, Level(on_hand, level.reserved)))
