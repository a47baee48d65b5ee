-- Steps of jobs. A record has how many each of its jobs has, and is all that is read or written where there are none.

CREATE TABLE step (
  run uuid NOT NULL,
  job integer NOT NULL,
  place integer NOT NULL,                   -- from 0, in the order in which they were stored
  name text NOT NULL,
  finished_at bigint NOT NULL,
  value text NOT NULL,                      -- JSON
  PRIMARY KEY (run, job, place)
);
