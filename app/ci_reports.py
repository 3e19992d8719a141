"""Fetches the test reports that workflow runs have left, and reads them in memory; nothing is kept."""

import logging
from collections.abc import Sequence

from app.forge_error import ForgeError
from app.github import Client, GitHub
from app.github_checks import archive_chunks, artifacts_of
from app.store.places import RepositoryRef
from handlers.ci.failures import Failure
from handlers.ci.reports import MOST_ARCHIVES, PACKED_BYTES, Artifact, Reports, chosen, read_archive
from handlers.ci.settled import Check

log = logging.getLogger(__name__)


async def failures_reported(
    github: GitHub, place: RepositoryRef, runs: Sequence[Check], patterns: Sequence[str]
) -> dict[int, tuple[Failure, ...]]:
    """What the reports of each of these workflow runs tell, by the run's id. Raises `ForgeError`.

    An archive that has expired, is gone or is refused tells nothing, as if it had never been made.
    """
    told: dict[int, tuple[Failure, ...]] = {}
    left = MOST_ARCHIVES if patterns else 0
    for run in runs:
        if left <= 0:
            break
        found = await _artifacts(github, place, run)
        named = chosen(found, patterns, since=run.started_at)[:left]
        left -= len(named)
        reports = [await _read(github, place, artifact) for artifact in named]
        # Of one name and place there is one failure, however many archives have its report.
        every = {one.fingerprint: one for each in reports for one in each.failures}
        told[run.id] = tuple(every.values())
    return told


async def _artifacts(github: GitHub, place: RepositoryRef, run: Check) -> list[Artifact]:
    return await github.run(place, lambda client: artifacts_of(client, run.id))


async def _read(github: GitHub, place: RepositoryRef, artifact: Artifact) -> Reports:
    """Downloaded and read in a thread of execution, as all that asks the forge."""

    def read(client: Client) -> Reports:
        packed = bytearray()
        for chunk in archive_chunks(client, artifact.id):
            packed += chunk
            if len(packed) > PACKED_BYTES:
                return Reports(refused=(f"it is larger than {PACKED_BYTES} bytes",))
        return read_archive(bytes(packed))

    try:
        reports = await github.run(place, read)
    except ForgeError as error:
        if error.fault not in {"missing", "denied"}:
            raise
        reports = Reports(refused=(f"it is gone: {error}",))
    if reports.refused:
        fields = {"artifact": artifact.id, "name": artifact.name[:100], "refused": reports.refused[:10]}
        log.info("ci.report_refused", extra={"fields": fields})
    return reports
