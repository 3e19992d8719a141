"""Writes journal entries, each after the file that it names, and says so; ends by `kill -9` of itself."""

import asyncio
import hashlib
import os
import signal
import sys
import threading
import time
from pathlib import Path

from sqlalchemy import Connection

from app.store import inbox, turns
from app.store.database import Database
from app.store.turns import SqlJournal
from harness.items import ItemId, Life, Notice
from sandbox.durable import sync_names, write_whole


def _begin(connection: Connection) -> None:
    inbox.open_thread(connection, "thread", None, number=None, now=time.time())
    turns.queue(connection, "turn", "thread", start="{}", now=time.time())
    turns.take(connection, "turn", owner="writer", now=time.time())


async def write(home: Path, seconds: float) -> None:
    kept = home / "kept"
    kept.mkdir()
    with Database(f"sqlite:///{home / 'darner.db'}") as database:
        await database.write(_begin)
        journal = SqlJournal(database, turn="turn", thread="thread", owner="writer")
        await journal.load()
        threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGKILL)).start()
        number = 0
        while True:
            number += 1
            data = os.urandom(2_000)
            name = hashlib.sha256(data).hexdigest()
            write_whole(kept / name, data)
            sync_names(kept)
            await journal.append(Life.COMPLETED, Notice(id=ItemId(str(number)), text=name))
            os.write(1, f"{number}\n".encode())


if __name__ == "__main__":
    asyncio.run(write(Path(sys.argv[1]), float(sys.argv[2])))
