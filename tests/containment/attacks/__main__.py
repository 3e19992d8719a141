"""Runs one attack, named by the first argument, on the facts of the second, and prints how it went."""

from __future__ import annotations

import errno
import importlib
import json
import os
import sys

from .attack import Facts, Held


def main(name: str, facts: str) -> None:
    """One line, the last that this program prints: a list of the word and the reason."""
    group, _, function = name.partition(".")
    attack = getattr(importlib.import_module(f".{group}", __package__), function)
    try:
        word, reason = "breach", attack(Facts.loaded(facts))
    except Held as error:
        word, reason = "held", str(error)
    except MemoryError:
        word, reason = "held", "no memory"
    except OSError as error:
        word, reason = "held", errno.errorcode.get(error.errno or 0, repr(error))
    os.write(1, b"\n" + json.dumps([word, reason]).encode() + b"\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
