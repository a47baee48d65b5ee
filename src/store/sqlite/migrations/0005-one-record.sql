-- A run with its jobs is one record (see store/run-codec.ts); every other table is derived from the records or keeps what
-- is too large for them. The rows of the tables before are copied by code, then those tables are dropped.

ALTER TABLE run RENAME TO old_run;
ALTER TABLE job RENAME TO old_job;
ALTER TABLE run_tag RENAME TO old_run_tag;
DROP INDEX run_finished;
DROP INDEX run_by_state;

CREATE TABLE record (
  key INTEGER NOT NULL PRIMARY KEY,      -- in order of acceptance
  id BLOB NOT NULL,                      -- UUIDv7: sorts by time of creation
  state INTEGER NOT NULL,                -- 0 running, 1 completed, 2 failed, 3 cancelled
  version INTEGER NOT NULL,
  held INTEGER NOT NULL,                 -- jobs that run now
  finished_at INTEGER,
  record TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX record_by_id ON record (id);
-- Without the completed ones, which are nearly all: an index of those would be written with every run.
CREATE INDEX record_by_state ON record (state, id) WHERE state <> 1;
CREATE INDEX record_held ON record (key) WHERE held > 0;
CREATE INDEX record_finished ON record (finished_at) WHERE finished_at IS NOT NULL;

-- Texts that are not small: inputs, results, errors.
CREATE TABLE payload (
  run INTEGER NOT NULL,                  -- key of the record
  job INTEGER NOT NULL,
  part INTEGER NOT NULL,                 -- 0 input, 1 result, 2 error, above: the failure of a claim
  value TEXT NOT NULL,
  PRIMARY KEY (run, job, part)
) STRICT, WITHOUT ROWID;

-- A row for each waiting job. Jobs that start in the commit that accepts them never enter it.
CREATE TABLE queue (
  kind TEXT NOT NULL,
  priority INTEGER NOT NULL,
  task TEXT NOT NULL,
  run_at INTEGER NOT NULL,
  run INTEGER NOT NULL,
  job INTEGER NOT NULL,
  is_suspect INTEGER NOT NULL,           -- 1: one more lost start is the last
  PRIMARY KEY (kind, priority, task, run_at, run, job)
) STRICT, WITHOUT ROWID;
CREATE INDEX queue_suspect ON queue (run_at) WHERE is_suspect = 1;

-- What lists filter by.
CREATE TABLE task (
  id INTEGER NOT NULL PRIMARY KEY,
  name TEXT NOT NULL UNIQUE
) STRICT;
CREATE TABLE run_task (
  task INTEGER NOT NULL,
  id BLOB NOT NULL,
  PRIMARY KEY (task, id)
) STRICT, WITHOUT ROWID;
CREATE TABLE run_tag (
  tag TEXT NOT NULL,
  id BLOB NOT NULL,
  PRIMARY KEY (tag, id)
) STRICT, WITHOUT ROWID;
