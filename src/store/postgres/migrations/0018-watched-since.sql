-- Since when there has been a process without a gap to see ticks of schedules, as far as this one knows, by the clocks of
-- processes; NULL while it does not know that yet.
ALTER TABLE process ADD COLUMN watched_since bigint;
