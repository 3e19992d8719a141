"""The tool `request_permissions`: asks people for hosts or protected paths. Grants nothing by itself.

What is approved is the policy's to take in: see `handlers.policy`. This tool tells what came of it.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from pydantic import Field

from harness.approvals import Askable, digest_of
from harness.items import Answer, Call, ItemId, ItemStatus, ToolCall, ToolItem
from harness.protocols import ArgumentsRefused, Ask, Decision, ToolSpec
from harness.tools.arguments import Arguments, read_arguments, schema_of
from harness.tools.context import ToolContext
from harness.tools.decided import told_of_refusal
from sandbox.egress.rules import HostRefused, narrowed, parse_host


class RequestPermissionsArguments(Arguments):
    hosts: list[str] = Field(default=[], max_length=20, description="Hosts to reach, such as pypi.org.")
    paths: list[str] = Field(default=[], max_length=20, description="Protected files to change.")
    justification: str = Field(min_length=1, max_length=1000, description="Why, for the people who decide.")


class RequestPermissions:
    is_parallel = False
    spec = ToolSpec(
        name="request_permissions",
        description=(
            "Asks people for leave to reach hosts or to change protected files, for this task only. Hours "
            "may pass until they answer, and running commands end meanwhile: ask only for what the task "
            "cannot do without. Either hosts or paths."
        ),
        parameters=schema_of(RequestPermissionsArguments),
    )

    def __init__(self, context: ToolContext) -> None:
        self._askable = context.askable

    def begin(self, call: Call, item_id: ItemId) -> ToolItem:
        asked = read_arguments(RequestPermissionsArguments, call.arguments)
        if bool(asked.hosts) == bool(asked.paths):
            raise ArgumentsRefused("Give either hosts or paths: each is a request of its own.")
        return ToolCall(id=item_id, call=call)

    def asks(self, item: ToolItem) -> Ask | None:
        asked = read_arguments(RequestPermissionsArguments, item.call.arguments)
        if _objection(self._askable, asked) is not None:
            return None
        if asked.hosts:
            rules = _rules(asked.hosts)
            return Ask("network", rules, asked.justification, digest_of("network", rules))
        entries = _entries(self._askable.paths, asked.paths)
        return Ask("paths", entries, asked.justification, digest_of("paths", entries))

    async def run(self, item: ToolItem) -> ToolItem:
        asked = read_arguments(RequestPermissionsArguments, item.call.arguments)
        why = _objection(self._askable, asked) or "There is nobody to ask here."
        return replace(item, status=ItemStatus.FAILED, answer=Answer(f"Not granted. {why}"))

    async def run_decided(self, item: ToolItem, decision: Decision) -> ToolItem:
        if decision.kind != "approved":
            told = Answer(f"Not granted. {told_of_refusal(decision)}")
            return replace(item, status=ItemStatus.DECLINED, answer=told)
        asked = read_arguments(RequestPermissionsArguments, item.call.arguments)
        if asked.hosts:
            given = f"this turn may reach {', '.join(_rules(asked.hosts))}"
            missing = [host for host in _rules(asked.hosts) if not _covers(self._askable.allowed_hosts, host)]
        else:
            given = f"this turn may change {', '.join(asked.paths)}"
            missing = list(_entries(self._askable.paths, asked.paths))
        if missing:
            # The operator has taken it back between the answer and now.
            told = Answer(f"Approved by {decision.by}, but the server no longer grants {', '.join(missing)}.")
            return replace(item, status=ItemStatus.DECLINED, answer=told)
        told = Answer(f"Approved by {decision.by}: {given}.")
        return replace(item, status=ItemStatus.COMPLETED, answer=told)


def _objection(askable: Askable, asked: RequestPermissionsArguments) -> str | None:
    """Why nobody is asked; None where somebody is."""
    if not askable.may_ask:
        return "There is nobody to ask here."
    return _no_hosts(askable, asked.hosts) if asked.hosts else _no_paths(askable, asked.paths)


def _no_hosts(askable: Askable, hosts: Sequence[str]) -> str | None:
    try:
        rules = _rules(hosts)
    except HostRefused as refusal:
        return str(refusal)
    if not askable.hosts:
        return "The operator lets people approve no host here."
    if beyond := [rule for rule in rules if not _covers(askable.hosts, rule)]:
        return f"The operator does not let people approve {', '.join(beyond)}."
    if all(_covers(askable.allowed_hosts, rule) for rule in rules):
        return "This turn may reach them already."
    return None


def _no_paths(askable: Askable, paths: Sequence[str]) -> str | None:
    if not askable.paths:
        return "This turn changes no protected path, whoever approves."
    for path in paths:
        parts = [part.casefold() for part in PurePosixPath(path).parts]
        if ".git" in parts or ".." in parts:
            return f"{path} is nobody's to change."
        if not _entries(askable.paths, (path,)):
            return f"{path} is not protected here: it needs no leave, or none that people can give."
    return None


def _rules(hosts: Sequence[str]) -> tuple[str, ...]:
    """As an allow-list spells them. Raises `HostRefused`."""
    return tuple(dict.fromkeys(str(parse_host(host)) for host in hosts))


def _covers(allowed: Sequence[str], rule: str) -> bool:
    """Whether all that `rule` opens is in `allowed`."""
    return rule in [found.partition("@")[0] for found in narrowed(allowed, (rule,))]


def _entries(protected: Sequence[str], paths: Sequence[str]) -> tuple[str, ...]:
    """The entries of the list of protected paths that cover `paths`: people decide about whole ones."""
    wanted = [PurePosixPath(path.casefold()) for path in paths]
    return tuple(entry for entry in protected if any(_is_covered(path, entry.casefold()) for path in wanted))


def _is_covered(path: PurePosixPath, entry: str) -> bool:
    # A name without a slash may count in every directory; where it does not, more is asked for than needed.
    return path.is_relative_to(PurePosixPath(entry)) or ("/" not in entry and entry in path.parts)
