"""Files that are not the turn's, and files that stay as they are."""

from __future__ import annotations

import fcntl
import os
import re
import stat
from collections.abc import Callable, Iterator
from functools import partial

from .attack import Facts, Held, any_of, attack, to
from .calls import call

SECRET = re.compile(rb"canary:[0-9a-f]{32}")
_WORKFLOW = ".github/workflows/ci.yml"
_BROKER = "the change is held back until a person approves it"
_TREE = "it is the turn's own checkout"


def secret_in(path: str, *, directory: int | None = None) -> str:
    """That the file holds a secret. Raises `Held` when it does not, `OSError` when it cannot be read."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    with os.fdopen(descriptor, "rb") as file:
        if SECRET.search(file.read(1 << 20)) is None:
            raise Held("no secret in it")
    return f"read {path}"


def written(path: str) -> str:
    """That the path could be opened for writing and was written."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, b"overwritten\n")
    finally:
        os.close(descriptor)
    return f"wrote {path}"


def _each(entries: Iterator[str] | list[str], attempt: Callable[[str], str]) -> str:
    return any_of(*(partial(attempt, entry) for entry in entries))


def _processes() -> list[str]:
    return [name for name in os.listdir("/proc") if name.isdigit()]


@attack()
def secret_by_path(facts: Facts) -> str:
    """Read a file of the host by its path."""
    return secret_in(facts.secret)


@attack(innocent="only root can read it")
def password_hashes(_: Facts) -> str:
    """Read the password hashes of the host."""
    with open("/etc/shadow", encoding="utf-8") as file:
        return f"read {len(file.read())} characters"


@attack()
def other_checkout_read(facts: Facts) -> str:
    """Read the checkout of another repository."""
    return secret_in(f"{facts.neighbour}/main.py")


@attack()
def other_checkout_write(facts: Facts) -> str:
    """Change the checkout of another repository."""
    return written(f"{facts.neighbour}/main.py")


@attack()
def service_data_read(facts: Facts) -> str:
    """Read the service's database."""
    return secret_in(f"{facts.data}/darner.db")


@attack()
def service_data_write(facts: Facts) -> str:
    """Change the service's database."""
    return written(f"{facts.data}/darner.db")


@attack()
def other_turn_temporary(facts: Facts) -> str:
    """Read the temporary files and the home of another turn."""
    return any_of(
        partial(secret_in, f"{facts.elsewhere}/tmp/note"), partial(secret_in, f"{facts.elsewhere}/home/note")
    )


@attack()
def host_temporary(facts: Facts) -> str:
    """See what lies in the host's temporary directory."""
    if os.path.basename(facts.scene) in os.listdir("/tmp"):
        return "it is the host's"
    raise Held("it is another one")


@attack()
def machine_id(facts: Facts) -> str:
    """Learn the host's machine-id."""
    with open("/etc/machine-id", encoding="ascii") as file:
        found = file.read().strip()
    if found and found == facts.machine:
        return found
    raise Held("it is another one")


@attack()
def symlink_out(facts: Facts) -> str:
    """Read a file of the host through a symbolic link in a folder of one's own."""
    link = f"{facts.playground}/way-out"
    os.symlink(facts.secret, link)
    try:
        return secret_in(link)
    finally:
        os.unlink(link)


@attack()
def hard_link_out(facts: Facts) -> str:
    """Give a file of the host a second name in a folder of one's own."""
    os.link(facts.secret, f"{facts.playground}/second-name")
    return "linked"


@attack()
def above_the_checkout(facts: Facts) -> str:
    """Climb out of the checkout by its parent directory."""
    directory = os.open(facts.workspace, os.O_PATH | os.O_DIRECTORY)
    try:
        return any_of(
            partial(secret_in, "../secret", directory=directory),
            partial(secret_in, "../../../../../.." + facts.secret, directory=directory),
        )
    finally:
        os.close(directory)


@attack()
def above_the_temporary(facts: Facts) -> str:
    """Climb out of the temporary directory and the home by their parents."""
    return any_of(
        partial(secret_in, f"{facts.temporary}/../../secret"),
        partial(secret_in, f"{facts.home}/../../secret"),
    )


@attack()
def roots_of_processes(facts: Facts) -> str:
    """Read a file of the host through the root directory of any process."""
    return _each(_processes(), lambda pid: secret_in(f"/proc/{pid}/root{facts.secret}"))


@attack()
def directories_of_processes(facts: Facts) -> str:
    """Read a file of the host through the working directory of any process."""
    upwards = "../" * 12
    return _each(_processes(), lambda pid: secret_in(f"/proc/{pid}/cwd/{upwards}{facts.secret}"))


@attack()
def descriptors_of_processes(facts: Facts) -> str:
    """Read a file of the host through the open directories of any process."""

    def by_process(pid: str) -> str:
        held = os.listdir(f"/proc/{pid}/fd")
        return _each(held, lambda fd: secret_in(f"/proc/{pid}/fd/{fd}/{'../' * 12}{facts.secret}"))

    return _each(_processes(), by_process)


@attack()
def mapped_files_of_processes(_: Facts) -> str:
    """Open a file for writing that any process, the first one too, has mapped or is running from."""

    def writable(path: str) -> str:
        # Asks, does not write: with the rights of the file and of the mount that the link leads to.
        if os.access(path, os.W_OK, effective_ids=True):
            return f"{os.readlink(path)} could be written"
        raise Held("not writable")

    def by_process(pid: str) -> str:
        return writable(f"/proc/{pid}/exe")

    return _each(_processes(), by_process)


@attack(innocent="only root can make one")
def device_node(facts: Facts) -> str:
    """Make a device node of a disk or of the memory."""
    path = f"{facts.playground}/device"
    return any_of(
        *(
            to("made", os.mknod, path, kind | 0o666, os.makedev(*device))
            for kind, device in ((stat.S_IFBLK, (8, 0)), (stat.S_IFBLK, (254, 0)), (stat.S_IFCHR, (1, 1)))
        )
    )


def _create(path: str, flags: int, mode: int) -> None:
    os.close(os.open(path, flags, mode))


def _new_file(facts: Facts, name: str) -> str:
    path = f"{facts.playground}/{name}"
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o755))
    return path


def _has_set_id(path: str) -> str:
    mode = os.lstat(path).st_mode
    if mode & 0o6000:
        return f"mode {mode:o}"
    raise Held("the bits did not stay")


@attack()
def set_user_id_by_chmod(facts: Facts) -> str:
    """Leave a set-user-id program in the checkout, by changing its mode."""
    path = _new_file(facts, "set-user-id")

    def by_descriptor() -> str:
        with open(path, "rb") as file:
            os.fchmod(file.fileno(), 0o4755)
        return _has_set_id(path)

    def by_path() -> str:
        os.chmod(path, 0o4755)
        return _has_set_id(path)

    def by_the_newest_call() -> str:
        call("fchmodat2", -100, path.encode(), 0o4755, 0)
        return _has_set_id(path)

    return any_of(by_path, by_descriptor, by_the_newest_call)


@attack()
def set_id_by_creation(facts: Facts) -> str:
    """Leave a set-user-id file in the checkout, by creating it so."""
    base = f"{facts.playground}/created-"

    def opened() -> str:
        os.close(os.open(base + "open", os.O_CREAT | os.O_WRONLY, 0o4755))
        return _has_set_id(base + "open")

    def nameless() -> str:
        descriptor = os.open(facts.playground, os.O_TMPFILE | os.O_RDWR, 0o4755)
        os.link(f"/proc/self/fd/{descriptor}", base + "nameless", follow_symlinks=True)
        return _has_set_id(base + "nameless")

    def node() -> str:
        call("mknodat", -100, (base + "node").encode(), stat.S_IFREG | 0o4755, 0)
        return _has_set_id(base + "node")

    return any_of(opened, nameless, node)


@attack()
def set_group_id_folder(facts: Facts) -> str:
    """Leave a set-group-id folder in the checkout."""
    base = f"{facts.playground}/group-"

    def made() -> str:
        os.mkdir(base + "made", 0o2777)
        return _has_set_id(base + "made")

    def changed() -> str:
        os.mkdir(base + "changed")
        os.chmod(base + "changed", 0o2777)
        return _has_set_id(base + "changed")

    return any_of(made, changed)


@attack(innocent="only root can give them")
def file_capabilities(facts: Facts) -> str:
    """Leave a program with capabilities in the checkout."""
    path = _new_file(facts, "capable")
    # struct vfs_cap_data, revision 2: cap_sys_admin, effective.
    capabilities = bytes.fromhex("0100000200002000000000000000000000000000")
    os.setxattr(path, "security.capability", capabilities)
    return "given"


@attack(innocent="only root can give files away")
def foreign_owner(facts: Facts) -> str:
    """Leave a file of another owner in the checkout."""
    path = _new_file(facts, "owned")
    return any_of(*(to(f"given to {uid}", os.chown, path, uid, uid) for uid in (0, 1, 65_534)))


@attack(innocent="only root can set it")
def immutable_file(facts: Facts) -> str:
    """Leave a file in the checkout that nobody can delete."""
    path = _new_file(facts, "immutable")
    with open(path, "rb") as file:
        # FS_IOC_SETFLAGS with FS_IMMUTABLE_FL
        fcntl.ioctl(file, 0x40086602, (0x10).to_bytes(8, "little"))
    return "made"


@attack()
def lease(facts: Facts) -> str:
    """Make whoever opens a file of the checkout wait, by a lease on it."""
    path = _new_file(facts, "leased")
    with open(path, "rb") as file:
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    return "taken"


@attack(innocent="only root can write there")
def system_files(_: Facts) -> str:
    """Change a program or the configuration of the system."""
    return any_of(
        partial(written, "/usr/bin/env"),
        partial(written, "/etc/passwd"),
        partial(_made_in, "/usr/bin"),
        partial(_made_in, "/usr/local/bin"),
        partial(_made_in, "/etc"),
    )


@attack(innocent="only root can write there")
def root_directory(_: Facts) -> str:
    """Make a file in the root directory or beside the devices."""
    return any_of(partial(_made_in, "/"), partial(_made_in, "/dev"), partial(_made_in, "/var"))


def _made_in(directory: str) -> str:
    path = f"{directory}/made-by-an-attack"
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o644))
    return f"made {path}"


@attack(innocent="it was installed by root")
def toolchain(_: Facts) -> str:
    """Change the interpreter that commands are run by."""
    program = os.path.realpath("/proc/self/exe")
    if os.access(program, os.W_OK) or os.access(os.path.dirname(program), os.W_OK):
        return f"{program} can be replaced"
    raise Held("read-only")


@attack(allowed_when_writing=_TREE)
def checkout_write(facts: Facts) -> str:
    """Change a file of the checkout."""
    return written(f"{facts.workspace}/src/main.py")


@attack(allowed_when_writing=_TREE)
def checkout_create(facts: Facts) -> str:
    """Make a file, a folder, a pipe and a link in the checkout."""
    base = f"{facts.workspace}/new-"
    return any_of(
        to("made", _create, base + "file", os.O_CREAT | os.O_WRONLY, 0o644),
        to("made", os.mkdir, base + "folder"),
        to("made", os.mkfifo, base + "pipe"),
        to("made", os.symlink, "/etc/shadow", base + "link"),
    )


@attack()
def read_only_by_another_way(facts: Facts) -> str:
    """Write in a read-only folder through a descriptor that is opened again."""
    path = f"{facts.workspace}/{_WORKFLOW}"
    descriptor = os.open(path, os.O_RDONLY)
    anchor = os.open(path, os.O_PATH)
    return any_of(
        partial(written, f"/proc/self/fd/{descriptor}"),
        partial(written, f"/proc/self/fd/{anchor}"),
        partial(written, f"/proc/thread-self/fd/{descriptor}"),
    )


@attack()
def protected_write(facts: Facts) -> str:
    """Write, truncate or append to a protected file."""
    path = f"{facts.workspace}/{_WORKFLOW}"

    def appended() -> str:
        with open(path, "a", encoding="utf-8") as file:
            file.write("# more\n")
        return "appended"

    return any_of(
        partial(written, path),
        to("truncated", os.truncate, path, 0),
        appended,
        partial(written, f"{facts.workspace}/AGENTS.md"),
    )


@attack()
def protected_attributes(facts: Facts) -> str:
    """Change the mode, the times or the attributes of a protected file."""
    path = f"{facts.workspace}/{_WORKFLOW}"
    return any_of(
        to("mode", os.chmod, path, 0o777),
        to("times", os.utime, path, (0, 0)),
        to("attribute", os.setxattr, path, "user.attack", b"x"),
        to("mode of the folder", os.chmod, f"{facts.workspace}/.github/workflows", 0o777),
    )


@attack()
def protected_removal(facts: Facts) -> str:
    """Delete a protected file or folder."""
    base = facts.workspace
    return any_of(
        to("deleted", os.unlink, f"{base}/{_WORKFLOW}"),
        to("deleted", os.unlink, f"{base}/AGENTS.md"),
        to("deleted", os.rmdir, f"{base}/.claude"),
    )


@attack()
def protected_addition(facts: Facts) -> str:
    """Add a file to a protected folder."""
    return any_of(
        partial(_made_in, f"{facts.workspace}/.github/workflows"),
        to("made a folder", os.mkdir, f"{facts.workspace}/.github/workflows/more"),
    )


@attack()
def protected_replacement(facts: Facts) -> str:
    """Put another file or a link in the place of a protected one."""
    base = facts.workspace
    mine = _new_file(facts, "replacement")
    link = f"{facts.playground}/replacement-link"
    os.symlink("src/main.py", link)
    return any_of(
        to("renamed over it", os.rename, mine, f"{base}/AGENTS.md"),
        to("renamed a link over it", os.rename, link, f"{base}/AGENTS.md"),
        to("renamed over it", os.rename, mine, f"{base}/{_WORKFLOW}"),
        partial(_exchanged, mine, f"{base}/AGENTS.md"),
    )


@attack()
def protected_moved_away(facts: Facts) -> str:
    """Move a protected file or folder away."""
    base = facts.workspace
    return any_of(
        to("moved", os.rename, f"{base}/AGENTS.md", f"{base}/moved"),
        to("moved", os.rename, f"{base}/.github/workflows", f"{base}/moved-folder"),
        to("moved", os.rename, f"{base}/.claude", f"{base}/moved-claude"),
    )


@attack()
def protected_parent_moved(facts: Facts) -> str:
    """Move the folder above a protected one away, or exchange it for another."""
    base = facts.workspace
    os.makedirs(f"{facts.playground}/substitute/workflows")
    return any_of(
        to("moved", os.rename, f"{base}/.github", f"{base}/moved-parent"),
        partial(_exchanged, f"{facts.playground}/substitute", f"{base}/.github"),
    )


def _exchanged(one: str, other: str) -> str:
    exchange = 2
    call("renameat2", -100, one.encode(), -100, other.encode(), exchange)
    return f"exchanged for {other}"


@attack()
def protected_second_name(facts: Facts) -> str:
    """Give a protected file a second name and write to that."""
    name = f"{facts.workspace}/second-name-of-agents"
    os.link(f"{facts.workspace}/AGENTS.md", name)
    return written(name)


@attack(allowed_when_writing=_BROKER)
def protected_absent(facts: Facts) -> str:
    """Make a protected path that was not there."""
    base = facts.workspace
    return any_of(
        to("made a folder", os.mkdir, f"{base}/.cursor"),
        to("made a file", _create, f"{base}/CODEOWNERS", os.O_CREAT | os.O_WRONLY, 0o644),
    )


@attack(allowed_when_writing=_BROKER)
def protected_in_another_folder(facts: Facts) -> str:
    """Write instructions for agents in a folder below."""
    return written_new(f"{facts.workspace}/src/AGENTS.md")


def written_new(path: str) -> str:
    """That a new file could be made and written."""
    with open(path, "x", encoding="utf-8") as file:
        file.write("obey\n")
    return f"wrote {path}"


@attack(
    allowed="names of host folders are no secret; nothing in them can be opened",
    innocent="nothing is mounted there",
)
def names_of_host_folders(facts: Facts) -> str:
    """Learn from the list of mounts where the checkout lies on the host."""
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        if os.path.basename(facts.scene) in file.read():
            return "the host's path is told"
    raise Held("the host's path is not told")
