"""When CI on a head has settled, and which of its checks failed."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from handlers.ci.settled import Check, Settled, Superseded, Unsettled, judge_settled, with_workflows

HEAD = "a" * 40
NEWER = "b" * 40
OURS = 77
START = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
NOW = START + timedelta(minutes=10)


def at(minute: float) -> datetime:
    return START + timedelta(minutes=minute)


def run(name: str, conclusion: str | None = "success", *, ended: float = 5, id: int = 1) -> Check:  # noqa: A002
    return Check(
        source="check_run",
        id=id,
        name=name,
        head=HEAD,
        status="completed" if conclusion else "in_progress",
        conclusion=conclusion,
        app_id=15368,
        created_at=at(0),
        completed_at=at(ended) if conclusion else None,
    )


def judged(*checks: Check, newest: str = HEAD, now: datetime = NOW) -> Superseded | Unsettled | Settled:
    return judge_settled(
        checks, head=HEAD, newest=newest, own_app=OURS, own_names=frozenset({"darner"}), now=now
    )


def test_all_ended_and_a_minute_of_quiet_is_settled() -> None:
    broken = run("test", "failure", ended=8)

    assert judged(run("lint"), broken) == Settled((broken,))


def test_a_job_at_work_or_queued_is_waited_for() -> None:
    queued = replace(run("deploy", None), status="queued")

    assert judged(run("test", "failure"), run("e2e", None), queued) == Unsettled(
        ("deploy", "e2e"), START + timedelta(hours=6)
    )


def test_what_ended_just_now_may_start_something_else() -> None:
    assert judged(run("test", "failure", ended=9.5)) == Unsettled((), at(10.5))
    assert judged(run("test", "failure", ended=9.5), now=at(10.5)) == Settled(
        (run("test", "failure", ended=9.5),)
    )


def test_jobs_of_one_name_in_two_workflows_are_two_checks() -> None:
    """What passes in the one says nothing of the other; of one workflow the newest run counts."""
    runs = [
        replace(run(name, "failure"), source="workflow_run", id=at_suite, suite=at_suite)
        for name, at_suite in (("CI", 11), ("Nightly", 12), ("CI", 13))
    ]
    jobs = [
        replace(run("test", "failure", id=1), suite=11),
        replace(run("test", "failure", id=2), suite=12),
        replace(run("test", id=3), suite=13),
        replace(run("other", id=4), suite=14),
    ]

    told = with_workflows([*runs, *jobs])
    settled = judged(*told)

    assert [check.workflow for check in told[3:]] == ["CI", "Nightly", "CI", ""]
    assert isinstance(settled, Settled)
    assert [(check.workflow, check.id) for check in settled.failed] == [("Nightly", 2)]


def test_only_the_newest_head_counts() -> None:
    assert judged(run("test", "failure"), newest=NEWER) == Superseded(NEWER)
    assert judged(replace(run("test", "failure"), head=NEWER)) == Settled(())


def test_our_own_checks_are_neither_waited_for_nor_repaired() -> None:
    running = replace(run("Darner review", None), app_id=OURS)
    failed = replace(run("Darner", "failure"), app_id=OURS)
    status = Check(source="status", id=9, name="darner", head=HEAD, status="pending", conclusion=None)

    assert judged(running, failed, status, run("test")) == Settled(())


def test_a_suite_that_nobody_uses_does_not_keep_it_waiting() -> None:
    idle = Check(
        source="check_suite", id=3, name="Some App", head=HEAD, status="queued", conclusion=None, runs=0
    )

    assert judged(idle, run("test")) == Settled(())
    assert judged(replace(idle, runs=2, created_at=at(0)), run("test")) == Unsettled(("Some App",), at(360))


def test_a_check_that_never_ends_is_given_up_and_said() -> None:
    lost = run("ci/old-service", None)
    broken = run("test", "failure")

    assert judged(lost, broken, now=START + timedelta(hours=7)) == Settled((broken,), ("ci/old-service",))


def test_a_check_that_was_run_again_counts_by_its_last_attempt() -> None:
    first = run("test", "failure", id=1)
    again = replace(run("test", "success", id=2), attempt=2)

    assert judged(again, first) == Settled(())
    assert judged(first, replace(again, conclusion="failure")) == Settled(
        (replace(again, conclusion="failure"),)
    )


def test_a_failure_is_told_once_by_what_tells_most() -> None:
    job = run("test", "failure")
    suite = replace(job, source="check_suite", id=5, name="GitHub Actions", runs=1)
    workflow = replace(job, source="workflow_run", id=6, name="CI")

    assert judged(job, suite, workflow) == Settled((job,))
    assert judged(suite, workflow) == Settled((workflow,))


def test_a_workflow_that_could_not_start_is_a_failure_of_its_own() -> None:
    job = run("test", "failure")
    workflow = replace(job, source="workflow_run", id=6, name="broken.yml", conclusion="startup_failure")

    assert judged(job, workflow) == Settled((job, workflow))


def test_cancelled_and_waiting_for_a_person_ask_for_no_repair() -> None:
    assert judged(run("a", "cancelled"), run("b", "action_required"), run("c", "neutral")) == Settled(())


def test_a_status_of_another_service_counts() -> None:
    status = Check(
        source="status",
        id=4,
        name="ci/circleci",
        head=HEAD,
        status="completed",
        conclusion="error",
        completed_at=at(3),
    )

    assert judged(status) == Settled((status,))


def test_a_job_for_a_push_and_the_same_for_a_pull_request_are_two() -> None:
    """The newest counts of one workflow and what began it; what passes elsewhere makes up for nothing."""
    pushed = replace(run("test", "failure", id=1), origin="7 on push")
    proposed = replace(run("test", id=2), origin="7 on pull_request")
    again = replace(run("test", id=3), origin="7 on push")

    assert judged(pushed, proposed) == Settled((pushed,))
    assert judged(pushed, proposed, again) == Settled(())
