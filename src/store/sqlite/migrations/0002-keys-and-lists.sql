-- What a list is asked for, what a caller's key names, and what follows a first job that fails.

ALTER TABLE run DROP COLUMN created_at;  -- it is in the id
ALTER TABLE run ADD COLUMN on_first_failure TEXT NOT NULL DEFAULT 'continue';

-- Newest first within each: the ids sort by time of creation.
CREATE INDEX run_by_state ON run (state, id);
CREATE INDEX job_by_task ON job (task, run_id);
CREATE TABLE run_tag (
  tag TEXT NOT NULL,
  run_id TEXT NOT NULL,
  PRIMARY KEY (tag, run_id)
) STRICT, WITHOUT ROWID;
INSERT OR IGNORE INTO run_tag (tag, run_id) SELECT value, run.id FROM run, json_each(run.tags);

CREATE TABLE idempotency_key (
  scope TEXT NOT NULL,                   -- whose key it is
  key TEXT NOT NULL,
  body_digest TEXT NOT NULL,
  run_id TEXT NOT NULL,
  is_deferred INTEGER NOT NULL,          -- 1: the first reply went out before there was an answer
  claimed_at INTEGER NOT NULL,
  PRIMARY KEY (scope, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_key_by_run ON idempotency_key (run_id);
CREATE INDEX idempotency_key_by_age ON idempotency_key (claimed_at);
