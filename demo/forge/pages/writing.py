"""What the pages' forms do: each calls the same action as the API, for the same rules and webhooks."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Form, Request, Response

from demo.forge.actions import checks, issues, pulls, workflows
from demo.forge.pages.site import COOKIE, PageRoute, Place, Site, see_other
from demo.forge.refusals import not_found
from demo.forge.state import CheckRun, Comment, Issue, Review, ReviewComment, WorkflowRun

Field = Annotated[str, Form()]


def writing(site: Site) -> APIRouter:
    router = APIRouter(route_class=PageRoute, include_in_schema=False)
    forms = _Forms(site)
    repo = "/{owner}/{name}"
    router.add_api_route("/-/me", forms.choose, methods=["POST"])
    router.add_api_route(f"{repo}/issues/new", forms.open_issue, methods=["POST"])
    router.add_api_route(f"{repo}/issues/{{number:int}}/comments", forms.comment, methods=["POST"])
    router.add_api_route(f"{repo}/issues/{{number:int}}/state", forms.change_state, methods=["POST"])
    router.add_api_route(f"{repo}/comments/{{comment_id:int}}/edit", forms.edit_comment, methods=["POST"])
    router.add_api_route(f"{repo}/reactions/{{kind}}/{{subject_id:int}}", forms.react, methods=["POST"])
    router.add_api_route(f"{repo}/pull/{{number:int}}/draft", forms.change_draft, methods=["POST"])
    router.add_api_route(f"{repo}/pull/{{number:int}}/merge", forms.merge, methods=["POST"])
    router.add_api_route(f"{repo}/runs/{{run_id:int}}", forms.press, methods=["POST"])
    return router


class _Forms:
    def __init__(self, site: Site) -> None:
        self._site = site
        self._state = site.state

    def choose(self, who: Field, back: Field = "/") -> Response:
        """Be another of the seeded users from now on."""
        is_path = back.startswith("/") and not back.startswith("//")
        return self._as(who, see_other(back if is_path else "/"))

    def open_issue(
        self, request: Request, owner: str, name: str, *, title: Field, body: Field = "", who: Field = ""
    ) -> Response:
        place = self._place(request, owner, name=name, who=who)
        issue = issues.create_issue(place.actor, place.repo, title=title, body=text_of(body))
        return self._as(place.me.login, see_other(self._site.issue_path(place, issue)))

    def comment(  # the button that closes also says what was written
        self,
        request: Request,
        owner: str,
        name: str,
        number: int,
        *,
        body: Field = "",
        who: Field = "",
        then: Field = "",
    ) -> Response:
        place = self._place(request, owner, name=name, who=who)
        issue = self._site.issue(place, number)
        anchor = ""
        if body.strip() or not then:
            said = issues.comment(place.actor, issue, body=text_of(body))
            anchor = f"#issuecomment-{said.id}"
        if then in {"close", "reopen"}:
            self._move(place, issue, to=then)
        return self._as(place.me.login, see_other(self._site.issue_path(place, issue) + anchor))

    def change_state(self, request: Request, owner: str, name: str, number: int, *, then: Field) -> Response:
        place = self._place(request, owner, name=name)
        issue = self._site.issue(place, number)
        self._move(place, issue, to=then)
        return see_other(self._site.issue_path(place, issue))

    def edit_comment(
        self, request: Request, owner: str, name: str, comment_id: int, *, body: Field
    ) -> Response:
        place = self._place(request, owner, name=name)
        said = self._state.find(Comment, comment_id)
        if said is None or said.repo_id != place.repo.id:
            raise not_found()
        issues.edit_comment(place.actor, said, body=text_of(body))
        issue = self._state.get(Issue, said.issue_id)
        return see_other(f"{self._site.issue_path(place, issue)}#issuecomment-{said.id}")

    def react(
        self,
        request: Request,
        owner: str,
        name: str,
        kind: str,
        subject_id: int,
        *,
        content: Field,
        back: Field,
    ) -> Response:
        """Gives the reaction, or takes it back if it was given."""
        place = self._place(request, owner, name=name)
        subject = self._subject(place, kind, subject_id)
        reaction, is_new = issues.react(place.actor, subject, content=content)
        if not is_new:
            issues.unreact(place.actor, subject, reaction_id=reaction.id)
        return see_other(back if back.startswith(place.path + "/") else place.path)

    def change_draft(self, request: Request, owner: str, name: str, number: int, *, then: Field) -> Response:
        place = self._place(request, owner, name=name)
        issue = self._site.pull(place, number)
        pulls.set_draft(place.actor, issue, draft=then == "draft")
        return see_other(self._site.issue_path(place, issue))

    def merge(
        self,
        request: Request,
        owner: str,
        name: str,
        number: int,
        *,
        method: Field = "merge",
        head: Field = "",
    ) -> Response:
        place = self._place(request, owner, name=name)
        issue = self._site.pull(place, number)
        known: Literal["merge", "squash", "rebase"] = (
            "squash" if method == "squash" else "rebase" if method == "rebase" else "merge"
        )
        # The head that was on the page: what was pushed since then has not been looked at.
        pulls.merge(place.actor, issue, method=known, expected_head=head or None)
        return see_other(self._site.issue_path(place, issue))

    def press(self, request: Request, owner: str, name: str, run_id: int, *, do: Field = "") -> Response:
        """One of a check run's own buttons, or "Re-run" when none is named."""
        place = self._place(request, owner, name=name)
        run = self._state.find(CheckRun, run_id)
        if run is None or run.repo_id != place.repo.id:
            raise not_found()
        if do:
            checks.request_action(place.actor, run, identifier=do)
        elif job := workflows.job_of(self._state, run):
            workflows.run_again(place.actor, self._state.get(WorkflowRun, job.run_id), only_failed=True)
        else:
            checks.rerequest(place.actor, run)
        return see_other(f"{place.path}/runs/{run.id}")

    def _place(self, request: Request, owner: str, *, name: str, who: str = "") -> Place:
        chosen = next((user for user in self._site.people() if user.login == who), None)
        return self._site.place(request, owner, name=name, me=chosen)

    def _as(self, login: str, response: Response) -> Response:
        if login in {user.login for user in self._site.people()}:
            response.set_cookie(COOKIE, login, httponly=True, samesite="lax", path="/")
        return response

    def _move(self, place: Place, issue: Issue, *, to: str) -> None:
        if to == "reopen":
            issues.reopen(place.actor, issue)
        elif to == "close":
            issues.close(place.actor, issue)

    def _subject(self, place: Place, kind: str, subject_id: int) -> Issue | Comment | ReviewComment | Review:
        kinds = {"issue": Issue, "issue_comment": Comment, "review_comment": ReviewComment, "review": Review}
        subject = self._state.find(kinds[kind], subject_id) if kind in kinds else None
        if subject is None or getattr(subject, "repo_id", None) != place.repo.id:
            raise not_found()
        return subject


def text_of(body: str) -> str:
    """Browsers send a form's line ends as CR LF: https://html.spec.whatwg.org/#constructing-the-form-data-set"""
    return body.replace("\r\n", "\n")
