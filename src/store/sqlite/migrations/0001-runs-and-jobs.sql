-- A run, its jobs, and the totals. Instants are epoch milliseconds; payloads are JSON text.

CREATE TABLE run (
  id TEXT NOT NULL PRIMARY KEY,          -- UUIDv7: sorts by time of creation
  state TEXT NOT NULL,
  version INTEGER NOT NULL,
  respond TEXT NOT NULL,
  total_jobs INTEGER NOT NULL,
  open_jobs INTEGER NOT NULL,            -- not yet final
  failed_jobs INTEGER NOT NULL,
  cancelled_jobs INTEGER NOT NULL,
  answer_job INTEGER,                    -- the deciding job; null when all decided together
  answer_status INTEGER,                 -- null until the answer is decided
  created_at INTEGER NOT NULL,
  responded_at INTEGER,
  finished_at INTEGER,
  tags TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX run_finished ON run (finished_at) WHERE finished_at IS NOT NULL;

CREATE TABLE job (
  run_id TEXT NOT NULL,
  job_index INTEGER NOT NULL,
  task TEXT NOT NULL,
  kind TEXT NOT NULL,
  state TEXT NOT NULL,
  priority INTEGER NOT NULL,
  timeout_ms INTEGER NOT NULL,
  attempt INTEGER NOT NULL,              -- spent attempts and the one under way
  max_attempts INTEGER NOT NULL,
  claim INTEGER NOT NULL,                -- only grows; fences every write
  lost_starts INTEGER NOT NULL,
  owner TEXT,                            -- the process that runs it
  thread TEXT,
  queued_at INTEGER NOT NULL,
  run_at INTEGER,                        -- when it is due; null unless it waits
  started_at INTEGER,
  finished_at INTEGER,
  error TEXT,
  failures TEXT NOT NULL,
  input TEXT,
  result TEXT,
  PRIMARY KEY (run_id, job_index)
) STRICT;

CREATE INDEX job_waiting ON job (kind, priority, run_at) WHERE run_at IS NOT NULL;
CREATE INDEX job_running ON job (owner) WHERE owner IS NOT NULL;
CREATE INDEX job_lost ON job (run_at) WHERE lost_starts > 0 AND run_at IS NOT NULL;

-- One row: totals by state and since the beginning, written in the same transaction as what they count.
CREATE TABLE tally (
  id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
  totals TEXT NOT NULL
) STRICT;
