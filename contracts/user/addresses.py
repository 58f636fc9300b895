"""Saved addresses, which an order can refer to by id."""

from http import HTTPStatus

from contracts.failure import Fail, InvalidCursor, NotFound
from contracts.identity import Access
from contracts.model import Empty, Id, ListPage, Model, PageParams
from contracts.operation import Operation, OwnedResource
from contracts.order import Address, AddressInput

SERVICE = "user"
MAX_ADDRESSES = 50
"""Addresses of one account."""


class TooManyAddresses(Fail, status=HTTPStatus.CONFLICT, code="too_many_addresses"):
    """An account can have at most 50 addresses; remove one first."""


class SavedAddress(Address):
    """An address that a customer has saved."""

    id: Id


class AddressRef(Model):
    """Names a saved address."""

    id: Id


class CustomerAddressRef(Model):
    """Names a saved address and the customer who must own it."""

    id: Id
    user_id: Id


class ReplaceAddress(AddressInput):
    """The new fields of a saved address."""

    id: Id


OWN_ADDRESSES, ADDRESS_BY_ID = (OwnedResource("addresses"),), (OwnedResource("address", id_field="id"),)

LIST_ADDRESSES = Operation(
    SERVICE,
    "list_addresses",
    PageParams,
    ListPage[SavedAddress],
    "List one's own addresses",
    Access.CUSTOMER,
    (InvalidCursor,),
    owned_resources=OWN_ADDRESSES,
)
ADD_ADDRESS = Operation(
    SERVICE,
    "add_address",
    AddressInput,
    SavedAddress,
    "Save an address",
    Access.CUSTOMER,
    (NotFound, TooManyAddresses),
    writes=True,
    owned_resources=OWN_ADDRESSES,
)
REPLACE_ADDRESS = Operation(
    SERVICE,
    "replace_address",
    ReplaceAddress,
    SavedAddress,
    "Replace one of one's own addresses",
    Access.CUSTOMER,
    (NotFound,),
    writes=True,
    owned_resources=ADDRESS_BY_ID,
)
REMOVE_ADDRESS = Operation(
    SERVICE,
    "remove_address",
    AddressRef,
    Empty,
    "Remove one of one's own addresses",
    Access.CUSTOMER,
    (NotFound,),
    writes=True,
    owned_resources=ADDRESS_BY_ID,
)
ADDRESS = Operation(
    SERVICE,
    "address",
    CustomerAddressRef,
    SavedAddress,
    "Read one of a customer's saved addresses",
    Access.SERVICE,
    (NotFound,),
    ("order",),
)

ADDRESS_OPERATIONS = (LIST_ADDRESSES, ADD_ADDRESS, REPLACE_ADDRESS, REMOVE_ADDRESS, ADDRESS)
