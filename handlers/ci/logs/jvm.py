"""What Maven and Gradle share: stack traces of the JVM."""

import re
from typing import Final

_FRAME: Final = re.compile(r"^\s+at (?:[\w.$-]+/)?([\w.$]+)\.[\w$<>]+\(([\w$]+\.\w+):(\d+)\)$")
_NOT_THEIRS: Final = (
    *("java.", "javax.", "jdk.", "sun.", "kotlin.", "scala.", "groovy.", "org.codehaus.groovy."),
    *(
        "org.junit.",
        "junit.",
        "org.hamcrest.",
        "org.assertj.",
        "org.testng.",
        "org.opentest4j.",
        "org.mockito.",
    ),
    *("org.gradle.", "org.apache.maven."),
)


def frame_of(text: str) -> tuple[str, str] | None:
    """File (below its source directory) and line of a frame in the project's code; None for another line."""
    frame = _FRAME.match(text)
    if not frame or frame[1].startswith(_NOT_THEIRS):
        return None
    package = frame[1].rpartition(".")[0]
    return "/".join([*package.split("."), frame[2]] if package else [frame[2]]), frame[3]
