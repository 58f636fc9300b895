"""VAT ids: which texts have the form of one. Whether a company has the id, only a registry of its country can tell."""

import re
from types import MappingProxyType
from typing import Annotated, Final

from pydantic import AfterValidator

from contracts.text_patterns import text_format

VAT_ID_DETAIL: Final = "Send a VAT id with its country's prefix and in its country's form, such as DE123456789."
_SEPARATORS: Final = str.maketrans("", "", " .-")
_PREFIXES: Final = MappingProxyType({"GR": "EL"})
"""Greece is registered under a prefix that is not its country code."""
_OTHER_FORM: Final = "[0-9A-Z]{4,18}"
"""Of countries that are not listed here."""

VAT_ID_FORMS: Final = MappingProxyType(
    {
        "AT": "U[0-9]{8}",
        "BE": "[01][0-9]{9}",
        "BG": "[0-9]{9,10}",
        "CH": "E[0-9]{9}(MWST|TVA|IVA)?",
        "CY": "[0-9]{8}[A-Z]",
        "CZ": "[0-9]{8,10}",
        "DE": "[0-9]{9}",
        "DK": "[0-9]{8}",
        "EE": "[0-9]{9}",
        "EL": "[0-9]{9}",
        "ES": "[0-9A-Z][0-9]{7}[0-9A-Z]",
        "FI": "[0-9]{8}",
        "FR": "[0-9A-HJ-NP-Z]{2}[0-9]{9}",
        "GB": "([0-9]{9}|[0-9]{12}|(GD|HA)[0-9]{3})",
        "HR": "[0-9]{11}",
        "HU": "[0-9]{8}",
        "IE": "([0-9]{7}[A-W][A-I]?|[0-9][0-9A-Z+*][0-9]{5}[A-W])",
        "IT": "[0-9]{11}",
        "LT": "([0-9]{9}|[0-9]{12})",
        "LU": "[0-9]{8}",
        "LV": "[0-9]{11}",
        "MT": "[0-9]{8}",
        "NL": "[0-9A-Z+*]{12}",
        "NO": "[0-9]{9}(MVA)?",
        "PL": "[0-9]{10}",
        "PT": "[0-9]{9}",
        "RO": "[0-9]{2,10}",
        "SE": "[0-9]{12}",
        "SI": "[0-9]{8}",
        "SK": "[0-9]{10}",
        "XI": "([0-9]{9}|[0-9]{12}|(GD|HA)[0-9]{3})",
    }
)
"""What follows the prefix, by prefix: the members of the EU as its VIES knows them, and their neighbours."""


def parse_vat_id(text: str) -> str:
    """Returns the VAT id in capitals and without separators; raises `ValueError` when its country has another form."""
    compact = text.translate(_SEPARATORS).upper()
    prefix = _PREFIXES.get(compact[:2], compact[:2])
    if not prefix.isalpha() or not re.fullmatch(VAT_ID_FORMS.get(prefix, _OTHER_FORM), compact[2:]):
        raise ValueError(VAT_ID_DETAIL)
    return prefix + compact[2:]


VatId = Annotated[
    str,
    text_format(r"^[A-Za-z]{2}[0-9A-Za-z+* .-]+$", VAT_ID_DETAIL, min_length=4, max_length=30, strip_whitespace=True),
    AfterValidator(parse_vat_id),
]
"""A VAT id as a request gives it, with or without separators; it is stored in capitals without them."""
