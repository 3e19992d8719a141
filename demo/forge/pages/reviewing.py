"""What the forms of a review do: verdicts, comments on lines, replies; by the same actions as the API."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Form, Request, Response

from demo.forge.actions import reviews, suggestions
from demo.forge.pages.site import PageRoute, Site, see_other
from demo.forge.pages.writing import Field, text_of
from demo.forge.refusals import not_found
from demo.forge.state import ReviewComment, Side

Verdict = Literal["COMMENT", "APPROVE", "REQUEST_CHANGES"]


def reviewing(site: Site) -> APIRouter:
    router = APIRouter(route_class=PageRoute, include_in_schema=False)
    forms = _ReviewForms(site)
    pull = "/{owner}/{name}/pull/{number:int}"
    router.add_api_route(f"{pull}/reviews", forms.review, methods=["POST"])
    router.add_api_route(f"{pull}/line", forms.comment_line, methods=["POST"])
    router.add_api_route(f"{pull}/threads/{{thread_id:int}}", forms.reply, methods=["POST"])
    router.add_api_route(f"{pull}/threads/{{thread_id:int}}/resolution", forms.resolve, methods=["POST"])
    router.add_api_route(f"{pull}/suggestions/{{comment_id:int}}", forms.commit_suggestion, methods=["POST"])
    return router


class _ReviewForms:
    def __init__(self, site: Site) -> None:
        self._site = site

    def review(
        self,
        request: Request,
        owner: str,
        name: str,
        number: int,
        *,
        event: Field = "COMMENT",
        body: Field = "",
    ) -> Response:
        place = self._site.place(request, owner, name=name)
        issue = self._site.pull(place, number)
        verdict: Verdict = event if event in {"APPROVE", "REQUEST_CHANGES"} else "COMMENT"  # type: ignore[assignment]
        review = reviews.review(place.actor, issue, event=verdict, body=text_of(body))
        return see_other(f"{self._site.issue_path(place, issue)}#pullrequestreview-{review.id}")

    def comment_line(
        self,
        request: Request,
        owner: str,
        name: str,
        number: int,
        *,
        path: Field,
        side: Annotated[Side, Form()],
        line: Annotated[int, Form()],
        body: Field,
    ) -> Response:
        place = self._site.place(request, owner, name=name)
        issue = self._site.pull(place, number)
        said = reviews.comment_line(place.actor, issue, path=path, side=side, line=line, body=text_of(body))
        return see_other(f"{self._site.issue_path(place, issue)}/files#discussion_r{said.id}")

    def reply(
        self, request: Request, owner: str, name: str, number: int, thread_id: int, *, body: Field
    ) -> Response:
        place = self._site.place(request, owner, name=name)
        issue = self._site.pull(place, number)
        said = reviews.reply(place.actor, issue, thread_id=thread_id, body=text_of(body))
        return see_other(f"{self._site.issue_path(place, issue)}/files#discussion_r{said.id}")

    def resolve(
        self, request: Request, owner: str, name: str, number: int, thread_id: int, *, then: Field
    ) -> Response:
        place = self._site.place(request, owner, name=name)
        issue = self._site.pull(place, number)
        reviews.resolve(place.actor, issue, thread_id=thread_id, resolved=then == "resolve")
        return see_other(f"{self._site.issue_path(place, issue)}/files#discussion_r{thread_id}")

    def commit_suggestion(
        self, request: Request, owner: str, name: str, number: int, comment_id: int
    ) -> Response:
        place = self._site.place(request, owner, name=name)
        issue = self._site.pull(place, number)
        said = self._site.state.find(ReviewComment, comment_id)
        if said is None or said.issue_id != issue.id:
            raise not_found()
        suggestions.commit_suggestion(place.actor, issue, said)
        return see_other(f"{self._site.issue_path(place, issue)}/files#discussion_r{said.id}")
