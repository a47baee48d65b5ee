-- Runs that are made at times of a pattern. One transaction makes a tick's run and goes on to the next tick.

CREATE TABLE schedule (
  name TEXT PRIMARY KEY,
  revision TEXT NOT NULL,                -- another one after each write
  next_at INTEGER,                       -- NULL: paused, or no tick follows
  schedule TEXT NOT NULL                 -- everything else, as JSON
) STRICT, WITHOUT ROWID;
