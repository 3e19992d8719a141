"""Translates an OpenAPI document to JSON Schema and compiles parts of it on demand; it knows no HTTP."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypeGuard
from urllib.parse import quote

from jsonschema_rs import Draft202012, Draft202012Validator, Registry, ValidationError, ValidationErrorKind

Json: TypeAlias = "Mapping[str, Json] | Sequence[Json] | str | int | float | bool | None"
Path: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True)
class SchemaError:
    """One reason why an instance is not what a schema says: where, which keyword, which member, in words.

    The keyword is `twice` where more than one branch of a `oneOf` takes the instance.
    """

    where: Path
    keyword: str
    member: str | None
    instance: object
    message: str


class Document:
    """One description. References become absolute, so that any part of it can be compiled alone."""

    def __init__(self, urn: str, raw: Mapping[str, Json]) -> None:
        self._urn = urn
        self._root = {name: _translated(part, urn) for name, part in raw.items()}
        self._registry = Registry([(urn, self._root)], draft=Draft202012)
        self._compiled: dict[int, Draft202012Validator] = {}

    def at(self, pointer: str) -> Json:
        """The translated part a JSON pointer names; references on the way are followed."""
        node: Json = self._root
        for step in pointer.strip("/").split("/"):
            node = self.resolved(node)
            name = step.replace("~1", "/").replace("~0", "~")
            if not is_object(node):
                raise KeyError(pointer)
            node = node[name]
        return self.resolved(node)

    def resolved(self, node: Json) -> Json:
        while is_object(node) and isinstance(reference := node.get("$ref"), str):
            node = self.at(reference.partition("#")[2])
        return node

    def accepts(self, schema: Json, instance: object) -> bool:
        return self._validator(schema).is_valid(instance)

    def errors(self, schema: Json, instance: object) -> list[SchemaError]:
        validator = self._validator(schema)
        if validator.is_valid(instance):
            return []
        return [leaf for error in validator.iter_errors(instance) for leaf in _leaves(error)]

    def undocumented(self, schema: Json, instance: object) -> list[Path]:
        """Members of the instance that no applicable part of the schema names."""
        return list(self._strangers([schema], instance, ()))

    def _validator(self, schema: Json) -> Draft202012Validator:
        found = self._compiled.get(id(schema))
        if found is None:
            # The schema is a part of self._root, which lives as long as this cache: its id is its name.
            found = Draft202012Validator(
                schema if is_object(schema) else True,  # type: ignore[arg-type]
                registry=self._registry,
                formats={"email": _is_email},
                validate_formats=True,
                offline=True,
            )
            self._compiled[id(schema)] = found
        return found

    def _strangers(self, schemas: Sequence[Json], instance: object, where: Path) -> Iterator[Path]:
        if isinstance(instance, list):
            items = [part["items"] for part in self._facets(schemas, instance) if "items" in part]
            for index, element in enumerate(instance):
                yield from self._strangers(items, element, (*where, index))
        elif isinstance(instance, dict):
            facets = [part for part in self._facets(schemas, instance) if _may_be_object(part)]
            is_open = not facets or any(_is_open(part) for part in facets)
            for name, value in instance.items():
                inner = list(_member_schemas(facets, name))
                if inner:
                    yield from self._strangers(inner, value, (*where, name))
                elif not is_open:
                    yield (*where, name)

    def _facets(self, schemas: Sequence[Json], instance: object) -> Iterator[Mapping[str, Json]]:
        """The flat schemas that speak about this instance: references and combinators resolved."""
        for candidate in schemas:
            schema = self.resolved(candidate)
            if not is_object(schema):
                continue
            if _says_what_it_is(schema):
                yield schema
            yield from self._facets(_array(schema.get("allOf")), instance)
            for word in ("oneOf", "anyOf"):
                branches = _array(schema.get(word))
                fitting = [branch for branch in branches if self.accepts(branch, instance)]
                yield from self._facets(fitting or branches, instance)
            if "if" in schema:
                taken = "then" if self.accepts(schema["if"], instance) else "else"
                if taken in schema:
                    yield from self._facets([schema[taken]], instance)


def _is_email(text: str) -> bool:
    """GitHub gives its bots addresses such as `1+robot[bot]@…` that are none by RFC 5321."""
    return "@" in text.strip("@")


def pointer(*steps: str) -> str:
    return "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in steps)


def is_object(value: Json) -> TypeGuard[Mapping[str, Json]]:
    return isinstance(value, Mapping)


def _translated(node: Json, urn: str) -> Json:
    """OpenAPI 3.0's `nullable` and `discriminator` in JSON Schema's words; 3.1 passes through unchanged.

    https://spec.openapis.org/oas/v3.0.3#schema-object and #discriminator-object
    """
    if isinstance(node, list):
        return [_translated(element, urn) for element in node]
    if not is_object(node):
        return node
    if isinstance(reference := node.get("$ref"), str):
        return {"$ref": urn + quote(reference, safe="#/~")}
    schema = {
        name: _translated(part, urn) for name, part in node.items() if name not in {"examples", "example"}
    }
    discriminator = node.get("discriminator")
    if is_object(discriminator) and isinstance(by := discriminator.get("propertyName"), str):
        del schema["discriminator"]
        schema = _chosen_by(by, mapping=discriminator.get("mapping"), otherwise=schema, urn=urn)
    if schema.get("nullable") is True:
        del schema["nullable"]
        schema = _or_null(schema)
    return schema


def _chosen_by(by: str, *, mapping: Json, otherwise: dict[str, Json], urn: str) -> dict[str, Json]:
    if not is_object(mapping):
        return otherwise
    for value, reference in mapping.items():
        otherwise = {
            "if": {"type": "object", "required": [by], "properties": {by: {"const": value}}},
            "then": {"$ref": f"{urn}{reference}"},
            "else": otherwise,
        }
    return otherwise


def _or_null(schema: dict[str, Json]) -> dict[str, Json]:
    if not isinstance(kind := schema.get("type"), str):
        return {"anyOf": [{"type": "null"}, schema]}
    widened: dict[str, Json] = schema | {"type": [kind, "null"]}
    if isinstance(words := schema.get("enum"), list) and None not in words:
        widened["enum"] = [*words, None]
    return widened


def _leaves(error: ValidationError) -> Iterator[SchemaError]:
    """The innermost reasons: of a failed choice, those of the branch that came closest."""
    kind = error.kind
    if isinstance(kind, ValidationErrorKind.OneOfNotValid | ValidationErrorKind.AnyOf):
        branches = [[leaf for inner in branch for leaf in _leaves(inner)] for branch in kind.context]
        depth = len(error.instance_path)
        told = [branch for branch in branches if branch and not _is_other_kind(branch, depth)]
        if told:
            yield from min(told, key=len)
            return
    yield SchemaError(
        where=tuple(error.instance_path),
        keyword="twice" if isinstance(kind, ValidationErrorKind.OneOfMultipleValid) else kind.name,
        member=kind.property if isinstance(kind, ValidationErrorKind.Required) else None,
        instance=error.instance,
        message=error.message
        if len(error.message) < 300
        else f"{error.message[:120]} … {error.message[-160:]}",
    )


def _is_other_kind(branch: Sequence[SchemaError], depth: int) -> bool:
    """Whether the branch is about another JSON type altogether, so that its reasons say nothing."""
    return any(leaf.keyword == "type" and len(leaf.where) == depth for leaf in branch)


def _member_schemas(facets: Sequence[Mapping[str, Json]], name: str) -> Iterator[Json]:
    for facet in facets:
        properties = facet.get("properties")
        others = facet.get("additionalProperties")
        if is_object(properties) and name in properties:
            yield properties[name]
        elif is_object(others):
            yield others


def _says_what_it_is(schema: Mapping[str, Json]) -> bool:
    """Whether the schema describes a value itself, and is not only a choice beside one that does."""
    return not schema or any(
        word in schema for word in ("type", "properties", "additionalProperties", "items")
    )


def _may_be_object(schema: Mapping[str, Json]) -> bool:
    kind = schema.get("type", "object")
    return kind == "object" or (isinstance(kind, list) and "object" in kind)


def _is_open(schema: Mapping[str, Json]) -> bool:
    """Whether the schema means "any members": it names none, or says outright that there may be more."""
    others = schema.get("additionalProperties")
    return others is True or ("properties" not in schema and others is not False)


def _array(value: Json) -> Sequence[Json]:
    return value if isinstance(value, list) else []
