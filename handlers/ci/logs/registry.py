"""The parsers of logs. A new tool is one file beside this one, and one line here."""

from typing import Final

from handlers.ci.logs.cargo import Cargo
from handlers.ci.logs.compilers import Compilers
from handlers.ci.logs.eslint import Eslint
from handlers.ci.logs.go import Go
from handlers.ci.logs.gradle import Gradle
from handlers.ci.logs.jest import Jest
from handlers.ci.logs.maven import Maven
from handlers.ci.logs.mypy import Mypy
from handlers.ci.logs.parsing import Parser
from handlers.ci.logs.pytest import Pytest
from handlers.ci.logs.ruff import Ruff
from handlers.ci.logs.tsc import Tsc
from handlers.ci.logs.unittest import Unittest
from handlers.ci.logs.vitest import Vitest

PARSERS: Final[tuple[type[Parser], ...]] = (
    Pytest,
    Unittest,
    Go,
    Cargo,
    Jest,
    Vitest,
    Eslint,
    Ruff,
    Mypy,
    Tsc,
    Compilers,
    Maven,
    Gradle,
)
