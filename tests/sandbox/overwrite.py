#!/proc/self/exe
"""Run inside by a test: tries to change the program that it is run by."""

import os
import sys
from collections.abc import Callable

PROGRAM = "/proc/self/exe"


def attempt(what: Callable[[], object]) -> None:
    """Tells whether the kernel let it."""
    try:
        what()
    except OSError:
        sys.stdout.write("refused\n")
    else:
        sys.stdout.write("done\n")


attempt(lambda: os.write(os.open(PROGRAM, os.O_RDWR), b"changed"))
attempt(lambda: os.truncate(PROGRAM, 0))
