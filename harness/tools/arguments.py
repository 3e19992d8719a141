"""Arguments of tool calls: one pydantic model gives the schema and reads the call. Performs nothing."""

from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from harness.protocols import ArgumentsRefused


class Arguments(BaseModel):
    """Keys that are not ours are ignored, null counts as left out: models send both, and codex takes both."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: given for key, given in value.items() if given is not None}
        return value


A = TypeVar("A", bound=Arguments)


def read_arguments(shape: type[A], text: str) -> A:
    """Raises `ArgumentsRefused` with every problem named, for the model to correct."""
    try:
        return shape.model_validate_json(text or "{}")
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in problem['loc']) or 'arguments'}: {problem['msg']}"
            for problem in error.errors(include_url=False, include_input=False)[:5]
        )
        raise ArgumentsRefused(f"The call was not run, its arguments are wrong: {problems}.") from error


def schema_of(shape: type[Arguments]) -> dict[str, Any]:
    """The JSON schema as short as it can be: every request carries it. No titles, no references."""
    schema = shape.model_json_schema()
    return _short(schema, schema.pop("$defs", {}))  # type: ignore[no-any-return]


def _short(value: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(value, list):
        return [_short(element, definitions) for element in value]
    if not isinstance(value, dict):
        return value
    if "$ref" in value:
        return _short(definitions[value["$ref"].removeprefix("#/$defs/")], definitions)
    return {
        key: _short(element, definitions)
        for key, element in value.items()
        if not (key == "title" and isinstance(element, str))
    }
