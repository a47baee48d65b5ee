-- What is written to see whether anything can be written.

CREATE TABLE probe (
  id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
  filler BLOB NOT NULL
) STRICT;
