"""How the model is told of a person's answer that is no yes."""

from typing import assert_never

from harness.protocols import Decision


def told_of_refusal(decision: Decision) -> str:
    """Who said no, and why; or why nobody has."""
    match decision.kind:
        case "denied":
            why = f", and says: {decision.words}" if decision.words else "."
            return f"{decision.by} denied it{why}"
        case "expired":
            return "A person was asked, and nobody answered in time: that counts as no."
        case "void":
            why = f": {decision.words}" if decision.words else "."
            return f"The request is void{why}"
        case "approved" | "answered":
            return f"{decision.by} said: {decision.words}"
        case _:
            assert_never(decision.kind)
