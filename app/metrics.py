"""What an operator watches, as Prometheus text, read from the store when asked."""

import time

from sqlalchemy import Connection, func, select

from app.store import charges, throttles
from app.store.schema import deliveries, effects, inbox, turns
from harness.budget import exact_money


def render_metrics(connection: Connection, *, currency: str) -> str:
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
    lines += _spent(connection, currency)
    return "\n".join(lines) + "\n"


def _spent(connection: Connection, currency: str) -> list[str]:
    spent = charges.by_model(connection)
    lines = [
        "# HELP darner_model_tokens_total Tokens of answered requests; cached input is part of input.",
        "# TYPE darner_model_tokens_total counter",
    ]
    for one in spent:
        kinds = {"input": one.input_tokens, "cached_input": one.cached_tokens, "output": one.output_tokens}
        name = _label(one.model)
        lines += [
            f'darner_model_tokens_total{{model="{name}",kind="{kind}"}} {count}'
            for kind, count in kinds.items()
        ]
    lines += [
        "# HELP darner_model_money_total What they cost, where the price was known.",
        "# TYPE darner_model_money_total counter",
    ]
    lines += [
        f'darner_model_money_total{{model="{_label(one.model)}",currency="{currency}"}} '
        f"{exact_money(one.micros)}"
        for one in spent
    ]
    return lines


def _label(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
