-- For how many days events are kept when several hosts store into one database.
--
-- RetentionDays is the wish of one host; the events are everybody's. So each
-- host tells its own, and the largest of those heard in the last 30 days counts;
-- 0, for ever, is the largest of all. A host that is away for longer than that
-- has no say any more.
--
-- who is what the host is known by when it tells the next time: the id of its
-- spool, or, without a spool directory, names that stay the same. Such a process
-- leaves nothing behind when it ends: its wish is over as soon as another one of
-- the same host tells its own.
CREATE TABLE aurore.retention_wish (
  who     text        NOT NULL PRIMARY KEY,
  host    text        NOT NULL,
  days    integer     NOT NULL CHECK (days >= 0),
  told_at timestamptz NOT NULL DEFAULT now(),
  is_over boolean     NOT NULL DEFAULT false
);

COMMENT ON TABLE aurore.retention_wish IS
  'RetentionDays of each host; the largest of the last 30 days counts.';

-- How many days are kept, and the host on whose account.
--
-- Release 0.1.0 tells nothing, but it asks what to drop (aurore.next_drop), and
-- says for how many days it keeps events: that is heard. One that keeps them for
-- ever never asks. So while a host stores that was not heard, and none of that
-- release has asked, it is taken for one that keeps them for ever.
CREATE FUNCTION aurore.kept_days(OUT days integer, OUT host text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  WITH heard AS (
    SELECT w.who, w.host, w.days
      FROM aurore.retention_wish AS w
     WHERE w.told_at > now() - interval '30 days'
  ), kept AS (
    SELECT h.host, h.days FROM heard AS h
     UNION ALL
    SELECT l.host, 0
      FROM aurore.lane AS l
     WHERE l.updated_at > now() - interval '30 days'
       AND NOT EXISTS (SELECT FROM heard AS h
                        WHERE h.who = l.spool_id::text OR h.host = l.host
                           OR h.who LIKE 'release 0.1.0 %')
  )
  SELECT k.days, k.host
    FROM kept AS k
   ORDER BY k.days = 0 DESC, k.days DESC, k.host
   LIMIT 1
$$;

-- Tells the wish of a host, and returns what is kept: see aurore.kept_days.
CREATE FUNCTION aurore.tell_retention(p_who text, p_host text, p_days integer,
                                      OUT days integer, OUT host text)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '2s'
AS $$
#variable_conflict use_column
BEGIN
  PERFORM pg_advisory_xact_lock(1096110671, 5);
  DELETE FROM aurore.retention_wish AS w
   WHERE w.told_at <= now() - interval '30 days'
      OR (w.is_over AND w.host = p_host AND w.who <> p_who);
  INSERT INTO aurore.retention_wish AS w (who, host, days)
  VALUES (p_who, p_host, p_days)
  ON CONFLICT (who) DO UPDATE
     SET host = excluded.host, days = excluded.days, told_at = now(),
         is_over = false;
  SELECT k.days, k.host INTO tell_retention.days, tell_retention.host
    FROM aurore.kept_days() AS k;
END
$$;

-- A process without a spool directory has ended.
CREATE FUNCTION aurore.end_retention(p_who text)
RETURNS void
LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '2s'
AS $$
  UPDATE aurore.retention_wish AS w SET is_over = true WHERE w.who = p_who
$$;

-- The day before which nothing is kept; NULL: everything is.
--
-- p_today is the caller's day, p_time (RetentionTime) having passed; the
-- server's clock has a say, too, so that nothing is dropped because of a host
-- whose clock is ahead. p_oldest is the day of the oldest event that waits at
-- the caller's.
CREATE FUNCTION aurore.kept_from(p_today date, p_oldest date, p_time interval)
RETURNS date
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
  SELECT least(least(p_today, (now() - p_time)::date) - k.days, p_oldest)
    FROM aurore.kept_days() AS k
   WHERE k.days > 0
$$;

REVOKE ALL ON FUNCTION aurore.tell_retention(text, text, integer) FROM PUBLIC;
REVOKE ALL ON FUNCTION aurore.end_retention(text) FROM PUBLIC;

-- Who may run the one function may run the other, too: a role that was given the
-- rights to write by the last version has those of this one.
CREATE FUNCTION aurore.share_rights(p_from regprocedure, p_to regprocedure)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  grantee oid;
BEGIN
  FOR grantee IN
    SELECT a.grantee
      FROM pg_proc AS p
     CROSS JOIN LATERAL aclexplode(p.proacl) AS a
     WHERE p.oid = p_from AND a.privilege_type = 'EXECUTE'
       AND a.grantee <> p.proowner
  LOOP
    EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %s', p_to,
                   CASE WHEN grantee = 0 THEN 'PUBLIC'
                        ELSE grantee::regrole::text END);
  END LOOP;
END
$$;

REVOKE ALL ON FUNCTION aurore.share_rights(regprocedure, regprocedure) FROM PUBLIC;

SELECT aurore.share_rights('aurore.ensure_partitions(date, date)',
                           f::regprocedure)
  FROM unnest(ARRAY['aurore.tell_retention(text, text, integer)',
                    'aurore.end_retention(text)']) AS f;
