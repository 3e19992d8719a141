"""What a program is born with: variables, descriptors, names."""

from __future__ import annotations

import os
import platform
import pwd
import stat

from .attack import Facts, Held, attack
from .files import SECRET, secret_in


@attack()
def variables(_: Facts) -> str:
    """Have a variable of the service's."""
    found = [name for name, value in os.environb.items() if SECRET.search(value)]
    if found:
        return repr(found)
    raise Held("none")


@attack()
def inherited_descriptors(facts: Facts) -> str:
    """Have an open file or folder of the service's."""
    gains = []
    for name in os.listdir("/proc/self/fd"):
        descriptor = int(name)
        try:
            status = os.fstat(descriptor)
            if stat.S_ISDIR(status.st_mode):
                gains.append(secret_in("../" * 12 + facts.secret.lstrip("/"), directory=descriptor))
                gains.append(secret_in("secret", directory=descriptor))
        except (OSError, Held):
            continue
    if gains:
        return ", ".join(gains)
    raise Held("none beside the three")


@attack()
def more_than_three_descriptors(_: Facts) -> str:
    """Have more than an input and two outputs."""
    found = []
    for descriptor in range(3, 256):
        try:
            found.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        except OSError:
            continue
    if found:
        return ", ".join(found)
    raise Held("three")


@attack()
def arguments(_: Facts) -> str:
    """Find a secret in the arguments of any process."""
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/cmdline", "rb") as file:
                if SECRET.search(file.read()):
                    return f"of {name}"
        except OSError:
            continue
    raise Held("none")


@attack()
def name_of_the_machine(facts: Facts) -> str:
    """Learn the host's name."""
    if platform.node() == facts.node:
        return platform.node()
    raise Held(f"it is {platform.node()}")


@attack()
def accounts(_: Facts) -> str:
    """Learn the accounts of the host."""
    try:
        mine = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        mine = ""
    others = [entry.pw_name for entry in pwd.getpwall() if entry.pw_name not in {"root", "nobody", mine}]
    if others:
        return ", ".join(others[:4])
    raise Held("only the sandbox's own are listed")


@attack(allowed_in={"docker": "no account has the number; an Engine with `userns-remap` maps it, too"})
def user_of_the_host(_: Facts) -> str:
    """Have the number of a user of the host."""
    with open("/proc/self/uid_map", encoding="ascii") as file:
        inner, outer, count = (int(word) for word in file.read().split())
    if (inner, outer) == (0, 0) and count > 1000:
        return "every number of the host's"
    raise Held("a mapped one")


@attack(allowed="it is the kernel that all share")
def facts_about_the_machine(_: Facts) -> str:
    """Learn about the machine: its kernel, its load, when it was started."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return f"{platform.release()}, started as {file.read().strip()[:8]}, load {os.getloadavg()[0]}"
