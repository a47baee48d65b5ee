-- What tasks did in each minute: rows of one minute and task are added up. The task '' marks a start of a process.

CREATE TABLE minute (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at bigint NOT NULL,
  task text COLLATE "C" NOT NULL,
  figures text NOT NULL                     -- JSON
);
CREATE INDEX minute_of_task ON minute (task, at, id);
