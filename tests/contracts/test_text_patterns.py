"""A pattern is never an error text: each has a sentence, in every message and on every route."""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, StringConstraints, ValidationError, create_model

from contracts.failure import Fail
from contracts.registry import EVENTS, OPERATIONS
from contracts.text_patterns import UNKNOWN_FORMAT, text_format
from edge.request_parsing import RequestParser
from edge.routes import BodyFormat, all_routes
from infra.messaging.request_parsing import validation_failure

MODELS = sorted(
    {
        *(operation.request for operation in OPERATIONS),
        *(operation.reply for operation in OPERATIONS),
        *EVENTS,
    },
    key=lambda model: model.__name__,
)
UNUSUAL_TEXTS = ("\0", "\x07\n", "", " ", "^$", "\u200b", "x" * 30_000, "é" * 50, ",", "A B", "\ud83d\ude00")
LOOKS_LIKE_A_PATTERN = re.compile(r"pattern|regex|\^\[|\]\*|\\x|\\s|\)\?\$|\]\{\d")


def patterns_in(schema: Any) -> Iterator[str]:
    """Every `pattern` in a JSON Schema, and the keys' patterns of objects."""
    if isinstance(schema, Mapping):
        for key, value in schema.items():
            if key == "pattern" and isinstance(value, str):
                yield value
            elif key == "patternProperties":
                yield from value
            yield from patterns_in(value)
    elif isinstance(schema, list):
        for item in schema:
            yield from patterns_in(item)


PATTERNS = sorted({pattern for model in MODELS for pattern in patterns_in(model.model_json_schema())})


def test_the_walk_finds_the_patterns() -> None:
    assert len(PATTERNS) > 10


@pytest.mark.parametrize("pattern", PATTERNS)
def test_every_pattern_has_a_sentence(pattern: str) -> None:
    """A contract made with a bare pattern falls back to a sentence that helps no client."""
    model = create_model("Any", text=(text_type(pattern), ...))
    with pytest.raises(ValidationError) as refused:
        model.model_validate({"text": mismatch(pattern)})
    (error,) = validation_failure(refused.value).errors
    assert error.detail != UNKNOWN_FORMAT
    assert error.detail.startswith("Send ")
    assert error.detail.endswith(".")
    assert not LOOKS_LIKE_A_PATTERN.search(error.detail)


def text_type(pattern: str) -> Any:
    """A text with this pattern alone."""
    return Annotated[str, StringConstraints(pattern=pattern)]


def mismatch(pattern: str) -> str:
    """A text that does not match."""
    return next(text for text in UNUSUAL_TEXTS if not re.fullmatch(pattern, text))


def test_an_unknown_pattern_is_not_shown() -> None:
    class Unknown(BaseModel):
        text: text_type(r"^[a-z]+-unknown$")  # type: ignore[valid-type]

    with pytest.raises(ValidationError) as refused:
        Unknown(text="A")
    (error,) = validation_failure(refused.value).errors
    assert error.detail == UNKNOWN_FORMAT


def test_a_pattern_has_one_sentence() -> None:
    text_format("^same-pattern$", "Send this.")
    with pytest.raises(AssertionError):
        text_format("^same-pattern$", "Send that.")


@pytest.mark.parametrize(
    ("path", "route"), list(all_routes()), ids=[f"{route.method} {path[1:]}" for path, route in all_routes()]
)
def test_no_route_shows_a_pattern(path: str, route: Any) -> None:
    """Unusual texts in each parameter of the path and the query, and in each field of the body."""
    parser = RequestParser(route)
    for text in UNUSUAL_TEXTS:
        for failure in failures(parser, route.body_format, text):
            for error in failure.errors:
                assert not LOOKS_LIKE_A_PATTERN.search(error.detail), (path, error)
            assert not LOOKS_LIKE_A_PATTERN.search(failure.detail), path


def failures(parser: RequestParser, body_format: BodyFormat, text: str) -> Iterator[Fail]:
    """What the edge and the services answer to the text in each place."""
    path_params = dict.fromkeys(parser.path_fields, text)
    for parse in (parser.parse_query, parser.parse_path):
        try:
            parse(path_params, "")
        except Fail as refusal:
            yield refusal
    for name, field in parser.query_fields.items():
        try:
            parser.request_model.model_validate(filled(field, text))
        except ValidationError as error:
            yield validation_failure(error)
        if body_format is BodyFormat.NONE:
            try:
                parser.request_model.model_validate_strings({name: text})
            except ValidationError as error:
                yield validation_failure(error)


def filled(field: str, text: str) -> dict[str, Any]:
    """Objects in which the text stands at several depths."""
    address = dict.fromkeys(("name", "phone", "country"), text)
    return {field: text, "items": [{"sku": text, "quantity": 1}], "shipping_address": address}
