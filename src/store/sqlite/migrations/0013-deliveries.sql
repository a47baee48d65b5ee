-- What receivers of webhooks are to be sent: a row for each end of a run that has one. It is pending while it has a time
-- for its next try, and taken while a process sends it.

CREATE TABLE delivery (
  run INTEGER NOT NULL,
  version INTEGER NOT NULL,
  receiver TEXT NOT NULL,
  outcome INTEGER NOT NULL,
  ended_at INTEGER NOT NULL,
  state INTEGER NOT NULL,
  attempts INTEGER NOT NULL,
  last_status INTEGER,
  next_at INTEGER,
  is_taken INTEGER NOT NULL,
  PRIMARY KEY (run, version)
) WITHOUT ROWID;

CREATE INDEX delivery_next ON delivery (receiver, next_at) WHERE next_at IS NOT NULL AND is_taken = 0;
CREATE INDEX delivery_taken ON delivery (run, version) WHERE is_taken = 1;
