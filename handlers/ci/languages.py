"""How tests, assertions, skips and suppressions are written, by language: patterns for lines of code."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

_NEVER: Final = re.compile(r"(?!)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Language:
    test: re.Pattern[str]
    """A line that begins a test; its group is the name."""
    mark: re.Pattern[str] = _NEVER
    """A line that makes the function below it a test."""
    marked: re.Pattern[str] = _NEVER
    """The line with that function's name."""
    assertion: re.Pattern[str]
    skip: re.Pattern[str]
    """A skip, an expected failure, or what makes all others be skipped."""
    suppression: re.Pattern[str]
    """What silences a linter, a type checker or the measuring of coverage."""
    exact: re.Pattern[str]
    """An assertion that pins a value."""
    vague: re.Pattern[str]
    """An assertion that holds of many values, or nearly."""
    comment: str


_PYTHON: Final = Language(
    test=re.compile(r"^\s*(?:async\s+)?def (test\w*)\s*\("),
    assertion=re.compile(
        r"^\s*(?:assert\b|self\.assert\w+\(|with (?:pytest\.(?:raises|warns)|self\.assert\w+)\()"
    ),
    skip=re.compile(
        r"pytest\.mark\.(?:skip|skipif|xfail)\b|\bpytest\.(?:skip|xfail|importorskip)\(|unittest\.(?:skip|expectedFailure)"
        r"|@skip(?:If|Unless)?\b|@expectedFailure\b|\.skipTest\(|\bSkipTest\b|^\s*__test__\s*=\s*False"
    ),
    suppression=re.compile(
        r"#\s*noqa\b|#\s*type:\s*ignore|#\s*pyright:\s*ignore|#\s*pylint:\s*disable|#\s*mypy:\s*ignore"
        r"|#\s*nosec\b|#\s*pragma:\s*no\s*cover|#\s*ruff:\s*noqa"
    ),
    exact=re.compile(
        r"(?<![=!<>])==(?!=)|\bassert(?:Equals?|Is|ListEqual|DictEqual|TupleEqual|SetEqual|Raises\w*)\("
    ),
    vague=re.compile(
        r"\bis not None\b|\bassert(?:True|IsNotNone|In|IsInstance|Greater\w*|Less\w*|AlmostEquals?)\("
        r"|\bisinstance\(|\bapprox\(|\bisclose\(|[^=!<>][<>]=?[^=]|!=|^\s*assert (?:True|1)\s*$|\bin\b"
    ),
    comment="#",
)
_JAVASCRIPT: Final = Language(
    test=re.compile(
        r"""^\s*(?:it|test)(?:\.(?:concurrent|each|only|sequential)\b[^(]*)?\(\s*["'`](.+?)["'`]\s*,"""
    ),
    assertion=re.compile(r"\bexpect(?:\.soft)?\(|\bassert(?:\.\w+)?\(|\.should\b"),
    skip=re.compile(
        r"\b(?:it|test|describe|context|suite)(?:\.concurrent)?\.(?:skip|only|todo|fails|failing|fixme|skipIf|runIf)\b"
        r"|\b(?:xit|xtest|xdescribe|fit|fdescribe)\(|\bthis\.skip\(\)"
    ),
    suppression=re.compile(
        r"eslint-disable|@ts-ignore|@ts-expect-error|@ts-nocheck|biome-ignore|tslint:disable"
        r"|(?:istanbul|c8|v8) ignore|prettier-ignore"
    ),
    exact=re.compile(
        r"\.(?:toBe|toEqual|toStrictEqual|toHaveLength|toThrow|equal|strictEqual|deepEqual|deepStrictEqual)\("
    ),
    vague=re.compile(
        r"\.(?:toBeTruthy|toBeDefined|toBeCloseTo|toContain|toMatch|toMatchObject|toBeGreaterThan\w*|toBeLessThan\w*"
        r"|toBeInstanceOf|ok|notEqual)\(|\bexpect\.(?:any|anything)\b|\.not\."
    ),
    comment="//",
)
_GO: Final = Language(
    test=re.compile(r"^func ((?:Test|Fuzz|Example)\w*)\s*\("),
    assertion=re.compile(r"\bt\.(?:Error|Errorf|Fatal|Fatalf|Fail|FailNow)\(|\b(?:assert|require)\.\w+\("),
    skip=re.compile(r"\bt\.Skip(?:f|Now)?\(|^//go:build ignore|^// \+build ignore"),
    suppression=re.compile(r"//\s*nolint\b|//\s*#nosec\b|//lint:ignore"),
    exact=re.compile(r"\b(?:assert|require)\.(?:Equal|EqualValues|ErrorIs|Len|JSONEq|Exactly)\("),
    vague=re.compile(
        r"\b(?:assert|require)\.(?:NotNil|NotEmpty|True|Contains|InDelta|InEpsilon|Error|Greater\w*|Less\w*)\("
    ),
    comment="//",
)
_RUST: Final = Language(
    test=_NEVER,
    mark=re.compile(r"^\s*#\[(?:\w+::)*(?:test|rstest|test_case|bench)\b"),
    marked=re.compile(r"^\s*(?:pub(?:\([^)]*\))? )?(?:async )?fn (\w+)"),
    assertion=re.compile(r"\bassert(?:_eq|_ne|_matches)?!"),
    skip=re.compile(r"#\[ignore\b|#\[cfg_attr\([^\]]*\bignore\b|#\[cfg\(any\(\)\)\]"),
    suppression=re.compile(r"#!?\[(?:allow|expect)\(|#\[coverage\(off\)\]|cfg_attr\([^\]]*\ballow\("),
    exact=re.compile(r"\bassert_eq!"),
    vague=re.compile(r"\bassert_ne!|\bassert!"),
    comment="//",
)
_JVM: Final = Language(
    test=re.compile(r"^\s*(?:fun|def) [`\"](.+)[`\"]\s*\("),
    mark=re.compile(r"^\s*@(?:Test|ParameterizedTest|RepeatedTest|TestFactory|Property)\b"),
    marked=re.compile(r"\b(\w+|`[^`]+`)\s*\("),
    assertion=re.compile(r"\bassert\w*\s*\(|\bAssert(?:ions)?\.\w+\(|\bverify\(|\bfail\(|\.should\w*\("),
    skip=re.compile(r"@(?:Disabled|Ignore)\b|\bassume(?:True|False|That)\(|@DisabledIf|enabled\s*=\s*false"),
    suppression=re.compile(
        r"@Suppress(?:Warnings|FBWarnings|Lint)?\(|//\s*(?:CHECKSTYLE|NOSONAR|NOPMD|noinspection)|@Generated\b"
    ),
    exact=re.compile(r"\bassert(?:Equals|ArrayEquals|Same|IterableEquals|Throws)\(|\.isEqualTo\("),
    vague=re.compile(r"\bassert(?:True|NotNull|NotEquals)\(|\.is(?:NotNull|NotEmpty|CloseTo)\("),
    comment="//",
)
_C: Final = Language(
    test=re.compile(r"^\s*(?:TEST(?:_F|_P|_CASE)?|SCENARIO|BOOST_AUTO_TEST_CASE)\s*\(\s*(.+?)\s*\)\s*\{?"),
    assertion=re.compile(
        r"\b(?:EXPECT|ASSERT|CHECK|REQUIRE|BOOST_CHECK|BOOST_REQUIRE)(?:_\w+)?\s*\(|\bassert\s*\("
    ),
    skip=re.compile(r"\bGTEST_SKIP\b|\bDISABLED_\w+|\[\.\]|\bSKIP\s*\("),
    suppression=re.compile(
        r"\bNOLINT|#\s*pragma\s+(?:GCC|clang)\s+diagnostic\s+ignored|#\s*pragma\s+warning\s*\(\s*disable|LCOV_EXCL"
    ),
    exact=re.compile(r"\b(?:EXPECT|ASSERT)_(?:EQ|STREQ|THROW)\b"),
    vague=re.compile(r"\b(?:EXPECT|ASSERT)_(?:NE|TRUE|NEAR|GT|GE|LT|LE)\b"),
    comment="//",
)

_BY_SUFFIX: Final[Mapping[str, Language]] = {
    **dict.fromkeys((".py", ".pyi"), _PYTHON),
    **dict.fromkeys(
        (".js", ".jsx", ".ts", ".tsx", ".mjs", ".cjs", ".mts", ".cts", ".vue", ".svelte"), _JAVASCRIPT
    ),
    ".go": _GO,
    ".rs": _RUST,
    **dict.fromkeys((".java", ".kt", ".kts", ".groovy", ".scala"), _JVM),
    **dict.fromkeys((".c", ".cc", ".cpp", ".cxx", ".h", ".hh", ".hpp", ".m", ".mm"), _C),
}

_TEST_DIRECTORY: Final = re.compile(
    r"(?:^|/)(?:tests?|__tests__|specs?|e2e|testdata|androidTest|unittests?)/"
)
_TEST_NAME: Final = re.compile(
    r"^test_.*\.py$|_(?:test|spec|unittest)\.\w+$|\.(?:test|spec|e2e|cy)\.[cm]?[jt]sx?$|^tests?\.\w+$"
    r"|(?:Test|Tests|TestCase|IT|Spec)\.(?:java|kt|groovy|scala)$"
)


def language_of(path: str) -> Language | None:
    return _BY_SUFFIX.get(PurePosixPath(path).suffix.lower())


def is_test_file(path: str) -> bool:
    """Whether a test runner would look into the file, by where it lies and how it is named."""
    if language_of(path) is None:
        return False
    return _TEST_DIRECTORY.search(path) is not None or _TEST_NAME.search(PurePosixPath(path).name) is not None
