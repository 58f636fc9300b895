"""Addresses: where a customer has things sent, kept so that an order can name one."""

from http import HTTPStatus

from contracts.failure import Fail
from contracts.model import Id, Model
from contracts.order import Address

MAX_ADDRESSES = 50


class TooManyAddresses(Fail, status=HTTPStatus.CONFLICT):
    """An account keeps 50 addresses at the most; remove one first."""


class SavedAddress(Address):
    id: Id


class AddressRef(Model):
    id: Id


class CustomerAddressRef(Model):
    """One of a customer's own addresses, as order asks for it."""

    id: Id
    user_id: Id


class ReplaceAddress(Address):
    id: Id
