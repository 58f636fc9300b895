"""Makes the JSON Schemas of messages for OpenAPI and AsyncAPI, in the form that client generators handle well.

Compared with pydantic's own schemas: properties have no titles, an absent `null` default is not spelled out, a map has
`additionalProperties` instead of `patternProperties`, and a model that is used in requests and in replies has a plain
name for the reply and `...Input` for the request.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, models_json_schema
from pydantic_core import core_schema

Json = dict[str, Any]
Mode = Literal["validation", "serialization"]
SCHEMA_REF = "#/components/schemas/{model}"

PROPERTY_DESCRIPTIONS = {
    "id": "The id.",
    "sku": "The stock keeping unit.",
    "slug": "The readable part of its URL.",
    "quantity": "Units.",
    "product_id": "The product's id.",
    "order_id": "The order's id.",
    "payment_id": "The payment's id.",
    "user_id": "The user's id.",
    "created_at": "When it was created.",
    "updated_at": "When it last changed.",
    "expires_at": "When it expires.",
}
"""What these properties mean in every model that does not describe them itself."""


class MessageSchemaGenerator(GenerateJsonSchema):
    """Generates the schema of one model."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - pydantic's signature
        """Titles repeat the names of properties."""
        return False

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        """Leaves out a default of null: the property may be absent, which means the same."""
        found = super().default_schema(schema)
        if found.get("default", ...) is None:
            del found["default"]
        return found

    def enum_schema(self, schema: core_schema.EnumSchema) -> JsonSchemaValue:
        """Names the values that are no identifiers themselves, such as `-price`, for generated enums."""
        found = super().enum_schema(schema)
        if not all(str(member.value).isidentifier() for member in schema["members"]):
            found["x-enum-varnames"] = [member.name for member in schema["members"]]
        return found

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        """Describes keys by `propertyNames` instead of `patternProperties`, which many client generators ignore."""
        found = super().dict_schema(schema)
        if "patternProperties" in found:
            ((pattern, values),) = found.pop("patternProperties").items()
            found["additionalProperties"] = values
            found["propertyNames"] = {**found.get("propertyNames", {}), "pattern": pattern}
        return found


def message_schemas(
    requests: Iterable[type[BaseModel]], replies: Iterable[type[BaseModel]]
) -> tuple[dict[tuple[type[BaseModel], Mode], Json], dict[str, Json]]:
    """Returns the schema of each request and reply, and the definitions that they refer to by name."""
    models: list[tuple[type[BaseModel], Mode]] = [
        *((model, "validation") for model in sorted(set(requests), key=_name)),
        *((model, "serialization") for model in sorted(set(replies), key=_name)),
    ]
    schemas, definitions = models_json_schema(models, ref_template=SCHEMA_REF, schema_generator=MessageSchemaGenerator)
    renamed = _public_names(definitions.get("$defs", {}))
    by_name = {
        renamed[name]: _with_descriptions(_with_names(schema, renamed))
        for name, schema in definitions.get("$defs", {}).items()
    }
    found = {(model, mode): _with_names(schemas[model, mode], renamed) for model, mode in models}
    return found, dict(sorted(by_name.items()))


def schema_refs(schema: object) -> Iterator[str]:
    """Yields the names of the definitions that a schema refers to."""
    if isinstance(schema, Mapping):
        for key, value in schema.items():
            if key == "$ref" and isinstance(value, str):
                group, _, name = value.rpartition("/")
                yield from [name] if group == "#/components/schemas" else []
            else:
                yield from schema_refs(value)
    elif isinstance(schema, list):
        for item in schema:
            yield from schema_refs(item)


def _name(model: type[BaseModel]) -> str:
    return model.__qualname__


def _public_names(definitions: Mapping[str, Json]) -> dict[str, str]:
    """Maps pydantic's names to public ones: `Address-Input` to `AddressInput`, `ListPage_Order_` to `OrderList`."""
    names = {}
    for name, schema in definitions.items():
        plain, _, form = name.partition("-")
        names[name] = schema.get("title", plain) + ("Input" if form == "Input" else "")
    assert len(set(names.values())) == len(names), "two schemas have the same name"
    return names


def _with_names(schema: Any, renamed: Mapping[str, str]) -> Any:
    if isinstance(schema, dict):
        found = {key: _with_names(value, renamed) for key, value in schema.items()}
        if isinstance(reference := found.get("$ref"), str):
            group, _, name = reference.rpartition("/")
            found["$ref"] = f"{group}/{renamed[name]}"
        return found
    return [_with_names(item, renamed) for item in schema] if isinstance(schema, list) else schema


def _with_descriptions(schema: Json) -> Json:
    """Adds the common descriptions, and drops the title, which repeats the name."""
    schema.pop("title", None)
    if not schema:
        return {"description": "Any JSON value."}
    for name, field in schema.get("properties", {}).items():
        if name in PROPERTY_DESCRIPTIONS and "$ref" not in field:
            field.setdefault("description", PROPERTY_DESCRIPTIONS[name])
    return schema
