-- The events, one partition for each day (UTC) of the time they were accepted.
--
-- A batch was accepted within moments, so that it falls into one partition, and
-- old days are dropped whole. There is no default partition: a row in it would
-- have to be moved before its day could be made.
--
-- There is no primary key. That an event is stored once follows from the
-- watermark of its lane (aurore.advance), not from an index; a key over
-- partitions would have to hold ingested_at, so would not make event_id unique,
-- and would cost each insert a random write into another large index.
--
-- The columns of fixed width stand first, which saves padding in each row.
CREATE TABLE aurore.event (
  event_id    uuid        NOT NULL,
  occurred_at timestamptz NOT NULL,
  ingested_at timestamptz NOT NULL,
  created_at  timestamptz NOT NULL DEFAULT now(),
  service     text        NOT NULL,
  message     text        NOT NULL,
  metadata    jsonb
) PARTITION BY RANGE (ingested_at);

-- The queries ask for a service and a range of occurred_at; event_id breaks
-- ties, so that pages never overlap.
CREATE INDEX event_service_occurred_at
  ON aurore.event (service, occurred_at, event_id);

-- Rows come in the order of ingested_at: a BRIN is a few pages a day.
CREATE INDEX event_ingested_at ON aurore.event USING brin (ingested_at);

-- The partitions and their bounds; an end that is open is infinite. A default
-- partition, should somebody have made one, has no bounds and is left out.
CREATE FUNCTION aurore.partitions()
RETURNS TABLE (name text, lower_bound timestamptz, upper_bound timestamptz)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET datestyle = 'ISO, YMD'
AS $$
  SELECT c.relname::text,
         coalesce(substring(b.bound FROM $re$FROM \('([^']+)'\)$re$)::timestamptz,
                  '-infinity'),
         coalesce(substring(b.bound FROM $re$TO \('([^']+)'\)$re$)::timestamptz,
                  'infinity')
    FROM pg_inherits AS i
    JOIN pg_class AS c ON c.oid = i.inhrelid
   CROSS JOIN LATERAL pg_get_expr(c.relpartbound, c.oid) AS b (bound)
   WHERE i.inhparent = 'aurore.event'::regclass
     AND b.bound LIKE 'FOR VALUES FROM %'
$$;

-- The days that have no partition yet, in order. A day that a partition covers
-- in part counts as made: nothing can be added to it.
CREATE FUNCTION aurore.missing_days(first_day date, last_day date)
RETURNS date[]
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
  SELECT coalesce(array_agg(d.day ORDER BY d.day), '{}')
    FROM (SELECT $1 + n FROM generate_series(0, $2 - $1) AS n) AS d (day)
   WHERE NOT EXISTS (SELECT FROM aurore.partitions() AS p
                      WHERE p.lower_bound < (d.day + 1)::timestamp AT TIME ZONE 'UTC'
                        AND p.upper_bound > d.day::timestamp AT TIME ZONE 'UTC')
$$;

-- Makes the partitions that are missing and returns how many it made.
--
-- CREATE TABLE ... PARTITION OF would take ACCESS EXCLUSIVE on aurore.event:
-- it would wait for every running query, and every insert would wait behind it.
-- Making a table of its own and attaching it takes SHARE UPDATE EXCLUSIVE on
-- aurore.event and its indexes, which conflicts with neither; the new table is
-- empty, so that nothing is scanned. What it does conflict with (VACUUM,
-- ANALYZE, CREATE INDEX, another ATTACH) is waited for two seconds.
--
-- Two processes that do this at once are kept apart by an advisory lock; the
-- second one looks again and finds nothing to do.
--
-- A table that has the name but is no partition (somebody has detached it) is
-- left alone, and the new one gets a number.
--
-- It runs with the rights of its owner: a writer that may only insert can have
-- it by GRANT EXECUTE.
CREATE FUNCTION aurore.ensure_partitions(first_day date, last_day date)
RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET datestyle = 'ISO, YMD'
SET lock_timeout = '2s'
AS $$
DECLARE
  missing date[];
  day     date;
  name    text;
  number  integer;
BEGIN
  IF last_day - first_day NOT BETWEEN 0 AND 999 THEN
    RAISE EXCEPTION USING
      ERRCODE = 'invalid_parameter_value',
      MESSAGE = format('cannot make partitions from %s to %s',
                       first_day, last_day);
  END IF;
  missing := aurore.missing_days(first_day, last_day);
  IF cardinality(missing) = 0 THEN
    RETURN 0;
  END IF;

  PERFORM pg_advisory_xact_lock(1096110671, 2);
  missing := aurore.missing_days(first_day, last_day);
  FOREACH day IN ARRAY missing LOOP
    name := 'event_' || to_char(day, 'YYYYMMDD');
    number := 1;
    WHILE to_regclass('aurore.' || name) IS NOT NULL LOOP
      number := number + 1;
      name := 'event_' || to_char(day, 'YYYYMMDD') || '_' || number;
    END LOOP;
    EXECUTE format('CREATE TABLE aurore.%I (LIKE aurore.event INCLUDING ALL)',
                   name);
    EXECUTE format('ALTER TABLE aurore.event ATTACH PARTITION aurore.%I '
                   'FOR VALUES FROM (%L) TO (%L)',
                   name, day || ' 00:00:00+00', day + 1 || ' 00:00:00+00');
  END LOOP;
  RETURN cardinality(missing);
END
$$;

REVOKE ALL ON FUNCTION aurore.ensure_partitions(date, date) FROM PUBLIC;
