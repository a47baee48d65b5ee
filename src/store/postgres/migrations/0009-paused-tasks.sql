-- Tasks of which no job starts until they are resumed.

CREATE TABLE paused_task (
  task text COLLATE "C" PRIMARY KEY
);
