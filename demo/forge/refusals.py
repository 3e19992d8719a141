"""GitHub's refusals, in its own words and shapes; it never decides when one is due."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

DOCS = "https://docs.github.com/rest"


class ForgeError(Exception):
    """The root of this package's errors."""


class Refused(ForgeError):
    """A request that GitHub would answer with an error status."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        errors: Sequence[Mapping[str, object] | str] = (),
        docs: str = DOCS,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.errors = errors
        self.docs = docs
        self.headers = headers or {}

    def body(self) -> dict[str, object]:
        """The JSON body: a basic error, or a validation error for 422."""
        body: dict[str, object] = {"message": self.message}
        if self.errors:
            body["errors"] = list(self.errors)
        body["documentation_url"] = self.docs
        if self.status != 422:
            body["status"] = str(self.status)
        return body


def not_found() -> Refused:
    return Refused(404, "Not Found")


def no_commit(name: str) -> Refused:
    """`name` is the SHA, branch or tag that was asked for."""
    return Refused(422, f"No commit found for SHA: {name}")


def bad_credentials() -> Refused:
    return Refused(401, "Bad credentials")


def authentication_required() -> Refused:
    return Refused(401, "Requires authentication")


def not_accessible() -> Refused:
    """An App that was given the repository but lacks the permission."""
    return Refused(403, "Resource not accessible by integration")


def lacks_role(message: str) -> Refused:
    return Refused(403, message)


def invalid(
    resource: str, code: str, *, field: str | None = None, message: str | None = None, value: object = None
) -> Refused:
    """One entry of a validation error: `missing`, `missing_field`, `invalid`, `already_exists`, `custom`."""
    entry: dict[str, object] = {"resource": resource, "code": code}
    if field is not None:
        entry["field"] = field
    if message is not None:
        entry["message"] = message
    if value is not None:
        entry["value"] = value
    return Refused(422, "Validation Failed", errors=[entry])


def unprocessable(*sentences: str, message: str = "Unprocessable Entity") -> Refused:
    """The simple kind of validation error, used for reviews: a list of sentences."""
    return Refused(422, message, errors=sentences)
