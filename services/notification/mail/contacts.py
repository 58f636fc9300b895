"""Where a customer is reached: asked at the moment of sending, so that it is current, and kept by its owner alone."""

from uuid import UUID

from contracts import order, user
from contracts.failure import NotFound
from contracts.order import GuestContactRequest
from contracts.user import ContactRequest, EmailTokenRequest
from infra.messaging.rpc import RpcClient
from services.notification.domain.deliveries import MailDelivery
from services.notification.mail.templates import Recipient


class RecipientLookup:
    """Asks user for customers with an account, and order for guests."""

    def __init__(self, asker: RpcClient) -> None:
        self.rpc = asker

    async def find(self, delivery: MailDelivery) -> Recipient | None:
        """None where nobody is there any more; raises the `Fail` of a service that cannot say."""
        try:
            if delivery.proof_id is not None:
                return await self._prover(delivery.proof_id)
            if delivery.user_id is None:
                return await self._guest(delivery.order_id)
            contact = await self.rpc.request(user.CONTACT, ContactRequest(user_id=delivery.user_id))
        except NotFound:
            return None
        return Recipient(contact.email, f"{contact.first_name} {contact.last_name}", contact.first_name)

    async def _prover(self, proof_id: UUID) -> Recipient:
        """Whoever is to show that they read the mail. A token that is void meanwhile is not sent."""
        proof = await self.rpc.request(user.PROOF, EmailTokenRequest(proof_id=proof_id))
        name = f"{proof.first_name} {proof.last_name}"
        return Recipient(proof.email, name, proof.first_name, proof.token)

    async def _guest(self, order_id: UUID | None) -> Recipient:
        assert order_id is not None, "what is told a guest is about an order"
        guest = await self.rpc.request(order.GUEST, GuestContactRequest(order_id=order_id))
        return Recipient(guest.email, guest.name, guest.name)
