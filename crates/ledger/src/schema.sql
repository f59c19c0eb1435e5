-- Version 1. Migrations follow each other in `database.rs`; none is ever changed.

CREATE TABLE namespace (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    -- Empty where it is not known.
    uid TEXT NOT NULL,
    UNIQUE (name, uid)
) STRICT;

CREATE TABLE pod (
    id INTEGER PRIMARY KEY,
    uid TEXT NOT NULL UNIQUE,
    namespace INTEGER NOT NULL REFERENCES namespace,
    name TEXT NOT NULL,
    node TEXT NOT NULL
) STRICT;

-- One sandbox of a Pod. What is below its key can be had from its records.
CREATE TABLE journal (
    id INTEGER PRIMARY KEY,
    pod INTEGER NOT NULL REFERENCES pod,
    boot TEXT NOT NULL,
    sandbox TEXT NOT NULL,
    began_ns INTEGER NOT NULL, -- by the monotonic clock
    version INTEGER NOT NULL,
    start_ns INTEGER NOT NULL,
    end_ns INTEGER NOT NULL,
    records INTEGER NOT NULL,
    ended INTEGER NOT NULL CHECK (ended IN (0, 1, 2)), -- running, seen, bounded
    length INTEGER NOT NULL, -- bytes of the file when it was read last
    UNIQUE (pod, boot, sandbox, began_ns)
) STRICT;

-- The facts: each line of a journal as it was written.
CREATE TABLE record (
    journal INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    line TEXT NOT NULL,
    PRIMARY KEY (journal, sequence)
) STRICT, WITHOUT ROWID;

-- Which hour answers for which records, `first` to `next`, exclusive: the hour that they are of, or
-- the earliest one that was open when they came.
CREATE TABLE posting (
    hour INTEGER NOT NULL,
    journal INTEGER NOT NULL REFERENCES journal,
    first INTEGER NOT NULL,
    next INTEGER NOT NULL CHECK (next > first),
    PRIMARY KEY (hour, journal)
) STRICT, WITHOUT ROWID;

-- The chain.
CREATE TABLE closed (
    hour INTEGER PRIMARY KEY,
    hash BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;

-- Sums, made from the records: of each sandbox, and of each Namespace, in the hour of their use.
-- Quantities have 128 bits and SQLite's integers 64, so they are one BLOB: `quantities.rs`.
CREATE TABLE pod_hour (
    hour INTEGER NOT NULL,
    namespace INTEGER NOT NULL REFERENCES namespace,
    journal INTEGER NOT NULL REFERENCES journal,
    quantities BLOB NOT NULL,
    PRIMARY KEY (hour, namespace, journal)
) STRICT, WITHOUT ROWID;

CREATE TABLE namespace_hour (
    hour INTEGER NOT NULL,
    namespace INTEGER NOT NULL REFERENCES namespace,
    quantities BLOB NOT NULL,
    PRIMARY KEY (hour, namespace)
) STRICT, WITHOUT ROWID;

-- Facts are appended, and that is all.
CREATE TRIGGER record_stays BEFORE UPDATE ON record
BEGIN SELECT raise(ABORT, 'a record is never changed'); END;
CREATE TRIGGER record_is_kept BEFORE DELETE ON record
BEGIN SELECT raise(ABORT, 'a record is never deleted'); END;
CREATE TRIGGER closed_stays BEFORE UPDATE ON closed
BEGIN SELECT raise(ABORT, 'a closed hour is never changed'); END;
CREATE TRIGGER closed_is_kept BEFORE DELETE ON closed
BEGIN SELECT raise(ABORT, 'a closed hour is never opened'); END;
CREATE TRIGGER posting_is_to_an_open_hour BEFORE INSERT ON posting
WHEN new.hour <= (SELECT max(hour) FROM closed)
BEGIN SELECT raise(ABORT, 'a closed hour takes nothing more'); END;
CREATE TRIGGER posting_grows_in_an_open_hour BEFORE UPDATE ON posting
WHEN old.hour <= (SELECT max(hour) FROM closed) OR new.first <> old.first OR new.next < old.next
BEGIN SELECT raise(ABORT, 'a closed hour takes nothing more'); END;
CREATE TRIGGER posting_is_kept BEFORE DELETE ON posting
BEGIN SELECT raise(ABORT, 'a posting is never deleted'); END;
