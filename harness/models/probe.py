"""Asks an endpoint whether it would answer, without asking a model. Costs no token."""

from typing import Final

PROBE_SECONDS: Final = 5.0


async def endpoint_fault(*, base_url: str, api_key: str) -> str:
    """What keeps the endpoint from answering, as a sentence; empty when nothing is known to.

    Compatible servers need not list their models: any answer but a refusal of the key means that one listens.
    """
    from openai import APIConnectionError, APIStatusError, AsyncOpenAI, AuthenticationError

    async with AsyncOpenAI(
        base_url=base_url, api_key=api_key, max_retries=0, timeout=PROBE_SECONDS
    ) as client:
        try:
            await client.models.list()
        except AuthenticationError:
            return f"{base_url} refuses the key; check OPENAI_API_KEY."
        except APIConnectionError:
            return f"{base_url} does not answer; check OPENAI_BASE_URL and that the server runs."
        except APIStatusError as error:
            return f"{base_url} answers {error.status_code}." if error.status_code >= 500 else ""
    return ""
