-- When a waiting job fails because it has not started; nearly always null.

ALTER TABLE queue ADD COLUMN expires_at INTEGER;
CREATE INDEX queue_expiry ON queue (expires_at) WHERE expires_at IS NOT NULL;
