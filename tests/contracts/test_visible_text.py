"""Names of invisible characters alone are empty, wherever a request gives a name."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from contracts.catalog import CreateCategory, CreateProduct
from contracts.model import Model
from contracts.user import MakeApiKey, Register, UpdateProfile, UpdateUser
from contracts.visible_text import is_visible
from infra.foundation.ids import new_id

INVISIBLE = [
    "\u200b",
    "\u200d\u200c",
    "\u2060",
    "\ufeff",
    "\u00ad",
    "\u3164\uffa0",
    "\u2800",
    "\u180e",
    "\u034f",
    "\U000e0020",
]
PERSON = {"first_name": "Ada", "last_name": "Lovelace"}
REQUESTS: list[tuple[type[Model], dict[str, Any], str]] = [
    (Register, {"email": "ada@example.com", "password": "correct horse", **PERSON}, "first_name"),
    (Register, {"email": "ada@example.com", "password": "correct horse", **PERSON}, "last_name"),
    (UpdateProfile, PERSON, "first_name"),
    (UpdateUser, {"id": str(new_id())}, "last_name"),
    (MakeApiKey, {"scopes": ["order:read"]}, "name"),
    (CreateProduct, {"sku": "A", "price": {"amount": 1, "currency": "USD"}}, "name"),
    (CreateCategory, {}, "name"),
]


@pytest.mark.parametrize("name", INVISIBLE)
@pytest.mark.parametrize(("model", "body", "field"), REQUESTS)
def test_invisible_name_is_refused(model: type[Model], body: dict[str, Any], field: str, name: str) -> None:
    with pytest.raises(ValidationError, match=r"visible character|at least 1 character"):
        model.model_validate_json(orjson.dumps({**body, field: name}))
    model.model_validate_json(orjson.dumps({**body, field: f"{name}李{name}"}))


@pytest.mark.parametrize(
    "name", ["Ada", "李", "O'Neil", "🐎", "é", "e\u0301", "\u0627", "👨\u200d👩", "1", "-", "\u0646\u200c\u0647"]
)
def test_visible_names(name: str) -> None:
    assert is_visible(name)


@given(st.text(alphabet=st.characters(categories=["Zs", "Cf", "Cc", "Mn"])))
def test_nothing_invisible_is_visible(text: str) -> None:
    assert not is_visible(text)
    assert is_visible(text + "a")
