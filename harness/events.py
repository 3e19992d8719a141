"""The wire events of a turn, one JSON line each, as codex shapes them (`exec_events.rs`). No I/O.

What codex leaves out is added: how a turn ended, directory and duration of commands, what a request cost.
What only the model's provider can read (encrypted reasoning) and image data are left out.
"""

import json
from dataclasses import asdict
from typing import Any, assert_never

from harness.budget import named
from harness.items import (
    AgentMessage,
    Answer,
    ApprovalRequest,
    CommandExecution,
    Compaction,
    Completed,
    Declined,
    Exhausted,
    Failed,
    FileChange,
    Item,
    Life,
    ModelCall,
    Notice,
    Outcome,
    PlanUpdate,
    Reasoning,
    Stopped,
    ThreadId,
    ToolCall,
    TurnId,
    TurnResult,
    Usage,
    UserMessage,
    Waiting,
)
from harness.output import printed_part

Event = dict[str, Any]
"""One event, ready for `json.dumps`."""


def thread_started(thread_id: ThreadId) -> Event:
    return {"type": "thread.started", "thread_id": thread_id}


def turn_started(turn_id: TurnId) -> Event:
    return {"type": "turn.started", "turn_id": turn_id}


def item_event(life: Life, item: Item) -> Event:
    """`item.started`, `item.updated` or `item.completed`."""
    return {"type": f"item.{life}", "item": {"id": item.id, "type": item.type, **_fields(item)}}


def turn_ended(turn_id: TurnId, result: TurnResult) -> Event:
    """`turn.completed`, or `turn.failed` for every other outcome."""
    outcome = result.outcome
    event: Event = {
        "type": "turn.completed" if isinstance(outcome, Completed) else "turn.failed",
        "turn_id": turn_id,
        "outcome": outcome.status,
        "usage": _usage(result.usage),
        "steps": result.steps,
        "seconds": round(result.seconds, 3),
    }
    if not isinstance(outcome, Completed):
        event["error"] = {"message": told(outcome)}
    return event


def line(event: Event) -> str:
    """The event as one line, without its line break."""
    return json.dumps(event, ensure_ascii=False, separators=(",", ":"))


def told(outcome: Outcome) -> str:
    """The outcome in one sentence for people; the final message of a completed turn."""
    match outcome:
        case Completed(message=message):
            return message
        case Declined(reason=reason):
            return f"The model declined: {reason}"
        case Waiting(reason=reason):
            return f"Waiting: {reason}"
        case Stopped(by=by):
            return f"Stopped by {by}."
        case Exhausted(limit="steps", allowed=allowed, scope="turn"):
            return f"The limit of {allowed:.0f} steps is reached."
        case Exhausted(limit="tokens", allowed=allowed, scope="turn"):
            return f"The limit of {allowed:,.0f} tokens is reached."
        case Exhausted(limit="wall_time", allowed=allowed, scope="turn"):
            return f"The time limit of {allowed:.0f} seconds is reached."
        case Exhausted():
            budget = named(outcome.scope, outcome.limit, outcome.allowed, outcome.currency)
            return f"{budget[0].upper()}{budget[1:]} is spent."
        case Failed(cause=cause, reference=reference):
            return f"{cause} (reference {reference})"
        case _:
            assert_never(outcome)


def _fields(item: Item) -> Event:
    match item:
        case UserMessage(text=text):
            return {"text": text}
        case AgentMessage(text=text, phase=phase):
            return {"text": text, "phase": phase}
        case Reasoning(summary=summary):
            return {"text": summary}
        case CommandExecution():
            return {
                "command": item.command,
                "workdir": item.workdir,
                "aggregated_output": printed_part(_whole(item.answer)),
                "exit_code": item.exit_code,
                "session_id": item.session_id,
                "seconds": item.seconds,
                "status": item.status,
            } | ({"programs": [asdict(program) for program in item.programs]} if item.programs else {})
        case FileChange():
            changes = [
                {"path": change.path, "kind": change.kind}
                | ({"moved_to": change.moved_to} if change.moved_to else {})
                for change in item.changes
            ]
            return {"changes": changes, "output": _whole(item.answer), "status": item.status}
        case PlanUpdate():
            plan = [{"step": step.step, "status": step.status} for step in item.plan]
            return {"plan": plan, "explanation": item.explanation, "status": item.status}
        case ToolCall():
            return {
                "tool": item.call.name,
                "arguments": item.call.arguments,
                "output": _whole(item.answer),
                "status": item.status,
            }
        case ModelCall():
            return {"model": item.model, "usage": _usage(item.usage), "seconds": round(item.seconds, 3)}
        case Notice(text=text):
            return {"text": text}
        case Compaction():
            return {
                "reason": item.reason,
                "written_by": item.by,
                "summary": item.summary,
                "left_out": item.left_out,
                "tokens_before": item.tokens_before,
            }
        case ApprovalRequest():
            return {
                "kind": item.kind,
                "wanted": item.wanted,
                "why": item.why,
                "until": item.until,
                "decision": item.decision,
                "by": item.by,
                "words": item.words,
            }
        case _:
            assert_never(item)


def _whole(answer: Answer | None) -> str:
    if answer is None:
        return ""
    return answer.text if answer.full is None else answer.full


def _usage(usage: Usage) -> Event:
    return {
        "input_tokens": usage.input_tokens,
        "cached_input_tokens": usage.cached_input_tokens,
        "output_tokens": usage.output_tokens,
        "reasoning_output_tokens": usage.reasoning_tokens,
    }
