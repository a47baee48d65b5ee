-- When jobs of tasks with a rate have started, as long as the rate counts them.

CREATE TABLE task_start (
  task TEXT NOT NULL,
  at INTEGER NOT NULL,
  count INTEGER NOT NULL,
  PRIMARY KEY (task, at)
) STRICT, WITHOUT ROWID;
