-- What is known of a job's starts after which the process was asked to leave.

ALTER TABLE job ADD COLUMN left_claim integer NOT NULL DEFAULT 0;   -- the claim of the last such start
ALTER TABLE job ADD COLUMN left_starts integer NOT NULL DEFAULT 0;  -- how many came soon after the start
