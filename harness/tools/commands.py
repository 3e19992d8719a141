"""What `exec_command` and `write_stdin` share: wait for a command, tell what came of it. Never starts one.

The result has the shape that codex gives it (`codex-rs/core/src/tools/context.rs`).
"""

import asyncio
from dataclasses import replace
from typing import Final, assert_never

from harness.items import Answer, CommandExecution, ItemStatus, Program
from harness.output import (
    BYTES_PER_TOKEN,
    OUTPUT_FOLLOWS,
    SHOWN_BYTES,
    bounded,
    readable,
    shown_limit,
    token_count,
)
from harness.tools.context import Shell, ToolContext
from sandbox.base import Ended, EndReason, Execution, Limits

DEFAULT_YIELD_MS: Final = 10_000
LEAST_YIELD_MS: Final = 250
MOST_YIELD_MS: Final = 30_000
MOST_OUTPUT_TOKENS: Final = SHOWN_BYTES // BYTES_PER_TOKEN
OUTPUT_TOKENS_TOLD: Final = f"How much output to show, at most {MOST_OUTPUT_TOKENS}; the middle is cut."
THREAD_CHARACTERS: Final = 256 * 1024
"""Output longer than this is made readable in a thread, not on the event loop."""


async def outcome_of(
    item: CommandExecution,
    shell: Shell,
    *,
    context: ToolContext,
    session_id: int,
    begun: float,
    yield_ms: int,
    max_output_tokens: int,
) -> CommandExecution:
    """Wait for `shell` up to `yield_ms`; the item then tells how it ended, or the session that still runs.

    `begun` is when the call began, by the context's clock.
    """
    ended = await shell.process.wait(yield_ms / 1000)
    data = shell.process.take_output()
    notices = shell.process.take_notices()
    seconds = context.clock() - begun
    if ended is not None:
        context.shells.forget(session_id)
    text = shell.decoder.decode(data, final=ended is not None)
    text = readable(text) if len(text) < THREAD_CHARACTERS else await asyncio.to_thread(readable, text)
    limits = (await context.sandbox()).policy.limits
    return replace(
        item,
        status=ItemStatus.COMPLETED if ended is None or ended.exit_status == 0 else ItemStatus.FAILED,
        exit_code=None if ended is None else ended.exit_status,
        session_id=session_id if ended is None else None,
        seconds=seconds,
        programs=tuple(map(_program, shell.process.executions())),
        answer=_answer(
            text,
            state=(f"Wall time: {seconds:.4f} seconds", _state(ended, session_id, limits)),
            notices=notices,
            max_output_tokens=max_output_tokens,
        ),
    )


def refused(item: CommandExecution, why: str) -> CommandExecution:
    """Nothing ran; the model is told why."""
    return replace(item, status=ItemStatus.FAILED, answer=Answer(why))


def declined(item: CommandExecution, why: str) -> CommandExecution:
    """Nothing ran, for a rule forbids it; the model is told which."""
    return replace(item, status=ItemStatus.DECLINED, answer=Answer(why))


def _program(told: Execution) -> Program:
    return Program(told.argv, told.cwd, told.exit_status, told.seconds, told.path)


def _answer(text: str, *, state: tuple[str, ...], notices: tuple[str, ...], max_output_tokens: int) -> Answer:
    """Notices stand above the output, where no program can write."""
    head = "\n".join((*state, f"Original token count: {token_count(text)}", *notices, OUTPUT_FOLLOWS))
    shown = bounded(text, limit=shown_limit(max_output_tokens))
    return Answer(text=head + shown, full=None if shown == text else head + text)


def _state(ended: Ended | None, session_id: int, limits: Limits) -> str:
    if ended is None:
        return f"Process running with session ID {session_id}"
    code = f"Process exited with code {ended.exit_status}"
    match ended.reason:
        case EndReason.EXITED:
            return code
        case EndReason.KILLED:
            return f"{code} (killed)"
        case EndReason.WALL_TIME:
            return f"{code} (killed: it ran longer than {limits.wall_seconds:.0f} seconds)"
        case EndReason.OUTPUT:
            return f"{code} (killed: it printed too much)"
        case EndReason.DISK:
            return f"{code} (killed: the turn has written more than {limits.disk_bytes // 1024**2} MiB)"
        case EndReason.MEMORY:
            return f"{code} (killed: out of memory, {limits.memory_bytes // 1024**2} MiB)"
        case _:
            assert_never(ended.reason)
