"""`python -m demo.model`: the scripted model alone, for a server that is run by hand. Needs no account."""

import asyncio
import signal
import sys
from typing import Final

from demo.model import BY_CONTENT, create_app, serve

PORT: Final = 8586


def main(arguments: list[str]) -> int:
    match arguments:
        case []:
            port = PORT
        case [text] if text.isdecimal() and int(text) < 65536:
            port = int(text)
        case _:
            sys.stderr.write("Usage: python -m demo.model [PORT]\n")
            return 2
    try:
        asyncio.run(_serve(port))
    except OSError as error:
        sys.stderr.write(f"The scripted model cannot listen on port {port}: {error.strerror}. Try another.\n")
        return 1
    return 0


async def _serve(port: int) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with serve(create_app(), port=port) as url:
        sys.stdout.write(
            "A scripted model: it plays sessions from files and thinks nothing. For a server to use it:\n\n"
            f"  export DARNER_MODEL={BY_CONTENT} OPENAI_BASE_URL={url}/v1 OPENAI_API_KEY=any\n\n"
            "It speaks both wires (DARNER_MODEL_WIRE=chat for the other). Ctrl-C ends it.\n"
        )
        sys.stdout.flush()
        await stopped.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
