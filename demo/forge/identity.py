"""Tells who is asking from the Authorization header; it grants nothing."""

from __future__ import annotations

import base64
import binascii
from datetime import timedelta

import jwt

from demo.forge.refusals import Refused, bad_credentials
from demo.forge.state import ANONYMOUS, App, Installation, State, Token, User, Viewer

# https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app
LONGEST_JWT_LIFE = timedelta(minutes=10)


def viewer_of(state: State, authorization: str | None) -> Viewer:
    """Nobody without the header; Refused 401 if it does not name anybody."""
    if not authorization:
        return ANONYMOUS
    scheme, _, credential = authorization.strip().partition(" ")
    match scheme.lower():
        case "basic":
            return viewer_of_token(state, _password(credential))
        case "token" | "bearer" if credential.count(".") == 2 and not credential.startswith("gh"):
            return Viewer(app=_app_of(state, credential))
        case "token" | "bearer":
            return viewer_of_token(state, credential)
        case _:
            raise bad_credentials()


def viewer_of_token(state: State, value: str) -> Viewer:
    token = state.token(value.strip())
    if token is None or token.revoked:
        raise bad_credentials()
    if token.expires_at is not None and token.expires_at <= state.clock():
        raise bad_credentials()
    return as_viewer(state, token)


def as_viewer(state: State, token: Token) -> Viewer:
    user = state.get(User, token.user_id)
    if token.installation_id is None:
        return Viewer(user=user, token_id=token.id)
    installation = state.find(Installation, token.installation_id)
    if installation is None:
        raise bad_credentials()
    if installation.suspended_at is not None:
        raise Refused(403, "This installation has been suspended")
    ids = token.repository_ids
    return Viewer(
        user=user,
        installation=installation,
        permissions=token.permissions or {},
        repository_ids=None if ids is None else frozenset(ids),
        token_id=token.id,
    )


def _password(credential: str) -> str:
    try:
        user, _, password = base64.b64decode(credential, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise bad_credentials() from error
    # Either place may hold the token: https://docs.github.com/en/get-started/getting-started-with-git
    return password if password and password != "x-oauth-basic" else user  # noqa: S105 - git's placeholder


def _app_of(state: State, assertion: str) -> App:
    try:
        issuer = str(jwt.decode(assertion, options={"verify_signature": False}).get("iss", ""))
    except jwt.PyJWTError as error:
        raise Refused(401, "A JSON web token could not be decoded") from error
    apps = state.all(App)
    app = next((known for known in apps if issuer in {str(known.id), known.client_id}), None)
    if app is None:
        raise Refused(404, "Integration not found")
    now = state.clock()
    try:
        claims = jwt.decode(
            assertion,
            app.public_key,
            algorithms=["RS256"],
            options={
                "verify_exp": False,
                "verify_iat": False,
                "verify_aud": False,
                "require": ["exp", "iat"],
            },
        )
    except jwt.PyJWTError as error:
        raise Refused(401, "A JSON web token could not be decoded") from error
    expires, issued = float(claims["exp"]), float(claims["iat"])
    if expires <= now.timestamp():
        sentence = (
            "'Expiration time' claim ('exp') must be a numeric value representing the future time at which "
            "the assertion expires"
        )
        raise Refused(401, sentence)
    # A minute of grace for clocks that differ.
    if expires > (now + LONGEST_JWT_LIFE + timedelta(minutes=1)).timestamp():
        raise Refused(401, "'Expiration time' claim ('exp') is too far in the future")
    if issued > now.timestamp() + 60:
        sentence = (
            "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued"
        )
        raise Refused(401, sentence)
    return app
