"""What the journal keeps, and how an older one becomes a newer one.

A scan's row is small and outlives its body: without one it is the memory by which a scan that left is known again.
The body lies in `body`, or beside the journal as a file named there. A batch is a range of sequence numbers of the scans
routed to its destination, or, where a range was divided, explicit rows in `member`.
"""

import sqlite3
from collections.abc import Callable
from pathlib import Path

from scribe_export.errors import JournalTooNew

SCHEMA_VERSION = 5
APPLICATION_ID = 0x53435242  # "SCRB", so that `file` and we tell a journal from another database

DDL = """
CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE destination(
  id INTEGER PRIMARY KEY CHECK(id BETWEEN 0 AND 62),      -- the bit in scan.routes
  name TEXT NOT NULL UNIQUE,
  state TEXT NOT NULL DEFAULT 'active' CHECK(state IN ('active', 'orphaned')),
  sealed_seq INTEGER NOT NULL,
  delivered INTEGER NOT NULL DEFAULT 0,
  delivered_bytes INTEGER NOT NULL DEFAULT 0,
  breaker TEXT NOT NULL DEFAULT '{}',                      -- below: 1 while an operator holds it
  paused INTEGER NOT NULL DEFAULT 0);
CREATE TABLE usage(                                        -- what a service charges for, by UTC day
  destination TEXT NOT NULL,
  day TEXT NOT NULL,
  unit TEXT NOT NULL,
  amount REAL NOT NULL,
  PRIMARY KEY(destination, day, unit)) WITHOUT ROWID;
CREATE TABLE scan(
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  scan_id TEXT NOT NULL,
  version INTEGER NOT NULL,
  sha256 BLOB NOT NULL,
  size INTEGER NOT NULL,
  routes INTEGER NOT NULL,
  source TEXT NOT NULL,
  at REAL NOT NULL,
  UNIQUE(scan_id, version));
CREATE TABLE body(seq INTEGER PRIMARY KEY, blob TEXT, bytes BLOB, CHECK((bytes IS NULL) <> (blob IS NULL)));
CREATE INDEX body_blob ON body(seq) WHERE blob IS NOT NULL;
CREATE TABLE shape(id INTEGER PRIMARY KEY, json TEXT NOT NULL UNIQUE);
CREATE TABLE batch(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  destination INTEGER NOT NULL,
  first_seq INTEGER NOT NULL,
  last_seq INTEGER NOT NULL,
  explicit INTEGER NOT NULL,
  count INTEGER NOT NULL,
  size INTEGER NOT NULL,
  batch_id TEXT NOT NULL,
  digest TEXT NOT NULL,
  partition TEXT NOT NULL,                                 -- the name, with {batch_id} left in it
  shape INTEGER NOT NULL,
  by_record INTEGER NOT NULL,
  generation INTEGER NOT NULL DEFAULT 0,
  attempts INTEGER NOT NULL DEFAULT 0,
  next_at REAL NOT NULL DEFAULT 0,
  state TEXT NOT NULL DEFAULT 'open' CHECK(state IN ('open', 'dead')),
  unknown INTEGER NOT NULL DEFAULT 0,
  class TEXT NOT NULL DEFAULT '',
  error TEXT NOT NULL DEFAULT '',
  at REAL NOT NULL,                                        -- below: the place that its sink took at the service
  note TEXT NOT NULL DEFAULT '');
CREATE INDEX batch_of ON batch(destination, state, first_seq);
CREATE TABLE member(batch INTEGER NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY(batch, seq)) WITHOUT ROWID;
CREATE INDEX member_seq ON member(seq);
CREATE TABLE delivery(
  destination INTEGER NOT NULL,                            -- -1: no destination, the body was no scan
  seq INTEGER NOT NULL,
  class TEXT NOT NULL,
  error TEXT NOT NULL,
  at REAL NOT NULL,
  PRIMARY KEY(destination, seq)) WITHOUT ROWID;
CREATE INDEX delivery_seq ON delivery(seq);
CREATE TABLE receipt(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  destination TEXT NOT NULL,
  outcome TEXT NOT NULL,
  first_seq INTEGER NOT NULL,
  last_seq INTEGER NOT NULL,
  members TEXT,                                            -- JSON list of seqs; NULL: the whole range
  count INTEGER NOT NULL,
  batch_id TEXT NOT NULL,
  name TEXT NOT NULL,
  answer TEXT NOT NULL,
  at REAL NOT NULL,
  hash BLOB NOT NULL);
CREATE INDEX receipt_seq ON receipt(last_seq);
CREATE TABLE request(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  request_id TEXT NOT NULL UNIQUE,
  body BLOB NOT NULL,
  state TEXT NOT NULL CHECK(state IN ('accepted', 'started', 'done', 'failed')),
  seq INTEGER,
  error TEXT NOT NULL DEFAULT '',
  at REAL NOT NULL,
  source TEXT NOT NULL DEFAULT '',                         -- '': asked within this process
  owed INTEGER NOT NULL DEFAULT 0,                         -- 1: the requester has no confirmed reply yet, 2: it has
  message BLOB NOT NULL DEFAULT x'',                       -- as it came; below: the scan, while the reply is owed
  answer BLOB NOT NULL DEFAULT x'',                        -- below: where the sender wants it, in the words of its source
  reply_to TEXT NOT NULL DEFAULT '');
CREATE INDEX request_open ON request(id) WHERE owed=1 OR state IN ('accepted', 'started');
CREATE TABLE cursor(source TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY(source, key))
  WITHOUT ROWID;
"""


def _add_notes(connection: sqlite3.Connection) -> None:
    connection.execute("ALTER TABLE batch ADD COLUMN note TEXT NOT NULL DEFAULT ''")


def _add_replies(connection: sqlite3.Connection) -> None:
    connection.execute("ALTER TABLE request ADD COLUMN source TEXT NOT NULL DEFAULT ''")
    connection.execute("ALTER TABLE request ADD COLUMN owed INTEGER NOT NULL DEFAULT 0")
    connection.execute("ALTER TABLE request ADD COLUMN message BLOB NOT NULL DEFAULT x''")
    connection.execute("ALTER TABLE request ADD COLUMN answer BLOB NOT NULL DEFAULT x''")
    connection.execute("CREATE INDEX request_open ON request(id) WHERE owed=1 OR state IN ('accepted', 'started')")


def _add_reply_to(connection: sqlite3.Connection) -> None:
    connection.execute("ALTER TABLE request ADD COLUMN reply_to TEXT NOT NULL DEFAULT ''")


def _add_usage_and_pauses(connection: sqlite3.Connection) -> None:
    connection.execute("ALTER TABLE destination ADD COLUMN paused INTEGER NOT NULL DEFAULT 0")
    connection.execute(
        "CREATE TABLE usage(destination TEXT NOT NULL, day TEXT NOT NULL, unit TEXT NOT NULL, amount REAL NOT NULL,"
        " PRIMARY KEY(destination, day, unit)) WITHOUT ROWID"
    )


MIGRATIONS: dict[int, Callable[[sqlite3.Connection], None]] = {
    1: _add_notes,
    2: _add_replies,
    3: _add_reply_to,
    4: _add_usage_and_pauses,
}
"""From a version to the next one, each inside the one transaction that `database` opens."""


def too_new(path: Path, version: int) -> JournalTooNew:
    """The error for a journal of a later release."""
    return JournalTooNew(
        f"{path}: written in format {version}, this release reads up to {SCHEMA_VERSION}; "
        "install the release that wrote it, or use another state_dir"
    )
