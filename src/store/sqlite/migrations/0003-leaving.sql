-- What is known of a job's starts after which the process was asked to leave.

ALTER TABLE job ADD COLUMN left_claim INTEGER NOT NULL DEFAULT 0;   -- the claim of the last such start
ALTER TABLE job ADD COLUMN left_starts INTEGER NOT NULL DEFAULT 0;  -- how many came soon after the start
