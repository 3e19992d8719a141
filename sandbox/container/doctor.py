"""Tells whether this machine's Docker Engine can confine. Never repairs anything."""

from collections.abc import Sequence
from typing import Any, Final

from sandbox.base import Check, SandboxUnavailable
from sandbox.container.engine import Engine, EngineRefused
from sandbox.doctor import INVARIANTS

# What is seen differently in a container.
_OTHERWISE: Final = {
    "commands run as an ordinary user": '[ "$(id -u)" != 0 ] && [ "$(id -un):$(id -gn)" = agent:agent ]',
    "the service's environment is not there": "! cat /proc/1/environ",
    "nothing beside the checkout is shown": '[ ! -e "$BESIDE" ] && [ -z "$(ls -A /sys)" ]',
}
# The Engine's control groups bound them: see `limits_check`.
_LEFT_OUT: Final = "processes are bounded"

CONTAINER_INVARIANTS: Final = tuple(
    (name, _OTHERWISE.get(name, test)) for name, test in INVARIANTS if name != _LEFT_OUT
)
"""What must hold inside, each with a command that ends well when it does."""

_BOUNDS: Final = {
    "MemoryLimit": "memory",
    "SwapLimit": "swap",
    "PidsLimit": "processes",
    "CpuCfsQuota": "processors",
}


async def engine_checks(engine: Engine, *, runtime: str, ends_alone: bool) -> tuple[Check, ...]:
    """Whether the Engine answers, and what it can bound."""
    try:
        facts: dict[str, Any] = await engine.ask(lambda api: api.info())
    except SandboxUnavailable as error:
        return (Check("Docker Engine", "failed", error.reason, error.remedy),)
    except EngineRefused as error:
        return (Check("Docker Engine", "failed", error.words, "Ask who runs the Engine."),)
    detail = f"{facts.get('ServerVersion', '?')} at {engine.address}"
    checks = [Check("Docker Engine", "ok", detail), _limits_check(facts)]
    if runtime and runtime not in (facts.get("Runtimes") or {}):
        remedy = "Install it and name it in the Engine's daemon.json, or choose another runtime."
        checks.append(Check("OCI runtime", "failed", f"the Engine has no {runtime}", remedy))
    if not ends_alone:
        checks.append(
            Check(
                "ends of commands",
                "warning",
                "a command that leaves something behind ends the others that run in its turn",
                "Run the service as root on the Engine's machine, or use the bubblewrap driver.",
            )
        )
    return tuple(checks)


def _limits_check(facts: dict[str, Any]) -> Check:
    missing: Sequence[str] = [name for fact, name in _BOUNDS.items() if not facts.get(fact)]
    if not missing:
        return Check("control groups", "ok", "memory, processes and processors of a turn are bounded")
    return Check(
        "control groups",
        "warning" if missing == ["swap"] else "failed",
        f"the Engine cannot bound {' and '.join(missing)}",
        "Turn the controllers on: `cgroup_enable=memory swapaccount=1` on the kernel's command line.",
    )
