-- Dropping whole days, whatever somebody else has done to them.
--
-- A partition goes in these steps, each in a transaction of its own:
--
--   1  aurore.next_leaving marks it in aurore.event_leaving
--   2  ALTER TABLE ... DETACH PARTITION ... CONCURRENTLY, first part: queries
--      that begin now do not see it, and no figure counts it (aurore.unseen)
--   3  ... second part: the queries and batches of before have ended
--   4  aurore.settle_leaving takes its counters off: from now on another
--      partition may be made for its day
--   5  aurore.drop_leaving drops the table and forgets the mark
--
-- What a crash leaves behind is taken up where it stands. One that cannot be
-- dropped (a view is made of it, say) is passed over; the others go.
--
-- A mark says which partition it is about by schema, name and bounds, and all of
-- them are compared before anything is done to it: an OID means another table in
-- a database that was restored. There the partition may be attached again, or
-- stand alone.
CREATE TABLE aurore.event_leaving (
  schema_name text        NOT NULL,
  name        text        NOT NULL,
  lower_bound timestamptz NOT NULL,
  upper_bound timestamptz NOT NULL,
  marked_at   timestamptz NOT NULL DEFAULT now(),
  settled_at  timestamptz,
  events      bigint,
  PRIMARY KEY (schema_name, name)
);

COMMENT ON TABLE aurore.event_leaving IS
  'The partitions of aurore.event that are being dropped.';

-- What release 0.1.0 has marked. Its OIDs are not looked at.
DO $$
BEGIN
  PERFORM pg_advisory_xact_lock(1096110671, 2);
  INSERT INTO aurore.event_leaving (schema_name, name, lower_bound,
                                    upper_bound, marked_at)
  SELECT 'aurore', d.name, d.lower_bound, d.upper_bound, d.marked_at
    FROM aurore.event_drop AS d
  ON CONFLICT DO NOTHING;
  DELETE FROM aurore.event_drop;
END
$$;

-- The table that a mark names; whether it is one of the partitions, and half
-- detached. No row: there is no such table.
CREATE FUNCTION aurore.find_leaving(p_schema text, p_name text)
RETURNS TABLE (relation oid, kind "char", is_attached boolean,
               is_pending boolean)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT c.oid, c.relkind, i.inhrelid IS NOT NULL,
         coalesce(i.inhdetachpending, false)
    FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    LEFT JOIN pg_inherits AS i
      ON i.inhrelid = c.oid AND i.inhparent = 'aurore.event'::regclass
   WHERE n.nspname = p_schema AND c.relname = p_name
$$;

-- The marked partitions that queries do not see, but whose counters stand.
CREATE FUNCTION aurore.unseen()
RETURNS TABLE (lower_bound timestamptz, upper_bound timestamptz)
LANGUAGE sql STABLE
AS $$
  SELECT d.lower_bound, d.upper_bound
    FROM aurore.event_leaving AS d
   WHERE d.settled_at IS NULL
     AND NOT EXISTS (
           SELECT
             FROM pg_catalog.pg_inherits AS i
             JOIN pg_catalog.pg_class AS c ON c.oid = i.inhrelid
             JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
            WHERE i.inhparent = 'aurore.event'::regclass
              AND NOT i.inhdetachpending
              AND n.nspname = d.schema_name AND c.relname = d.name)
$$;

-- As before, with the marks of today.
CREATE OR REPLACE FUNCTION aurore.figures(p_now timestamptz, p_services integer)
RETURNS TABLE (kind text, name text, n bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  WITH fresh AS MATERIALIZED (
    SELECT c.minute, c.service, c.n FROM aurore.event_count AS c
  ), unseen AS MATERIALIZED (
    SELECT u.lower_bound, u.upper_bound FROM aurore.unseen() AS u
  ), counted AS (
    SELECT t.service, t.n FROM aurore.event_total AS t
     UNION ALL
    SELECT f.service, f.n FROM fresh AS f
     UNION ALL
    SELECT h.service, -h.n
      FROM unseen AS u
      JOIN aurore.event_hour AS h
        ON h.hour >= u.lower_bound AND h.hour < u.upper_bound
     UNION ALL
    SELECT f.service, -f.n
      FROM unseen AS u
      JOIN fresh AS f
        ON f.minute >= u.lower_bound AND f.minute < u.upper_bound
  ), services AS MATERIALIZED (
    SELECT c.service, sum(c.n)::bigint AS n
      FROM counted AS c GROUP BY 1 HAVING sum(c.n) > 0
  ), minutes AS MATERIALIZED (
    SELECT m.minute, m.n
      FROM (SELECT e.minute, e.n FROM aurore.event_minute AS e
             UNION ALL
            SELECT f.minute, f.n FROM fresh AS f) AS m
     WHERE m.minute >= date_trunc('minute', $1 - interval '24 hours')
       AND m.minute <= $1
  )
  SELECT 'total'::text, NULL::text, coalesce(sum(s.n), 0)::bigint FROM services AS s
   UNION ALL
  SELECT 'last_day', NULL, coalesce(sum(m.n), 0)::bigint FROM minutes AS m
   UNION ALL
  SELECT 'last_hour', NULL, coalesce(sum(m.n), 0)::bigint FROM minutes AS m
   WHERE m.minute >= date_trunc('minute', $1 - interval '1 hour')
   UNION ALL
  SELECT 'dead_letters', NULL, count(*) FROM aurore.dead_letter AS l
   WHERE NOT l.reprocessed
   UNION ALL
  (SELECT 'hour', to_char(h.hour, 'YYYY-MM-DD HH24:00'), h.n
     FROM (SELECT date_trunc('hour', m.minute), sum(m.n)::bigint
             FROM minutes AS m GROUP BY 1) AS h (hour, n)
    ORDER BY h.hour)
   UNION ALL
  (SELECT 'service', s.service, s.n
     FROM services AS s ORDER BY s.n DESC, s.service LIMIT $2);
END
$$;

-- Takes the counters of a marked partition that is detached off the totals;
-- nothing, when that was done before.
--
-- No writer touches them any more: there was nothing to store their events in.
-- Should somebody else have made a partition of the same day, they are left to
-- that one.
CREATE FUNCTION aurore.settle_leaving(p_schema text, p_name text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '2s'
AS $$
DECLARE
  mark   aurore.event_leaving%ROWTYPE;
  fresh  bigint := 0;
  folded bigint := 0;
BEGIN
  PERFORM pg_advisory_xact_lock(1096110671, 2);
  PERFORM pg_advisory_xact_lock(1096110671, 3);
  SELECT d.* INTO mark
    FROM aurore.event_leaving AS d
   WHERE d.schema_name = p_schema AND d.name = p_name;
  IF NOT FOUND OR mark.settled_at IS NOT NULL THEN
    RETURN;
  END IF;
  PERFORM FROM aurore.find_leaving(p_schema, p_name) AS f WHERE f.is_attached;
  IF FOUND THEN
    RAISE EXCEPTION USING
      ERRCODE = 'object_in_use',
      MESSAGE = format('the partition "%s" is not detached', p_name);
  END IF;

  PERFORM FROM aurore.partitions() AS p
    WHERE p.lower_bound < mark.upper_bound AND p.upper_bound > mark.lower_bound;
  IF NOT FOUND THEN
    WITH gone AS (
      DELETE FROM aurore.event_count AS c
       WHERE c.minute >= mark.lower_bound AND c.minute < mark.upper_bound
      RETURNING c.n
    )
    SELECT coalesce(sum(g.n), 0) INTO fresh FROM gone AS g;
    WITH gone AS (
      DELETE FROM aurore.event_hour AS h
       WHERE h.hour >= mark.lower_bound AND h.hour < mark.upper_bound
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
     WHERE m.minute >= mark.lower_bound AND m.minute < mark.upper_bound;
  END IF;
  UPDATE aurore.event_leaving AS d
     SET settled_at = now(), events = fresh + folded
   WHERE d.schema_name = p_schema AND d.name = p_name;
END
$$;

-- Drops the table of a marked partition that is detached, and forgets the mark.
-- Returns how many events its counters counted; NULL: there is no such mark.
--
-- A table that holds an event of another time is not the one that was marked.
-- What DETACH ... CONCURRENTLY leaves behind, a constraint, says so at once;
-- else the index of ingested_at is looked at.
CREATE FUNCTION aurore.drop_leaving(p_schema text, p_name text)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET datestyle = 'ISO, YMD'
SET constraint_exclusion = 'on'
SET lock_timeout = '2s'
AS $$
DECLARE
  mark        aurore.event_leaving%ROWTYPE;
  table_state record;
  is_strange  boolean;
BEGIN
  PERFORM aurore.settle_leaving(p_schema, p_name); -- and takes the locks
  SELECT d.* INTO mark
    FROM aurore.event_leaving AS d
   WHERE d.schema_name = p_schema AND d.name = p_name;
  IF NOT FOUND THEN
    RETURN NULL; -- somebody else was faster
  END IF;
  SELECT f.* INTO table_state FROM aurore.find_leaving(p_schema, p_name) AS f;
  IF table_state.relation IS NOT NULL THEN
    IF table_state.kind NOT IN ('r', 'p')
       OR EXISTS (SELECT FROM pg_inherits AS i
                   WHERE i.inhrelid = table_state.relation) THEN
      is_strange := true;
    ELSE
      EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE',
                     table_state.relation::regclass);
      EXECUTE format('SELECT EXISTS (SELECT FROM %s WHERE ingested_at < %L '
                     'OR ingested_at >= %L)',
                     table_state.relation::regclass, mark.lower_bound,
                     mark.upper_bound)
         INTO is_strange;
    END IF;
    IF is_strange THEN
      RAISE EXCEPTION USING
        ERRCODE = 'object_not_in_prerequisite_state',
        MESSAGE = format('the table "%s" is not the partition that was to be '
                         'dropped', p_name);
    END IF;
    EXECUTE format('DROP TABLE %s', table_state.relation::regclass);
  END IF;
  DELETE FROM aurore.event_leaving AS d
   WHERE d.schema_name = p_schema AND d.name = p_name;
  RETURN mark.events;
END
$$;

-- What is not to be dropped any more, or is not what was marked: another
-- partition has the name, or its bounds; RetentionDays has grown. The counters
-- of a table that is gone are taken off.
CREATE FUNCTION aurore.clean_leaving(p_before date)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
DECLARE
  mark        aurore.event_leaving%ROWTYPE;
  table_state record;
  bound       record;
BEGIN
  FOR mark IN SELECT d.* FROM aurore.event_leaving AS d LOOP
    SELECT f.* INTO table_state
      FROM aurore.find_leaving(mark.schema_name, mark.name) AS f;
    IF table_state.is_pending THEN
      CONTINUE;
    ELSIF table_state.is_attached THEN
      SELECT b.* INTO bound FROM aurore.bounds(table_state.relation) AS b;
      IF mark.settled_at IS NULL
         AND bound.lower_bound = mark.lower_bound
         AND bound.upper_bound = mark.upper_bound
         AND mark.upper_bound <= p_before THEN
        CONTINUE;
      END IF;
    ELSIF table_state.relation IS NOT NULL THEN
      CONTINUE;
    ELSE
      PERFORM aurore.settle_leaving(mark.schema_name, mark.name);
    END IF;
    DELETE FROM aurore.event_leaving AS d
     WHERE d.schema_name = mark.schema_name AND d.name = mark.name;
  END LOOP;
END
$$;

-- Whether a partition can be detached while others use the table: there is
-- neither a default partition, nor is the table distributed (by Citus, whose
-- catalogue says so).
CREATE FUNCTION aurore.detaches_concurrently()
RETURNS boolean
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  is_distributed boolean := false;
BEGIN
  IF to_regclass('pg_catalog.pg_dist_partition') IS NOT NULL THEN
    EXECUTE 'SELECT EXISTS (SELECT FROM pg_catalog.pg_dist_partition AS d '
            'WHERE d.logicalrelid = ''aurore.event''::regclass)'
       INTO is_distributed;
  END IF;
  RETURN NOT is_distributed
     AND NOT EXISTS (SELECT FROM pg_partitioned_table AS t
                      WHERE t.partrelid = 'aurore.event'::regclass
                        AND t.partdefid <> 0);
END
$$;

-- The partition that goes next, marked, and the statement that detaches it; NULL
-- when it is detached already. is_alone: the statement may not be in a
-- transaction with others. Not NULL: reason says why it cannot be dropped, and
-- nothing was done. No row: there is none that is older than what is kept (see
-- aurore.kept_from), but for p_passed, those that could not be dropped, as
-- "SCHEMA.NAME".
--
-- One that is half detached goes first: PostgreSQL detaches no other one until
-- that is done.
CREATE FUNCTION aurore.next_leaving(p_today date, p_oldest date,
                                    p_time interval, p_passed text[])
RETURNS TABLE (schema_name text, name text, statement text, is_alone boolean,
               reason text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET lock_timeout = '2s'
AS $$
#variable_conflict use_column
DECLARE
  before CONSTANT date := aurore.kept_from(p_today, p_oldest, p_time);
  next   record;
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
  PERFORM aurore.clean_leaving(before);
  SELECT l.* INTO next
    FROM (SELECT d.schema_name, d.name, d.lower_bound, d.upper_bound,
                 f.relation, f.kind, f.is_attached, f.is_pending
            FROM aurore.event_leaving AS d
           CROSS JOIN LATERAL aurore.find_leaving(d.schema_name, d.name) AS f
           UNION ALL
          SELECT n.nspname, c.relname, b.lower_bound, b.upper_bound,
                 c.oid, c.relkind, true, i.inhdetachpending
            FROM pg_inherits AS i
            JOIN pg_class AS c ON c.oid = i.inhrelid
            JOIN pg_namespace AS n ON n.oid = c.relnamespace
           CROSS JOIN LATERAL aurore.bounds(c.oid) AS b
           WHERE i.inhparent = 'aurore.event'::regclass
             AND NOT EXISTS (SELECT FROM aurore.event_leaving AS d
                              WHERE d.schema_name = n.nspname
                                AND d.name = c.relname)) AS l
   WHERE (l.upper_bound <= before OR l.is_pending)
     AND l.schema_name || '.' || l.name <> ALL (p_passed)
     AND (l.is_pending OR NOT l.is_attached
          OR NOT EXISTS (SELECT FROM pg_inherits AS i
                          WHERE i.inhparent = 'aurore.event'::regclass
                            AND i.inhdetachpending))
   ORDER BY l.is_pending DESC, l.lower_bound, l.name
   LIMIT 1;
  IF NOT FOUND THEN
    RETURN;
  END IF;

  schema_name := next.schema_name;
  name := next.name;
  is_alone := false;
  IF next.kind NOT IN ('r', 'p') THEN
    reason := format('the partition "%s" is a foreign table', next.name);
  ELSE
    INSERT INTO aurore.event_leaving (schema_name, name, lower_bound,
                                      upper_bound)
    VALUES (next.schema_name, next.name, next.lower_bound, next.upper_bound)
    ON CONFLICT DO NOTHING;
    is_alone := next.is_attached AND NOT next.is_pending
                AND aurore.detaches_concurrently();
    IF next.is_attached THEN
      statement := format('ALTER TABLE aurore.event DETACH PARTITION %s%s',
                          next.relation::regclass,
                          CASE WHEN next.is_pending THEN ' FINALIZE'
                               WHEN is_alone THEN ' CONCURRENTLY'
                               ELSE '' END);
    END IF;
  END IF;
  RETURN NEXT;
END
$$;

-- How many days are older than what is kept, and still there: as partitions, or
-- as tables that are detached.
CREATE FUNCTION aurore.overdue_days(p_today date, p_oldest date,
                                    p_time interval)
RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
  SELECT count(DISTINCT day.at)
    FROM aurore.kept_from(p_today, p_oldest, p_time) AS k (day)
   CROSS JOIN LATERAL (
         SELECT p.lower_bound, p.upper_bound FROM aurore.partitions() AS p
          WHERE p.upper_bound <= k.day
          UNION ALL
         SELECT d.lower_bound, d.upper_bound FROM aurore.event_leaving AS d
          WHERE d.upper_bound <= k.day) AS l
   CROSS JOIN LATERAL generate_series(
         date_trunc('day', greatest(l.lower_bound,
                                    l.upper_bound - interval '1000 days')),
         l.upper_bound - interval '1 microsecond',
         interval '1 day') AS day (at)
$$;

-- For release 0.1.0, which knows partitions by their OIDs, and can do no more
-- than it could: nothing that waits for the whole table, and one after the
-- other. What it says about RetentionDays is heard.
CREATE OR REPLACE FUNCTION aurore.next_drop(p_day date, p_days integer,
                                            p_time interval)
RETURNS TABLE (partition oid, name text, statement text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET lock_timeout = '2s'
AS $$
#variable_conflict use_column
DECLARE
  next   record;
  passed text[] := '{}';
BEGIN
  IF pg_has_role((SELECT c.relowner FROM pg_class AS c
                   WHERE c.oid = 'aurore.event'::regclass), 'USAGE') THEN
    PERFORM aurore.tell_retention(format('release 0.1.0 with %s days', p_days),
                                  'one of release 0.1.0', p_days);
  END IF;
  LOOP
    SELECT n.* INTO next
      FROM aurore.next_leaving(p_day + p_days, NULL, p_time, passed) AS n;
    IF NOT FOUND THEN
      RETURN;
    END IF;
    EXIT WHEN next.reason IS NULL;
    passed := passed || (next.schema_name || '.' || next.name);
  END LOOP;
  SELECT f.relation INTO partition
    FROM aurore.find_leaving(next.schema_name, next.name) AS f;
  name := next.name;
  statement := next.statement
               || CASE WHEN next.is_alone OR next.statement LIKE '% FINALIZE'
                       THEN '' ELSE ' CONCURRENTLY' END;
  RETURN NEXT;
END
$$;

CREATE OR REPLACE FUNCTION aurore.finish_drop(p_partition oid)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  leaving record;
BEGIN
  SELECT n.nspname, c.relname INTO leaving
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
   WHERE c.oid = p_partition;
  IF NOT FOUND THEN
    RETURN 0; -- somebody else was faster
  END IF;
  RETURN coalesce(aurore.drop_leaving(leaving.nspname, leaving.relname), 0);
END
$$;

REVOKE ALL ON FUNCTION aurore.settle_leaving(text, text) FROM PUBLIC;
REVOKE ALL ON FUNCTION aurore.drop_leaving(text, text) FROM PUBLIC;
REVOKE ALL ON FUNCTION aurore.clean_leaving(date) FROM PUBLIC;
REVOKE ALL ON FUNCTION aurore.overdue_days(date, date, interval) FROM PUBLIC;

SELECT aurore.share_rights('aurore.ensure_partitions(date, date)',
                           'aurore.overdue_days(date, date, interval)');
