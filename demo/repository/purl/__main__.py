"""`python3 -m purl spread STITCHES INCREASES` and `python3 -m purl count ROW`."""

import sys

from purl import count, instruction


def main(arguments: list[str]) -> int:
    if len(arguments) == 3 and arguments[0] == "spread":
        print(instruction(int(arguments[1]), int(arguments[2])))
        return 0
    if len(arguments) == 2 and arguments[0] == "count":
        print(count(arguments[1]))
        return 0
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
