"""Stock counted in and out."""

from contracts.catalog import AdjustStock, ListStock, SkuRef, SkuUnknown, StockAdjusted, StockLevel
from contracts.model import ListPage
from infra.foundation import pagination as cursor
from infra.messaging.rpc import Reply, Request
from services.catalog.deps import CatalogDeps
from services.catalog.domain.stock import StockRecord, adjust_on_hand
from services.catalog.store import stock
from services.catalog.store.stock import StockChangeSource


async def get_stock(shop: CatalogDeps, ask: Request[SkuRef]) -> StockLevel:
    async with shop.db.connection() as connection:
        level = await stock.get(connection, ask.body.sku)
    if level is None:
        raise SkuUnknown
    return level


async def list_stock(shop: CatalogDeps, ask: Request[ListStock]) -> ListPage[StockLevel]:
    body = ask.body
    (after,) = cursor.decode_cursor(body.after, str) if body.after else ("",)
    async with shop.db.connection() as connection:
        levels = await stock.list_page(connection, after.replace("\0", ""), body.below, body.limit + 1)
    shown = levels[: body.limit]
    return ListPage(items=shown, next=cursor.encode_cursor(shown[-1].sku) if len(levels) > body.limit else None)


async def adjust_stock(shop: CatalogDeps, ask: Request[AdjustStock]) -> Reply[StockLevel]:
    body = ask.body
    async with shop.db.transaction(ask) as tx:
        found = await stock.lock(tx.connection, body.sku)
        if found is None:
            raise SkuUnknown
        product_id, level = found
        on_hand = adjust_on_hand(level, body)
        tx.audit_changes(before={"on_hand": level.on_hand}, after={"on_hand": on_hand})
        if on_hand != level.on_hand:
            await stock.set_on_hand(
                tx.connection, {body.sku: on_hand}, StockChangeSource(body.reason, ask.user.user_id)
            )
            tx.publish(StockAdjusted(product_id=product_id, sku=body.sku, on_hand=on_hand, reserved=level.reserved))
        return tx.reply(stock.to_contract(body.sku, StockRecord(on_hand, level.reserved)))
