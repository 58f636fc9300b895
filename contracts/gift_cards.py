"""Gift cards: what administrators issue, what holders see, and how an order holds part of their balance."""

from http import HTTPStatus
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, field_validator

from contracts.failure import Fail, InvalidCursor, NotFound
from contracts.identity import Access
from contracts.model import Empty, Id, InputTimestamp, ListPage, Model, PageParams, Secret, SingleLine, Timestamp
from contracts.money import Money
from contracts.operation import Operation

SERVICE = "payment"
MAX_GIFT_CARDS = 10
"""Gift cards of one order."""
MAX_HOLD_SECONDS = 7 * 86_400

GiftCardCode = Annotated[
    Secret,
    Field(
        min_length=1,
        max_length=64,
        description="A gift card's code. Case, spaces and hyphens do not matter, nor whether O is 0 and I or L is 1.",
        examples=["7K2M-9QXC-0T4B-V8ZD"],
    ),
]
LastFour = Annotated[SingleLine, StringConstraints(max_length=4)]
GiftCardState = Literal["active", "disabled"]


class GiftCardInvalid(Fail, status=HTTPStatus.UNPROCESSABLE_ENTITY, code="gift_card_invalid"):
    """A gift card cannot be used."""


class GiftCardInsufficient(Fail, status=HTTPStatus.CONFLICT, code="gift_card_insufficient"):
    """A gift card has nothing left."""


class TooManyGiftCardAttempts(Fail, status=HTTPStatus.TOO_MANY_REQUESTS, code="too_many_gift_card_attempts"):
    """Too many unknown gift card codes were tried."""


GIFT_CARD_REFUSALS = (GiftCardInvalid, GiftCardInsufficient, TooManyGiftCardAttempts)
"""Why an order does not get what its gift cards should pay."""


class GiftCard(Model):
    """A gift card. `balance - held` can be used at present."""

    id: Id
    code: Annotated[
        SingleLine | None,
        Field(repr=False, description="What its holder enters; given only in the reply that issues the card."),
    ] = None
    last4: Annotated[LastFour, Field(description="The last four characters of the code.")]
    initial: Annotated[Money, Field(description="What it was issued with.")]
    balance: Annotated[Money, Field(description="What is left of it.")]
    held: Annotated[Money, Field(description="The part of the balance that orders hold until they are paid.")]
    state: Annotated[GiftCardState, Field(description="Whether it can be used. Disabling cannot be undone.")]
    expires_at: Annotated[Timestamp | None, Field(description="Until when it can be used; null for no end.")]
    created_at: Timestamp


class IssueGiftCard(Model):
    """A new gift card."""

    amount: Annotated[Money, Field(description="What it is worth; more than 0.")]
    expires_at: Annotated[
        InputTimestamp | None, Field(description="Until when it can be used, exclusive; null for no end.")
    ] = None

    @field_validator("amount")
    @classmethod
    def _require_worth(cls, amount: Money) -> Money:
        if amount.amount == 0:
            message = "Send an amount of more than 0."
            raise ValueError(message)
        return amount


class GiftCardRef(Model):
    """Names a gift card."""

    id: Id


class FindGiftCard(Model):
    """Finds a gift card by its code."""

    code: GiftCardCode


class GiftCardPart(Model):
    """The part of an order's total that gift cards pay, and the hold that keeps it for the order."""

    hold_id: Id
    amount: Money


class HoldGiftCards(Model):
    """Holds on gift cards what an order has to pay: each card in turn, as far as it is needed.

    The same `hold_id` again returns the same hold again, and makes it last as long as a new one.
    """

    hold_id: Id
    codes: Annotated[list[GiftCardCode], Field(min_length=1, max_length=MAX_GIFT_CARDS)]
    due: Money
    seconds: Annotated[int, Field(ge=1, le=MAX_HOLD_SECONDS, description="How long the hold lasts, in seconds.")]
    client_ip: Annotated[SingleLine, StringConstraints(max_length=64)]


class GiftCardHold(Model):
    """What gift cards pay of an order, until the hold expires or the order's payment spends it."""

    hold_id: Id
    amount: Money
    last4: list[LastFour]


class GiftCardHoldRef(Model):
    """Names a hold on gift cards."""

    hold_id: Id


ADMIN = Access.ADMIN

LIST_GIFT_CARDS = Operation(
    SERVICE, "list_gift_cards", PageParams, ListPage[GiftCard], "List gift cards", ADMIN, (InvalidCursor,)
)
GET_GIFT_CARD = Operation(SERVICE, "get_gift_card", GiftCardRef, GiftCard, "Read a gift card", ADMIN, (NotFound,))
ISSUE_GIFT_CARD = Operation(
    SERVICE,
    "issue_gift_card",
    IssueGiftCard,
    GiftCard,
    "Issue a gift card; its code is shown only once",
    ADMIN,
    writes=True,
    confidential=True,
)
DISABLE_GIFT_CARD = Operation(
    SERVICE,
    "disable_gift_card",
    GiftCardRef,
    GiftCard,
    "Disable a gift card for good",
    ADMIN,
    (NotFound,),
    writes=True,
)
FIND_GIFT_CARD = Operation(
    SERVICE,
    "find_gift_card",
    FindGiftCard,
    GiftCard,
    "Read the balance of a gift card by its code",
    Access.ANYONE,
    (NotFound, TooManyGiftCardAttempts),
    writes=True,
)
HOLD_GIFT_CARDS = Operation(
    SERVICE,
    "hold_gift_cards",
    HoldGiftCards,
    GiftCardHold,
    "Hold what gift cards pay of an order",
    Access.SERVICE,
    GIFT_CARD_REFUSALS,
    callers=("order",),
    writes=True,
)
RELEASE_GIFT_CARDS = Operation(
    SERVICE,
    "release_gift_cards",
    GiftCardHoldRef,
    Empty,
    "Release a hold on gift cards that no order came for",
    Access.SERVICE,
    callers=("order",),
    writes=True,
)

GIFT_CARD_OPERATIONS = (
    LIST_GIFT_CARDS,
    GET_GIFT_CARD,
    ISSUE_GIFT_CARD,
    DISABLE_GIFT_CARD,
    FIND_GIFT_CARD,
    HOLD_GIFT_CARDS,
    RELEASE_GIFT_CARDS,
)
