"""Whether turns can be confined here as the settings say: told by the doctor, and before a server starts."""

import os
from dataclasses import replace
from typing import Final

from app.settings import Settings
from app.turn_parts import driver_of
from sandbox.base import Check, Driver, Policy, SandboxMode, SandboxUnavailable
from sandbox.doctor import policy_check
from sandbox.surroundings import container_checks

DEFAULT: Final = "bubblewrap"


async def confinement_checks(settings: Settings) -> tuple[Check, ...]:
    """Each configured driver, built for real and looked at from inside.

    A turn would be refused when one has failed: of the drivers that are merely configured beside the one in
    use, no fault is more than a warning.
    """
    used = DEFAULT if settings.sandbox == "auto" else settings.sandbox
    checks = [Check("driver", "ok", used), mode_check(settings), *container_checks()]
    checks += await _looked_at(driver_of(settings), settings)
    if used != "docker" and (settings.docker_host or settings.sandbox_runtime):
        beside = settings.model_copy(update={"sandbox": "docker"})
        checks += [_beside(check) for check in await _looked_at(driver_of(beside), beside)]
    return tuple(checks)


async def usable(driver: Driver, settings: Settings) -> Check | None:
    """The first check that fails; None where turns can run."""
    checks = await _looked_at(driver, settings)
    return next((check for check in checks if check.result == "failed"), None)


def mode_check(settings: Settings) -> Check:
    """What the operator allows at most."""
    if settings.sandbox_mode == SandboxMode.FULL_ACCESS.value:
        # Only root can run commands as somebody else.
        keys = "" if os.geteuid() == 0 else ", and can read the keys and the database of the service itself"
        return Check(
            "sandbox mode",
            "warning",
            f"danger-full-access: turns on own code use the files and the network of this machine{keys}",
            "Set sandbox_mode to workspace-write, unless this machine is there for nothing else.",
        )
    return Check("sandbox mode", "ok", f"{settings.sandbox_mode} at most")


async def _looked_at(driver: Driver, settings: Settings) -> tuple[Check, ...]:
    try:
        checks = await driver.check()
    except SandboxUnavailable as error:
        return (Check("sandbox", "failed", error.reason, error.remedy),)
    if any(check.result == "failed" for check in checks):
        return checks
    return (*checks, await policy_check(driver, widest(settings), owner_uid=driver.owner_uid))


def widest(settings: Settings) -> Policy:
    """The most that a turn can have, but for the caches: they belong to a repository."""
    ceiling = settings.ceiling
    return Policy(
        ceiling.mode,
        limits=ceiling.limits,
        protected_paths=ceiling.protected_paths,
        allowed_hosts=() if ceiling.mode is SandboxMode.READ_ONLY else ceiling.allowed_hosts,
        environment=ceiling.environment,
    )


def _beside(check: Check) -> Check:
    result = "warning" if check.result == "failed" else check.result
    return replace(check, name=f"docker: {check.name}", result=result)
