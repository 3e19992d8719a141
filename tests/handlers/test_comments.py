"""What the bot says: short, in a fixed shape, and never a way for others to speak with its voice."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers import comments
from handlers.broker import Judgement, Refused
from handlers.comments import Progress, Published
from handlers.events import ProposedChange
from handlers.markdown import RegionKind, split_regions
from handlers.scan import scan
from harness.items import Completed, Declined, Exhausted, Failed, Outcome, PlanStep, Stopped, Waiting
from sandbox.base import SandboxMode
from tests.handlers.people import FIX, HOST, NEW_SHA, WORKFLOW, ended, start_on_issue, start_on_pull

PLAN = (
    PlanStep("Reproduce with `pytest`", "completed"),
    PlanStep("Fix it for @eve", "in_progress"),
    PlanStep("Run all tests", "pending"),
)
PUBLISHED = Published(branch="darner/7-0ca1", sha=NEW_SHA, pull_number=9, pull_url=f"{HOST}/octo/calc/pull/9")


def test_the_progress_comment() -> None:
    state = Progress(phase="working", start=start_on_issue(), seconds=75.4, plan=PLAN)

    assert comments.progress(state) == (
        "⏳ **Working** · 1 min 15 s · may change files · at `aaaaaaa`\n\n"
        "- [x] Reproduce with `pytest`\n"
        "- [ ] Fix it for `@eve` *(now)*\n"
        "- [ ] Run all tests\n\n"
        "<sub>Turn `0ca1` · asked by octocat</sub>"
    )


def test_a_queued_read_only_turn_names_what_it_waits_for() -> None:
    start = replace(start_on_issue(), mode=SandboxMode.READ_ONLY)
    state = Progress(phase="queued", start=start, note=comments.queued_behind("beef"))

    assert comments.progress(state) == (
        "🕓 **Queued** · read-only · at `aaaaaaa`\n\n"
        "Another turn (`beef`) is at work in this conversation; this one starts when it has ended.\n\n"
        "<sub>Turn `0ca1` · asked by octocat</sub>"
    )


def test_a_turn_that_nothing_stands_in_the_way_of_is_starting() -> None:
    """Nobody reads "queued" of a turn that is at work a moment later."""
    state = Progress(phase="queued", start=start_on_issue())

    assert comments.progress(state).startswith("🕓 **Starting** · may change files · at `aaaaaaa`\n\n")


def test_a_turn_without_confinement_says_so_at_every_step() -> None:
    """In the first comment and in the last one."""
    start = replace(start_on_issue(), mode=SandboxMode.FULL_ACCESS)
    last = comments.final(
        ended(start, FIX), PUBLISHED, judgement=Judgement((FIX.path,), (), ()), mention="darner"
    )

    for body in (comments.progress(Progress(phase="queued", start=start)), last):
        assert comments.NOT_CONFINED in body
        assert "full access" in body
        assert scan(body, own_hosts=["forge.test:8080"]).text == body
    assert comments.NOT_CONFINED not in comments.progress(Progress(phase="queued", start=start_on_issue()))


def test_what_a_repositorys_file_may_not_have_is_told_where_it_was_asked_for() -> None:
    """The turn goes on without; whoever wrote the file finds out here."""
    start = replace(start_on_issue(), not_granted=("network evil.example: not allowed, says the operator",))
    body = comments.progress(Progress(phase="working", start=start))

    assert (
        "Asked for in `.github/darner.yml`, and not granted on this server:\n"
        "- `network evil.example: not allowed, says the operator`\n\n<sub>Turn"
    ) in body
    assert scan(body).text == body


def test_nothing_is_done_now_when_the_turn_is_over() -> None:
    """A plan that was not finished shows its open steps as open, none as being worked on."""
    state = Progress(phase="ended", start=start_on_issue(), plan=PLAN, note="🆗 **Nothing changed**")

    assert "- [ ] Fix it for `@eve`\n" in comments.progress(state)


@pytest.mark.parametrize(
    ("command", "exit_code", "told"),
    [
        ("pytest -q", 0, "pytest -q → passed"),
        ("make test ||  true", 2, "make test || true → exit status 2"),
        ("pytest | tail -n 3", 0, "pytest | tail -n 3 → result not known: its output was piped"),
        ("set -o pipefail; pytest | tail", 0, "set -o pipefail; pytest | tail → passed"),
    ],
)
def test_a_check_is_said_to_have_passed_only_when_that_is_known(
    command: str, exit_code: int, told: str
) -> None:
    """The status of a pipe is its last command's, so it says nothing of the tests."""
    assert comments.checked(command, exit_code=exit_code) == told


def test_a_long_plan_is_counted_not_listed() -> None:
    plan = tuple(PlanStep(f"step {number}", "pending") for number in range(14))

    assert comments.checklist(plan).splitlines()[-1] == "- and 4 more"


def test_the_final_comment_of_a_good_day() -> None:
    body = comments.final(
        ended(start_on_issue(), FIX), PUBLISHED, judgement=Judgement((FIX.path,), (), ()), mention="darner"
    )

    assert body == (
        f"✅ **Done** · 42 s · draft pull request [#9]({HOST}/octo/calc/pull/9) · "
        "`darner/7-0ca1` at `ddddddd` · 1 file (+2 −1)\n\n"  # noqa: RUF001  a minus sign
        "---\n\n"
        "The middle was off by one.\n\n"
        "Checked with:\n- `pytest -q → passed`\n\n"
        "Next: review it. For changes, write `@darner …` on the pull request.\n\n"
        "<sub>Turn `0ca1` · asked by octocat · may change files · 3 steps · 1,234 tokens</sub>"
    )


@pytest.mark.parametrize(
    ("changes", "mode", "word"),
    [
        ((), SandboxMode.WORKSPACE_WRITE, "🆗 **Nothing changed**"),
        ((), SandboxMode.READ_ONLY, "✅ **Done**"),
        ((WORKFLOW,), SandboxMode.WORKSPACE_WRITE, "✋ **Done with open points**"),
    ],
)
def test_without_a_push_the_header_says_what_that_means(
    changes: tuple[ProposedChange, ...], mode: SandboxMode, word: str
) -> None:
    event = ended(replace(start_on_issue(), mode=mode), *changes)
    judgement = Judgement((), tuple(change.path for change in changes), ())

    assert comments.final(event, None, judgement=judgement, mention="darner").startswith(f"{word} · 42 s\n")


def test_refused_files_are_named_with_the_reason() -> None:
    judgement = Judgement((), (), (Refused("a`b", "it is larger than 5 MiB"),))

    body = comments.final(ended(start_on_issue()), None, judgement=judgement, mention="darner")

    assert "Not delivered, by policy:\n- ``a`b``: it is larger than 5 MiB" in body


def test_a_long_answer_is_folded_after_its_beginning() -> None:
    message = "\n\n".join(f"Paragraph {number}." for number in range(40))

    body = comments.final(
        ended(start_on_issue(), outcome=Completed(message)),
        None,
        judgement=Judgement((), (), ()),
        mention="darner",
    )

    shown = body.split("<details>")[0]
    assert len(shown.splitlines()) <= 15
    assert body.count("<details>") == body.count("</details>") == 1
    assert "Paragraph 39." in body


def test_a_fence_is_not_cut_in_two_by_the_folding() -> None:
    message = "Before.\n\n```\n" + "\n\n".join("x" * 3 for _ in range(20)) + "\n```\n\nAfter."

    body = comments.final(
        ended(start_on_issue(), outcome=Completed(message)),
        None,
        judgement=Judgement((), (), ()),
        mention="darner",
    )

    assert "---\n\nBefore.\n\n<details>\n<summary>The rest</summary>\n\n```\nxxx" in body


def test_the_pull_request_tells_who_asked_and_how_to_go_on() -> None:
    body = comments.pull_body(
        replace(ended(start_on_issue(), FIX), plan=PLAN),
        judgement=Judgement((FIX.path,), (), ()),
        mention="darner",
    )

    assert body == (
        "The middle was off by one.\n\n"
        "Closes #7\n\n"
        f"Requested by @octocat in [this text]({HOST}/octo/calc/issues/7#issuecomment-55), made by turn "
        "`0ca1` from `aaaaaaa`.\n\n"
        "**Plan**\n\n"
        "- [x] Reproduce with `pytest`\n- [ ] Fix it for `@eve`\n- [ ] Run all tests\n\n"
        "**Checked with**\n\n- `pytest -q → passed`\n\n"
        "<sub>To steer: comment `@darner …` here. Nothing is merged without a person.</sub>"
    )


def test_a_partial_result_closes_nothing() -> None:
    held = Judgement((FIX.path,), (WORKFLOW.path,), ())

    body = comments.pull_body(ended(start_on_issue(), FIX, WORKFLOW), judgement=held, mention="darner")

    assert "Part of #7" in body
    assert "Closes" not in body


@pytest.mark.parametrize(
    "text",
    [
        comments.help_text("darner"),
        comments.nothing_asked("darner"),
        comments.did_you_mean("darner", word="hlep", suggestion="help"),
        comments.needs_write(),
        comments.config_broken("`modee` is not a setting. Did you mean `mode`?"),
        comments.nothing_to_work_on(),
        comments.pull_unreadable(),
        comments.progress(Progress(phase="working", start=start_on_pull(), plan=PLAN)),
        comments.check_summary(start_on_issue(), "The result is `ddddddd`."),
        comments.final(
            ended(start_on_issue(), FIX, WORKFLOW),
            PUBLISHED,
            judgement=Judgement((FIX.path,), (WORKFLOW.path,), (Refused("x", "y"),)),
            mention="darner",
        ),
        comments.pull_body(
            ended(start_on_issue(), FIX), judgement=Judgement((FIX.path,), (), ()), mention="darner"
        ),
    ],
)
def test_our_own_sentences_pass_the_scanner_unchanged(text: str) -> None:
    host = HOST.removeprefix("http://")

    scanned = scan(text, allowed_mentions=["octocat"], own_hosts=[host])

    assert (scanned.text, scanned.findings) == (text, {})


_HOSTILE = st.sampled_from(
    [
        "</details>", "<details>", "```\n", "~~~", "\n\n", "`", "---\n", "✅ **Done**", "@eve", "<!--", "-->",
        "Closes #1", "\n    x", "> ", "- ", "|", "[a](http://evil.test)", "<sub>", "\u202e", "x\n", "\\",
    ]
)  # fmt: skip


@given(st.lists(_HOSTILE, max_size=25).map("".join), st.lists(_HOSTILE, max_size=5).map("".join))
@settings(max_examples=150, deadline=None)
def test_the_model_cannot_reach_the_header_or_the_footer(message: str, step: str) -> None:
    event = replace(
        ended(start_on_issue(), FIX, outcome=Completed(message)), plan=(PlanStep(step, "in_progress"),)
    )

    body = comments.final(event, PUBLISHED, judgement=Judgement((FIX.path,), (), ()), mention="darner")
    pull = comments.pull_body(event, judgement=Judgement((FIX.path,), (), ()), mention="darner")
    shown = comments.progress(Progress(phase="working", start=event.start, plan=event.plan))

    for text, last in ((body, "<sub>Turn `0ca1`"), (pull, "<sub>To steer"), (shown, "<sub>Turn `0ca1`")):
        region = split_regions(text)[-1]
        assert region.kind is RegionKind.PROSE
        assert region.text.startswith(last)
    assert body.splitlines()[0].startswith("✅ **Done** · 42 s")
    assert pull.count("Closes #7") == 1
    html = [region.text for region in split_regions(body) if region.kind is RegionKind.HTML]
    assert html in (
        [],
        ["<details>\n<summary>The rest</summary>", "</details>"],
        ["<details>\n<summary>The agent's answer</summary>", "</details>"],
    )


@pytest.mark.parametrize(
    "outcome",
    [
        Completed(""),
        Declined("No."),
        Waiting("Until 12:05.", 1.0),
        Stopped("octocat"),
        Exhausted("wall_time", 3600, ""),
        Failed("The endpoint is down.", "ab12"),
    ],
)
def test_every_outcome_passes_the_scanner_unchanged(outcome: Outcome) -> None:
    """Nothing in our own marks is taken for hidden text."""
    body = comments.final(
        ended(start_on_issue(), outcome=outcome), None, judgement=Judgement((), (), ()), mention="darner"
    )

    assert scan(body, own_hosts=[HOST.removeprefix("http://")]).findings == {}
