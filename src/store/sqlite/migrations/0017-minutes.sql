-- What tasks did in each minute: rows of one minute and task are added up. The task '' marks a start of the service.

CREATE TABLE minute (
  id INTEGER PRIMARY KEY,
  at INTEGER NOT NULL,
  task TEXT NOT NULL,
  figures TEXT NOT NULL                  -- JSON
) STRICT;
CREATE INDEX minute_of_task ON minute (task, at, id);
