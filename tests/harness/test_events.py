"""The events that `darner exec --json` prints: one line each, in codex's shape."""

import json
from typing import Any

from harness.events import item_event, line, thread_started, told, turn_ended, turn_started
from harness.items import (
    AgentMessage,
    Answer,
    Call,
    CommandExecution,
    Completed,
    Declined,
    Exhausted,
    Failed,
    FileChange,
    Image,
    Item,
    ItemId,
    ItemStatus,
    Life,
    ModelCall,
    Notice,
    Outcome,
    PathChange,
    PlanStep,
    PlanUpdate,
    Program,
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

CALL = Call(id="c1", name="exec_command", arguments='{"cmd":"ls"}')


def completed(item: Item) -> dict[str, Any]:
    shown: dict[str, Any] = json.loads(line(item_event(Life.COMPLETED, item)))
    assert shown["type"] == "item.completed"
    fields: dict[str, Any] = shown["item"]
    return fields


def test_the_frame_of_a_turn() -> None:
    """A reader finds the thread, the turn, how it ended and what it cost."""
    turn_id = TurnId("t1")
    result = TurnResult(Completed("Done."), Usage(100, 40, 20, 5), steps=2, seconds=1.23456)

    assert line(thread_started(ThreadId("th1"))) == '{"type":"thread.started","thread_id":"th1"}'
    assert line(turn_started(turn_id)) == '{"type":"turn.started","turn_id":"t1"}'
    assert turn_ended(turn_id, result) == {
        "type": "turn.completed",
        "turn_id": "t1",
        "outcome": "completed",
        "usage": {
            "input_tokens": 100,
            "cached_input_tokens": 40,
            "output_tokens": 20,
            "reasoning_output_tokens": 5,
        },
        "steps": 2,
        "seconds": 1.235,
    }
    failed = turn_ended(turn_id, TurnResult(Stopped("octocat"), Usage(), steps=0, seconds=0.0))
    assert (failed["type"], failed["outcome"], failed["error"]) == (
        "turn.failed",
        "stopped",
        {"message": "Stopped by octocat."},
    )


def test_every_outcome_is_told_in_a_sentence() -> None:
    """Nobody has to read a field name to know how a turn ended."""
    outcomes: list[Outcome] = [
        Completed("Done."),
        Declined("It is harmful."),
        Waiting("The model endpoint limits its rate.", until=2.0),
        Exhausted("steps", 200, ""),
        Exhausted("tokens", 4_000_000, ""),
        Exhausted("wall_time", 3600.0, ""),
        Failed("It broke.", reference="t1/3"),
    ]

    assert [told(outcome) for outcome in outcomes] == [
        "Done.",
        "The model declined: It is harmful.",
        "Waiting: The model endpoint limits its rate.",
        "The limit of 200 steps is reached.",
        "The limit of 4,000,000 tokens is reached.",
        "The time limit of 3600 seconds is reached.",
        "It broke. (reference t1/3)",
    ]


def test_a_command_shows_all_it_printed() -> None:
    """The whole output, without the head that the model gets."""
    head = "Wall time: 0.1000 seconds\nProcess exited with code 1\nOriginal token count: 9\nOutput:\n"
    item = CommandExecution(
        id=ItemId("item_3"),
        call=CALL,
        command="ls",
        workdir=".",
        status=ItemStatus.FAILED,
        exit_code=1,
        seconds=0.1,
        answer=Answer(f"{head}a…z", full=f"{head}a\nb\nz"),
    )

    assert completed(item) == {
        "id": "item_3",
        "type": "command_execution",
        "command": "ls",
        "workdir": ".",
        "aggregated_output": "a\nb\nz",
        "exit_code": 1,
        "session_id": None,
        "seconds": 0.1,
        "status": "failed",
    }


def test_the_other_items() -> None:
    """What people may see of each; the provider's own reasoning and image data are left out."""
    item_id = ItemId("item_0")
    changes = (PathChange("a.py", "update", moved_to="b.py"), PathChange("c.py", "add"))
    image = Answer("a.png: image/png, 3 bytes", image=Image("image/png", "QUJD"))
    items: list[Item] = [
        UserMessage(id=item_id, text="Fix it."),
        AgentMessage(id=item_id, text="Done.", phase="final_answer"),
        Reasoning(id=item_id, summary="Thinking", wire='{"encrypted_content":"x"}', provider="p"),
        FileChange(id=item_id, call=CALL, changes=changes),
        PlanUpdate(id=item_id, call=CALL, plan=(PlanStep("Look", "pending"),), status=ItemStatus.COMPLETED),
        ToolCall(id=item_id, call=CALL, status=ItemStatus.COMPLETED, answer=image),
        ModelCall(id=item_id, model="m", usage=Usage(), seconds=0.5),
        Notice(id=item_id, text="Asking again."),
    ]

    assert [completed(item) for item in items] == [
        {"id": "item_0", "type": "user_message", "text": "Fix it."},
        {"id": "item_0", "type": "agent_message", "text": "Done.", "phase": "final_answer"},
        {"id": "item_0", "type": "reasoning", "text": "Thinking"},
        {
            "id": "item_0",
            "type": "file_change",
            "changes": [
                {"path": "a.py", "kind": "update", "moved_to": "b.py"},
                {"path": "c.py", "kind": "add"},
            ],
            "output": "",
            "status": "in_progress",
        },
        {
            "id": "item_0",
            "type": "plan_update",
            "plan": [{"step": "Look", "status": "pending"}],
            "explanation": "",
            "status": "completed",
        },
        {
            "id": "item_0",
            "type": "tool_call",
            "tool": "exec_command",
            "arguments": '{"cmd":"ls"}',
            "output": "a.png: image/png, 3 bytes",
            "status": "completed",
        },
        {
            "id": "item_0",
            "type": "model_call",
            "model": "m",
            "usage": {
                "input_tokens": 0,
                "cached_input_tokens": 0,
                "output_tokens": 0,
                "reasoning_output_tokens": 0,
            },
            "seconds": 0.5,
        },
        {"id": "item_0", "type": "notice", "text": "Asking again."},
    ]


def test_a_line_stays_one_line() -> None:
    """Line breaks in texts are escaped, other scripts stay readable."""
    event = item_event(Life.STARTED, UserMessage(id=ItemId("item_0"), text="één\ntwo"))

    assert line(event) == (
        '{"type":"item.started","item":{"id":"item_0","type":"user_message","text":"één\\ntwo"}}'
    )


def test_the_programs_of_a_command_are_told() -> None:
    """Where they were noted: what, where, how it ended."""
    noted = Program(("ls", "-l"), "/workspace", 0, 0.25, "/usr/bin/ls")
    item = CommandExecution(id=ItemId("item_1"), call=CALL, command="ls -l", workdir=".", programs=(noted,))

    assert completed(item)["programs"] == [
        {"argv": ["ls", "-l"], "cwd": "/workspace", "exit_status": 0, "seconds": 0.25, "path": "/usr/bin/ls"}
    ]
