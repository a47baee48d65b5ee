-- What receivers of webhooks are to be sent: a row for each end of a run that has one. It is pending while it has a time
-- for its next try, and held by the process that sends it.

CREATE TABLE delivery (
  run uuid NOT NULL,
  version integer NOT NULL,
  receiver text NOT NULL,
  outcome smallint NOT NULL,
  ended_at bigint NOT NULL,
  state smallint NOT NULL DEFAULT 0,
  attempts integer NOT NULL DEFAULT 0,
  last_status smallint,
  next_at bigint,
  holder integer,
  PRIMARY KEY (run, version)
);

CREATE INDEX delivery_next ON delivery (receiver, next_at) WHERE next_at IS NOT NULL AND holder IS NULL;
CREATE INDEX delivery_holder ON delivery (holder) WHERE holder IS NOT NULL;
