"""What really arrived: the scanner's scans against the destinations' content, without any word of the exporter's.

The scanner's table says which scans there are and its API what their bytes are. Each destination is read with the genuine
client of its service, every version of every object and every message; files are read as files.
"""

import hashlib
import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import httpx

from scribe_local.demo.pipeline import FILES_FOLDER
from scribe_local.demo.world import World

Copy = tuple[str, str]
"""A scan's id and a digest of one copy of it."""


@dataclass(frozen=True, slots=True)
class Scan:
    """A scan's digests: of its bytes, and of what its JSON says, whatever its spacing and the order of its keys."""

    of_bytes: str
    of_json: str


@dataclass(frozen=True, slots=True)
class Tally:
    """One destination by scan ids.

    `delivered` have a copy that equals the scanner's, `lost` have none, `doubled` have more than one copy, equal or not.
    `foreign` copies are of no scan that the scanner knows. `may_repeat` says why copies after the first are no fault
    there; it is empty if they are.
    """

    delivered: frozenset[str]
    lost: frozenset[str]
    doubled: frozenset[str]
    foreign: int
    may_repeat: str = ""


def scans_of(world: World) -> dict[str, Scan]:
    """Every scan of the scanner."""
    with closing(sqlite3.connect(f"{world.scanner.database.resolve().as_uri()}?mode=ro", uri=True)) as table:
        ids = [int(row[0]) for row in table.execute("SELECT id FROM scan_results ORDER BY id")]
    with httpx.Client(base_url=world.scanner.url, timeout=30, trust_env=False) as client:
        bodies = {str(scan_id): client.get(f"/scans/{scan_id}").raise_for_status().content for scan_id in ids}
    return {scan_id: digests(body) for scan_id, body in bodies.items()}


def digests(body: bytes) -> Scan:
    """A scan's."""
    return Scan(_of_bytes(body), _of_json(body))


def read_back(scans: Mapping[str, Scan], world: World, folder: Path) -> dict[str, Tally]:
    """Each destination's tally."""
    by_bytes = {scan_id: scan.of_bytes for scan_id, scan in scans.items()}
    by_json = {scan_id: scan.of_json for scan_id, scan in scans.items()}
    tallies: dict[str, Tally] = {}
    for name, service in world.cloud.services.items():
        digest, expected = (_of_bytes, by_bytes) if service.keeps_bytes else (_of_json, by_json)
        copies = ((id_of(body), digest(body)) for body in service.copies())
        tallies[name] = tally(expected, copies, may_repeat=service.repeats)
    files = (path.read_bytes() for path in sorted((folder / FILES_FOLDER).rglob("*.json")))
    tallies["files"] = tally(by_bytes, ((id_of(body), _of_bytes(body)) for body in files))
    return tallies


def tally(scans: Mapping[str, str], copies: Iterable[Copy], *, may_repeat: str = "") -> Tally:
    """Compare copies with the scans, by digest, that there should be."""
    found: dict[str, list[str]] = defaultdict(list)
    for scan_id, digest in copies:
        found[scan_id].append(digest)
    delivered = frozenset(scan_id for scan_id, digest in scans.items() if digest in found.get(scan_id, ()))
    return Tally(
        delivered=delivered,
        lost=frozenset(scans) - delivered,
        doubled=frozenset(scan_id for scan_id, each in found.items() if scan_id in scans and len(each) > 1),
        foreign=sum(len(each) for scan_id, each in found.items() if scan_id not in scans),
        may_repeat=may_repeat,
    )


def id_of(body: bytes) -> str:
    """A scan's id, as text."""
    return str(json.loads(body)["scan_id"])


def _of_bytes(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def _of_json(body: bytes) -> str:
    return _of_bytes(json.dumps(json.loads(body), sort_keys=True).encode())
