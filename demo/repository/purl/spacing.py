"""Increases, evenly spread over a row."""


def spread(stitches: int, increases: int) -> tuple[int, ...]:
    """How many stitches to knit before each increase.

    The gaps differ by one stitch at most, the wider ones come first, and together they use up the row.
    """
    if not 0 < increases <= stitches:
        raise ValueError(f"cannot place {increases} increases in {stitches} stitches")
    gap, left_over = divmod(stitches, increases)
    return tuple(gap + 1 if place < left_over - 1 else gap for place in range(increases))


def instruction(stitches: int, increases: int) -> str:
    """The row as a pattern would write it."""
    return ", ".join(f"k{gap}, m1" for gap in spread(stitches, increases))
