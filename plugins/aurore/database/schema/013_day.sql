-- Days that are made, whatever is there already.

-- What no partition takes of these days: whole days, and parts of one of which
-- somebody has made another part.
CREATE FUNCTION aurore.gaps(first_day date, last_day date)
RETURNS tstzrange[]
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
  WITH made AS MATERIALIZED (
    SELECT coalesce(range_agg(tstzrange(p.lower_bound, p.upper_bound)),
                    '{}') AS ranges
      FROM aurore.partitions() AS p
  )
  SELECT coalesce(array_agg(g.gap ORDER BY g.gap), '{}')
    FROM generate_series(0, last_day - first_day) AS n
   CROSS JOIN made AS m
   CROSS JOIN LATERAL unnest(
         tstzmultirange(tstzrange((first_day + n)::timestamptz,
                                  (first_day + n + 1)::timestamptz))
         - m.ranges) AS g (gap)
$$;

-- Makes the partition of a gap. See aurore.ensure_partitions (002_event.sql) for
-- why it is not CREATE TABLE ... PARTITION OF, and what becomes of a table that
-- has its name.
CREATE FUNCTION aurore.fill_gap(gap tstzrange)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET datestyle = 'ISO, YMD'
AS $$
DECLARE
  day    CONSTANT text := to_char(lower(gap), 'YYYYMMDD');
  name   text := 'event_' || day;
  number integer := 1;
BEGIN
  WHILE EXISTS (SELECT FROM aurore.find_leaving('aurore', name)) LOOP
    number := number + 1;
    name := 'event_' || day || '_' || number;
  END LOOP;
  EXECUTE format('CREATE TABLE aurore.%I '
                 '(LIKE aurore.event INCLUDING ALL EXCLUDING IDENTITY)', name);
  EXECUTE format('ALTER TABLE aurore.event ATTACH PARTITION aurore.%I '
                 'FOR VALUES FROM (%L) TO (%L)', name, lower(gap), upper(gap));
END
$$;

-- The counters of a partition go with it, and must not be those of a new one of
-- its day.
CREATE FUNCTION aurore.settle_days(first_day date, last_day date)
RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
  SELECT aurore.settle_leaving(d.schema_name, d.name)
    FROM aurore.event_leaving AS d
   WHERE d.settled_at IS NULL
     AND d.lower_bound < last_day + 1 AND d.upper_bound > first_day
     AND NOT EXISTS (SELECT
                       FROM aurore.find_leaving(d.schema_name, d.name) AS f
                      WHERE f.is_attached)
$$;

-- As before, but that a day whose partition is detached can be made again, and
-- that parts of days are made, too.
CREATE OR REPLACE FUNCTION aurore.ensure_partitions(first_day date,
                                                    last_day date)
RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET datestyle = 'ISO, YMD'
SET lock_timeout = '2s'
AS $$
DECLARE
  gaps    tstzrange[];
  gap     tstzrange;
  dropped date;
BEGIN
  IF last_day - first_day NOT BETWEEN 0 AND 999 THEN
    RAISE EXCEPTION USING
      ERRCODE = 'invalid_parameter_value',
      MESSAGE = format('cannot make partitions from %s to %s',
                       first_day, last_day);
  END IF;
  IF cardinality(aurore.gaps(first_day, last_day)) = 0 THEN
    RETURN 0;
  END IF;

  PERFORM pg_advisory_xact_lock(1096110671, 2);
  PERFORM aurore.settle_days(first_day, last_day);
  gaps := aurore.gaps(first_day, last_day);
  SELECT min(greatest(d.lower_bound::date, first_day)) INTO dropped
    FROM aurore.event_leaving AS d
   CROSS JOIN LATERAL aurore.find_leaving(d.schema_name, d.name) AS f
   WHERE f.is_pending
     AND d.lower_bound < last_day + 1 AND d.upper_bound > first_day;
  IF dropped IS NOT NULL THEN
    RAISE EXCEPTION USING
      ERRCODE = 'object_in_use',
      MESSAGE = format('the events of %s are being dropped', dropped);
  END IF;
  FOREACH gap IN ARRAY gaps LOOP
    PERFORM aurore.fill_gap(gap);
  END LOOP;
  RETURN cardinality(gaps);
END
$$;

-- Sees to it that the events of a day can be stored. Returns NULL when
-- aurore.event takes them; else the table that does: PostgreSQL makes no
-- partition of a day while another one of it is half detached. What is stored in
-- that goes with it, unseen, as it would go with the next drop; see
-- aurore.hold_leaving.
CREATE FUNCTION aurore.make_day(p_day date)
RETURNS text
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '2s'
AS $$
DECLARE
  gap    tstzrange;
  leaving text;
BEGIN
  IF cardinality(aurore.gaps(p_day, p_day)) = 0 THEN
    RETURN NULL;
  END IF;
  PERFORM pg_advisory_xact_lock(1096110671, 2);
  PERFORM aurore.settle_days(p_day, p_day);
  FOREACH gap IN ARRAY aurore.gaps(p_day, p_day) LOOP
    BEGIN
      PERFORM aurore.fill_gap(gap);
    EXCEPTION WHEN invalid_object_definition THEN -- it would overlap
      SELECT i.inhrelid::regclass::text INTO leaving
        FROM pg_inherits AS i
       WHERE i.inhparent = 'aurore.event'::regclass AND i.inhdetachpending;
      IF NOT FOUND THEN
        RAISE;
      END IF;
    END;
  END LOOP;
  IF leaving IS NOT NULL
     AND NOT has_table_privilege(session_user, leaving, 'INSERT') THEN
    EXECUTE format('GRANT INSERT ON %s TO %I', leaving, session_user);
  END IF;
  RETURN leaving;
END
$$;

-- For a transaction that stores events in a partition that is half detached: it
-- stays so until the end of the transaction. Otherwise there is no partition for
-- them, and it says so as PostgreSQL does.
CREATE FUNCTION aurore.hold_leaving(p_table text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '10s'
AS $$
BEGIN
  IF to_regclass(p_table) IS NOT NULL THEN
    EXECUTE format('LOCK TABLE %s IN ROW EXCLUSIVE MODE', to_regclass(p_table));
    PERFORM FROM pg_inherits AS i
      WHERE i.inhparent = 'aurore.event'::regclass
        AND i.inhrelid = to_regclass(p_table) AND i.inhdetachpending;
    IF FOUND THEN
      RETURN;
    END IF;
  END IF;
  RAISE EXCEPTION USING
    ERRCODE = 'check_violation', SCHEMA = 'aurore', TABLE = 'event',
    MESSAGE = format('%s is not being detached any more', p_table);
END
$$;

REVOKE ALL ON FUNCTION aurore.fill_gap(tstzrange) FROM PUBLIC;
REVOKE ALL ON FUNCTION aurore.settle_days(date, date) FROM PUBLIC;
REVOKE ALL ON FUNCTION aurore.make_day(date) FROM PUBLIC;

SELECT aurore.share_rights('aurore.ensure_partitions(date, date)',
                           'aurore.make_day(date)');
