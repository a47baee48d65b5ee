-- A job without failures has none in the view either, whatever follows them in its record.

DROP VIEW job;
CREATE VIEW job AS SELECT
  run.id AS run_id,
  job.key AS job_index,
  json_extract(job.value, '$[0]') AS task,
  CASE json_extract(job.value, '$[2]') WHEN 0 THEN 'queued' WHEN 1 THEN 'running' WHEN 2 THEN 'retrying'
    WHEN 3 THEN 'completed' WHEN 4 THEN 'failed' WHEN 5 THEN 'cancelled' ELSE 'blocked' END AS state,
  json_extract(job.value, '$[3]') AS priority,
  json_extract(job.value, '$[5]') AS max_attempts,
  json_extract(job.value, '$[6]') AS attempt,
  json_extract(job.value, '$[7]') AS claim,
  json_extract(job.value, '$[8]') AS lost_starts,
  json_extract(job.value, '$[9]') AS thread,
  json_extract(record, '$[1]') + json_extract(job.value, '$[10]') AS queued_at,
  json_extract(record, '$[1]') + json_extract(job.value, '$[11]') AS run_at,
  json_extract(record, '$[1]') + json_extract(job.value, '$[12]') AS started_at,
  json_extract(record, '$[1]') + json_extract(job.value, '$[13]') AS finished_at,
  coalesce((SELECT value FROM payload WHERE run = record.key AND payload.job = job.key AND part = 0),
    json_extract(job.value, '$[14]')) AS input,
  coalesce((SELECT value FROM payload WHERE run = record.key AND payload.job = job.key AND part = 1),
    json_extract(job.value, '$[15]')) AS result,
  coalesce((SELECT value FROM payload WHERE run = record.key AND payload.job = job.key AND part = 2),
    json_extract(job.value, '$[16]')) AS error,
  (SELECT json_group_array(json(coalesce(payload.value, failure.value)))
    FROM json_each(job.value, '$[17]') AS failure LEFT JOIN payload
      ON payload.run = record.key AND payload.job = job.key AND payload.part = json_extract(failure.value, '$.part')
    WHERE failure.type <> 'null'
    ) AS failures
FROM record
JOIN run ON run.key = record.key
JOIN json_each(record.record, '$[7]') AS job;
