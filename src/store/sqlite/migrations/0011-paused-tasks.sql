-- Paused tasks: their jobs do not start until they are resumed.

CREATE TABLE paused_task (
  task TEXT NOT NULL PRIMARY KEY
) STRICT, WITHOUT ROWID;
