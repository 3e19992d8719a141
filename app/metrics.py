"""What an operator watches, as Prometheus text, read from the store when asked."""

import time

from sqlalchemy import Connection, func, select

from app.store import throttles
from app.store.schema import deliveries, effects, inbox, turns


def render_metrics(connection: Connection) -> str:
    """https://prometheus.io/docs/instrumenting/exposition_formats/"""
    lines: list[str] = []
    for table, name, text in (
        (deliveries, "darner_deliveries", "Deliveries received, by state."),
        (inbox, "darner_inbox", "Events by state; `pending` is the backlog."),
        (effects, "darner_effects", "Effects by state; `failed` needs a look."),
    ):
        lines += [f"# HELP {name} {text}", f"# TYPE {name} gauge"]
        query = select(table.c.state, func.count()).group_by(table.c.state).order_by(table.c.state)
        lines += [f'{name}{{state="{state}"}} {count}' for state, count in connection.execute(query)]
    lines += ["# HELP darner_turns Turns by status.", "# TYPE darner_turns gauge"]
    query = select(turns.c.status, func.count()).group_by(turns.c.status).order_by(turns.c.status)
    lines += [f'darner_turns{{status="{status}"}} {count}' for status, count in connection.execute(query)]
    now = time.time()
    lines += [
        "# HELP darner_limited_seconds For how long a forge's or model endpoint's limit still holds us back.",
        "# TYPE darner_limited_seconds gauge",
    ]
    lines += [
        f'darner_limited_seconds{{limit="{held.name}"}} {held.writes_from - now:.0f}'
        for held in throttles.blocked(connection, now=now)
    ]
    return "\n".join(lines) + "\n"
