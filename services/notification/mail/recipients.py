"""Recipients: looked up when a mail is sent, so that they are current, and stored by their owner alone."""

from dataclasses import dataclass
from uuid import UUID

from pydantic import SecretStr

from contracts import order, user
from contracts.failure import NotFound
from contracts.order import GuestContactRequest
from contracts.user import ContactRequest, EmailTokenRequest
from infra.messaging.rpc import RpcClient
from services.notification.domain.deliveries import MailDelivery


@dataclass(frozen=True, slots=True)
class Recipient:
    """Whom a mail goes to, as looked up just now. It is stored nowhere."""

    email: str
    name: str
    greeting: str
    token: SecretStr | None = None
    """The token that the mail carries, if it carries one."""


class RecipientLookup:
    """Looks up customers with an account at user, and guests at order."""

    def __init__(self, rpc: RpcClient) -> None:
        self.rpc = rpc

    async def find(self, delivery: MailDelivery) -> Recipient | None:
        """Returns the recipient, or None when there is none any more; raises the `Fail` of a service that fails."""
        try:
            if delivery.proof_id is not None:
                return await self._find_token_recipient(delivery.proof_id)
            if delivery.user_id is None:
                return await self._find_guest(delivery.order_id)
            contact = await self.rpc.request(user.CONTACT, ContactRequest(user_id=delivery.user_id))
        except NotFound:
            return None
        return Recipient(contact.email, f"{contact.first_name} {contact.last_name}", contact.first_name)

    async def _find_token_recipient(self, token_id: UUID) -> Recipient:
        """Returns the account's owner with the token; a token that has become void is not found."""
        issued = await self.rpc.request(user.PROOF, EmailTokenRequest(proof_id=token_id))
        name = f"{issued.first_name} {issued.last_name}"
        return Recipient(issued.email, name, issued.first_name, issued.token)

    async def _find_guest(self, order_id: UUID | None) -> Recipient:
        assert order_id is not None, "a mail to a guest is about an order"
        guest = await self.rpc.request(order.GUEST, GuestContactRequest(order_id=order_id))
        return Recipient(guest.email, guest.name, guest.name)
