"""Judges GraphQL requests and answers by GitHub's schema; it resolves nothing."""

from functools import cached_property
from pathlib import Path as File
from typing import Any

import orjson
from graphql import (
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    build_schema,
    parse,
    validate,
)
from graphql.execution import get_variable_values

from tests.github.descriptions import DATA, Violation


class GraphqlDescription:
    def __init__(self, sdl: str) -> None:
        self._sdl = sdl

    @classmethod
    def load(cls, directory: File = DATA) -> "GraphqlDescription":
        return cls((directory / "schema.trimmed.graphql").read_text())

    @cached_property
    def _schema(self) -> GraphQLSchema:
        return build_schema(self._sdl)

    def check_request(self, body: bytes) -> list[Violation]:
        """Whether the query is well-formed and asks for what there is, with variables of the right types."""
        try:
            sent = orjson.loads(body)
            document = parse(sent["query"])
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            return [Violation("body", "", f"is no GraphQL request: {error!r}")]
        except GraphQLError as error:
            return [Violation("body", "query", error.message)]
        unknown = sorted(set(sent) - {"query", "variables", "operationName"})
        return [
            *(Violation("member", name, "is no part of a GraphQL request") for name in unknown),
            *(Violation("body", "query", error.message) for error in validate(self._schema, document)),
            *(
                Violation("body", "variables", message)
                for node in document.definitions
                if isinstance(node, OperationDefinitionNode)
                for message in self._variable_problems(node, sent.get("variables") or {})
            ),
        ]

    def check_response(self, status: int, body: bytes) -> list[Violation]:
        """GitHub answers 200 with `data`, `errors` or both; an error has a message and usually a `type`."""
        if status != 200:
            return []
        try:
            answer = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            return [Violation("body", "", f"is not JSON: {error}")]
        unknown = sorted(set(answer) - {"data", "errors", "extensions"})
        problems = [Violation("member", name, "is no part of a GraphQL answer") for name in unknown]
        if "data" not in answer and "errors" not in answer:
            problems.append(Violation("body", "", "has neither data nor errors"))
        problems.extend(
            Violation("body", "errors", "an error has no message")
            for error in answer.get("errors", [])
            if not isinstance(error.get("message"), str)
        )
        return problems

    def _variable_problems(self, operation: OperationDefinitionNode, sent: dict[str, Any]) -> list[str]:
        values = get_variable_values(self._schema, operation.variable_definitions or (), sent)
        return [error.message for error in values] if isinstance(values, list) else []
