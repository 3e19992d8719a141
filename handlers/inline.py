"""Foreign words inside a sentence."""

from handlers.markdown import fence_for
from handlers.scan import clean_line


def inline_code(text: str) -> str:
    """One line as inline code, whatever backticks it holds."""
    line = clean_line(text, limit=200)
    ticks = fence_for(line, at_least=1)
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{ticks}{pad}{line}{pad}{ticks}"
