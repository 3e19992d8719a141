"""What a review and a failed job leave on the pages can be read, and acted on, as at GitHub."""

import httpx2

from demo.forge import Forge
from demo.forge.actions import checks, reviews, workflows
from demo.forge.git import Git
from demo.forge.pages.joblog import Block, JobLog, Line, read
from demo.forge.state import Annotation, Delivery, Step, WorkflowJob
from tests.forge_pages.conftest import acting, bot, issue, repository

PULL = "/maya/inventory/pull/2"
SUGGESTION = "Start at zero.\n\n```suggestion\n    result = 0.0\n```"
LOG = (
    "2026-01-02T03:04:05.0000000Z ##[group]Run pytest\n"
    "2026-01-02T03:04:05.0000000Z pytest\n"
    "2026-01-02T03:04:06.0000000Z ##[endgroup]\n"
    "2026-01-02T03:04:07.0000000Z \x1b[31mE   assert 1 == <2>\x1b[0m\n"
    "##[error]Process completed with exit code 1.\n"
)


def head_of(forge: Forge) -> str:
    pull = issue(forge, 2).pull
    assert pull is not None
    return pull.head_sha


def failed_job(forge: Forge) -> WorkflowJob:
    """CI runs for the pull request's head and fails."""
    repo, state = repository(forge), forge.state
    run = workflows.queue_run(
        state,
        repo,
        head_sha=head_of(forge),
        head_branch="darner/1-abc",
        jobs=("tests",),
        actor=acting(forge, "maya").user,
    )
    [job] = workflows.jobs_of(state, run)
    workflows.begin_job(state, job)
    step = Step(name="Run pytest", number=1, conclusion="failure")
    workflows.finish_job(state, job, conclusion="failure", log=LOG, steps=(step,))
    return job


async def test_a_suggestion_shows_what_goes_and_what_comes(forge: Forge, visitor: httpx2.AsyncClient) -> None:
    """On both tabs; and its button is not there for somebody who may not write."""
    draft = reviews.Draft(path="shop/cart.py", side="RIGHT", line=5, body=SUGGESTION)
    reviews.review(bot(forge), issue(forge, 2), event="COMMENT", body="", comments=[draft])
    for path in (PULL, f"{PULL}/files"):
        page = (await visitor.get(path)).text
        assert "<pre><del>    result = 0\n</del><ins>    result = 0.0\n</ins></pre>" in page
        assert page.count(">Commit suggestion<") == 1

    await visitor.post("/-/me", data={"who": "oskar"})
    assert ">Commit suggestion<" not in (await visitor.get(PULL)).text


async def test_a_suggestion_is_committed_by_its_button(forge: Forge, visitor: httpx2.AsyncClient) -> None:
    """The lines are replaced in a commit of the reader's, the App hears of it, and the offer is over."""
    forge.set_webhook("http://127.0.0.1:9/webhook", secret="s")
    draft = reviews.Draft(path="shop/cart.py", side="RIGHT", line=5, body=SUGGESTION)
    reviews.review(bot(forge), issue(forge, 2), event="COMMENT", body="", comments=[draft])
    said = forge.state.review_comments(issue(forge, 2))[-1]

    first = await visitor.post(f"{PULL}/suggestions/{said.id}", data={"who": "maya"})
    again = await visitor.post(f"{PULL}/suggestions/{said.id}", data={"who": "maya"})

    git = Git(forge.state.git_dir(repository(forge)))
    entry = git.entry(head_of(forge), "shop/cart.py")
    assert entry is not None
    assert b"    result = 0.0\n    for price in prices:\n" in git.blob(entry.sha)
    assert git.commit(head_of(forge)).author.name == "Maya Lindqvist"
    told = [(sent.event, sent.action) for sent in forge.state.all(Delivery)]
    assert ("pull_request", "synchronize") in told
    assert first.status_code == 200
    assert again.status_code == 422
    assert "cannot be applied any more" in again.text


async def test_a_failed_job_shows_its_log(forge: Forge, visitor: httpx2.AsyncClient) -> None:
    """Step, log and complaint stand on the job's page and on the checks tab; the raw log is plain text."""
    job = failed_job(forge)

    for path in (f"/maya/inventory/runs/{job.check_run_id}", f"{PULL}/checks"):
        page = (await visitor.get(path)).text
        for shown in ("Run pytest", "E   assert 1 == &lt;2&gt;", "Process completed", "Re-run failed jobs"):
            assert shown in page
    raw = await visitor.get(f"/maya/inventory/runs/{job.check_run_id}/log")
    assert raw.headers["content-type"].startswith("text/plain")
    assert raw.text == LOG
    assert "1 failed" in (await visitor.get(PULL)).text


async def test_an_annotation_stands_on_its_line(forge: Forge, visitor: httpx2.AsyncClient) -> None:
    """What a check run says of a line of the diff is read where the line is."""
    note = Annotation(path="shop/cart.py", start_line=6, end_line=6, level="notice", message="Every price?")
    report = checks.Report(name="Lint", conclusion="neutral", annotations=(note,))
    checks.create_check_run(bot(forge), repository(forge), head_sha=head_of(forge), report=report)

    page = (await visitor.get(f"{PULL}/files")).text
    assert page.index("for price in prices:") < page.index("Every price?") < page.index("result += price")
    assert "1 neutral" in (await visitor.get(PULL)).text


def test_a_log_is_read() -> None:
    """Times stand apart, colours are gone, groups have titles, complaints are marked."""
    assert read(LOG) == JobLog(
        (
            Block("Run pytest", (Line(2, "03:04:05", "pytest"),)),
            Block(
                "",
                (
                    Line(4, "03:04:07", "E   assert 1 == <2>"),
                    Line(5, "", "Process completed with exit code 1.", "error"),
                ),
            ),
        ),
        0,
    )


def test_of_a_long_log_the_end_is_shown() -> None:
    """What is left out at its beginning is counted."""
    shown = read("line\n" * 3_500)
    assert shown.left_out == 500
    assert shown.blocks[0].lines[-1].number == 3_500
