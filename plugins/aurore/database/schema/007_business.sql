-- The business figures: what the counters of the minutes are folded into, and
-- how all of it is read.
--
-- A counter stands in exactly one of two places: in aurore.event_count, where
-- writers add to it, or, once its minute is over, in the three tables here. A
-- fold moves it in one transaction and a reading is one statement, so that a
-- reading sees each counter once, whatever is folded meanwhile. What is read
-- does not grow with the events, nor with the days they are kept: a row a
-- service, the minutes of a day, and the few minutes that are not yet folded.

-- What was folded, by service. A day that is dropped is taken off again.
CREATE TABLE aurore.event_total (
  n       bigint NOT NULL,
  service text   NOT NULL PRIMARY KEY
) WITH (fillfactor = 50);

-- What was folded, of all services. The day and the hour that end now are
-- read from it.
CREATE TABLE aurore.event_minute (
  minute timestamptz NOT NULL PRIMARY KEY,
  n      bigint      NOT NULL
) WITH (fillfactor = 50);

-- What was folded, by service and hour: what a day is made of when it is
-- dropped.
CREATE TABLE aurore.event_hour (
  hour    timestamptz NOT NULL,
  n       bigint      NOT NULL,
  service text        NOT NULL,
  PRIMARY KEY (hour, service)
) WITH (fillfactor = 50);

-- The partitions that are being dropped. Between the moment when queries no
-- longer see a partition and the one when its table is gone, its counters are
-- left out of every reading.
CREATE TABLE aurore.event_drop (
  partition   oid         NOT NULL PRIMARY KEY,
  name        text        NOT NULL,
  lower_bound timestamptz NOT NULL,
  upper_bound timestamptz NOT NULL,
  marked_at   timestamptz NOT NULL DEFAULT now()
);

-- Folds the counters of minutes before p_before, at most p_limit of them, and
-- returns how many it folded.
--
-- It never waits for a writer: a counter that one is adding to is left for the
-- next time. A writer that meets a counter on its way out waits for the few
-- milliseconds that this takes, and begins a new one. Folds of several
-- processes are kept apart by an advisory lock; the second one does nothing.
CREATE FUNCTION aurore.fold(p_before timestamptz, p_limit integer)
RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  folded bigint;
BEGIN
  IF NOT pg_try_advisory_xact_lock(1096110671, 3) THEN
    RETURN 0;
  END IF;
  WITH picked AS MATERIALIZED (
    SELECT c.minute, c.service, c.spool_id, c.lane
      FROM aurore.event_count AS c
     WHERE c.minute < p_before
     ORDER BY c.minute
     LIMIT p_limit
       FOR UPDATE SKIP LOCKED
  ), gone AS (
    DELETE FROM aurore.event_count AS c
     USING picked AS p
     WHERE (c.minute, c.service, c.spool_id, c.lane)
         = (p.minute, p.service, p.spool_id, p.lane)
    RETURNING c.minute, c.service, c.n
  ), totals AS (
    INSERT INTO aurore.event_total AS t (service, n)
    SELECT g.service, sum(g.n) FROM gone AS g GROUP BY 1
    ON CONFLICT (service) DO UPDATE SET n = t.n + excluded.n
  ), minutes AS (
    INSERT INTO aurore.event_minute AS m (minute, n)
    SELECT date_trunc('minute', g.minute), sum(g.n) FROM gone AS g GROUP BY 1
    ON CONFLICT (minute) DO UPDATE SET n = m.n + excluded.n
  ), hours AS (
    INSERT INTO aurore.event_hour AS h (hour, service, n)
    SELECT date_trunc('hour', g.minute, 'UTC'), g.service, sum(g.n)
      FROM gone AS g GROUP BY 1, 2
    ON CONFLICT (hour, service) DO UPDATE SET n = h.n + excluded.n
  )
  SELECT count(*) INTO folded FROM gone;
  RETURN folded;
END
$$;

-- The figures at p_now, all of one moment: that of the statement that asks, which
-- is what STABLE means. To plan it takes longer than to run it, so it is in a
-- language that keeps plans; to compile it would take a thousand times as long
-- (jit). kind and name:
--
--   total                   events in aurore.event
--   last_day, last_hour     accepted since then, to the minute
--   dead_letters            not yet reprocessed
--   hour "2026-11-24 04:00" accepted in that hour (UTC) of the last day
--   service NAME            the p_services largest, the largest first
CREATE FUNCTION aurore.figures(p_now timestamptz, p_services integer)
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
    SELECT d.lower_bound, d.upper_bound
      FROM aurore.event_drop AS d
     WHERE NOT EXISTS (SELECT FROM pg_inherits AS i
                        WHERE i.inhrelid = d.partition
                          AND i.inhparent = 'aurore.event'::regclass
                          AND NOT i.inhdetachpending)
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

REVOKE ALL ON FUNCTION aurore.fold(timestamptz, integer) FROM PUBLIC;
REVOKE ALL ON FUNCTION aurore.figures(timestamptz, integer) FROM PUBLIC;
