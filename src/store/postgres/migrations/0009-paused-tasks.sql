-- Paused tasks: their jobs do not start until they are resumed.

CREATE TABLE paused_task (
  task text COLLATE "C" PRIMARY KEY
);
