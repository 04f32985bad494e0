-- Dropping whole days.
--
-- A partition goes in four steps, each in a transaction of its own:
--
--   1  aurore.next_drop marks it in aurore.event_drop; nothing is made for its
--      day from now on
--   2  ALTER TABLE ... DETACH PARTITION ... CONCURRENTLY, first part: queries
--      that begin now do not see it, and no figure counts it (aurore.figures)
--   3  ... second part: the queries and batches of before have ended
--   4  aurore.finish_drop drops the table, takes its counters off the totals,
--      and forgets the mark
--
-- Nobody waits for 2 and 3 but whoever drops: inserts and queries go on. What a
-- crash leaves behind is taken up where it stands.

-- The bounds of a partition; an end that is open is infinite. No bounds: a
-- default partition.
CREATE FUNCTION aurore.bounds(p_partition oid, OUT lower_bound timestamptz,
                              OUT upper_bound timestamptz)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET datestyle = 'ISO, YMD'
AS $$
  SELECT coalesce(substring(b.bound FROM $re$FROM \('([^']+)'\)$re$)::timestamptz,
                  '-infinity'),
         coalesce(substring(b.bound FROM $re$TO \('([^']+)'\)$re$)::timestamptz,
                  'infinity')
    FROM pg_class AS c
   CROSS JOIN LATERAL pg_get_expr(c.relpartbound, c.oid) AS b (bound)
   WHERE c.oid = p_partition AND b.bound LIKE 'FOR VALUES FROM %'
$$;

-- The partitions and their bounds, but for those that are half detached: to ask
-- for their bounds takes a lock, for which whoever finishes the detach must not
-- be waited for. When we drop them they stand in aurore.event_drop.
CREATE OR REPLACE FUNCTION aurore.partitions()
RETURNS TABLE (name text, lower_bound timestamptz, upper_bound timestamptz)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT c.relname::text, b.lower_bound, b.upper_bound
    FROM pg_inherits AS i
    JOIN pg_class AS c ON c.oid = i.inhrelid
   CROSS JOIN LATERAL aurore.bounds(c.oid) AS b
   WHERE i.inhparent = 'aurore.event'::regclass
     AND NOT i.inhdetachpending
     AND b.upper_bound IS NOT NULL
$$;

-- The days that have no partition yet, in order. A day that a partition covers
-- in part counts as made: nothing can be added to it.
--
-- A day that is being dropped is missing, and cannot be made: its counters go
-- with the old partition, and must not be those of a new one. Whoever has
-- events for it waits for the few moments that this takes, or for the query
-- that it waits for.
CREATE OR REPLACE FUNCTION aurore.missing_days(first_day date, last_day date)
RETURNS date[]
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
DECLARE
  missing date[];
  dropped date;
BEGIN
  SELECT coalesce(array_agg(d.day ORDER BY d.day)
                    FILTER (WHERE NOT d.is_made OR d.is_dropped), '{}'),
         min(d.day) FILTER (WHERE d.is_dropped)
    INTO missing, dropped
    FROM (SELECT s.day,
                 EXISTS (SELECT FROM aurore.partitions() AS p
                          WHERE p.lower_bound < s.day_end
                            AND p.upper_bound > s.day_begin),
                 EXISTS (SELECT FROM aurore.event_drop AS e
                          WHERE e.lower_bound < s.day_end
                            AND e.upper_bound > s.day_begin)
            FROM (SELECT first_day + n,
                         (first_day + n)::timestamp AT TIME ZONE 'UTC',
                         (first_day + n + 1)::timestamp AT TIME ZONE 'UTC'
                    FROM generate_series(0, last_day - first_day) AS n)
              AS s (day, day_begin, day_end)) AS d (day, is_made, is_dropped);
  IF dropped IS NOT NULL THEN
    RAISE EXCEPTION USING
      ERRCODE = 'object_in_use',
      MESSAGE = format('the events of %s are being dropped', dropped);
  END IF;
  RETURN missing;
END
$$;

-- The partition that goes next, marked, and the statement that detaches it; NULL
-- when it is detached already. No row: there is none that ends before p_day.
--
-- The server's clock has a say, too: p_days before its own day, p_time having
-- passed, nothing is dropped because of a host whose clock is ahead.
CREATE FUNCTION aurore.next_drop(p_day date, p_days integer, p_time interval)
RETURNS TABLE (partition oid, name text, statement text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET lock_timeout = '2s'
AS $$
DECLARE
  before CONSTANT timestamptz := least(p_day, (now() - p_time)::date - p_days);
  leaving     aurore.event_drop%ROWTYPE;
  is_attached boolean;
  is_pending  boolean;
BEGIN
  IF NOT pg_has_role((SELECT c.relowner FROM pg_class AS c
                       WHERE c.oid = 'aurore.event'::regclass), 'USAGE') THEN
    IF EXISTS (SELECT FROM aurore.partitions() AS p
                WHERE p.upper_bound <= before) THEN
      RAISE EXCEPTION USING
        ERRCODE = 'insufficient_privilege',
        MESSAGE = format('role "%s" does not own the table "aurore.event"',
                         current_user);
    END IF;
    RETURN;
  END IF;

  PERFORM pg_advisory_xact_lock(1096110671, 2);
  -- Marked, but not detached, and to be kept after all: RetentionDays has grown.
  DELETE FROM aurore.event_drop AS d
   WHERE d.upper_bound > before
     AND EXISTS (SELECT FROM pg_inherits AS i
                  WHERE i.inhrelid = d.partition AND NOT i.inhdetachpending);
  SELECT d.* INTO leaving
    FROM aurore.event_drop AS d ORDER BY d.lower_bound LIMIT 1;
  IF NOT FOUND THEN
    SELECT c.oid, c.relname, b.lower_bound, b.upper_bound, now() INTO leaving
      FROM pg_inherits AS i
      JOIN pg_class AS c ON c.oid = i.inhrelid
     CROSS JOIN LATERAL aurore.bounds(c.oid) AS b
     WHERE i.inhparent = 'aurore.event'::regclass AND b.upper_bound <= before
     ORDER BY i.inhdetachpending DESC, b.upper_bound
     LIMIT 1;
    IF NOT FOUND THEN
      RETURN;
    END IF;
  END IF;

  INSERT INTO aurore.event_drop SELECT leaving.* ON CONFLICT DO NOTHING;
  SELECT i.inhdetachpending INTO is_pending
    FROM pg_inherits AS i WHERE i.inhrelid = leaving.partition;
  is_attached := FOUND;
  partition := leaving.partition;
  name := leaving.name;
  IF is_attached THEN
    statement := format('ALTER TABLE aurore.event DETACH PARTITION %s %s',
                        leaving.partition::regclass,
                        CASE WHEN is_pending THEN 'FINALIZE'
                             ELSE 'CONCURRENTLY' END);
  END IF;
  RETURN NEXT;
END
$$;

-- Drops a partition that is marked and detached, and takes its counters off.
-- Returns how many events they counted.
CREATE FUNCTION aurore.finish_drop(p_partition oid)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '2s'
AS $$
DECLARE
  marked aurore.event_drop%ROWTYPE;
  fresh  bigint;
  folded bigint;
BEGIN
  PERFORM pg_advisory_xact_lock(1096110671, 2);
  PERFORM pg_advisory_xact_lock(1096110671, 3);
  SELECT d.* INTO marked
    FROM aurore.event_drop AS d WHERE d.partition = p_partition;
  IF NOT FOUND THEN
    RETURN 0; -- somebody else was faster
  END IF;
  IF EXISTS (SELECT FROM pg_inherits AS i WHERE i.inhrelid = p_partition) THEN
    RAISE EXCEPTION USING
      ERRCODE = 'object_in_use',
      MESSAGE = format('the partition "%s" is not detached', marked.name);
  END IF;
  IF EXISTS (SELECT FROM pg_class AS c WHERE c.oid = p_partition) THEN
    EXECUTE format('DROP TABLE %s', p_partition::regclass);
  END IF;

  -- No writer touches them any more: there is nothing to store the events in.
  WITH gone AS (
    DELETE FROM aurore.event_count AS c
     WHERE c.minute >= marked.lower_bound AND c.minute < marked.upper_bound
    RETURNING c.n
  )
  SELECT coalesce(sum(g.n), 0) INTO fresh FROM gone AS g;
  WITH gone AS (
    DELETE FROM aurore.event_hour AS h
     WHERE h.hour >= marked.lower_bound AND h.hour < marked.upper_bound
    RETURNING h.service, h.n
  ), sums AS (
    SELECT g.service, sum(g.n) AS n FROM gone AS g GROUP BY 1
  ), totals AS (
    UPDATE aurore.event_total AS t SET n = t.n - s.n
      FROM sums AS s WHERE t.service = s.service
  )
  SELECT coalesce(sum(s.n), 0) INTO folded FROM sums AS s;
  DELETE FROM aurore.event_total AS t WHERE t.n = 0;
  DELETE FROM aurore.event_minute AS m
   WHERE m.minute >= marked.lower_bound AND m.minute < marked.upper_bound;
  DELETE FROM aurore.event_drop AS d WHERE d.partition = p_partition;
  RETURN fresh + folded;
END
$$;

REVOKE ALL ON FUNCTION aurore.finish_drop(oid) FROM PUBLIC;
