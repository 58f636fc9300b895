"""Recipients: looked up when a mail is sent, so that they are current, and stored by their owner alone."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from pydantic import SecretStr

from contracts import order, user
from contracts.failure import Fail, NotFound
from contracts.notification import NotificationKind
from contracts.order import GuestContactRequest
from contracts.user import ContactsRequest, EmailTokenRequest
from infra.messaging.rpc_client import RpcClient
from services.notification.domain.deliveries import MailDelivery
from services.notification.domain.names import looks_like_link


@dataclass(frozen=True, slots=True)
class Recipient:
    """Whom a mail goes to, as looked up just now. It is stored nowhere."""

    email: str
    name: str
    greeting: str
    token: SecretStr | None = None
    """The token that the mail carries, if it carries one."""
    is_confirmed: bool = False
    """Whether the owner of the e-mail has proved to be the recipient."""
    is_name_withheld: bool = False
    """Whether the name is left out because it looks like a link."""


class RecipientLookup:
    """Looks up customers with an account at user, all in one request, and guests at order."""

    def __init__(self, rpc: RpcClient) -> None:
        self.rpc = rpc

    async def find_all(self, deliveries: Sequence[MailDelivery]) -> dict[UUID, Recipient | Fail | None]:
        """Returns the recipient of each delivery by its id; None when there is none any more, or why it is unknown."""
        user_ids = {
            delivery.id: delivery.user_id
            for delivery in deliveries
            if delivery.user_id is not None and delivery.proof_id is None
        }
        others = [delivery for delivery in deliveries if delivery.id not in user_ids]
        contacts, found = await asyncio.gather(
            self._find_customers(set(user_ids.values())),
            asyncio.gather(*(self._find_other(delivery) for delivery in others)),
        )
        recipients = {delivery.id: recipient for delivery, recipient in zip(others, found, strict=True)}
        for delivery_id, user_id in user_ids.items():
            recipients[delivery_id] = contacts if isinstance(contacts, Fail) else contacts.get(user_id)
        return recipients

    async def _find_customers(self, user_ids: set[UUID]) -> dict[UUID, Recipient] | Fail:
        if not user_ids:
            return {}
        try:
            contacts = await self.rpc.request(user.CONTACTS, ContactsRequest(user_ids=list(user_ids)))
        except Fail as fail:
            return fail
        return {
            contact.user_id: _recipient(
                contact.email,
                f"{contact.first_name} {contact.last_name}",
                contact.first_name,
                is_confirmed=contact.email_verified,
            )
            for contact in contacts.items
        }

    async def _find_other(self, delivery: MailDelivery) -> Recipient | Fail | None:
        """Returns the guest of an order, perhaps with its token, or the owner of an account with the token to mail."""
        try:
            if delivery.kind is NotificationKind.ORDER_LOOKUP:
                return await self._find_guest_with_token(delivery)
            if delivery.proof_id is not None:
                return await self._find_token_recipient(delivery.proof_id)
            return await self._find_guest(delivery.order_id)
        except NotFound:
            return None
        except Fail as fail:
            return fail

    async def _find_token_recipient(self, token_id: UUID) -> Recipient:
        """Returns the account's owner with the token; a token that has become void is not found."""
        issued = await self.rpc.request(user.PROOF, EmailTokenRequest(proof_id=token_id))
        name = f"{issued.first_name} {issued.last_name}"
        return _recipient(issued.email, name, issued.first_name, token=issued.token, is_confirmed=issued.email_verified)

    async def _find_guest(self, order_id: UUID | None) -> Recipient:
        assert order_id is not None, "a mail to a guest is about an order"
        guest = await self.rpc.request(order.GUEST, GuestContactRequest(order_id=order_id))
        return _recipient(guest.email, guest.name, guest.name)

    async def _find_guest_with_token(self, delivery: MailDelivery) -> Recipient:
        """Returns the guest with the order's token; an order that a customer has claimed has no guest."""
        order_id = delivery.facts.order_id if delivery.facts is not None else None
        assert order_id is not None, "the mail links to an order"
        request = GuestContactRequest(order_id=order_id, with_access_token=True)
        guest = await self.rpc.request(order.GUEST, request)
        return _recipient(guest.email, guest.name, guest.name, token=guest.access_token)


def _recipient(
    email: str, name: str, greeting: str, *, token: SecretStr | None = None, is_confirmed: bool = False
) -> Recipient:
    """Returns the recipient, without a name that looks like a link: the sender of the name may be a stranger."""
    is_withheld = looks_like_link(name)
    name, greeting = ("", "") if is_withheld else (name, greeting)
    return Recipient(email, name, greeting, token, is_confirmed, is_withheld)
