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
        name = f"{contact.first_name} {contact.last_name}"
        return _recipient(contact.email, name, contact.first_name, is_confirmed=contact.email_verified)

    async def _find_token_recipient(self, token_id: UUID) -> Recipient:
        """Returns the account's owner with the token; a token that has become void is not found."""
        issued = await self.rpc.request(user.PROOF, EmailTokenRequest(proof_id=token_id))
        name = f"{issued.first_name} {issued.last_name}"
        return _recipient(issued.email, name, issued.first_name, token=issued.token, is_confirmed=issued.email_verified)

    async def _find_guest(self, order_id: UUID | None) -> Recipient:
        assert order_id is not None, "a mail to a guest is about an order"
        guest = await self.rpc.request(order.GUEST, GuestContactRequest(order_id=order_id))
        return _recipient(guest.email, guest.name, guest.name)


def _recipient(
    email: str, name: str, greeting: str, *, token: SecretStr | None = None, is_confirmed: bool = False
) -> Recipient:
    """Returns the recipient, without a name that looks like a link: the sender of the name may be a stranger."""
    is_withheld = looks_like_link(name)
    name, greeting = ("", "") if is_withheld else (name, greeting)
    return Recipient(email, name, greeting, token, is_confirmed, is_withheld)
