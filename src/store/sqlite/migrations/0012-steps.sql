-- Steps of jobs. A record has how many each of its jobs has, and is all that is read or written where there are none.

CREATE TABLE step (
  run INTEGER NOT NULL,                  -- key of the record
  job INTEGER NOT NULL,
  place INTEGER NOT NULL,                -- from 0, in the order in which they were stored
  name TEXT NOT NULL,
  finished_at INTEGER NOT NULL,
  value TEXT NOT NULL,                   -- JSON
  PRIMARY KEY (run, job, place)
) STRICT, WITHOUT ROWID;
