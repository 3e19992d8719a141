"""The forge's web pages: what a person sees and does in a browser; their rules live in `actions`."""

from fastapi import APIRouter

from demo.forge.pages.reading import reading
from demo.forge.pages.reviewing import reviewing
from demo.forge.pages.site import Site
from demo.forge.pages.writing import writing
from demo.forge.state import State

__all__ = ("pages_for",)


def pages_for(state: State) -> APIRouter:
    """All pages and their forms. They match nearly every path: include them last."""
    site = Site(state)
    router = APIRouter()
    router.include_router(writing(site))
    router.include_router(reviewing(site))
    router.include_router(reading(site))
    return router
