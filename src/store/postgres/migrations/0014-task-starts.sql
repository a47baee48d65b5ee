-- When jobs of tasks with a rate have started, by the clock of the database, as long as the rate counts them.

CREATE TABLE task_start (
  task text COLLATE "C" NOT NULL,
  at bigint NOT NULL,                       -- rounded up
  starts integer NOT NULL,
  ends_at bigint NOT NULL,                  -- from then on no window has them
  PRIMARY KEY (task, at)
) WITH (autovacuum_vacuum_scale_factor = 0.02);
