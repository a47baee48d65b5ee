-- Requests for runs that were made within a transaction of somebody else. A process of the service takes them up: it makes
-- the run and removes the request in one transaction.

CREATE TABLE inbox (
  id uuid PRIMARY KEY,                      -- of the run
  request text NOT NULL                     -- JSON
);

-- The owner's rights are needed for the table, and a path of its own, so that no table or function of the caller is taken
-- for one of these. The id is a UUIDv7 whose second part counts parts of the millisecond, so that ids of one caller grow.
DO $migration$ BEGIN
  EXECUTE format($create$
    CREATE FUNCTION run_tasks(request jsonb) RETURNS uuid
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = %1$I, pg_temp AS $function$
    DECLARE
      at bigint := floor(extract(epoch FROM clock_timestamp()) * 1000000);
      run uuid := lpad(to_hex(at / 1000), 12, '0') || '7' || lpad(to_hex(mod(at, 1000) * 4096 / 1000), 3, '0')
        || substr(replace(gen_random_uuid()::text, '-', ''), 17);
    BEGIN
      INSERT INTO inbox (id, request) VALUES (run, coalesce(request, 'null')::text);
      PERFORM pg_notify(%2$L, 'inbox');
      RETURN run;
    END $function$
  $create$, current_schema(), 'forerunner ' || current_schema());
END $migration$;
REVOKE EXECUTE ON FUNCTION run_tasks(jsonb) FROM PUBLIC;
