-- Lines that tasks have logged: several of a run in one row, deleted by age, by size and with the run.

CREATE TABLE log_chunk (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  run uuid NOT NULL,
  at bigint NOT NULL,
  lines integer NOT NULL,
  bytes integer NOT NULL,
  text text NOT NULL                        -- JSON array
);
-- With everything that is asked of a chunk beside its text.
CREATE INDEX log_chunk_of_run ON log_chunk (run, id) INCLUDE (lines, bytes);
