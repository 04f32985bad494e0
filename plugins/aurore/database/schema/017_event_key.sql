-- The ids under which clients have sent events, so that one that is sent again is
-- stored once.
--
-- A row is a name and how many events under it are stored (or set aside as dead
-- letters). The name of a request stands for all of its events: a lane stores
-- them in order, so that those below the number are there and the others are
-- not, whichever lanes and hosts they came through. An event with an id of its
-- own is a request of one event.
--
-- "before" is what "stored" was before the last batch: how the batch learns it.
--
-- Names are forgotten by generations. They go into aurore.event_key, and are
-- looked up in aurore.event_key_before, too. After each DedupWindow the older
-- table is emptied and the two change places, which costs the same however many
-- names there are. So a name is known for one DedupWindow at least, and for two
-- at most.
CREATE TABLE aurore.event_key (
  name   uuid    NOT NULL PRIMARY KEY,
  stored integer NOT NULL,
  before integer NOT NULL
) WITH (autovacuum_enabled = false);
CREATE TABLE aurore.event_key_before (
  name   uuid    NOT NULL PRIMARY KEY,
  stored integer NOT NULL,
  before integer NOT NULL
) WITH (autovacuum_enabled = false);

COMMENT ON TABLE aurore.event_key IS
  'Names of events that clients have given, and how many events of each are stored.';
COMMENT ON TABLE aurore.event_key_before IS
  'The same, of the DedupWindow before.';

-- DedupWindow of each host; the largest of those heard in the last 30 days
-- counts. who is what the host is known by when it tells the next time.
CREATE TABLE aurore.event_key_wish (
  who     text        NOT NULL PRIMARY KEY,
  kept    interval    NOT NULL,
  told_at timestamptz NOT NULL DEFAULT now()
);

-- The time in which aurore.event_key is filled; without an end nothing is
-- compared, since every DedupWindow is 0. is_late: something was put into it
-- after its end. A batch shares the lock 6 while it uses the tables, and whoever
-- changes this row has it alone, so that no two batches disagree about which
-- table is which.
CREATE TABLE aurore.event_key_generation (
  is_only  boolean     NOT NULL PRIMARY KEY DEFAULT true CHECK (is_only),
  began_at timestamptz NOT NULL DEFAULT now(),
  ends_at  timestamptz,
  is_late  boolean     NOT NULL DEFAULT false
);
INSERT INTO aurore.event_key_generation DEFAULT VALUES;

-- For a batch that holds events of these names (sorted, each once), each with a
-- number below that of p_counts. Returns the names (by their place, from 1) of
-- which events are stored already, and how many: an event whose number is below
-- that is a duplicate. All others count as stored from here on, for those who
-- come after this transaction: until its end they wait.
--
-- Item 0 with 0 means that the generation is over, or that this host was not
-- heard yet: call aurore.turn_event_keys in a transaction of its own, and then
-- this again. p_anyway: that could not be done. What is over does not count any
-- more then, and the present generation lasts longer than it should. Item 0 with
-- 1: nothing is compared.
CREATE FUNCTION aurore.take_event_keys(p_names uuid[], p_counts integer[],
                                       p_who text, p_window interval,
                                       p_anyway boolean)
RETURNS TABLE (item integer, stored integer)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  generation aurore.event_key_generation%ROWTYPE;
  is_over    boolean;
BEGIN
  PERFORM pg_advisory_xact_lock_shared(1096110671, 6);
  SELECT g.* INTO STRICT generation FROM aurore.event_key_generation AS g;
  is_over := coalesce(now() >= generation.ends_at, false);
  IF NOT p_anyway
     AND (is_over
          OR NOT EXISTS (SELECT FROM aurore.event_key_wish AS w
                          WHERE w.who = p_who AND w.kept >= p_window
                            AND w.told_at > now() - interval '1 day')) THEN
    RETURN QUERY SELECT 0, 0;
    RETURN;
  END IF;
  IF generation.ends_at IS NULL THEN
    RETURN QUERY SELECT 0, 1;
    RETURN;
  END IF;
  IF is_over THEN
    UPDATE aurore.event_key_generation AS g SET is_late = true WHERE NOT g.is_late;
  END IF;

  RETURN QUERY
  WITH wanted AS MATERIALIZED (
    SELECT w.name, w.count, w.item::integer
      FROM unnest(p_names, p_counts) WITH ORDINALITY AS w (name, count, item)
  ), earlier AS MATERIALIZED (
    SELECT w.item, b.stored
      FROM wanted AS w
      JOIN aurore.event_key_before AS b ON b.name = w.name
     WHERE NOT is_over
  ), taken AS (
    -- In the order of the names, so that no two batches wait for each other.
    -- What the generation before has all of is not put here: it would never be
    -- forgotten.
    INSERT INTO aurore.event_key AS k (name, stored, before)
    SELECT w.name, w.count, 0
      FROM wanted AS w
      LEFT JOIN earlier AS e ON e.item = w.item
     WHERE e.stored IS NULL OR e.stored < w.count
     ORDER BY w.name
    ON CONFLICT (name) DO UPDATE
       SET before = k.stored, stored = greatest(k.stored, excluded.stored)
    RETURNING k.name, k.before
  )
  SELECT x.item, max(x.stored)
    FROM (SELECT e.item, e.stored FROM earlier AS e
           UNION ALL
          SELECT w.item, t.before
            FROM taken AS t JOIN wanted AS w ON w.name = t.name
           WHERE t.before > 0) AS x
   GROUP BY x.item;
END
$$;

-- The end of the present generation, if it lasts as long as the largest wish;
-- NULL: nobody wishes for any. A beginning in the future is that of a clock that
-- was wrong.
CREATE FUNCTION aurore.event_key_end(p_began_at timestamptz)
RETURNS timestamptz
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT least(p_began_at, now()) + max(w.kept)
    FROM aurore.event_key_wish AS w
   WHERE w.told_at > now() - interval '30 days' AND w.kept > interval '0'
$$;

-- Notes the DedupWindow of a host, and begins a new generation if the present
-- one is over. false: not now, since somebody else holds one of the tables.
CREATE FUNCTION aurore.turn_event_keys(p_who text, p_window interval)
RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '1s'
AS $$
DECLARE
  generation aurore.event_key_generation%ROWTYPE;
  new_end    timestamptz;
BEGIN
  PERFORM pg_advisory_xact_lock(1096110671, 6);
  DELETE FROM aurore.event_key_wish AS w
   WHERE w.told_at <= now() - interval '30 days';
  INSERT INTO aurore.event_key_wish AS w (who, kept)
  VALUES (p_who, p_window)
  ON CONFLICT (who) DO UPDATE SET kept = excluded.kept, told_at = now();

  SELECT g.* INTO STRICT generation FROM aurore.event_key_generation AS g;
  new_end := aurore.event_key_end(generation.began_at);
  IF generation.ends_at IS NULL THEN
    UPDATE aurore.event_key_generation AS g
       SET began_at = now(), ends_at = aurore.event_key_end(now());
    RETURN true; -- the tables are empty
  END IF;
  IF now() < generation.ends_at AND new_end > now() THEN
    UPDATE aurore.event_key_generation AS g
       SET began_at = least(g.began_at, now()), ends_at = new_end
     WHERE g.ends_at <> new_end OR g.began_at > now();
    RETURN true;
  END IF;

  LOCK TABLE aurore.event_key, aurore.event_key_before
    IN ACCESS EXCLUSIVE MODE NOWAIT;
  TRUNCATE aurore.event_key_before;
  IF generation.is_late OR now() < generation.ends_at THEN
    generation.ends_at := now(); -- names came until now
  END IF;
  -- The next one begins where this one has ended, so that what is in this one is
  -- not known for longer than it should be.
  new_end := aurore.event_key_end(generation.ends_at);
  IF new_end IS NULL OR new_end <= now() THEN
    -- Nobody was there to begin it, and it is over, too; or nothing is compared
    -- any more.
    TRUNCATE aurore.event_key;
    generation.ends_at := now();
    new_end := aurore.event_key_end(now());
  END IF;
  ALTER TABLE aurore.event_key RENAME TO event_key_after;
  ALTER TABLE aurore.event_key_before RENAME TO event_key;
  ALTER TABLE aurore.event_key_after RENAME TO event_key_before;
  UPDATE aurore.event_key_generation AS g
     SET began_at = generation.ends_at, ends_at = new_end, is_late = false;
  RETURN true;
EXCEPTION
  WHEN lock_not_available THEN
    RETURN false;
END
$$;

REVOKE ALL ON FUNCTION
  aurore.take_event_keys(uuid[], integer[], text, interval, boolean) FROM PUBLIC;
REVOKE ALL ON FUNCTION aurore.turn_event_keys(text, interval) FROM PUBLIC;

-- Whoever may make partitions may store, so may do this, too: a role that was
-- given the rights to write by the last version has those of this one.
DO $$
DECLARE
  grantee oid;
  who     text;
BEGIN
  FOR grantee IN
    SELECT a.grantee
      FROM pg_catalog.pg_proc AS p
     CROSS JOIN LATERAL pg_catalog.aclexplode(p.proacl) AS a
     WHERE p.oid = 'aurore.ensure_partitions(date, date)'::pg_catalog.regprocedure
       AND a.privilege_type = 'EXECUTE' AND a.grantee <> p.proowner
  LOOP
    who := CASE WHEN grantee = 0 THEN 'PUBLIC'
                ELSE grantee::pg_catalog.regrole::text END;
    EXECUTE format('GRANT EXECUTE ON FUNCTION aurore.take_event_keys'
                   '(uuid[], integer[], text, interval, boolean) TO %s', who);
    EXECUTE format('GRANT EXECUTE ON FUNCTION aurore.turn_event_keys'
                   '(text, interval) TO %s', who);
  END LOOP;
END
$$;
