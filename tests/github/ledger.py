"""Counts how much of what a test session sent GitHub would recognise; it stops no exchange."""

import os
import re
import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeAlias

import orjson

from tests.github.descriptions import Descriptions, Violation
from tests.github.graphql import GraphqlDescription

Counts: TypeAlias = Counter[str]

_GRAPHQL: Final = "/graphql"
_LISTED: Final = 25
_NAMED: Final = 12


class SentRequest(Protocol):
    """A request as the forge saw it; `path` is what follows the API's root, `/graphql` for GraphQL."""

    @property
    def method(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def query(self) -> str: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def body(self) -> bytes: ...


class GivenResponse(Protocol):
    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def body(self) -> bytes: ...


@dataclass
class Share:
    """How many of a kind were seen, how many were right, and how many only by a known deviation of GitHub."""

    seen: int = 0
    right: int = 0
    excused: int = 0

    def add(self, problems: Iterable[Violation]) -> list[Violation]:
        """Counts one more and returns what is wrong with it beyond GitHub's own deviations of today."""
        listed = list(problems)
        wrong = [problem for problem in listed if not _is_excused(problem)]
        self.seen += 1
        self.right += not wrong
        self.excused += bool(listed) and not wrong
        return wrong

    def merge(self, other: "Share") -> None:
        self.seen += other.seen
        self.right += other.right
        self.excused += other.excused

    def __str__(self) -> str:
        share = 100 * self.right / self.seen if self.seen else 100
        excused = f", {self.excused} of them by a known deviation" if self.excused else ""
        # Rounded down: 9,999 of 10,000 are not 100 %.
        return f"{int(share * 10) / 10:g} % ({self.right} of {self.seen}{excused})"


@dataclass
class Tally:
    """The counts of one process; those of several add up."""

    requests: Share = field(default_factory=Share)
    answers: Share = field(default_factory=Share)
    webhooks: Share = field(default_factory=Share)
    undocumented: Counts = field(default_factory=Counter)
    exercised: Counts = field(default_factory=Counter)
    validated: Counts = field(default_factory=Counter)
    offered: set[str] = field(default_factory=set)
    problems: Counts = field(default_factory=Counter)
    first_seen: dict[str, str] = field(default_factory=dict)

    def merge(self, other: "Tally") -> None:
        self.requests.merge(other.requests)
        self.answers.merge(other.answers)
        self.webhooks.merge(other.webhooks)
        self.undocumented.update(other.undocumented)
        self.exercised.update(other.exercised)
        self.validated.update(other.validated)
        self.offered |= other.offered
        self.problems.update(other.problems)
        self.first_seen = other.first_seen | self.first_seen

    def note(self, subject: str, problems: Sequence[Violation], *, test: str) -> None:
        for problem in problems:
            line = f"{subject}: {problem}"
            self.problems[line] += 1
            self.first_seen.setdefault(line, test)


class Ledger:
    """One for each test session; the forge of any test may write to it, from any thread."""

    def __init__(self, descriptions: Descriptions, graphql: GraphqlDescription) -> None:
        self._descriptions = descriptions
        self._graphql = graphql
        self._lock = threading.Lock()
        self.tally = Tally()

    @classmethod
    def load(cls) -> "Ledger":
        return cls(Descriptions.load(), GraphqlDescription.load())

    def on_exchange(self, request: SentRequest, response: GivenResponse) -> None:
        """Takes one exchange of the API; pages and git are none of it."""
        if request.path == _GRAPHQL:
            self._take_graphql(request, response)
        else:
            self._take_rest(request, response)

    def on_webhook(self, event: str, payload: Mapping[str, object], headers: Mapping[str, str]) -> None:
        problems = self._descriptions.check_webhook(event, payload, headers)
        name = ".".join(filter(None, (event, str(payload.get("action") or ""))))
        with self._lock:
            self._count_undocumented(f"webhook {name}", problems)
            wrong = self.tally.webhooks.add(problem for problem in problems if problem.rule != "member")
            self.tally.note(f"webhook {name}", wrong, test=_test_running())

    def offers(self, routes: Iterable[tuple[str, str]]) -> None:
        """Told the forge's routes (method and template), so that one never validated can be named."""
        with self._lock:
            for method, template in routes:
                path = re.sub(r"\{[^}]+\}", "1", template)
                if found := self._descriptions.match(method, path):
                    self.tally.offered.add(found.id)

    def merge(self, stored: bytes) -> None:
        with self._lock:
            self.tally.merge(_tally_from(orjson.loads(stored)))

    def stored(self) -> bytes:
        with self._lock:
            return orjson.dumps(self.tally, default=_plain)

    def never_validated(self) -> list[str]:
        return sorted(self.tally.offered - set(self.tally.validated))

    def never_exercised(self) -> list[str]:
        return sorted(self.tally.offered - set(self.tally.exercised))

    def failures(self) -> list[str]:
        """Why the session is no success, in sentences."""
        shares = {
            "requests": self.tally.requests,
            "answers": self.tally.answers,
            "webhooks": self.tally.webhooks,
        }
        wrong = [f"{name}: only {share} valid" for name, share in shares.items() if share.right < share.seen]
        if self.tally.undocumented:
            wrong.append(f"{self.tally.undocumented.total()} members sent that no description names")
        return wrong

    def lines(self) -> list[str]:
        """The report, for the end of a test session."""
        tally = self.tally
        report = [
            f"requests valid: {tally.requests}",
            f"answers valid: {tally.answers}",
            f"webhooks valid: {tally.webhooks}",
            f"undocumented members sent: {tally.undocumented.total()}",
            f"operations: {len(tally.exercised)} exercised, {len(tally.validated)} validated"
            + (f", {len(tally.offered)} offered by the forge" if tally.offered else ""),
        ]
        if tally.offered:
            report.append(f"offered, never exercised: {_some(self.never_exercised())}")
            report.append(f"offered, never validated: {_some(self.never_validated())}")
        listed = [*tally.problems.most_common(_LISTED), *tally.undocumented.most_common(_LISTED)]
        report.extend(f"  {count} x {line} [{tally.first_seen.get(line, '')}]" for line, count in listed)
        return report

    def _take_rest(self, request: SentRequest, response: GivenResponse) -> None:
        method = "GET" if request.method == "HEAD" else request.method
        url = f"{request.path}?{request.query}" if request.query else request.path
        operation = self._descriptions.match(method, url)
        asked = self._descriptions.check_request(method, url, request.headers, request.body)
        answered = (
            self._descriptions.check_response(operation, response.status, response.headers, response.body)
            if operation and request.method != "HEAD"
            else []
        )
        subject = operation.id if operation else f"{method} {request.path}"
        with self._lock:
            if operation:
                self.tally.exercised[subject] += 1
            self._count_request(subject, asked, request=request, status=response.status)
            if operation:
                self._count_answer(subject, answered, status=response.status)

    def _take_graphql(self, request: SentRequest, response: GivenResponse) -> None:
        asked = self._graphql.check_request(request.body)
        answered = self._graphql.check_response(response.status, response.body)
        with self._lock:
            self.tally.exercised["graphql"] += 1
            self._count_request(
                "graphql", asked, request=request, status=200 if b'"data"' in response.body else 422
            )
            self._count_answer("graphql", answered, status=response.status)

    def _count_request(
        self, subject: str, problems: Sequence[Violation], *, request: SentRequest, status: int
    ) -> None:
        # A test may send the forge nonsense on purpose. The forge must then refuse it, and nothing is wrong.
        if problems and not _is_from_the_bot(request.headers) and 400 <= status < 500:
            return
        wrong = self.tally.requests.add(problems)
        self.tally.note(f"request {subject}", wrong, test=_test_running())

    def _count_answer(self, subject: str, problems: Sequence[Violation], *, status: int) -> None:
        subject_and_status = f"answer {subject} {status}"
        self._count_undocumented(subject_and_status, problems)
        wrong = self.tally.answers.add(problem for problem in problems if problem.rule != "member")
        self.tally.note(subject_and_status, wrong, test=_test_running())
        if not wrong and status < 400:
            self.tally.validated[subject] += 1

    def _count_undocumented(self, subject: str, problems: Sequence[Violation]) -> None:
        for problem in problems:
            if problem.rule == "member":
                line = f"{subject}: {problem}"
                self.tally.undocumented[line] += 1
                self.tally.first_seen.setdefault(line, _test_running())


def _some(names: Sequence[str]) -> str:
    listed = ", ".join(names[:_NAMED])
    return f"{listed} and {len(names) - _NAMED} more" if len(names) > _NAMED else listed or "none"


def _is_excused(problem: Violation) -> bool:
    """A deviation of old recordings does not excuse a forge that speaks today."""
    return problem.excuse is not None and not problem.excuse.historic


def _is_from_the_bot(headers: Mapping[str, str]) -> bool:
    agent = next((value for name, value in headers.items() if name.lower() == "user-agent"), "")
    return "darner" in agent.lower() or "pygithub" in agent.lower()


def _test_running() -> str:
    # pytest sets it for all threads: https://docs.pytest.org/en/stable/example/simple.html#pytest-current-test
    return os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0]


def _plain(value: object) -> object:
    if isinstance(value, set):
        return sorted(value)
    raise TypeError(type(value).__name__)


def _tally_from(raw: Mapping[str, Mapping[str, int]]) -> Tally:
    return Tally(
        requests=Share(**raw["requests"]),
        answers=Share(**raw["answers"]),
        webhooks=Share(**raw["webhooks"]),
        undocumented=Counter(raw["undocumented"]),
        exercised=Counter(raw["exercised"]),
        validated=Counter(raw["validated"]),
        offered=set(raw["offered"]),
        problems=Counter(raw["problems"]),
        first_seen={line: str(test) for line, test in raw["first_seen"].items()},
    )
