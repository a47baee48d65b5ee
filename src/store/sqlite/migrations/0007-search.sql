-- Words of runs, by key of the record. Nothing but the index: the texts are those of the records.
CREATE VIRTUAL TABLE search USING fts5 (
  words,
  content = '',
  contentless_delete = 1,
  tokenize = 'unicode61 remove_diacritics 2'
);
-- How far the index has come, which is written some time after the records.
CREATE TABLE search_progress (
  id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
  next_key INTEGER NOT NULL,             -- of the first record that has never been in it
  finished_at INTEGER                    -- runs that ended before it are in it as they ended
) STRICT;
INSERT INTO search_progress (id, next_key) VALUES (1, 1);
