"""Checks, jobs, logs and artifacts over the forge's API: as `app.github` has the rest. Blocks: see there."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote, urlsplit

import requests
from github.GithubException import GithubException, UnknownObjectException

from app.forge_error import ForgeError, ForgeFault, forge_error
from app.github import PAGE, Client
from app.tokens import TIMEOUT_SECONDS
from handlers.ci.annotations import Annotation
from handlers.ci.reports import Artifact
from handlers.ci.settled import FAILED, Check, with_workflows

MOST_PAGES: Final = 5
"""Of the check runs of one head: five hundred."""
MOST_PULLS: Final = 300
"""Open pull requests among which a head is looked for."""
CHUNK: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Job:
    """A job of a workflow run."""

    id: int
    name: str
    check_run: int
    conclusion: str
    failed_steps: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReportedRun:
    """A check run's own words."""

    summary: str
    annotations: tuple[Annotation, ...]


@dataclass(frozen=True, slots=True)
class PullState:
    """A pull request as far as its checks are concerned."""

    title: str
    url: str
    is_open: bool


def checks_of(client: Client, sha: str, *, own_slug: str) -> list[Check]:
    """All that has checked the commit, but for the App `own_slug`.

    https://docs.github.com/en/rest/checks/runs#list-check-runs-for-a-git-reference
    """
    here = f"/commits/{quote(sha, safe='')}"
    runs = _all(client, f"{here}/check-runs", "check_runs")
    found = [_check_run(raw) for raw in runs if not _is(raw, own_slug)]
    found += [
        _check_suite(raw)
        for raw in _all(client, f"{here}/check-suites", "check_suites")
        if not _is(raw, own_slug)
    ]
    found += [_status(raw, sha) for raw in _as_granted(client, f"{here}/status", "statuses")]
    workflows = _as_granted(client, "/actions/runs", "workflow_runs", head_sha=sha)
    return with_workflows(found + [_workflow_run(raw) for raw in workflows])


def failed_jobs(client: Client, run: int) -> list[Job]:
    """The failed jobs of a workflow run's last attempt."""
    raws = _all(client, f"/actions/runs/{run}/jobs", "jobs", filter="latest")
    return [_job(raw) for raw in raws if raw.get("conclusion") in FAILED]


def reported(client: Client, check_run: int) -> ReportedRun:
    """What a check run says of itself, and its annotations."""
    raw = client.read(f"/check-runs/{check_run}")
    told: list[Annotation] = []
    if (raw.get("output") or {}).get("annotations_count"):
        notes = client.read(f"/check-runs/{check_run}/annotations", per_page=PAGE)
        told = [_annotation(one) for one in notes]
    output = raw.get("output") or {}
    summary = "\n".join(part for part in (output.get("title"), output.get("summary")) if part)
    return ReportedRun(summary, tuple(told))


def log_chunks(client: Client, job: int) -> Iterator[bytes]:
    """A job's log as it comes. Raises `ForgeError`: `missing` where it is gone or was never kept.

    The forge answers with an address that needs no token and lives for a minute; it is asked without one.
    https://docs.github.com/en/rest/actions/workflow-jobs#download-job-logs-for-a-workflow-run
    """
    yield from _chunks_at(client.redirected(f"/actions/jobs/{job}/logs"), "log")


def artifacts_of(client: Client, run: int) -> list[Artifact]:
    """What a workflow run has left; nothing where it cannot be seen.

    https://docs.github.com/en/rest/actions/artifacts#list-workflow-run-artifacts
    """
    try:
        return [_artifact(raw) for raw in _as_granted(client, f"/actions/runs/{run}/artifacts", "artifacts")]
    except UnknownObjectException:
        return []


def archive_chunks(client: Client, artifact: int) -> Iterator[bytes]:
    """An artifact's zip archive as it comes, as `log_chunks` gives a log.

    https://docs.github.com/en/rest/actions/artifacts#download-an-artifact
    """
    yield from _chunks_at(client.redirected(f"/actions/artifacts/{artifact}/zip"), "artifact")


def _chunks_at(address: str, what: str) -> Iterator[bytes]:
    if urlsplit(address).scheme not in {"https", "http"}:
        raise ForgeError("invalid", f"the address of a {what} is none that can be read", status=0)
    with requests.Session() as session:
        # Without this it would look for credentials of that host on this machine.
        answer = session.get(
            address,
            stream=True,
            timeout=TIMEOUT_SECONDS,
            auth=_as_it_is,
            headers={"User-Agent": "darner"},
            allow_redirects=False,
        )
        if answer.status_code != 200:
            fault: ForgeFault = "broken" if answer.status_code >= 500 else "missing"
            raise ForgeError(fault, f"the {what} cannot be had", status=answer.status_code)
        yield from answer.iter_content(CHUNK)


def rerun_failed(client: Client, run: int, *, attempt: int) -> bool:
    """Run the failed jobs of the `attempt` again. False when that has happened already, or cannot be."""
    raw = client.read(f"/actions/runs/{run}")
    if int(raw.get("run_attempt") or 1) > attempt:
        return False
    try:
        client.do(f"/actions/runs/{run}/rerun-failed-jobs")
    except GithubException as error:
        # Not permitted, too old, or at work already: the failure stands as it is.
        # https://docs.github.com/en/rest/actions/workflow-runs#re-run-failed-jobs-from-a-workflow-run
        if error.status in {403, 404, 409, 422}:
            return False
        raise
    return True


def pull_at(client: Client, sha: str) -> int | None:
    """The open pull request that has this head, forks' among them; the newest are looked at."""
    for page in range(1, MOST_PULLS // PAGE + 1):
        raws = client.read("/pulls", state="open", sort="updated", direction="desc", per_page=PAGE, page=page)
        for raw in raws:
            if raw["head"]["sha"] == sha:
                return int(raw["number"])
        if len(raws) < PAGE:
            return None
    return None


def pull_state(client: Client, number: int) -> PullState | None:
    try:
        raw = client.read(f"/pulls/{number}")
    except UnknownObjectException:
        return None
    return PullState(raw.get("title") or "", raw["html_url"], raw["state"] == "open")


def open_pull_of(client: Client, branches: list[str]) -> int | None:
    """An open pull request whose head is one of these branches of the repository itself."""
    for branch in branches:
        pull = client.find_pull(branch)
        if pull is None:
            continue
        state = pull_state(client, pull.number)
        if state is not None and state.is_open:
            return pull.number
    return None


def _all(client: Client, path: str, member: str, **parameters: Any) -> Iterator[dict[str, Any]]:
    for page in range(1, MOST_PAGES + 1):
        raws = client.read(path, per_page=PAGE, page=page, **parameters)[member]
        yield from raws
        if len(raws) < PAGE:
            return


def _as_granted(client: Client, path: str, member: str, **parameters: Any) -> list[dict[str, Any]]:
    """Nothing where the installation lacks the permission: check runs tell most of it by themselves."""
    try:
        return list(_all(client, path, member, **parameters))
    except GithubException as error:
        if forge_error(error).fault != "denied":
            raise
        return []


def _is(raw: dict[str, Any], slug: str) -> bool:
    return bool(slug) and (raw.get("app") or {}).get("slug") == slug


def _origin(raw: dict[str, Any]) -> str:
    """Which workflow a run is of, and what began it."""
    return f"{raw.get('workflow_id') or raw.get('name') or ''} on {raw.get('event') or ''}"


def _check_run(raw: dict[str, Any]) -> Check:
    return Check(
        source="check_run",
        id=raw["id"],
        name=raw.get("name") or "",
        head=raw["head_sha"],
        status=raw["status"],
        conclusion=raw.get("conclusion"),
        app_id=(raw.get("app") or {}).get("id"),
        suite=(raw.get("check_suite") or {}).get("id"),
        created_at=_time(raw.get("started_at")),
        completed_at=_time(raw.get("completed_at")),
    )


def _check_suite(raw: dict[str, Any]) -> Check:
    is_over = raw.get("status") == "completed"
    return Check(
        source="check_suite",
        id=raw["id"],
        name=(raw.get("app") or {}).get("name") or "",
        head=raw["head_sha"],
        status=raw.get("status") or "queued",
        conclusion=raw.get("conclusion"),
        app_id=(raw.get("app") or {}).get("id"),
        runs=raw.get("latest_check_runs_count"),
        created_at=_time(raw.get("created_at")),
        completed_at=_time(raw.get("updated_at")) if is_over else None,
    )


def _status(raw: dict[str, Any], sha: str) -> Check:
    is_over = raw["state"] != "pending"
    return Check(
        source="status",
        id=raw["id"],
        name=raw.get("context") or "",
        head=sha,
        status="completed" if is_over else "pending",
        conclusion=raw["state"] if is_over else None,
        said="\n".join(part for part in (raw.get("description"), raw.get("target_url")) if part),
        created_at=_time(raw.get("created_at")),
        completed_at=_time(raw.get("updated_at")) if is_over else None,
    )


def _workflow_run(raw: dict[str, Any]) -> Check:
    is_over = raw.get("status") == "completed"
    return Check(
        source="workflow_run",
        id=raw["id"],
        name=raw.get("name") or "",
        head=raw["head_sha"],
        status=raw.get("status") or "queued",
        conclusion=raw.get("conclusion"),
        suite=raw.get("check_suite_id"),
        attempt=int(raw.get("run_attempt") or 1),
        origin=_origin(raw),
        created_at=_time(raw.get("created_at")),
        started_at=_time(raw.get("run_started_at")),
        completed_at=_time(raw.get("updated_at")) if is_over else None,
    )


def _job(raw: dict[str, Any]) -> Job:
    steps = raw.get("steps") or ()
    return Job(
        id=raw["id"],
        name=raw["name"],
        check_run=int(raw["check_run_url"].rpartition("/")[2]),
        conclusion=raw.get("conclusion") or "",
        failed_steps=tuple(step["name"] for step in steps if step.get("conclusion") == "failure"),
    )


def _artifact(raw: dict[str, Any]) -> Artifact:
    return Artifact(
        id=raw["id"],
        name=raw.get("name") or "",
        size=int(raw.get("size_in_bytes") or 0),
        created_at=_time(raw.get("created_at")),
        is_expired=bool(raw.get("expired")),
    )


def _annotation(raw: dict[str, Any]) -> Annotation:
    return Annotation(
        path=raw.get("path") or "",
        start_line=raw.get("start_line"),
        start_column=raw.get("start_column"),
        level=raw.get("annotation_level") or "",
        title=raw.get("title") or "",
        message=raw.get("message") or "",
        raw_details=raw.get("raw_details") or "",
    )


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request
