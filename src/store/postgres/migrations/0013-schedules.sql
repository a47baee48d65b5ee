-- Runs that are made at times of a pattern. One transaction makes a tick's run and goes on to the next tick.

CREATE TABLE schedule (
  name text PRIMARY KEY,
  revision text NOT NULL,                -- another one after each write
  next_at bigint,                        -- NULL: paused, or no tick follows
  schedule text NOT NULL                 -- everything else, as JSON
);
