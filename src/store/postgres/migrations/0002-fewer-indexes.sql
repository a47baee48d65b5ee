-- What a run is listed by is known from the run and its jobs when it is forgotten: each of these indexes was written with
-- every run, and read once at its end.
DROP INDEX run_tag_by_run;
DROP INDEX run_task_by_run;
