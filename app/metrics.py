"""What an operator watches, as Prometheus text, read from the store when asked."""

from sqlalchemy import Connection, func, select

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
    return "\n".join(lines) + "\n"
