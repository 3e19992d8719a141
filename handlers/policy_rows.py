"""A resolved policy as rows for people: field, value, and the layer that decided it."""

from collections.abc import Iterator
from dataclasses import fields

from handlers.policy import Resolved
from handlers.written import NAMES, shown
from sandbox.base import PROTECTED_PATHS, Limits


def rows_of(found: Resolved) -> Iterator[tuple[str, str, str]]:
    """Field, value and layer, in the words that people use for them."""
    policy = found.policy
    added = [path for path in policy.protected_paths if path not in PROTECTED_PATHS]
    yield "mode", policy.mode.value, found.decided["mode"]
    yield "network", ", ".join(policy.allowed_hosts) or "off", found.decided["allowed_hosts"]
    paths = f"the built-in {len(policy.protected_paths) - len(added)}"
    yield "protected paths", ", ".join([paths, *added]), found.decided["protected_paths"]
    for limit in fields(Limits):
        value = shown(limit.name, getattr(policy.limits, limit.name))
        yield NAMES.get(limit.name, limit.name), value, found.decided[limit.name]
    caches = ", ".join(f"{cache.name} ({cache.source.parent.name})" for cache in policy.caches)
    yield "caches", caches or "none", found.decided["caches"]
    variables = ", ".join(f"{name}={value}" for name, value in policy.environment.items())
    yield "environment", variables or "nothing added", found.decided["environment"]
    yield "image", policy.image or "the driver's own", found.decided["image"]
    yield "approvals", found.approvals, found.decided["approvals"]
    yield "hosts on approval", ", ".join(found.askable.hosts) or "none", ""
