"""The pages that show: repositories, files, issues, pull requests, checks; none of them changes anything."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import FileResponse, PlainTextResponse

from demo.forge import shapes
from demo.forge.actions import pulls as pull_actions
from demo.forge.actions import workflows
from demo.forge.git import EMPTY_TREE, Entry, Git
from demo.forge.pages import diffview, joblog, timeline
from demo.forge.pages.site import PageRoute, Place, Site
from demo.forge.refusals import not_found
from demo.forge.state import CheckRun, Issue, Pull, Repository, Side, User, WorkflowJob

STATIC: Final = Path(__file__).parent / "static"
LARGEST_SHOWN: Final = 400_000
Listed = Literal["open", "closed"]
Kind = Literal["issues", "pulls"]
KINDS: Final[tuple[Kind, ...]] = ("issues", "pulls")


def reading(site: Site) -> APIRouter:
    """The routes; registered after the API's and git's, since `/OWNER/NAME` matches nearly everything."""
    router = APIRouter(route_class=PageRoute, include_in_schema=False)
    pages = _Pages(site)
    # A sync function runs on a worker thread: git and the state's lock may block there.
    router.add_api_route("/", pages.repositories)
    router.add_api_route("/-/{file}", static)
    router.add_api_route("/avatars/u/{user_id}", pages.avatar)
    router.add_api_route("/apps/{slug}", pages.app)
    router.add_api_route("/{owner}", pages.account)
    router.add_api_route("/{owner}/{name}", pages.repository)
    router.add_api_route("/{owner}/{name}/branches", pages.branches)
    router.add_api_route("/{owner}/{name}/commits/{ref:path}", pages.commits)
    router.add_api_route("/{owner}/{name}/commit/{sha}", pages.commit)
    router.add_api_route("/{owner}/{name}/tree/{where:path}", pages.tree)
    router.add_api_route("/{owner}/{name}/blob/{where:path}", pages.blob)
    router.add_api_route("/{owner}/{name}/raw/{where:path}", pages.raw)
    router.add_api_route("/{owner}/{name}/issues", pages.issues)
    router.add_api_route("/{owner}/{name}/issues/new", pages.new_issue)
    router.add_api_route("/{owner}/{name}/issues/{number:int}", pages.issue)
    router.add_api_route("/{owner}/{name}/pulls", pages.pulls)
    router.add_api_route("/{owner}/{name}/pull/{number:int}", pages.pull)
    router.add_api_route("/{owner}/{name}/pull/{number:int}/commits", pages.pull_commits)
    router.add_api_route("/{owner}/{name}/pull/{number:int}/checks", pages.pull_checks)
    router.add_api_route("/{owner}/{name}/pull/{number:int}/files", pages.pull_files)
    router.add_api_route("/{owner}/{name}/pull/{number:int}.diff", pages.pull_diff)
    router.add_api_route("/{owner}/{name}/runs/{run_id:int}", pages.check_run)
    router.add_api_route("/{owner}/{name}/runs/{run_id:int}/log", pages.job_log)
    return router


@dataclass(frozen=True, slots=True)
class _Log:
    """What a runner left of a job."""

    job: WorkflowJob
    shown: joblog.JobLog


def static(file: str) -> Response:
    if file not in {"forge.css", "forge.js"}:
        raise not_found()
    return FileResponse(
        STATIC / file, headers={"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}
    )


class _Pages:
    def __init__(self, site: Site) -> None:
        self._site = site
        self._state = site.state

    def repositories(self, request: Request) -> Response:
        me = self._site.me(request)
        seen = [repo for repo in self._state.all(Repository) if self._state.role_of(me, repo) != "none"]
        return self._site.page(
            "repositories.html", request, me=me, shown={"owner": None, "repositories": self._listed(seen)}
        )

    def account(self, request: Request, owner: str) -> Response:
        me = self._site.me(request)
        shown = self._state.user(owner)
        if shown is None:
            raise not_found()
        seen = [
            repo
            for repo in self._state.where(Repository, owner_id=shown.id)
            if self._state.role_of(me, repo) != "none"
        ]
        return self._site.page(
            "repositories.html", request, me=me, shown={"owner": shown, "repositories": self._listed(seen)}
        )

    def app(self, request: Request, slug: str) -> Response:
        return self.account(request, f"{slug}[bot]")

    def avatar(self, user_id: int) -> Response:
        user = self._state.find(User, user_id)
        if user is None:
            raise not_found()
        hue = int.from_bytes(hashlib.sha256(user.login.encode()).digest()[:2], "big") % 360
        shape = (
            '<rect width="40" height="40" rx="9"' if user.type == "Bot" else '<circle cx="20" cy="20" r="20"'
        )
        letter = user.login[:1].upper()
        # The login's alphabet has no character that means anything in XML.
        text = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 40 40">{shape} fill="hsl({hue} 45% 46%)"/>'
            '<text x="20" y="27" font-family="sans-serif" font-size="20" font-weight="600" fill="#fff"'
            f' text-anchor="middle">{letter}</text></svg>'
        )
        return Response(text, media_type="image/svg+xml", headers={"Cache-Control": "max-age=3600"})

    def repository(self, request: Request, owner: str, name: str) -> Response:
        place = self._site.place(request, owner, name=name)
        return self._directory(request, place, ref=place.repo.default_branch, path="")

    def tree(self, request: Request, owner: str, name: str, where: str) -> Response:
        place = self._site.place(request, owner, name=name)
        ref, _, path = self._ref_and_path(place, where)
        return self._directory(request, place, ref=ref, path=path)

    def blob(self, request: Request, owner: str, name: str, where: str) -> Response:
        place = self._site.place(request, owner, name=name)
        ref, sha, path = self._ref_and_path(place, where)
        git = self._git(place)
        entry = git.entry(sha, path)
        if entry is None or entry.type != "blob":
            raise not_found()
        text = _text_of(git, entry)
        is_markdown = path.lower().endswith((".md", ".markdown"))
        return self._shown(
            "blob.html",
            request,
            place=place,
            tab="code",
            ref=ref,
            path=path,
            entry=entry,
            lines=None if text is None else text.removesuffix("\n").split("\n"),
            rendered=place.render(text) if text and is_markdown else None,
        )

    def raw(self, request: Request, owner: str, name: str, where: str) -> Response:
        place = self._site.place(request, owner, name=name)
        _, sha, path = self._ref_and_path(place, where)
        git = self._git(place)
        entry = git.entry(sha, path)
        if entry is None or entry.type != "blob":
            raise not_found()
        # Always plain text: a page in somebody's repository must not become a page of this site.
        return PlainTextResponse(git.blob(entry.sha), headers={"X-Content-Type-Options": "nosniff"})

    def branches(self, request: Request, owner: str, name: str) -> Response:
        place = self._site.place(request, owner, name=name)
        git = self._git(place)
        tips = {
            ref.removeprefix("refs/heads/"): git.commit(sha) for ref, sha in git.refs("refs/heads/").items()
        }
        open_pulls = {
            issue.pull.head_ref: issue
            for issue in self._state.issues(place.repo)
            if issue.pull and issue.state == "open"
        }
        return self._shown("branches.html", request, place=place, tab="code", tips=tips, pulls=open_pulls)

    def commits(self, request: Request, owner: str, name: str, ref: str) -> Response:
        place = self._site.place(request, owner, name=name)
        git = self._git(place)
        if (sha := git.resolve(ref)) is None:
            raise not_found()
        return self._shown(
            "commits.html", request, place=place, tab="code", ref=ref, commits=git.log(sha, limit=100)
        )

    def commit(self, request: Request, owner: str, name: str, sha: str) -> Response:
        place = self._site.place(request, owner, name=name)
        git = self._git(place)
        if (full := git.resolve(sha)) is None:
            raise not_found()
        commit = git.commit(full)
        before = commit.parents[0] if commit.parents else EMPTY_TREE
        files = [(file, diffview.rows(file.patch)) for file in git.changes(before, full)]
        return self._shown("commit.html", request, place=place, tab="code", commit=commit, files=files)

    def issues(self, request: Request, owner: str, name: str, state: Listed = "open") -> Response:
        return self._list(request, self._site.place(request, owner, name=name), kind="issues", state=state)

    def pulls(self, request: Request, owner: str, name: str, state: Listed = "open") -> Response:
        return self._list(request, self._site.place(request, owner, name=name), kind="pulls", state=state)

    def new_issue(self, request: Request, owner: str, name: str) -> Response:
        place = self._site.place(request, owner, name=name)
        return self._shown("new_issue.html", request, place=place, tab="issues")

    def issue(self, request: Request, owner: str, name: str, number: int) -> Response:
        place = self._site.place(request, owner, name=name)
        return self._conversation(request, place, issue=self._site.issue(place, number))

    def pull(self, request: Request, owner: str, name: str, number: int) -> Response:
        return self.issue(request, owner, name, number)

    def pull_commits(self, request: Request, owner: str, name: str, number: int) -> Response:
        place, issue, pull = self._pull(request, owner, name=name, number=number)
        commits = timeline.commits(self._state, place.repo.id, pull)
        return self._pull_tab("pull_commits.html", request, place=place, issue=issue, commits=commits)

    def pull_checks(self, request: Request, owner: str, name: str, number: int) -> Response:
        place, issue, pull = self._pull(request, owner, name=name, number=number)
        checks = timeline.latest_checks(self._state, place.repo, head_sha=pull.head_sha)
        shown = [(run, self._log(run)) for run in checks]
        return self._pull_tab("pull_checks.html", request, place=place, issue=issue, checks=shown)

    def pull_files(
        self,
        request: Request,
        owner: str,
        name: str,
        number: int,
        *,
        path: str = "",
        side: Side = "RIGHT",
        line: int = Query(0, ge=0),
    ) -> Response:
        place, issue, pull = self._pull(request, owner, name=name, number=number)
        begun = timeline.threads(self._state, issue)
        checks = timeline.latest_checks(self._state, place.repo, head_sha=pull.head_sha)
        noted = [note for run in checks for note in run.annotations]
        files = [
            (
                file,
                diffview.rows(
                    file.patch,
                    threads=[thread for thread in begun if thread.first.path == file.path],
                    notes=[note for note in noted if note.path == file.path],
                ),
            )
            for file in shapes.comparison(self._state, place.repo, pull=pull).files
        ]
        shown = {thread.first.id for _, rows in files for row in rows for thread in row.threads}
        return self._pull_tab(
            "pull_files.html",
            request,
            place=place,
            issue=issue,
            files=files,
            elsewhere=[thread for thread in begun if thread.first.id not in shown],
            asked=(path, side, line),
        )

    def pull_diff(self, request: Request, owner: str, name: str, number: int) -> Response:
        place, _, pull = self._pull(request, owner, name=name, number=number)
        compared = shapes.comparison(self._state, place.repo, pull=pull)
        return PlainTextResponse(self._git(place).diff(compared.merge_base, pull.head_sha))

    def check_run(self, request: Request, owner: str, name: str, run_id: int) -> Response:
        place = self._site.place(request, owner, name=name)
        run = self._check_run(place, run_id)
        log = self._log(run)
        return self._shown("check_run.html", request, place=place, tab="pulls", run=run, log=log)

    def job_log(self, request: Request, owner: str, name: str, run_id: int) -> Response:
        run = self._check_run(self._site.place(request, owner, name=name), run_id)
        job = workflows.job_of(self._state, run)
        if job is None or run.status != "completed":
            raise not_found()
        return PlainTextResponse(job.log, headers={"X-Content-Type-Options": "nosniff"})

    def _check_run(self, place: Place, run_id: int) -> CheckRun:
        run = self._state.find(CheckRun, run_id)
        if run is None or run.repo_id != place.repo.id:
            raise not_found()
        return run

    def _log(self, run: CheckRun) -> _Log | None:
        job = workflows.job_of(self._state, run)
        return _Log(job, joblog.read(job.log)) if job else None

    def _listed(self, repos: Sequence[Repository]) -> list[tuple[Repository, str, int]]:
        newest_first = sorted(repos, key=lambda repo: repo.pushed_at, reverse=True)
        return [(repo, self._state.full_name(repo), self._open(repo, kind="issues")) for repo in newest_first]

    def _open(self, repo: Repository, *, kind: Kind) -> int:
        is_pull = kind == "pulls"
        return sum(
            issue.state == "open" and (issue.pull is not None) == is_pull
            for issue in self._state.issues(repo)
        )

    def _shown(self, template: str, request: Request, *, place: Place, tab: str, **shown: object) -> Response:
        owner, _, name = self._state.full_name(place.repo).partition("/")
        everywhere = {
            "place": place,
            "repo": place.repo,
            "owner": owner,
            "name": name,
            "tab": tab,
            "counts": {kind: self._open(place.repo, kind=kind) for kind in KINDS},
        }
        return self._site.page(template, request, me=place.me, shown=everywhere | shown)

    def _list(self, request: Request, place: Place, *, kind: Kind, state: Listed) -> Response:
        every = [
            issue for issue in self._state.issues(place.repo) if (issue.pull is not None) == (kind == "pulls")
        ]
        listed = [issue for issue in reversed(every) if issue.state == state]
        totals = {word: sum(issue.state == word for issue in every) for word in ("open", "closed")}
        talk = {issue.id: len(self._state.comments(issue)) for issue in listed}
        return self._shown(
            "issues.html",
            request,
            place=place,
            tab=kind,
            issues=listed,
            state=state,
            totals=totals,
            talk=talk,
        )

    def _conversation(self, request: Request, place: Place, *, issue: Issue) -> Response:
        if issue.pull is not None:
            issue = pull_actions.find_mergeable(self._state, issue)
        is_fragment = request.query_params.get("fragment") == "live"
        template = "live.html" if is_fragment else "issue.html"
        checks = (
            timeline.latest_checks(self._state, place.repo, head_sha=issue.pull.head_sha)
            if issue.pull
            else []
        )
        compared = shapes.comparison(self._state, place.repo, pull=issue.pull) if issue.pull else None
        return self._shown(
            template,
            request,
            place=place,
            tab="pulls" if issue.pull else "issues",
            subtab="conversation",
            issue=issue,
            pull=issue.pull,
            compared=compared,
            entries=timeline.entries(self._state, issue),
            checks=checks,
            may_edit=place.may_write or issue.author_id == place.me.id,
        )

    def _pull(self, request: Request, owner: str, *, name: str, number: int) -> tuple[Place, Issue, Pull]:
        place = self._site.place(request, owner, name=name)
        issue = self._site.issue(place, number)
        if issue.pull is None:
            raise not_found()
        return place, issue, issue.pull

    def _pull_tab(
        self, template: str, request: Request, *, place: Place, issue: Issue, **shown: object
    ) -> Response:
        pull = shapes.pull_of(issue)
        return self._shown(
            template,
            request,
            place=place,
            tab="pulls",
            subtab=template.removesuffix(".html").removeprefix("pull_"),
            issue=issue,
            pull=pull,
            compared=shapes.comparison(self._state, place.repo, pull=pull),
            **shown,
        )

    def _git(self, place: Place) -> Git:
        return Git(self._state.git_dir(place.repo))

    def _ref_and_path(self, place: Place, where: str) -> tuple[str, str, str]:
        """The name, its commit and the path. Branch names may hold slashes: the longest that exists wins."""
        git = self._git(place)
        steps = where.strip("/").split("/")
        for length in range(len(steps), 0, -1):
            ref = "/".join(steps[:length])
            if (sha := git.resolve(ref)) is not None:
                return ref, sha, "/".join(steps[length:])
        raise not_found()

    def _directory(self, request: Request, place: Place, *, ref: str, path: str) -> Response:
        git = self._git(place)
        sha = git.resolve(ref)
        entries = git.tree(sha, path) if sha else []
        if path and not entries:
            raise not_found()
        listed = sorted(entries, key=lambda entry: (entry.type != "tree", entry.path))
        readme = next((entry for entry in listed if _name(entry).lower() in {"readme.md", "readme"}), None)
        text = _text_of(git, readme) if readme else None
        return self._shown(
            "repository.html",
            request,
            place=place,
            tab="code",
            ref=ref,
            path=path,
            entries=[(entry, _name(entry)) for entry in listed],
            last=git.commit(sha) if sha else None,
            branches=len(git.refs("refs/heads/")),
            readme=place.render(text) if text else None,
        )


def _name(entry: Entry) -> str:
    return entry.path.rpartition("/")[2]


def _text_of(git: Git, entry: Entry) -> str | None:
    """The file's text, or None if it is binary or too big to show."""
    if entry.type != "blob" or entry.size > LARGEST_SHOWN:
        return None
    content = git.blob(entry.sha)
    return None if b"\0" in content else content.decode(errors="replace")
