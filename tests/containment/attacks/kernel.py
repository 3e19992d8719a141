"""The kernel: calls that reach beyond the namespaces, and files that do."""

from __future__ import annotations

import ctypes
import mmap
import os
import platform
import socket
import stat
import struct
from contextlib import suppress
from functools import partial

from .attack import Facts, Held, any_of, attack, to
from .calls import (
    CLONE_NEWCGROUP,
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWTIME,
    CLONE_NEWUSER,
    CLONE_NEWUTS,
    as_root_of_namespaces,
    call,
    in_child,
    reached,
)

_ROOT_ONLY = "only root can"
_PRIVATE = 1 << 18
_RECURSIVE = 16384
_BIND = 4096
_REMOUNT = 32


@attack()
def user_namespace(_: Facts) -> str:
    """Make a user namespace."""
    return in_child(to("made", call, "unshare", CLONE_NEWUSER))


@attack()
def user_namespace_by_clone(_: Facts) -> str:
    """Make a user namespace with a new process."""

    def cloned() -> str:
        pid = call("clone", CLONE_NEWUSER | 17, 0, 0, 0, 0)
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
        return "made"

    return in_child(cloned)


@attack()
def user_namespace_by_clone3(_: Facts) -> str:
    """Make a user namespace with a new process, by the newer call."""

    def cloned() -> str:
        arguments = ctypes.create_string_buffer(struct.pack("=11Q", CLONE_NEWUSER, 0, 0, 0, 17, *[0] * 6))
        pid = call("clone3", arguments, 88)
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
        return "made"

    return in_child(cloned)


@attack()
def other_namespaces(_: Facts) -> str:
    """Make mount, PID, network, IPC, name, control group and time namespaces."""
    kinds = (
        CLONE_NEWNS,
        CLONE_NEWPID,
        CLONE_NEWNET,
        CLONE_NEWIPC,
        CLONE_NEWUTS,
        CLONE_NEWCGROUP,
        CLONE_NEWTIME,
    )
    return any_of(
        *(
            partial(as_root_of_namespaces, to(f"made {kind:#x}", call, "unshare", kind), flags=0)
            for kind in kinds
        )
    )


@attack()
def mounted(facts: Facts) -> str:
    """Mount a file system."""
    point = facts.temporary.encode()
    return as_root_of_namespaces(to("mounted", call, "mount", b"tmpfs", point, b"tmpfs", 0, None))


@attack()
def bound_over_a_protected_path(facts: Facts) -> str:
    """Show another folder in the place of a protected one."""
    mine, target = facts.temporary.encode(), f"{facts.workspace}/.github/workflows".encode()
    return as_root_of_namespaces(to("bound", call, "mount", mine, target, None, _BIND, None))


@attack()
def remounted_writable(facts: Facts) -> str:
    """Make a read-only mount writable."""

    def remounted() -> str:
        places = ("/usr", facts.workspace, f"{facts.workspace}/.github/workflows", "/")
        return any_of(
            *(
                to(f"{place} is writable", call, "mount", None, place.encode(), None, _REMOUNT | _BIND, None)
                for place in places
            )
        )

    def bound_first() -> str:
        call("mount", b"/usr", b"/usr", None, _BIND, None)
        call("mount", None, b"/usr", None, _REMOUNT | _BIND, None)
        return "/usr is bound and remounted"

    return any_of(partial(as_root_of_namespaces, remounted), partial(as_root_of_namespaces, bound_first))


@attack()
def unmounted(facts: Facts) -> str:
    """Take a mount away, to see what lies below."""

    def detached() -> str:
        call("mount", None, b"/", None, _RECURSIVE | _PRIVATE, None)
        return any_of(
            *(
                to(f"{place} taken away", call, "umount2", place.encode(), 2)
                for place in (f"{facts.workspace}/.git", facts.workspace, "/proc", "/dev/shm")
            )
        )

    def plainly() -> str:
        return any_of(
            *(
                to(f"{place} taken away", call, "umount2", place.encode(), 2)
                for place in (f"{facts.workspace}/.git", f"{facts.workspace}/.github/workflows", "/proc")
            )
        )

    def newly_mounted() -> str:
        call("mount", b"tmpfs", facts.temporary.encode(), b"tmpfs", 0, None)
        call("umount2", facts.temporary.encode(), 2)
        return "mounted and taken away"

    return any_of(*(partial(as_root_of_namespaces, way) for way in (plainly, detached, newly_mounted)))


@attack()
def new_mount_calls(_: Facts) -> str:
    """Mount by the newer calls."""
    return any_of(
        partial(as_root_of_namespaces, to("opened a file system", call, "fsopen", b"tmpfs", 0)),
        partial(as_root_of_namespaces, to("cloned a tree", call, "open_tree", -100, b"/usr", 1)),
        partial(
            as_root_of_namespaces,
            to("changed a mount", call, "mount_setattr", -100, b"/", 0, bytes(32), 32),
        ),
    )


@attack()
def mounts_listed(_: Facts) -> str:
    """List mounts by the newest calls, which ask no namespace's file."""
    return reached("listmount", 0, 0, 0, 0)


@attack()
def root_changed(facts: Facts) -> str:
    """Change the root directory, the first step out of it."""
    return as_root_of_namespaces(to("changed", call, "chroot", facts.temporary.encode()))


@attack()
def root_pivoted(_: Facts) -> str:
    """Exchange the root of all mounts."""
    return as_root_of_namespaces(partial(reached, "pivot_root", b"/", b"/no-such-folder"))


@attack()
def named_anew(_: Facts) -> str:
    """Change the name of the machine."""
    return as_root_of_namespaces(to("changed", call, "sethostname", b"x", 1), flags=CLONE_NEWUTS)


@attack()
def berkeley_filter(_: Facts) -> str:
    """Load a program into the kernel."""
    # BPF_PROG_LOAD with a size that is wrong: what is looked at before rights are.
    return any_of(
        partial(reached, "bpf", 5, bytes(4096), 8192),
        partial(as_root_of_namespaces, partial(reached, "bpf", 0, struct.pack("=4I", 2, 4, 4, 1), 16)),
    )


@attack()
def performance_events(_: Facts) -> str:
    """Watch the machine by performance counters."""
    # struct perf_event_attr: a software clock of this very process, without the kernel's part.
    attributes = struct.pack("=IIQQQQQ", 1, 112, 0, 0, 0, 0, 1 << 5 | 1 << 6) + bytes(64)
    return reached("perf_event_open", ctypes.create_string_buffer(attributes), 0, -1, -1, 0)


@attack()
def keys(_: Facts) -> str:
    """Use the kernel's key rings, which no namespace confines."""
    return any_of(
        partial(in_child, to("a session of one's own", call, "keyctl", 1, None)),
        partial(reached, "add_key", b"user", b"darner", b"x", 1, -2),
        partial(reached, "request_key", b"user", b"darner", None, 0),
        partial(reached, "keyctl", 0, -4, 1),
    )


@attack()
def input_output_rings(_: Facts) -> str:
    """Set up an io_uring, which goes past the filter."""
    return any_of(
        to("set up", call, "io_uring_setup", 1, bytes(120)), partial(reached, "io_uring_setup", 0, None)
    )


@attack()
def page_faults(_: Facts) -> str:
    """Handle page faults, a favourite of exploits."""
    return to("handled", call, "userfaultfd", 1)()


@attack()
def secret_memory(_: Facts) -> str:
    """Make memory that the kernel itself cannot see."""
    return reached("memfd_secret", 0xFFFF)


@attack()
def personality(_: Facts) -> str:
    """Switch off the randomisation of addresses."""
    return in_child(to("off", call, "personality", 0x0040000))


@attack()
def segments(_: Facts) -> str:
    """Change the table of segments."""
    return reached("modify_ldt", 0, bytes(16), 16)


@attack()
def older_entry(_: Facts) -> str:
    """Call by the entry for 32-bit programs, whose numbers differ."""
    if platform.machine() != "x86_64":
        raise Held("no such entry on this machine")

    def entered() -> str:
        # mov eax, 20 (getpid); int 0x80; ret
        code = bytes.fromhex("b814000000cd80c3")
        memory = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        memory.write(code)
        address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        answer = ctypes.CFUNCTYPE(ctypes.c_int)(address)()
        if answer != os.getpid():
            raise Held(f"answered {answer}")
        return "answered"

    return in_child(entered)


@attack(innocent="this kernel has no such calls, most have none")
def half_wide_calls(_: Facts) -> str:
    """Call by the numbers of the x32 programs."""
    if platform.machine() != "x86_64":
        raise Held("no such entry on this machine")
    return in_child(to("answered", call, 0x40000000 + 39))


@attack()
def newest_calls(_: Facts) -> str:
    """Make calls that are newer than the list of the reviewed ones."""
    return any_of(*(partial(reached, number, -1, 0, 0, 0, 0, 0) for number in range(463, 475)))


@attack()
def open_by_other_ways(_: Facts) -> str:
    """Open with flags that the filter could not look at."""
    return reached("openat2", -100, b"/", struct.pack("=3Q", 0, 0, 0), 24)


@attack()
def handles(_: Facts) -> str:
    """Open files by handles, past every mount."""
    handle = ctypes.create_string_buffer(struct.pack("=Ii", 128, 0) + bytes(128))
    mount = ctypes.create_string_buffer(8)
    return any_of(
        partial(reached, "name_to_handle_at", -100, b"/", handle, mount, 0),
        partial(reached, "open_by_handle_at", -100, handle, 0),
    )


@attack()
def whole_system_watch(_: Facts) -> str:
    """Watch whole file systems."""
    return reached("fanotify_init", 0x200, 0)


@attack()
def quotas(_: Facts) -> str:
    """Ask for or set quotas."""
    return reached("quotactl", 0x800007 << 8, b"/no-such-device", 0, 0)


@attack(innocent=_ROOT_ONLY)
def rebooted(_: Facts) -> str:
    """Reach the call that restarts the machine, with words that it does not obey."""
    return reached("reboot", 0, 0, 0, 0)


@attack(innocent=_ROOT_ONLY)
def another_kernel(_: Facts) -> str:
    """Load another kernel or a module."""
    return any_of(
        partial(reached, "kexec_load", 0, 1 << 30, None, 0), partial(reached, "init_module", None, 0, None)
    )


@attack(innocent="many kernels keep it for root")
def kernel_log(_: Facts) -> str:
    """Read the kernel's log."""
    # SYSLOG_ACTION_READ_ALL into nothing: judged before the rights are.
    return any_of(partial(reached, "syslog", 3, None, -1), partial(reached, "syslog", 10, None, 0))


@attack()
def clock(_: Facts) -> str:
    """Reach the calls that set the clock."""
    return any_of(
        partial(reached, "clock_settime", 0, None),
        partial(reached, "settimeofday", 1, None),
        partial(reached, "adjtimex", bytes(208)),
        partial(reached, "clock_adjtime", 0, bytes(208)),
    )


@attack(innocent=_ROOT_ONLY)
def swap_and_accounting(_: Facts) -> str:
    """Swap to a file, or have all programs accounted for."""
    return any_of(partial(reached, "swapon", None, 0), partial(reached, "acct", b"/no-such-file"))


@attack(innocent=_ROOT_ONLY)
def ports(_: Facts) -> str:
    """Use the machine's ports."""
    return reached("ioperm", 0, 1, 1)


@attack()
def pages_moved(_: Facts) -> str:
    """Move a process's pages between memories."""
    return any_of(
        partial(reached, "move_pages", 0, 0, None, None, None, 0),
        partial(reached, "migrate_pages", 0, 0, None, None),
    )


@attack()
def forgotten_calls(_: Facts) -> str:
    """Make calls that nobody has used for decades."""
    return any_of(
        partial(reached, "sysfs", 3),
        partial(reached, "ustat", 0, None),
        partial(reached, "lookup_dcookie", 0, None, 0),
        partial(reached, "lsm_list_modules", None, None, 0),
    )


_USUAL_FAMILIES = {socket.AF_UNSPEC, socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK}


@attack(innocent="some kernels have none")
def hypervisor_socket(_: Facts) -> str:
    """Make a socket to the hypervisor, which no namespace confines."""
    socket.socket(40, socket.SOCK_STREAM).close()
    return "made"


@attack(innocent="many kernels have none")
def crypto_socket(_: Facts) -> str:
    """Make a socket to the kernel's cryptography."""
    socket.socket(38, socket.SOCK_SEQPACKET).close()
    return "made"


@attack()
def other_sockets(_: Facts) -> str:
    """Make a socket of any family beside the usual ones."""

    def made(family: int) -> str:
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET):
            with suppress(OSError):
                socket.socket(family, kind).close()
                return f"family {family}"
        raise Held("refused")

    return any_of(*(partial(made, family) for family in range(48) if family not in _USUAL_FAMILIES))


@attack()
def kernel_messages(_: Facts) -> str:
    """Talk to the kernel by netlink of any kind but routing."""

    def made(protocol: int) -> str:
        socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol).close()
        return f"protocol {protocol}"

    return any_of(*(partial(made, protocol) for protocol in range(1, 24)))


# Of the sandbox's own IPC and PID namespaces, and about nothing else.
_OWN_SETTINGS = (
    "/proc/sys/fs/mqueue/",
    "/proc/sys/kernel/auto_msgmni",
    "/proc/sys/kernel/msg",
    "/proc/sys/kernel/ns_last_pid",
    "/proc/sys/kernel/pid_max",
    "/proc/sys/kernel/sem",
    "/proc/sys/kernel/shm",
)


@attack(innocent=_ROOT_ONLY)
def kernel_settings(_: Facts) -> str:
    """Change a setting of the kernel: core_pattern, modprobe, the network's."""
    writable = []
    for directory, _folders, files in os.walk("/proc/sys"):
        for name in files:
            path = f"{directory}/{name}"
            if path.startswith(_OWN_SETTINGS):
                continue
            with suppress(OSError):
                os.close(os.open(path, os.O_WRONLY))
                writable.append(path)
    if writable:
        return ", ".join(writable[:5])
    raise Held("read-only")


@attack()
def devices_of_the_machine(_: Facts) -> str:
    """See the machine's devices in /sys."""
    if os.listdir("/sys"):
        return "shown"
    raise Held("empty")


@attack(innocent=_ROOT_ONLY)
def devices_changed(_: Facts) -> str:
    """Change a device or a control group in /sys."""
    writable = []
    for number, (directory, _folders, files) in enumerate(os.walk("/sys")):
        paths = (f"{directory}/{name}" for name in files)
        writable += [path for path in paths if os.access(path, os.W_OK)]
        if number > 3000:
            break
    if writable:
        return ", ".join(writable[:5])
    raise Held("nothing is writable")


@attack()
def device_files(_: Facts) -> str:
    """Open a device of the host."""
    harmless = {"null", "zero", "full", "random", "urandom", "tty", "ptmx", "console"}
    kept = {"stdin", "stdout", "stderr", "fd", "core", "pts", "shm", "mqueue"}
    found = set(os.listdir("/dev")) - harmless - kept
    if found:
        return ", ".join(sorted(found)[:8])
    raise Held("only the harmless ones are there")


@attack(innocent=_ROOT_ONLY)
def memory_of_the_machine(_: Facts) -> str:
    """Read or command the kernel through files of /proc."""

    def readable(path: str) -> str:
        with open(path, "rb", buffering=0) as file:
            if not file.read(16):
                raise Held("empty")
        return f"read {path}"

    def writable(path: str) -> str:
        descriptor = os.open(path, os.O_WRONLY)
        is_masked = stat.S_ISCHR(os.fstat(descriptor).st_mode)
        os.close(descriptor)
        if is_masked:
            raise Held("nothing is behind it")
        return f"could write {path}"

    return any_of(
        *(partial(readable, f"/proc/{name}") for name in ("kcore", "kpagecount", "kpageflags")),
        *(partial(writable, f"/proc/{name}") for name in ("sysrq-trigger", "mtrr", "timer_list")),
    )


@attack(allowed="it is confined like every other program")
def program_from_memory(_: Facts) -> str:
    """Run a program that is in no file."""
    descriptor = call("memfd_create", b"program", 0)
    with open(os.path.realpath("/bin/true"), "rb") as file:
        os.write(descriptor, file.read())
    pid = os.fork()
    if pid == 0:
        os.execve(descriptor, ["true"], {})
    if os.waitpid(pid, 0)[1]:
        raise Held("did not run")
    return "ran"


@attack(innocent="protected by the kernel's own setting")
def lowest_page(_: Facts) -> str:
    """Map the page at address zero, where the kernel's faults read."""
    fixed_private_anonymous = 0x10 | 0x02 | 0x20
    number = 9 if platform.machine() == "x86_64" else 222
    call(number, 0, 4096, 3, fixed_private_anonymous, -1, 0)
    return "mapped"


@attack()
def control_groups(_: Facts) -> str:
    """See or leave the control groups of the service."""
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        shown = [line.split()[4] for line in file if " - cgroup" in line and " ro," not in line]
    if shown:
        return ", ".join(shown)
    raise Held("none is shown")
