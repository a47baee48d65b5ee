-- Words of runs, written some time after the records. Nothing but the index: the texts are those of the records. The
-- words are made by the service, so that no locale and no configuration of the database has a say in them.

CREATE TABLE search (
  run uuid PRIMARY KEY,
  revision integer NOT NULL,                -- of the record that the words are of
  words tsvector NOT NULL
);
-- A search reads through what was not merged yet, and a batch that merges it takes its time: a small part at a time.
CREATE INDEX search_words ON search USING gin (words) WITH (fastupdate = on, gin_pending_list_limit = 256);

-- What may be missing in the index: runs that a process has written since an instant of its clock. The row of a process
-- that is gone is worked off by another one. Process 0 stands for all that was written before this table.
CREATE TABLE search_progress (
  process integer PRIMARY KEY,
  since bigint NOT NULL,
  below uuid                                -- while it is worked off: runs from here on are done
);
INSERT INTO search_progress (process, since) VALUES (0, 0);

-- Whether the process writes the index.
ALTER TABLE process ADD COLUMN has_search boolean NOT NULL DEFAULT false;
