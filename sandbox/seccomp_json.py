"""The system call policy in the words of container engines. Decides nothing: `sandbox.seccomp` has the rules.

An engine's profile goes by names, which libseccomp turns into numbers, and libseccomp does not know the calls
that are newer than itself. So this is a list of what is allowed, and whatever it does not name is not there.
https://github.com/moby/moby/blob/master/profiles/seccomp/seccomp.go and
https://github.com/opencontainers/runtime-spec/blob/main/config-linux.md#seccomp have the format.

What one rule of the policy says of an argument can take several entries. The only comparison used is "these
bits have this value": entries of one call then exclude each other, so that their order means nothing.
"""

import errno
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, Final, assert_never

from sandbox.seccomp import Condition, Rule, Test, rules

_ALLOW: Final = "SCMP_ACT_ALLOW"
_REFUSE: Final = "SCMP_ACT_ERRNO"
_ARCHITECTURES: Final = ("SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64")


@dataclass(frozen=True, slots=True)
class _Bits:
    """A test of an argument's low half: its bits of `mask` are those of `value`."""

    argument: int
    mask: int
    value: int

    def with_also(self, other: "_Bits") -> "_Bits | None":
        """Both tests of the same argument in one; None when nothing passes both."""
        if self.mask & other.mask & (self.value ^ other.value):
            return None
        return _Bits(self.argument, self.mask | other.mask, self.value | other.value)

    def implies(self, other: "_Bits") -> bool:
        return not other.mask & ~self.mask and self.value & other.mask == other.value


_Case = frozenset[_Bits]
"""Tests of different arguments, all of which must hold."""


def docker_profile(policy: Iterable[Rule] = rules()) -> str:
    """The profile as `docker run --security-opt seccomp=FILE` takes it, for both architectures."""
    by_call: dict[str, list[Rule]] = {}
    for rule in policy:
        by_call.setdefault(rule.call, []).append(rule)
    # As the rules are judged: what one decides without a condition needs no entry of a later one.
    refused: dict[int, list[str]] = {}
    entries: list[dict[str, Any]] = []
    for call, judged in sorted(by_call.items()):
        if not judged[0].conditions:
            refused.setdefault(judged[0].error, []).append(call)
            continue
        for rule in judged:
            entries += [_entry([call], _REFUSE, case, error=rule.error) for case in _cases_of(rule)]
        entries += [_entry([call], _ALLOW, case) for case in _cases_of_none(judged)]
    free = sorted(_KNOWN - by_call.keys())
    profile = {
        "defaultAction": _REFUSE,
        "defaultErrnoRet": errno.ENOSYS,
        # No other entry to the kernel: a call by another architecture's numbers kills.
        "archMap": [{"architecture": name, "subArchitectures": []} for name in _ARCHITECTURES],
        "syscalls": [
            _entry(free, _ALLOW),
            *(_entry(calls, _REFUSE, error=error) for error, calls in sorted(refused.items())),
            *entries,
        ],
    }
    return json.dumps(profile, indent=1) + "\n"


def _entry(calls: list[str], action: str, case: _Case = frozenset(), *, error: int = 0) -> dict[str, Any]:
    entry: dict[str, Any] = {"names": calls, "action": action}
    if action == _REFUSE:
        entry["errnoRet"] = error
    if case:
        entry["args"] = [
            {"index": bits.argument, "value": bits.mask, "valueTwo": bits.value, "op": "SCMP_CMP_MASKED_EQ"}
            for bits in sorted(case, key=lambda bits: bits.argument)
        ]
    return entry


def _cases_of(rule: Rule) -> Iterator[_Case]:
    """When the rule applies."""
    yield from _merged(product(*(list(_when_true(condition)) for condition in rule.conditions)))


def _cases_of_none(judged: Iterable[Rule]) -> list[_Case]:
    """When none of the rules applies: of each, some condition fails."""
    failing = [[bits for condition in rule.conditions for bits in _when_false(condition)] for rule in judged]
    cases = list(dict.fromkeys(_merged(product(*failing))))
    return [case for case in cases if not any(_is_within(case, other) for other in cases if other != case)]


def _merged(choices: Iterable[tuple[_Bits, ...]]) -> Iterator[_Case]:
    for choice in choices:
        by_argument: dict[int, _Bits] = {}
        for bits in choice:
            earlier = by_argument.get(bits.argument)
            both = bits if earlier is None else earlier.with_also(bits)
            if both is None:
                break
            by_argument[bits.argument] = both
        else:
            yield frozenset(by_argument.values())


def _is_within(case: _Case, other: _Case) -> bool:
    return all(any(mine.argument == its.argument and mine.implies(its) for mine in case) for its in other)


def _when_true(condition: Condition) -> Iterator[_Bits]:
    match condition.test:
        case Test.ANY_BIT:
            bits = condition.values[0] & condition.mask
            yield from (_Bits(condition.argument, bit, bit) for bit in _each(bits))
        case Test.EQUALS:
            yield _Bits(condition.argument, condition.mask, condition.values[0])
        case Test.NOT_IN:
            yield from _outside(condition)
        case _:
            assert_never(condition.test)


def _when_false(condition: Condition) -> Iterator[_Bits]:
    match condition.test:
        case Test.ANY_BIT:
            yield _Bits(condition.argument, condition.values[0] & condition.mask, 0)
        case Test.EQUALS:
            yield from _outside(condition)
        case Test.NOT_IN:
            yield from (_Bits(condition.argument, condition.mask, value) for value in condition.values)
        case _:
            assert_never(condition.test)


def _outside(condition: Condition) -> Iterator[_Bits]:
    """Everything but the condition's values: bit by bit, what parts from all of them there."""
    open_prefixes: Mapping[int, tuple[int, ...]] = {0: condition.values}
    mask = 0
    for bit in reversed(list(_each(condition.mask))):
        mask |= bit
        following: dict[int, tuple[int, ...]] = {}
        for prefix, values in open_prefixes.items():
            for value in (prefix, prefix | bit):
                rest = tuple(known for known in values if known & mask == value)
                if rest:
                    following[value] = rest
                else:
                    yield _Bits(condition.argument, mask, value)
        open_prefixes = following


def _each(bits: int) -> Iterator[int]:
    return (1 << place for place in range(bits.bit_length()) if bits >> place & 1)


# The calls that no rule names. Those that Linux has given up, and never answers, are left out.
_FREE: Final = """
    accept accept4 access alarm arch_prctl bind brk cachestat capget capset chdir chown clock_getres
    clock_gettime clock_nanosleep close close_range connect copy_file_range dup dup2 dup3 epoll_create
    epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd eventfd2 execve execveat exit
    exit_group faccessat faccessat2 fadvise64 fallocate fchdir fchown fchownat fcntl fdatasync fgetxattr
    flistxattr flock fork fremovexattr fsetxattr fstat fstatfs fsync ftruncate futex futex_requeue
    futex_wait futex_waitv futex_wake futimesat get_mempolicy get_robust_list getcpu getcwd getdents
    getdents64 getegid geteuid getgid getgroups getitimer getpeername getpgid getpgrp getpid getppid
    getpriority getrandom getresgid getresuid getrlimit getrusage getsid getsockname getsockopt gettid
    gettimeofday getuid getxattr inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel
    io_destroy io_getevents io_pgetevents io_setup io_submit ioprio_get ioprio_set kill landlock_add_rule
    landlock_create_ruleset landlock_restrict_self lchown lgetxattr link linkat listen listxattr
    llistxattr lremovexattr lseek lsetxattr lstat madvise map_shadow_stack mbind membarrier memfd_create
    mincore mlock mlock2 mlockall mmap mprotect mq_getsetattr mq_notify mq_open mq_timedreceive
    mq_timedsend mq_unlink mremap mseal msgctl msgget msgrcv msgsnd msync munlock munlockall munmap
    nanosleep newfstatat pause pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc pkey_free pkey_mprotect
    poll ppoll prctl pread64 preadv preadv2 prlimit64 process_mrelease pselect6 pwrite64 pwritev pwritev2
    read readahead readlink readlinkat readv recvfrom recvmmsg recvmsg remap_file_pages removexattr
    rename renameat renameat2 restart_syscall rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask
    rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_tgsigqueueinfo sched_get_priority_max
    sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler
    sched_rr_get_interval sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield
    seccomp select semctl semget semop semtimedop sendfile sendmmsg sendmsg sendto set_mempolicy
    set_mempolicy_home_node set_robust_list set_tid_address setfsgid setfsuid setgid setgroups setitimer
    setpgid setpriority setregid setresgid setresuid setreuid setrlimit setsid setsockopt setuid setxattr
    shmat shmctl shmdt shmget shutdown sigaltstack signalfd signalfd4 splice stat statfs statx symlink
    symlinkat sync sync_file_range syncfs sysinfo tee tgkill time timer_create timer_delete
    timer_getoverrun timer_gettime timer_settime timerfd_create timerfd_gettime timerfd_settime times
    tkill truncate umask uname unlink unlinkat utime utimensat utimes vfork vmsplice wait4 waitid write
    writev
"""
_KNOWN: Final = frozenset(_FREE.split()) | {rule.call for rule in rules()}
