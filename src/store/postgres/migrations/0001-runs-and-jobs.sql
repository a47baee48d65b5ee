-- Runs, jobs, keys and totals. Instants are epoch milliseconds, but for the lease; payloads are JSON text, which is no
-- jsonb: that refuses an escaped NUL or a lone surrogate, and with it the whole transaction.

CREATE TABLE process (
  id uuid PRIMARY KEY,
  heartbeat_at timestamptz NOT NULL         -- by the clock of the database
);

CREATE TABLE run (
  id uuid PRIMARY KEY,                      -- UUIDv7: sorts by time of creation
  state text NOT NULL,
  version integer NOT NULL,
  respond text NOT NULL,
  on_first_failure text NOT NULL,
  total_jobs integer NOT NULL,
  open_jobs integer NOT NULL,               -- not yet final
  failed_jobs integer NOT NULL,
  cancelled_jobs integer NOT NULL,
  answer_job integer,                       -- the deciding job; null when all decided together
  answer_status integer,                    -- null until the answer is decided
  responded_at bigint,
  finished_at bigint,
  tags text NOT NULL                        -- JSON
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);

-- Newest first within a state.
CREATE INDEX run_by_state ON run (state, id);
CREATE INDEX run_finished ON run (finished_at) WHERE finished_at IS NOT NULL;

CREATE TABLE job (
  run_id uuid NOT NULL,
  job_index integer NOT NULL,
  task text COLLATE "C" NOT NULL,
  kind text COLLATE "C" NOT NULL,
  state text NOT NULL,
  priority integer NOT NULL,
  timeout_ms bigint NOT NULL,
  attempt integer NOT NULL,                 -- spent attempts and the one under way
  max_attempts integer NOT NULL,
  claim integer NOT NULL,                   -- only grows; fences every write
  lost_starts integer NOT NULL,
  owner uuid,                               -- the process that runs it
  thread text,
  queued_at bigint NOT NULL,
  run_at bigint,                            -- when it is due; null unless it waits
  started_at bigint,
  finished_at bigint,
  error text,
  failures text NOT NULL,
  input text,
  result text,
  PRIMARY KEY (run_id, job_index)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02);

CREATE INDEX job_waiting ON job (kind, priority, run_at, run_id, job_index) WHERE run_at IS NOT NULL;
CREATE INDEX job_running ON job (owner) WHERE owner IS NOT NULL;
CREATE INDEX job_lost ON job (run_at) WHERE lost_starts > 0 AND run_at IS NOT NULL;

-- What a list is asked for. An index on the tasks of job would be written anew with each of its states.
CREATE TABLE run_tag (
  tag text COLLATE "C" NOT NULL,            -- JSON: a tag may hold what text may not
  run_id uuid NOT NULL,
  PRIMARY KEY (tag, run_id)
);
CREATE INDEX run_tag_by_run ON run_tag (run_id);

CREATE TABLE run_task (
  task text COLLATE "C" NOT NULL,
  run_id uuid NOT NULL,
  PRIMARY KEY (task, run_id)
);
CREATE INDEX run_task_by_run ON run_task (run_id);

CREATE TABLE idempotency_key (
  scope text COLLATE "C" NOT NULL,          -- whose key it is
  key text COLLATE "C" NOT NULL,
  body_digest text NOT NULL,
  run_id uuid NOT NULL,
  is_deferred boolean NOT NULL,             -- the first reply went out before there was an answer
  claimed_at bigint NOT NULL,
  PRIMARY KEY (scope, key)
);
CREATE INDEX idempotency_key_by_run ON idempotency_key (run_id);
CREATE INDEX idempotency_key_by_age ON idempotency_key (claimed_at);

-- Totals since the beginning and by state: their sum over all rows. Each process has a row of its own, written in the
-- transaction that changes what it counts, so that no process waits for another one's.
CREATE TABLE tally (
  owner text PRIMARY KEY,
  commits bigint NOT NULL DEFAULT 0,        -- number of its last commit: tells whether one that was in doubt took place
  accepted bigint NOT NULL DEFAULT 0,
  final bigint NOT NULL DEFAULT 0,
  runs_running bigint NOT NULL DEFAULT 0,
  runs_completed bigint NOT NULL DEFAULT 0,
  runs_failed bigint NOT NULL DEFAULT 0,
  runs_cancelled bigint NOT NULL DEFAULT 0,
  jobs_queued bigint NOT NULL DEFAULT 0,
  jobs_running bigint NOT NULL DEFAULT 0,
  jobs_retrying bigint NOT NULL DEFAULT 0,
  jobs_completed bigint NOT NULL DEFAULT 0,
  jobs_failed bigint NOT NULL DEFAULT 0,
  jobs_cancelled bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 30, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
