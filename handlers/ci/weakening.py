"""Does a change make CI pass by asking less of the code? Judges a diff, line by line.

It reads text, not programs: it finds what is plainly said, and whoever wants to hide a weakening from it can.
That is why a person sees the whole diff of what is held, and why a repair is judged by more than its tests.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Final, Literal

from handlers.ci.languages import Language, is_test_file, language_of
from handlers.review.diff import DiffUnreadable, FileDiff, numbered, parse_diff

WeakeningKind = Literal[
    "test_deleted",
    "test_skipped",
    "assertion_weakened",
    "threshold_loosened",
    "check_suppressed",
    "ci_changed",
    "unread",
]
MOST: Final = 100


@dataclass(frozen=True, slots=True)
class Weakening:
    path: str
    """Empty where it is not about one file."""
    line: int | None
    """In the new file; in the old one where something was taken away. None for a whole file."""
    kind: WeakeningKind
    said: str
    """A clause for a person, with words out of the diff: hostile text."""


def find_weakening(diff: str) -> tuple[Weakening, ...]:
    """What in `diff`, as `git diff` writes it, takes away from what CI checks: at most `MOST`, in order.

    A test that was moved or renamed with its assertions is none, nor is a new test that skips itself. A diff
    that cannot be read (it was cut, or is none) is one by itself: what nobody looked at is held.
    """
    try:
        files = parse_diff(diff)
    except DiffUnreadable as problem:
        return (Weakening("", None, "unread", f"the diff could not be judged: {problem}"),)
    changes = [_Change(file) for file in files]
    tests = _Tests(changes)
    found: list[Weakening] = []
    for change in changes:
        found += _by_file(change)
        found += tests.lost_in(change)
        found += _skipped(change, tests)
        found += _asserted_less(change, tests)
        found += _loosened(change)
        found += _suppressed(change, tests.moved_lines)
        found += _deselected(change)
    return tuple(dict.fromkeys(found))[:MOST]


@dataclass(frozen=True, slots=True)
class _Line:
    number: int
    text: str


@dataclass(slots=True)
class _Run:
    """Changed lines that stand together, without an unchanged one between them."""

    removed: list[_Line] = field(default_factory=list)
    added: list[_Line] = field(default_factory=list)


class _Change:
    """One file of the diff, with what is asked of it again and again."""

    def __init__(self, file: FileDiff) -> None:
        self.file = file
        self.path = file.path
        self.language = language_of(file.path)
        self.runs = list(_runs(file))
        self.is_test = is_test_file(file.path) or is_test_file(file.old_path)
        if self.language and not self.is_test:
            # Rust has its tests in the files that they test; others may.
            texts = [line[1:] for hunk in file.hunks for line in hunk.lines]
            self.is_test = any(self.language.mark.search(text) or "#[cfg(test)]" in text for text in texts)

    @property
    def removed(self) -> Iterator[_Line]:
        return (line for run in self.runs for line in run.removed)

    @property
    def added(self) -> Iterator[_Line]:
        return (line for run in self.runs for line in run.added)


def _runs(file: FileDiff) -> Iterator[_Run]:
    for hunk in file.hunks:
        run = _Run()
        for old, new, text in numbered(hunk):
            if old is not None and new is not None:
                if run.removed or run.added:
                    yield run
                run = _Run()
            elif old is not None:
                run.removed.append(_Line(old, text[:_LONGEST]))
            elif new is not None:
                run.added.append(_Line(new, text[:_LONGEST]))
        if run.removed or run.added:
            yield run


_LONGEST: Final = 1_000


@dataclass(frozen=True, slots=True)
class _Test:
    name: str
    line: int
    run: int
    assertions: frozenset[str]
    """Of its body, as far as the diff shows it."""


class _Tests:
    """The tests that the diff takes away or brings, over all files: what goes here and comes there moved."""

    def __init__(self, changes: Sequence[_Change]) -> None:
        self._removed = {id(change): _tests_of(change, "-") for change in changes}
        added = {id(change): _tests_of(change, "+") for change in changes}
        # Tests by the runs of changed lines that they begin in: one may stand in the place of another.
        self._went = Counter((key, test.run) for key, tests in self._removed.items() for test in tests)
        self._came = Counter((key, test.run) for key, tests in added.items() for test in tests)
        self._asserting: dict[str, list[_Test]] = {}
        names: Counter[str] = Counter()
        for test in (test for tests in added.values() for test in tests):
            names[test.name] += 1
            for assertion in test.assertions:
                self._asserting.setdefault(assertion, []).append(test)
        taken = Counter(_words(line.text) for change in changes for line in change.removed)
        brought = Counter(_words(line.text) for change in changes for line in change.added)
        self.moved_lines = taken & brought
        """Lines (without their indentation) that are on both sides of the diff, and how often."""
        self.new_names = frozenset(names) - {test.name for tests in self._removed.values() for test in tests}
        self._deleted: dict[int, list[_Test]] = {}
        for change in changes:
            for test in self._removed[id(change)]:
                if names[test.name]:
                    names[test.name] -= 1
                elif not self._was_renamed(change, test):
                    self._deleted.setdefault(id(change), []).append(test)

    def lost_in(self, change: _Change) -> list[Weakening]:
        deleted = self._deleted.get(id(change), [])
        if change.file.kind == "deleted" and deleted and len(deleted) == len(self._removed[id(change)]):
            said = f"deletes the test file with {len(deleted)} test{'s' if len(deleted) > 1 else ''}"
            return [Weakening(change.path, None, "test_deleted", said)]
        return [
            Weakening(change.path, test.line, "test_deleted", f"deletes the test `{_short(test.name)}`")
            for test in deleted
        ]

    def assertions_of_deleted(self, change: _Change) -> frozenset[str]:
        return frozenset(word for test in self._deleted.get(id(change), []) for word in test.assertions)

    def _was_renamed(self, change: _Change, test: _Test) -> bool:
        """Whether another test took its place, or has all that it asserted."""
        if not test.assertions:
            place = (id(change), test.run)
            return self._came[place] >= self._went[place]
        rarest = min((self._asserting.get(one, []) for one in test.assertions), key=len)
        return any(test.assertions <= other.assertions for other in rarest[:_MOST_ALIKE])


_MOST_ALIKE: Final = 100


def _tests_of(change: _Change, mark: Literal["-", "+"]) -> list[_Test]:
    language = change.language
    if language is None or not change.is_test:
        return []
    tests: list[_Test] = []
    run = -1
    was_changed = False
    for hunk in change.file.hunks:
        is_marked = False
        open_test: tuple[str, int, int] | None = None
        assertions: set[str] = set()
        for position, (old, new, text) in enumerate(numbered(hunk)):
            is_changed = old is None or new is None
            run += is_changed and not (was_changed and position)
            was_changed = is_changed
            number = old if mark == "-" else new
            if number is None:
                continue
            text = text[:_LONGEST]
            name = _begins_test(text, language, is_marked=is_marked)
            is_marked = (is_marked and not name) or language.mark.search(text) is not None
            if name:
                if open_test:
                    tests.append(_Test(*open_test, frozenset(assertions)))
                assertions = set()
                open_test = (name[1], number, run) if is_changed else None
            elif open_test and (is_changed or mark == "+") and language.assertion.search(text):
                # A body that stays is the new side's: what was renamed keeps its assertions there.
                assertions.add(_words(text))
        if open_test:
            tests.append(_Test(*open_test, frozenset(assertions)))
    return tests


def _begins_test(text: str, language: Language, *, is_marked: bool) -> re.Match[str] | None:
    found = language.test.search(text)
    return found or (language.marked.search(text) if is_marked else None)


def _by_file(change: _Change) -> list[Weakening]:
    file = change.file
    for path in dict.fromkeys((file.path, file.old_path)):
        if _CI_FILE.search(path):
            return [Weakening(path, None, "ci_changed", "changes what CI runs")]
    if file.kind == "renamed" and is_test_file(file.old_path) and not is_test_file(file.path):
        said = f"renames the test file `{_short(file.old_path)}` to one that no test runner looks into"
        return [Weakening(file.path, None, "test_deleted", said)]
    return []


_CI_FILE: Final = re.compile(
    r"^\.github/(?:workflows|actions)/|^\.gitlab-ci\.ya?ml$|^\.gitlab/ci/|(?:^|/)azure-pipelines[^/]*\.ya?ml$"
    r"|(?:^|/)Jenkinsfile[^/]*$|^\.circleci/|^\.travis\.ya?ml$|^bitbucket-pipelines\.ya?ml$|^\.drone\.ya?ml$"
    r"|^\.buildkite/|^\.?appveyor\.ya?ml$|^\.woodpecker(?:/|\.ya?ml$)|^\.cirrus\.ya?ml$|^\.teamcity/",
    re.IGNORECASE,
)


def _skipped(change: _Change, tests: _Tests) -> Iterator[Weakening]:
    language = change.language
    if language is None or (change.file.kind == "added" and not change.path.endswith("conftest.py")):
        # A file that was not there skips only what was not there.
        return
    for run in change.runs:
        new_tests = _lines_of_new_tests(run, language, tests.new_names)
        yield from (
            Weakening(change.path, line.number, "test_skipped", f"skips tests: `{_short(line.text)}`")
            for line in _new_marks(run, language.skip, language, tests.moved_lines)
            if line.number not in new_tests
        )


def _lines_of_new_tests(run: _Run, language: Language, new_names: frozenset[str]) -> set[int]:
    """The added lines of tests that were not there before, their decorators and attributes included."""
    lines: set[int] = set()
    above: list[int] = []
    is_new = is_marked = False
    for line in run.added:
        found = _begins_test(line.text, language, is_marked=is_marked)
        is_marked = (is_marked and not found) or language.mark.search(line.text) is not None
        if found:
            is_new = found[1] in new_names
            if is_new:
                lines |= {*above, line.number}
            above = []
        elif line.text.lstrip().startswith(("@", "#[")):
            above.append(line.number)
        elif is_new and line.text[:1].isspace():
            lines.add(line.number)
            above = []
        elif line.text.strip():
            above = []
            is_new = False
    return lines


def _suppressed(change: _Change, moved: Counter[str]) -> Iterator[Weakening]:
    language = change.language
    if language is None:
        return
    for run in change.runs:
        yield from (
            Weakening(
                change.path, line.number, "check_suppressed", f"silences a check: `{_short(line.text)}`"
            )
            for line in _new_marks(run, language.suppression, None, moved)
        )


def _new_marks(
    run: _Run, pattern: re.Pattern[str], language: Language | None, moved: Counter[str]
) -> Iterator[_Line]:
    """Added lines with a mark that neither the lines they replace nor a line moved here had."""
    known = Counter(mark for line in run.removed for mark in _marks(line, pattern, language))
    for line in run.added:
        marks = Counter(_marks(line, pattern, language))
        is_new = bool(marks - known)
        known -= marks
        if is_new and not moved[_words(line.text)]:
            yield line


def _marks(line: _Line, pattern: re.Pattern[str], language: Language | None) -> list[str]:
    if language and line.text.lstrip().startswith(language.comment) and not line.text.startswith("//go:"):
        return []
    return [found.group() for found in pattern.finditer(line.text)]


def _asserted_less(change: _Change, tests: _Tests) -> Iterator[Weakening]:
    language = change.language
    if language is None or not change.is_test:
        return
    told = tests.assertions_of_deleted(change)
    brought = Counter(tests.moved_lines)
    for run in change.runs:
        gone = []
        for line in run.removed:
            words = _words(line.text)
            if not _is_assertion(line, language) or words in told:
                continue
            if brought[words]:
                brought[words] -= 1
            else:
                gone.append(line)
        came = [
            line for line in run.added if _is_assertion(line, language) and not brought[_words(line.text)]
        ]
        for index, line in enumerate(gone):
            if index >= len(came):
                said = f"takes away the assertion `{_short(line.text)}`"
                yield Weakening(change.path, line.number, "assertion_weakened", said)
            elif _is_weaker(line.text, came[index].text, language):
                said = f"asserts less: `{_short(line.text)}` became `{_short(came[index].text)}`"
                yield Weakening(change.path, came[index].number, "assertion_weakened", said)


def _is_assertion(line: _Line, language: Language) -> bool:
    if line.text.lstrip().startswith(language.comment):
        return False
    return language.assertion.search(line.text) is not None


def _is_weaker(before: str, after: str, language: Language) -> bool:
    if _TRIVIAL.search(after) and not _TRIVIAL.search(before):
        return True
    is_exact = language.exact.search(before) and not language.vague.search(before)
    return bool(is_exact and language.vague.search(after))


_TRIVIAL: Final = re.compile(
    r"\bassert (?:True|1)\s*$|\bassertTrue\((?:true|True)\)|expect\(true\)|assert!\(true\)"
)


@dataclass(frozen=True, slots=True)
class _Threshold:
    pattern: re.Pattern[str]
    """Its key and its value."""
    is_looser_when: Literal["lower", "higher"]
    where: Callable[[_Change], bool]
    must_stay: bool = False


def _loosened(change: _Change) -> Iterator[Weakening]:
    """Numbers whose key is a threshold, where the same key had a stricter one before."""
    for threshold in _THRESHOLDS:
        if threshold.where(change):
            yield from _loosened_by(threshold, change)


def _loosened_by(threshold: _Threshold, change: _Change) -> Iterator[Weakening]:
    later: dict[str, list[tuple[_Line, float]]] = {}
    for line in change.added:
        for found in threshold.pattern.finditer(line.text):
            later.setdefault(_key(found), []).append((line, _number(found[2])))
    for line in change.removed:
        for found in threshold.pattern.finditer(line.text):
            replaced = later.get(_key(found))
            if replaced:
                new_line, value = replaced.pop(0)
                before = _number(found[2])
                if value < before if threshold.is_looser_when == "lower" else value > before:
                    said = f"loosens a threshold: `{_short(line.text)}` became `{_short(new_line.text)}`"
                    yield Weakening(change.path, new_line.number, "threshold_loosened", said)
            elif threshold.must_stay:
                said = f"takes away the threshold `{_short(line.text)}`"
                yield Weakening(change.path, line.number, "threshold_loosened", said)


def _key(found: re.Match[str]) -> str:
    return found[1].casefold().replace("-", "_")


def _number(text: str) -> float:
    try:
        return float(text.replace("_", ""))
    except ValueError:
        return 0.0


_VALUE: Final = r"[\"']?[ \t]{0,8}[=:(,]?[ \t]{0,8}[\"']?(\d[\d_]*(?:\.\d+)?(?:[eE][+-]?\d+)?|\.\d+)"
_COVERAGE: Final = re.compile(
    r"\b(fail[_-]under|cov-fail-under|min[_-]?coverage|coverage[_-]threshold|minimum[_-]coverage)\b" + _VALUE,
    re.IGNORECASE,
)
_COVERAGE_PARTS: Final = re.compile(
    r"\b(branches|functions|lines|statements|target|minimum)\b" + _VALUE, re.IGNORECASE
)
_WARNINGS: Final = re.compile(
    r"(?<![\w])(max[_-]warnings|max[_-]complexity|max[_-]line[_-]length|reruns|retries)\b" + _VALUE,
    re.IGNORECASE,
)
_TOLERANCE: Final = re.compile(
    r"\b(timeout\w*|testTimeout|setTimeout|tolerance|atol|rtol|rel_tol|abs_tol|abs|rel|delta|epsilon|eps|within)\b"
    + _VALUE,
    re.IGNORECASE,
)
_PLACES: Final = re.compile(r"\b(places|decimal|numDigits|precision)\b" + _VALUE, re.IGNORECASE)
_CONFIGURES: Final = re.compile(
    r"^(?:pyproject\.toml|setup\.cfg|tox\.ini|noxfile\.py|pytest\.ini|\.pytest\.ini|conftest\.py|\.coveragerc|package\.json"
    r"|\.?codecov\.ya?ml|Makefile|makefile|justfile|Cargo\.toml|pom\.xml|build\.gradle(?:\.kts)?|\.nycrc(?:\.json)?"
    r"|(?:jest|vitest|vite|karma|playwright|cypress)\.config\.\w+|\.mocharc\.\w+|\.?golangci\.ya?ml|clippy\.toml"
    r"|\.?eslint\.config\.\w+|\.eslintrc(?:\.\w+)?|\.eslintignore|ruff\.toml|\.ruff\.toml|mypy\.ini|\.mypy\.ini|\.flake8"
    r"|\.pylintrc|tsconfig[^/]*\.json|\.pre-commit-config\.ya?ml)$"
)


def _is_configuration(change: _Change) -> bool:
    return _CONFIGURES.search(PurePosixPath(change.path).name) is not None


_THRESHOLDS: Final = (
    _Threshold(_COVERAGE, "lower", lambda _: True, must_stay=True),
    _Threshold(_COVERAGE_PARTS, "lower", _is_configuration),
    _Threshold(_WARNINGS, "higher", _is_configuration),
    _Threshold(_TOLERANCE, "higher", lambda change: change.is_test or _is_configuration(change)),
    _Threshold(_PLACES, "lower", lambda change: change.is_test),
)


def _deselected(change: _Change) -> Iterator[Weakening]:
    if not _is_configuration(change):
        return
    for run in change.runs:
        for line in _new_marks(run, _DESELECTS, None, Counter()):
            said = f"leaves tests or checks out: `{_short(line.text)}`"
            yield Weakening(change.path, line.number, "test_skipped", said)
        for line in _new_marks(run, _SWITCHED_OFF, None, Counter()):
            said = f"silences a check: `{_short(line.text)}`"
            yield Weakening(change.path, line.number, "check_suppressed", said)


_DESELECTS: Final = re.compile(
    r"--(?:ignore|ignore-glob|deselect|exclude|skip|testPathIgnorePatterns|passWithNoTests)\b"
    r"|-k[ =]?[\"']?\s*not\b|-m[ =]?[\"']\s*not\b|\bnorecursedirs\b|\bcollect_ignore\w*"
    r"|\btestPathIgnorePatterns\b"
    r"|\|\|\s*true\b|\|\|\s*exit 0\b|\bcontinue-on-error\b|\ballow_failure\b|\bskipTests\b|maven\.test\.skip"
    r"|\btestFailureIgnore\b|\bignoreFailures\b|--exit-zero\b|--no-fail\b|\bno:cov\b"
)
_SWITCHED_OFF: Final = re.compile(
    r"[\"'][\w@/-]+[\"']\s*:\s*\[?\s*[\"'](?:off|warn)[\"']|[\"'][\w@/-]+[\"']\s*:\s*\[?\s*0\b"
    r"|\b(?:per-file-ignores|extend-ignore|disable_error_code|ignore_errors|ignore_missing_imports|extend-exclude)\b"
    r"|\bstrict[\"']?\s*[:=]\s*false\b|-Wno-[\w-]+|\bskipLibCheck\b|^\s*(?:ignore|disable)\s*="
)


def _words(text: str) -> str:
    return " ".join(text.split())


_LONGEST_SAID: Final = 120


def _short(text: str) -> str:
    line = _words(text).replace("`", "'")
    return line if len(line) <= _LONGEST_SAID else line[: _LONGEST_SAID - 1] + "\u2026"
