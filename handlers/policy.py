"""What a turn may do: resolved from ordered layers, each of which narrows what those above it allow.

Pure. A wish for more is no error of the turn: it is not granted, and told.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from handlers.effects import StartTurn
from handlers.permissions import Permission, Refusal, TriggerKind, granted
from handlers.view import View
from handlers.wishes import Ceiling, Wishes
from handlers.written import NAMES, shown
from harness.approvals import Approvals, Askable
from sandbox.base import PROTECTED_PATHS, Cache, Limits, Policy, SandboxMode
from sandbox.egress.rules import narrowed
from sandbox.images import is_allowed


class Layer(StrEnum):
    """Who decided; in the order of resolution."""

    DEFAULT = "default"
    OPERATOR = "operator"
    ORGANISATION = "organisation"
    REPOSITORY = "repository"
    """The operator's words about it."""
    FILE = "repository file"
    ASKED = "when asked"
    """What was granted when the turn was asked for."""
    COMMAND_LINE = "command line"
    TRIGGER = "trigger"
    ACTOR = "actor"
    TRUST = "trust of the code"
    APPROVED = "approved"
    """What people have granted to this one turn when it asked: the only layer that widens."""


@dataclass(frozen=True, slots=True)
class NotGranted:
    """A wish for more than the layers above allow."""

    layer: Layer
    field: str
    wish: str
    why: str

    def __str__(self) -> str:
        return f"{self.asked} ({self.layer}): {self.why}"

    @property
    def asked(self) -> str:
        """What was wished for, in the words that people use."""
        return f"{NAMES.get(self.field, self.field)} {self.wish}"


@dataclass(frozen=True, slots=True)
class Approved:
    """One answer of a person who may give it, to one turn."""

    by: str
    hosts: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    """Entries of the list of protected paths."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """The policy, and where it comes from."""

    policy: Policy
    decided: Mapping[str, Layer]
    """Field of `Policy` (of a limit: of `Limits`) → the layer that changed it last."""
    not_granted: tuple[NotGranted, ...] = ()
    askable: Askable = field(default_factory=Askable)
    """What the turn may ask people for besides."""
    approved_by: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Host or path that was approved for this turn → whoever did."""
    approved_paths: tuple[str, ...] = ()
    """Protected paths that were opened to it."""

    @property
    def approvals(self) -> str:
        """When such a turn asks people, in the words of the setting."""
        if not self.askable.may_ask:
            return f"{Approvals.NEVER}, and only what a rule allows" if self.askable.is_untrusted else "never"
        return Approvals.UNTRUSTED if self.askable.is_untrusted else Approvals.ON_REQUEST


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """All that a policy depends on."""

    ceiling: Ceiling = field(default_factory=Ceiling)
    repository: str = ""
    """`owner/name`; empty for a local directory."""
    file: Wishes = field(default_factory=Wishes)
    """`.github/darner.yml` at the default branch."""
    asked: Wishes = field(default_factory=Wishes)
    command_line: Wishes = field(default_factory=Wishes)
    trigger: TriggerKind = "mention"
    permission: Permission = "none"
    is_fork: bool = False
    """Whether the code that the turn works on comes from a fork."""
    approved: tuple[Approved, ...] = ()
    """What people have granted to this turn."""
    caches: Path = Path("caches")
    """Where the caches of this repository lie; below it the trust levels never meet."""


def resolve(situation: Situation) -> Resolved | Refusal:
    """What the turn may do, or why it may not start. Adding a layer never widens the result."""
    ceiling = situation.ceiling
    mode = granted(
        situation.trigger,
        situation.permission,
        "fork" if situation.is_fork else "own",
        admits_readers=ceiling.admits_readers,
    )
    if isinstance(mode, Refusal):
        return mode
    resolution = _Resolution(ceiling)
    for layer, wishes in _spoken(situation):
        resolution.narrow(layer, wishes)
    asker = Layer.ACTOR if situation.trigger == "mention" else Layer.TRIGGER
    resolution.narrow(asker, Wishes(mode=mode))
    if situation.is_fork:
        is_offline = not ceiling.forks_reach_hosts
        hosts = () if is_offline else None
        resolution.narrow(Layer.TRUST, Wishes(allowed_hosts=hosts, approvable_hosts=hosts))
    for approved in situation.approved:
        resolution.widen(approved)
    return resolution.resolved(situation.caches / ("fork" if situation.is_fork else "own"))


def protected_paths(situation: Situation) -> tuple[str, ...]:
    """What only a person may change, whoever asks."""
    added = (path for _, wishes in _spoken(situation) for path in wishes.protected_paths)
    return tuple(dict.fromkeys((*situation.ceiling.protected_paths, *added)))


def trigger_of(start: StartTurn) -> TriggerKind:
    """Whether somebody asked for the turn, or what began it."""
    if start.kind == "review":
        return "review"
    return "ci_fix" if start.ci is not None and start.ci.by_itself else "mention"


def situation_of(
    view: View, *, repository: str, trigger: TriggerKind = "mention", is_fork: bool
) -> Situation:
    """What a policy depends on, as the forge tells it now."""
    return Situation(
        ceiling=view.bot.ceiling,
        repository=repository,
        file=view.config.wishes,
        trigger=trigger,
        permission=view.permission,
        is_fork=is_fork,
    )


def _spoken(situation: Situation) -> tuple[tuple[Layer, Wishes], ...]:
    """What people have said, from the operator down."""
    name = situation.repository.lower()
    owner, _, _ = name.partition("/")
    scopes, silent = situation.ceiling.scopes, Wishes()
    return (
        (Layer.ORGANISATION, scopes.get(owner, silent)),
        (Layer.REPOSITORY, scopes.get(name, silent)),
        (Layer.FILE, situation.file),
        (Layer.ASKED, situation.asked),
        (Layer.COMMAND_LINE, situation.command_line),
    )


_WIDTH: Final = (SandboxMode.READ_ONLY, SandboxMode.WORKSPACE_WRITE, SandboxMode.FULL_ACCESS)
_WISHING: Final = frozenset({Layer.ORGANISATION, Layer.REPOSITORY, Layer.FILE, Layer.COMMAND_LINE})
"""The layers whose wishes are somebody's words: whoever wrote them is told what was not granted."""


class _Resolution:
    """A policy in the making."""

    def __init__(self, ceiling: Ceiling) -> None:
        self._ceiling = ceiling
        self._mode = ceiling.mode
        self._limits = ceiling.limits
        self._protected = ceiling.protected_paths
        self._hosts = ceiling.allowed_hosts
        self._caches = ceiling.caches
        self._environment = dict(ceiling.environment)
        self._image: str | None = None
        self._may_ask = ceiling.approvals is not Approvals.NEVER
        self._is_untrusted = ceiling.approvals is Approvals.UNTRUSTED
        self._approvable = ceiling.approvable_hosts
        self._approved_by: dict[str, str] = {}
        self._opened: tuple[str, ...] = ()
        self._decided = dict(_decided_by_operator(ceiling))
        self._not_granted: list[NotGranted] = []

    def narrow(self, layer: Layer, wishes: Wishes) -> None:
        """Take what `wishes` may have of what is left."""
        self._narrow_mode(layer, wishes.mode)
        self._narrow_limits(layer, wishes.limits)
        self._protect(layer, wishes.protected_paths)
        self._narrow_hosts(layer, wishes.allowed_hosts)
        self._narrow_caches(layer, wishes.caches)
        self._set_variables(layer, wishes.environment)
        self._choose_image(layer, wishes.image)
        self._narrow_approvals(layer, wishes)

    def widen(self, approved: Approved) -> None:
        """Add what a person has granted, as far as the operator still lets people grant it."""
        if self._mode is SandboxMode.READ_ONLY or not self._may_ask:
            return
        if hosts := narrowed(self._approvable, approved.hosts):
            self._hosts = tuple(dict.fromkeys((*self._hosts, *hosts)))
            self._decided["allowed_hosts"] = Layer.APPROVED
        opened = tuple(path for path in approved.paths if path in self._protected and path != ".git")
        if opened:
            self._protected = tuple(path for path in self._protected if path not in opened)
            self._decided["protected_paths"] = Layer.APPROVED
        self._opened += opened
        self._approved_by |= dict.fromkeys((*hosts, *opened), approved.by)

    def resolved(self, caches: Path) -> Resolved:
        if self._mode is SandboxMode.READ_ONLY:
            # A turn that only looks installs nothing, and leaves nothing to later ones.
            self._narrow_hosts(self._decided["mode"], (), is_told=False)
            self._narrow_caches(self._decided["mode"], (), is_told=False)
        policy = Policy(
            mode=self._mode,
            limits=self._limits,
            protected_paths=self._protected,
            allowed_hosts=self._hosts,
            caches=tuple(Cache(caches / name, name) for name in self._caches),
            environment=MappingProxyType(dict(self._environment)),
            image=self._image,
        )
        return Resolved(
            policy,
            MappingProxyType(self._decided),
            tuple(self._not_granted),
            self._askable(),
            MappingProxyType(self._approved_by),
            self._opened,
        )

    def _askable(self) -> Askable:
        """A turn that only looks has nothing to ask leave for, but may ask about commands and questions."""
        is_open = self._may_ask and self._mode is SandboxMode.WORKSPACE_WRITE
        return Askable(
            may_ask=self._may_ask,
            is_untrusted=self._is_untrusted,
            hosts=self._approvable if is_open else (),
            allowed_hosts=self._hosts,
            paths=tuple(path for path in self._protected if path != ".git") if is_open else (),
        )

    def _narrow_approvals(self, layer: Layer, wishes: Wishes) -> None:
        """`never` and `untrusted` both narrow: together nothing runs but what a rule allows."""
        if wishes.approvable_hosts is not None:
            self._approvable = narrowed(self._approvable, wishes.approvable_hosts)
        if wishes.approvals is Approvals.NEVER and self._may_ask:
            self._may_ask = False
            self._decided["approvals"] = layer
        elif wishes.approvals is Approvals.UNTRUSTED and not self._is_untrusted:
            self._is_untrusted = True
            self._decided["approvals"] = layer

    def _narrow_mode(self, layer: Layer, wish: SandboxMode | None) -> None:
        if wish is None:
            return
        if _WIDTH.index(wish) > _WIDTH.index(self._mode):
            self._refuse(layer, "mode", wish, f"{self._mode} at most, {_by(self._decided['mode'])}")
        elif wish is not self._mode:
            self._mode = wish
            self._decided["mode"] = layer

    def _narrow_limits(self, layer: Layer, wishes: Mapping[str, float]) -> None:
        for name, wish in wishes.items():
            now: float = getattr(self._limits, name)
            if wish > now:
                why = f"{shown(name, now)} at most, {_by(self._decided[name])}"
                self._refuse(layer, name, shown(name, wish), why)
            elif wish < now:
                smaller: dict[str, Any] = {name: type(now)(wish)}
                self._limits = replace(self._limits, **smaller)
                self._decided[name] = layer

    def _protect(self, layer: Layer, paths: tuple[str, ...]) -> None:
        added = [path for path in dict.fromkeys(paths) if path not in self._protected]
        if added:
            self._protected = (*self._protected, *added)
            self._decided["protected_paths"] = layer

    def _narrow_hosts(self, layer: Layer, wish: tuple[str, ...] | None, *, is_told: bool = True) -> None:
        if wish is None:
            return
        left = narrowed(self._hosts, wish)
        if is_told:
            for host in wish:
                granted_of_it = [rule.partition("@")[0] for rule in narrowed(self._hosts, (host,))]
                if host not in granted_of_it:
                    self._refuse(layer, "allowed_hosts", host, self._why_no_host(granted_of_it))
        if set(left) != set(self._hosts):
            self._hosts = left
            self._decided["allowed_hosts"] = layer

    def _why_no_host(self, granted_of_it: Sequence[str]) -> str:
        if not self._ceiling.allowed_hosts:
            return "the operator allows no host"
        by = _by(self._decided["allowed_hosts"])
        if not self._hosts:
            return f"there is no network, {by}"
        return f"{', '.join(granted_of_it)} only, {by}" if granted_of_it else f"not allowed, {by}"

    def _narrow_caches(self, layer: Layer, wish: tuple[str, ...] | None, *, is_told: bool = True) -> None:
        if wish is None:
            return
        if is_told:
            for name in wish:
                if name not in self._caches:
                    self._refuse(layer, "caches", name, "not among those that the operator shares")
        left = tuple(name for name in self._caches if name in wish)
        if left != self._caches:
            self._caches = left
            self._decided["caches"] = layer

    def _set_variables(self, layer: Layer, wish: Mapping[str, str]) -> None:
        for name, value in wish.items():
            if name in self._ceiling.environment:
                self._refuse(layer, "environment", name, "the operator has set it")
            elif not matches(name, self._ceiling.open_names):
                self._refuse(layer, "environment", name, "not among those that the operator lets others set")
            else:
                self._environment[name] = value
                self._decided["environment"] = layer

    def _choose_image(self, layer: Layer, wish: str | None) -> None:
        if wish is None:
            return
        if not is_allowed(wish, self._ceiling.images):
            why = "not on the operator's list" if self._ceiling.images else "no image is allowed here"
            self._refuse(layer, "image", wish, why)
        else:
            self._image = wish
            self._decided["image"] = layer

    def _refuse(self, layer: Layer, name: str, wish: str, why: str) -> None:
        if layer in _WISHING:
            self._not_granted.append(NotGranted(layer, name, wish, why))


def _decided_by_operator(ceiling: Ceiling) -> Mapping[str, Layer]:
    """What the operator's settings say is the operator's; what they leave alone is the default."""
    plain, usual = Ceiling(), Limits()
    differs: dict[str, bool] = {
        "mode": ceiling.mode is not plain.mode,
        "protected_paths": ceiling.protected_paths != PROTECTED_PATHS,
        "allowed_hosts": bool(ceiling.allowed_hosts),
        "caches": bool(ceiling.caches),
        "environment": bool(ceiling.environment),
        "image": False,
        "approvals": ceiling.approvals is not plain.approvals,
    }
    for limit in fields(Limits):
        differs[limit.name] = getattr(ceiling.limits, limit.name) != getattr(usual, limit.name)
    return {name: Layer.OPERATOR if is_set else Layer.DEFAULT for name, is_set in differs.items()}


def _by(layer: Layer) -> str:
    return "by default" if layer is Layer.DEFAULT else f"says the {layer}"


def matches(text: str, patterns: tuple[str, ...]) -> bool:
    """Whether `text` is one of `patterns`, of which one may end in a `*` for any ending."""
    return any(
        text.startswith(pattern[:-1]) if pattern.endswith("*") else text == pattern for pattern in patterns
    )
