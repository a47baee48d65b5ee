-- Lines that tasks have logged: several of a run in one row, deleted by age, by size and with the run.

CREATE TABLE log_chunk (
  id INTEGER PRIMARY KEY AUTOINCREMENT,  -- grows, for readers ask for what came after
  run INTEGER NOT NULL,                  -- key of the record
  at INTEGER NOT NULL,
  lines INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  text TEXT NOT NULL                     -- JSON array
) STRICT;
-- With everything that is asked of a chunk beside its text.
CREATE INDEX log_chunk_of_run ON log_chunk (run, id, lines, bytes);
