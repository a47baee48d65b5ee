-- Jobs that wait for the results of others: they have a state of their own, and no row in the queue.

ALTER TABLE tally ADD COLUMN jobs_blocked bigint NOT NULL DEFAULT 0;

CREATE OR REPLACE VIEW job AS SELECT
  record.id AS run_id,
  (entry.place - 1)::integer AS job_index,
  (entry.job -> 0) #>> '{}' AS task,
  (ARRAY['queued', 'running', 'retrying', 'completed', 'failed', 'cancelled', 'blocked'])[(entry.job -> 2)::text::integer + 1] AS state,
  (entry.job -> 3)::text::integer AS priority,
  (entry.job -> 5)::text::integer AS max_attempts,
  (entry.job -> 6)::text::integer AS attempt,
  (entry.job -> 7)::text::integer AS claim,
  (entry.job -> 8)::text::integer AS lost_starts,
  (entry.job -> 9) #>> '{}' AS thread,
  (record.record::json -> 1)::text::bigint + (entry.job -> 10)::text::bigint AS queued_at,
  (record.record::json -> 1)::text::bigint + nullif((entry.job -> 11)::text, 'null')::bigint AS run_at,
  (record.record::json -> 1)::text::bigint + nullif((entry.job -> 12)::text, 'null')::bigint AS started_at,
  (record.record::json -> 1)::text::bigint + nullif((entry.job -> 13)::text, 'null')::bigint AS finished_at,
  coalesce(input.value, (entry.job -> 14) #>> '{}') AS input,
  coalesce(result.value, (entry.job -> 15) #>> '{}') AS result,
  coalesce(error.value, nullif((entry.job -> 16)::text, 'null')) AS error,
  (SELECT '[' || coalesce(string_agg(coalesce(payload.value, failure.value::text), ',' ORDER BY failure.place), '') || ']'
    FROM json_array_elements(CASE json_typeof(entry.job -> 17) WHEN 'array' THEN entry.job -> 17 ELSE '[]' END)
      WITH ORDINALITY AS failure (value, place)
    LEFT JOIN payload ON payload.run = record.id AND payload.job = entry.place - 1
      AND payload.part = (failure.value -> 'part')::text::integer) AS failures,
  nullif((entry.job -> 20)::text, 'null')::integer AS holder
FROM record
CROSS JOIN LATERAL json_array_elements(record.record::json -> 7) WITH ORDINALITY AS entry (job, place)
LEFT JOIN payload AS input ON input.run = record.id AND input.job = entry.place - 1 AND input.part = 0
LEFT JOIN payload AS result ON result.run = record.id AND result.job = entry.place - 1 AND result.part = 1
LEFT JOIN payload AS error ON error.run = record.id AND error.job = entry.place - 1 AND error.part = 2;
