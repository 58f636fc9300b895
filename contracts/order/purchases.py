"""Purchases: whether a customer has bought a product."""

from typing import Annotated

from pydantic import Field

from contracts.model import Id, Model


class PurchaseQuery(Model):
    """Asks whether this customer has bought this product."""

    user_id: Id
    product_id: Id


class ProductPurchase(Model):
    """The customer's first order of the product that was paid and not cancelled."""

    order_id: Annotated[Id | None, Field(description="The order; null if there is none.")] = None
