"""Reading notifications."""

from contracts.model import ListPage, PageParams
from contracts.notification import Notification
from infra.foundation.pagination import decode_id_cursor, paginate
from infra.messaging.rpc_client import Request
from services.notification.deps import NotificationDeps
from services.notification.store import deliveries


async def list_notifications(deps: NotificationDeps, request: Request[PageParams]) -> ListPage[Notification]:
    """Returns the caller's own notifications, newest first; administrators get those of all users."""
    body = request.body
    owner = None if request.user.is_admin else request.user.user_id
    async with deps.db.connection() as connection:
        found = await deliveries.page(
            connection, user_id=owner, before=decode_id_cursor(body.after), limit=body.limit + 1
        )
    page, next_cursor = paginate(found, body.limit)
    return ListPage(items=page, next=next_cursor)
