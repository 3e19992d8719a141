"""Check runs, suites and annotations over REST."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from demo.forge import shapes
from demo.forge.actions import checks as act
from demo.forge.refusals import Refused, invalid
from demo.forge.rest.call import Answer, Call, Operation, not_supplied, operation, wrong_type
from demo.forge.state import Annotation, CheckAction, CheckRun, CheckStatus, CheckSuite


def _shape(call: Call, run: CheckRun) -> dict[str, object]:
    return shapes.check_run(call.state, call.repo, of=run)


def create_run(call: Call) -> Answer:
    missing = [name for name in ("name", "head_sha") if call.text(name) is None]
    if missing:
        raise not_supplied(*missing)
    run = act.create_check_run(
        call.actor, call.repo, head_sha=call.required("head_sha"), report=_report(call)
    )
    body = _shape(call, run)
    return Answer(status=201, body=body, headers={"location": str(body["url"])})


def update_run(call: Call) -> Answer:
    run = call.named(CheckRun, "check_run_id")
    return Answer(body=_shape(call, act.update_check_run(call.actor, run, report=_report(call))))


def _report(call: Call) -> act.Report:
    output = call.members.get("output")
    if output is not None and not isinstance(output, dict):
        raise wrong_type("output", output, "object")
    given: Mapping[str, object] = output or {}
    actions = call.objects("actions")
    return act.Report(
        name=call.text("name"),
        details_url=call.text("details_url"),
        external_id=call.text("external_id"),
        status=_status(call.text("status")),
        conclusion=call.text("conclusion"),
        started_at=_moment(call.text("started_at")),
        completed_at=_moment(call.text("completed_at")),
        title=_text(given, "title"),
        summary=_text(given, "summary"),
        text=_text(given, "text"),
        annotations=[_annotation(one) for one in _objects(given, "annotations")],
        actions=None if actions is None else [_action(one) for one in actions],
    )


def _status(text: str | None) -> CheckStatus | None:
    match text:
        case None | "queued" | "in_progress" | "completed":
            return text
        case _:
            raise invalid("CheckRun", "invalid", field="status", value=text)


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text).replace(microsecond=0)
    except ValueError as error:
        raise Refused(422, f"Invalid request.\n\n{text} is not a valid date-time.") from error


def _text(given: Mapping[str, object], name: str) -> str | None:
    value = given.get(name)
    if value is None or isinstance(value, str):
        return value
    raise wrong_type(name, value, "string")


def _objects(given: Mapping[str, object], name: str) -> list[Mapping[str, object]]:
    value = given.get(name)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise wrong_type(name, value, "array")
    return list(value)


def _annotation(given: Mapping[str, object]) -> Annotation:
    needed = ("path", "start_line", "end_line", "annotation_level", "message")
    missing = [name for name in needed if given.get(name) is None]
    if missing:
        raise not_supplied(*missing)
    start, end = _line(given, "start_line"), _line(given, "end_line")
    start_column, end_column = given.get("start_column"), given.get("end_column")
    if start != end and (start_column is not None or end_column is not None):
        # Columns only make sense within one line.
        raise invalid("CheckRun", "invalid", field="annotations")
    return Annotation(
        path=str(given["path"]),
        start_line=start,
        end_line=end,
        start_column=_line(given, "start_column") if start_column is not None else None,
        end_column=_line(given, "end_column") if end_column is not None else None,
        level=_level(given["annotation_level"]),
        title=_text(given, "title"),
        message=str(given["message"]),
        raw_details=_text(given, "raw_details"),
    )


def _line(given: Mapping[str, object], name: str) -> int:
    value = given[name]
    if not isinstance(value, int) or isinstance(value, bool):
        raise wrong_type(name, value, "integer")
    return value


def _level(value: object) -> Literal["notice", "warning", "failure"]:
    match value:
        case "notice" | "warning" | "failure":
            return value
        case _:
            raise wrong_type("annotation_level", value, "member of [notice, warning, failure]")


def _action(given: Mapping[str, object]) -> CheckAction:
    missing = [name for name in ("label", "description", "identifier") if given.get(name) is None]
    if missing:
        raise not_supplied(*missing)
    return CheckAction(
        label=str(given["label"]),
        description=str(given["description"]),
        identifier=str(given["identifier"]),
    )


def get_run(call: Call) -> Answer:
    return Answer(body=_shape(call, call.named(CheckRun, "check_run_id")))


def list_annotations(call: Call) -> Answer:
    run = call.named(CheckRun, "check_run_id")
    return call.listing(
        run.annotations,
        lambda one: shapes.annotation(call.state, call.repo, sha=run.head_sha, of=one),
    )


def rerequest(call: Call) -> Answer:
    act.rerequest(call.actor, call.named(CheckRun, "check_run_id"))
    return Answer(status=201, body={})


def _runs(call: Call, runs: list[CheckRun]) -> Answer:
    if name := call.query.get("check_name"):
        runs = [run for run in runs if run.name == name]
    if status := call.query.get("status"):
        runs = [run for run in runs if run.status == status]
    if app_id := call.query.get("app_id"):
        runs = [run for run in runs if str(run.app_id) == app_id]
    if call.query.get("filter", "latest") == "latest":
        runs = list({(run.suite_id, run.name): run for run in runs}.values())
    listed, headers = call.page(runs, lambda run: _shape(call, run))
    return Answer(body={"total_count": len(runs), "check_runs": listed}, headers=headers)


def list_for_ref(call: Call) -> Answer:
    return _runs(call, call.state.check_runs(call.repo, call.sha(call.params["ref"])))


def list_suites(call: Call) -> Answer:
    suites = list(call.state.where(CheckSuite, repo_id=call.repo.id, head_sha=call.sha(call.params["ref"])))
    listed, headers = call.page(suites, lambda one: shapes.check_suite(call.state, call.repo, of=one))
    return Answer(body={"total_count": len(suites), "check_suites": listed}, headers=headers)


def get_suite(call: Call) -> Answer:
    return Answer(body=shapes.check_suite(call.state, call.repo, of=call.named(CheckSuite, "check_suite_id")))


def list_for_suite(call: Call) -> Answer:
    return _runs(call, list(call.state.where(CheckRun, suite_id=call.named(CheckSuite, "check_suite_id").id)))


_REPO = "/repos/{owner}/{repo}"
_RUN = f"{_REPO}/check-runs/{{check_run_id}}"
_SUITE = f"{_REPO}/check-suites/{{check_suite_id}}"

OPERATIONS: tuple[Operation, ...] = (
    operation("checks/create", "POST", f"{_REPO}/check-runs", route=create_run),
    operation("checks/get", "GET", _RUN, route=get_run),
    operation("checks/update", "PATCH", _RUN, route=update_run),
    operation("checks/list-annotations", "GET", f"{_RUN}/annotations", route=list_annotations),
    operation("checks/rerequest-run", "POST", f"{_RUN}/rerequest", route=rerequest),
    operation("checks/list-for-ref", "GET", f"{_REPO}/commits/{{ref}}/check-runs", route=list_for_ref),
    operation(
        "checks/list-suites-for-ref", "GET", f"{_REPO}/commits/{{ref}}/check-suites", route=list_suites
    ),
    operation("checks/get-suite", "GET", _SUITE, route=get_suite),
    operation("checks/list-for-suite", "GET", f"{_SUITE}/check-runs", route=list_for_suite),
)
