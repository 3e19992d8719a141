"""What a turn may do: layer by layer, each narrowing, and who decided what."""

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.permissions import Permission, Refusal, TriggerKind
from handlers.policy import Approved, Layer, Resolved, Situation, matches, protected_paths, resolve
from handlers.wishes import Ceiling, Wishes
from harness.approvals import Approvals
from sandbox.base import PROTECTED_PATHS, Cache, Limits, Policy, SandboxMode
from sandbox.egress.rules import parse_host
from sandbox.images import is_allowed

READ, WRITE, FULL = SandboxMode.READ_ONLY, SandboxMode.WORKSPACE_WRITE, SandboxMode.FULL_ACCESS
GENEROUS = Ceiling(
    allowed_hosts=("pypi.org", "*.pythonhosted.org", "index.acme.example:8080@10.1.0.0/16"),
    caches=("pip", "npm"),
    environment={"TZ": "UTC"},
    open_names=("RAILS_*", "NODE_ENV"),
    images=("registry.example/acme/*", "debian:12"),
)
WRITER = Situation(ceiling=GENEROUS, repository="acme/site", permission="write", caches=Path("/caches/42"))


def resolved(situation: Situation) -> Resolved:
    found = resolve(situation)
    assert isinstance(found, Resolved)
    return found


def scoped(**scopes: Wishes) -> Ceiling:
    return replace(GENEROUS, scopes={name.replace("_", "/"): wishes for name, wishes in scopes.items()})


@pytest.mark.parametrize(
    ("permission", "is_fork", "strict", "admitting"),
    [
        ("admin", False, WRITE, WRITE),
        ("maintain", False, WRITE, WRITE),
        ("write", False, WRITE, WRITE),
        ("triage", False, Refusal.NEEDS_WRITE, READ),
        ("read", False, Refusal.NEEDS_WRITE, READ),
        ("none", False, Refusal.NEEDS_WRITE, READ),
        ("admin", True, WRITE, WRITE),
        ("write", True, WRITE, WRITE),
        ("triage", True, Refusal.FORK_NEEDS_WRITE, Refusal.FORK_NEEDS_WRITE),
        ("read", True, Refusal.FORK_NEEDS_WRITE, Refusal.FORK_NEEDS_WRITE),
        ("none", True, Refusal.FORK_NEEDS_WRITE, Refusal.FORK_NEEDS_WRITE),
    ],
)
def test_who_may_ask_for_what(
    *, permission: Permission, is_fork: bool, strict: SandboxMode | Refusal, admitting: SandboxMode | Refusal
) -> None:
    """The table of people and code."""
    situation = Situation(permission=permission, is_fork=is_fork)

    assert _mode(resolve(situation)) == strict
    assert _mode(resolve(replace(situation, ceiling=Ceiling(admits_readers=True)))) == admitting


def test_people_may_be_asked_only_for_what_the_operator_lets_them_grant() -> None:
    """Lower layers only narrow: two that narrow in different ways leave what both leave."""
    ceiling = replace(GENEROUS, approvable_hosts=("*.acme.example",))
    asking = replace(WRITER, ceiling=ceiling)
    never, untrusted = Wishes(approvals=Approvals.NEVER), Wishes(approvals=Approvals.UNTRUSTED)
    wider = Wishes(approvals=Approvals.ON_REQUEST, approvable_hosts=("pypi.org",))

    assert resolved(asking).approvals == "on-request"
    assert resolved(asking).askable.hosts == ("*.acme.example",)
    assert ".git" not in resolved(asking).askable.paths
    assert resolved(replace(asking, file=untrusted)).approvals == "untrusted"
    assert resolved(replace(asking, file=never)).approvals == "never"
    both = replace(asking, ceiling=replace(ceiling, scopes={"acme": untrusted}), file=never)
    assert resolved(both).approvals == "never, and only what a rule allows"
    assert resolved(replace(both, file=wider)).approvals == "untrusted"
    assert resolved(replace(asking, file=wider)).askable.hosts == ()
    assert resolved(replace(asking, is_fork=True)).askable.hosts == ()
    looking = resolved(replace(asking, asked=Wishes(mode=READ))).askable
    assert (looking.may_ask, looking.hosts, looking.paths) == (True, (), ())


def test_what_a_person_approves_widens_that_turn_and_nothing_beyond_the_operators_word() -> None:
    """By whom is told; what the operator does not let people grant is not granted, whoever approved it."""
    ceiling = replace(GENEROUS, approvable_hosts=("*.acme.example",))
    hosts = ("www.acme.example", "steel.example")
    yes = Approved(by="maya", hosts=hosts, paths=("CODEOWNERS", ".git", "src"))
    situation = replace(WRITER, ceiling=ceiling, approved=(yes,))

    found = resolved(situation)

    assert set(found.policy.allowed_hosts) - set(GENEROUS.allowed_hosts) == {"www.acme.example"}
    assert set(PROTECTED_PATHS) - set(found.policy.protected_paths) == {"CODEOWNERS"}
    assert found.approved_by == {"www.acme.example": "maya", "CODEOWNERS": "maya"}
    assert found.decided["allowed_hosts"] is found.decided["protected_paths"] is Layer.APPROVED
    plain = resolved(replace(situation, approved=())).policy
    for narrower in (
        replace(situation, ceiling=replace(ceiling, approvals=Approvals.NEVER)),
        replace(situation, file=Wishes(mode=READ)),
    ):
        assert resolved(narrower).approved_by == {}
        assert ".git" in resolved(narrower).policy.protected_paths
    assert resolved(replace(situation, ceiling=GENEROUS)).policy.allowed_hosts == plain.allowed_hosts


@pytest.mark.parametrize(
    ("trigger", "is_fork", "mode"),
    [
        ("review", False, READ),
        ("review", True, READ),
        ("ci_fix", False, WRITE),
        ("ci_fix", True, Refusal.NOT_ON_FORKS),
    ],
)
def test_what_darner_begins_by_itself(
    *, trigger: TriggerKind, is_fork: bool, mode: SandboxMode | Refusal
) -> None:
    """No person's right widens it, not even an operator's full access."""
    for permission in ("none", "admin"):
        situation = Situation(
            ceiling=Ceiling(mode=FULL), trigger=trigger, permission=permission, is_fork=is_fork
        )
        assert _mode(resolve(situation)) == mode


def _mode(found: Resolved | Refusal) -> SandboxMode | Refusal:
    return found.policy.mode if isinstance(found, Resolved) else found


def test_with_no_word_from_anybody_the_defaults_hold() -> None:
    """No network, no cache, no variable; a writer may change files."""
    found = resolved(Situation(permission="write"))

    assert found.policy == Policy(WRITE)
    assert set(found.decided.values()) == {Layer.DEFAULT}
    assert found.not_granted == ()


def test_each_layer_narrows_and_is_named_for_it() -> None:
    """Every field tells who changed it last."""
    ceiling = scoped(
        acme=Wishes(allowed_hosts=("pypi.org", "files.pythonhosted.org"), limits={"memory_bytes": 2**30}),
        acme_site=Wishes(caches=("pip",), protected_paths=("deploy",)),
    )
    file = Wishes(
        limits={"wall_seconds": 60.0},
        allowed_hosts=("files.pythonhosted.org:443",),
        protected_paths=("keys",),
        image="registry.example/acme/ruby:3",
        environment={"RAILS_ENV": "test"},
    )
    found = resolved(replace(WRITER, ceiling=ceiling, file=file, repository="Acme/Site"))

    assert found.policy == Policy(
        WRITE,
        limits=Limits(wall_seconds=60.0, memory_bytes=2**30),
        protected_paths=(*PROTECTED_PATHS, "deploy", "keys"),
        allowed_hosts=("files.pythonhosted.org:443",),
        caches=(Cache(Path("/caches/42/own/pip"), "pip"),),
        environment={"TZ": "UTC", "RAILS_ENV": "test"},
        image="registry.example/acme/ruby:3",
    )
    assert found.not_granted == ()
    told = {name: layer for name, layer in found.decided.items() if layer is not Layer.DEFAULT}
    assert told == {
        "memory_bytes": Layer.ORGANISATION,
        "caches": Layer.REPOSITORY,
        "wall_seconds": Layer.FILE,
        "allowed_hosts": Layer.FILE,
        "protected_paths": Layer.FILE,
        "image": Layer.FILE,
        "environment": Layer.FILE,
    }


def test_a_wish_for_more_changes_nothing_and_is_told_with_its_reason() -> None:
    """Nobody below the operator widens anything, whatever a file says."""
    file = Wishes(
        mode=FULL,
        limits={"memory_bytes": 2**40, "cpus": 64},
        allowed_hosts=("pypi.org", "evil.example", "*.pypi.org", "*.a.pythonhosted.org", "*.evil.example"),
        caches=("cargo", "pip"),
        environment={"TZ": "Mars", "LD_PRELOAD": "/workspace/x.so"},
        image="registry.example.evil.example/acme/x",
    )
    found = resolved(replace(WRITER, file=file))
    plain = resolved(WRITER)

    hosts = ("pypi.org", "*.a.pythonhosted.org")
    assert found.policy == replace(plain.policy, allowed_hosts=hosts, caches=plain.policy.caches[:1])
    assert [str(one) for one in found.not_granted] == [
        "mode danger-full-access (repository file): workspace-write at most, by default",
        "memory 1 TiB (repository file): 2 GiB at most, by default",
        "cpus 64 (repository file): 2 at most, by default",
        "network evil.example (repository file): not allowed, says the operator",
        "network *.pypi.org (repository file): not allowed, says the operator",
        "network *.evil.example (repository file): not allowed, says the operator",
        "caches cargo (repository file): not among those that the operator shares",
        "environment TZ (repository file): the operator has set it",
        "environment LD_PRELOAD (repository file): not among those that the operator lets others set",
        "image registry.example.evil.example/acme/x (repository file): not on the operator's list",
    ]


def test_code_of_a_fork_gets_no_network_unless_the_operator_says_so_and_never_the_same_caches() -> None:
    """What a stranger's code leaves in a cache is never read by a turn on the repository's own code."""
    own, fork = resolved(WRITER), resolved(replace(WRITER, is_fork=True))
    opened = replace(WRITER, is_fork=True, ceiling=replace(GENEROUS, forks_reach_hosts=True))

    assert own.policy.allowed_hosts == GENEROUS.allowed_hosts
    assert (fork.policy.allowed_hosts, fork.decided["allowed_hosts"]) == ((), Layer.TRUST)
    assert resolved(opened).policy.allowed_hosts == GENEROUS.allowed_hosts
    assert {cache.source for cache in own.policy.caches}.isdisjoint(
        cache.source for cache in fork.policy.caches
    )


def test_a_turn_that_only_looks_has_neither_network_nor_caches() -> None:
    """Whoever made it read-only decided that, too."""
    found = resolved(replace(WRITER, file=Wishes(mode=READ)))

    assert (found.policy.allowed_hosts, found.policy.caches) == ((), ())
    assert found.decided["caches"] is found.decided["allowed_hosts"] is Layer.FILE


def test_full_access_is_the_operators_word_for_writers_on_their_own_code() -> None:
    """A fork's head, a reader and a review never have it; a repository can decline it."""
    full = Situation(ceiling=Ceiling(mode=FULL), permission="write")

    assert _mode(resolve(full)) is FULL
    assert _mode(resolve(replace(full, is_fork=True))) is WRITE
    assert _mode(resolve(replace(full, file=Wishes(mode=WRITE)))) is WRITE
    assert _mode(resolve(replace(full, asked=Wishes(mode=WRITE)))) is WRITE
    assert _mode(resolve(replace(full, ceiling=Ceiling(mode=WRITE), asked=Wishes(mode=FULL)))) is WRITE


def test_an_operators_private_network_survives_a_narrower_wish() -> None:
    """A repository may use a private host that the operator opened, and cannot open one."""
    found = resolved(replace(WRITER, file=Wishes(allowed_hosts=("index.acme.example:8080",))))

    assert found.policy.allowed_hosts == ("index.acme.example:8080@10.1.0.0/16",)


def test_what_is_protected_does_not_depend_on_who_asks() -> None:
    """Also for somebody who lost every right meanwhile."""
    situation = replace(WRITER, permission="none", file=Wishes(protected_paths=("keys",)))

    assert resolve(situation) is Refusal.NEEDS_WRITE
    assert protected_paths(situation) == (*PROTECTED_PATHS, "keys")


HOSTS = ("pypi.org", "files.pypi.org", "a.b.pypi.org", "example.com", "evil.example")
PORTS = (80, 443, 8080)
RULES = [f"{star}{host}{port}" for host in HOSTS[:4] for star in ("", "*.") for port in ("", ":443", ":8080")]
SOME_HOSTS = st.lists(st.sampled_from(RULES), max_size=4).map(tuple)
SOME_CACHES = st.lists(st.sampled_from(["pip", "npm", "cargo"]), max_size=3, unique=True).map(tuple)
SOME_VARIABLES = st.dictionaries(st.sampled_from(["TZ", "RAILS_ENV", "PATH"]), st.sampled_from("ab"))
SOME_LIMITS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "wall_seconds": st.floats(1, 9000),
        "memory_bytes": st.integers(1, 2**40),
        "cpus": st.floats(0.1, 64),
        "processes": st.integers(1, 5000),
    },
)
WISHES = st.builds(
    Wishes,
    mode=st.none() | st.sampled_from(SandboxMode),
    allowed_hosts=st.none() | SOME_HOSTS,
    protected_paths=st.lists(st.sampled_from(["deploy", "keys", "AGENTS.md"]), max_size=2).map(tuple),
    limits=SOME_LIMITS,
    caches=st.none() | SOME_CACHES,
    environment=SOME_VARIABLES,
    image=st.none() | st.sampled_from(["debian:12", "debian:13", "evil"]),
)
CEILINGS = st.builds(
    Ceiling,
    mode=st.sampled_from(SandboxMode),
    admits_readers=st.booleans(),
    limits=SOME_LIMITS.map(lambda some: Limits(**some)),
    allowed_hosts=SOME_HOSTS,
    forks_reach_hosts=st.booleans(),
    caches=SOME_CACHES,
    environment=SOME_VARIABLES,
    open_names=st.sampled_from([(), ("RAILS_*",)]),
    images=st.sampled_from([(), ("debian:*",)]),
)
SITUATIONS = st.builds(
    Situation,
    ceiling=CEILINGS,
    repository=st.just("acme/site"),
    file=WISHES,
    asked=WISHES,
    command_line=WISHES,
    trigger=st.sampled_from(["mention", "review", "ci_fix"]),
    permission=st.sampled_from(["none", "read", "write", "admin"]),
    is_fork=st.booleans(),
)


@given(SITUATIONS, WISHES, st.sampled_from(["acme", "acme/site", "file", "asked", "command_line"]))
def test_no_layer_ever_widens_anything(situation: Situation, more: Wishes, where: str) -> None:
    """The law: with one more layer's words in place of silence, each field is as it was or narrower."""
    if "/" in where or where == "acme":
        spoken = replace(situation, ceiling=replace(situation.ceiling, scopes={where: more}))
        silent = situation
    else:
        said: dict[str, Any] = {where: more}
        unsaid: dict[str, Any] = {where: Wishes()}
        spoken, silent = replace(situation, **said), replace(situation, **unsaid)
    wide, narrow = resolve(silent), resolve(spoken)
    if isinstance(wide, Refusal) or isinstance(narrow, Refusal):
        assert wide == narrow
        return

    assert_within(narrow.policy, wide.policy)
    assert_allowed(narrow.policy, situation.ceiling)


@given(SITUATIONS)
def test_less_right_and_less_trust_never_widen_anything(situation: Situation) -> None:
    """A reader has no more than a writer, and a fork's code no more than the repository's own."""
    trusted = resolve(replace(situation, permission="admin", is_fork=False, trigger="mention"))
    actual = resolve(situation)
    if isinstance(actual, Resolved):
        assert isinstance(trusted, Resolved)
        assert_within(actual.policy, trusted.policy)


def assert_within(narrow: Policy, wide: Policy) -> None:
    order = [READ, WRITE, FULL]
    assert order.index(narrow.mode) <= order.index(wide.mode)
    for limit in fields(Limits):
        assert getattr(narrow.limits, limit.name) <= getattr(wide.limits, limit.name)
    assert set(narrow.protected_paths) >= set(wide.protected_paths)
    assert reached(narrow) <= reached(wide)
    assert {cache.name for cache in narrow.caches} <= {cache.name for cache in wide.caches}


def assert_allowed(policy: Policy, ceiling: Ceiling) -> None:
    """Where there is no more or less: never what the operator did not list."""
    assert dict(ceiling.environment).items() <= dict(policy.environment).items()
    added: Mapping[str, str] = MappingProxyType(dict(policy.environment))
    assert all(name in ceiling.environment or matches(name, ceiling.open_names) for name in added)
    assert policy.image is None or is_allowed(policy.image, ceiling.images)


def reached(policy: Policy) -> set[tuple[str, int]]:
    rules = [parse_host(text, private=True) for text in policy.allowed_hosts]
    return {
        (host, port) for host in HOSTS for port in PORTS if any(rule.covers(host, port) for rule in rules)
    }
