-- A process claims jobs of tasks that it has, whatever else waits, and a job that is due at once is due on every clock.

ALTER TABLE process ADD COLUMN tasks text[];  -- that run there; null: every one
ALTER TABLE job ADD COLUMN is_due boolean NOT NULL DEFAULT false;  -- while it waits: at any time; false: from run_at on

DROP INDEX job_waiting;
CREATE INDEX job_waiting ON job (kind, priority, is_due, task, run_at, run_id, job_index) WHERE run_at IS NOT NULL;
