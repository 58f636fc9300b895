"""Who has a SKU: the product of a file that states it first, or the stored product that has it now."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from uuid import UUID

from services.catalog.domain.shopify.notices import Notices
from services.catalog.domain.shopify.product_reader import FileProduct
from services.catalog.domain.shopify.row_reader import ProductRows


@dataclass(frozen=True, slots=True)
class SkuOwner:
    """The stored product that has a SKU, and the handle by which a file names it; empty where no file can."""

    product_id: UUID
    handle: str


@dataclass(frozen=True, slots=True)
class SkuOwners:
    """The stored products that have SKUs of a product of a file, and whether one has its handle."""

    by_sku: Mapping[str, SkuOwner]
    is_handle_known: bool


@dataclass(frozen=True, slots=True)
class FileClaims:
    """The handles of a file, and the handle of the first product that states each SKU."""

    handles: frozenset[str]
    by_sku: Mapping[str, str]

    @staticmethod
    def of(groups: Iterable[ProductRows]) -> "FileClaims":
        """Those of all products of a file."""
        by_sku: dict[str, str] = {}
        handles = set()
        for group in groups:
            handles.add(group.handle)
            for row in group.rows:
                if sku := row["Variant SKU"] or row["SKU"]:
                    by_sku.setdefault(sku.removeprefix("'"), group.handle)
        return FileClaims(frozenset(handles), by_sku)


def settle_skus(
    product: FileProduct, taken: Collection[str], owners: SkuOwners, claims: FileClaims, notices: Notices
) -> FileProduct:
    """The product to try next, where stored products have SKUs of it.

    If its handle is new, and one stored product that the file does not name has more than half of its SKUs, it is that
    one. Else it gets the SKUs that the file takes from other products of the file, and made ones for the rest.
    """
    if (
        not owners.is_handle_known
        and product.renamed_from is None
        and (renamed := _find_renamed(product, owners, claims))
    ):
        detail = f"The product had the handle {renamed.handle} before; it is known by its SKUs."
        notices.warn(product.row, "Handle", detail, product.handle)
        return replace(product, renamed_from=renamed.product_id)
    moved = {
        sku
        for sku in taken
        if sku not in product.claimed_skus
        and claims.by_sku.get(sku) == product.handle
        and sku in owners.by_sku
        and owners.by_sku[sku].handle in claims.handles
    }
    for item in product.variants:
        if item.variant.sku in moved and item.quantity is None:
            detail = "Another product had this SKU. Its units start at 0, because the file has no quantity for it."
            notices.warn(item.row, "Variant SKU", detail)
    left = [sku for sku in taken if sku not in moved]
    claimed = replace(product, claimed_skus=(product.claimed_skus | moved).difference(left))
    return claimed.with_other_skus(left, notices) if left else claimed


def _find_renamed(product: FileProduct, owners: SkuOwners, claims: FileClaims) -> SkuOwner | None:
    skus = [item.variant.sku for item in product.variants]
    found = Counter(owners.by_sku[sku] for sku in skus if sku in owners.by_sku)
    for owner, count in found.most_common(1):
        if 2 * count > len(skus) and owner.handle not in claims.handles:
            return owner
    return None
