-- aurore.take_event_keys, which says and does what it did (017_event_key.sql), at
-- less cost.
--
-- Most names are new. They are looked up first, and what is new is inserted as
-- any row is: INSERT ... ON CONFLICT writes each row twice to the WAL and looks
-- twice for its place. Between looking and inserting somebody else may take a
-- name. Then the insertion fails when he commits, is undone, and all is done
-- again, by ON CONFLICT. So it is, too, when more is to be stored of a request
-- that is there in part: one statement then takes all names in their order.
-- Whoever waits for a name thus holds lower ones only, and nobody waits in a
-- circle.
--
-- A name that is there, with all that is wanted of it, is only read. It stays:
-- numbers rise, and no generation begins before this transaction ends.
--
-- Each name is looked up by a query of its own, and so by the index, however many
-- are wanted and whatever the tables held when the plan was made. A join may
-- read a whole table instead.
CREATE OR REPLACE FUNCTION aurore.take_event_keys(p_names uuid[],
                                                  p_counts integer[],
                                                  p_who text, p_window interval,
                                                  p_anyway boolean)
RETURNS TABLE (item integer, stored integer)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  generation   aurore.event_key_generation%ROWTYPE;
  is_over      boolean;
  asks_before  boolean;
  known_items  integer[];
  known_counts integer[];
  new_names    uuid[];
  new_counts   integer[];
  is_partly    boolean;
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

  -- Names that begin with a time are all later than those of the generation
  -- before: then it is not asked.
  asks_before := NOT is_over
    AND coalesce((SELECT b.name FROM aurore.event_key_before AS b
                   WHERE b.name >= p_names[1]
                   ORDER BY b.name LIMIT 1) <= p_names[cardinality(p_names)],
                 false);

  -- "before": of the generation before; "now": of this one.
  SELECT array_agg(w.item) FILTER (WHERE w.is_known),
         array_agg(greatest(w.before, w.now)) FILTER (WHERE w.is_known),
         array_agg(w.name) FILTER (WHERE w.is_new),
         array_agg(w.count) FILTER (WHERE w.is_new),
         coalesce(bool_or(w.now < w.count), false)
    INTO known_items, known_counts, new_names, new_counts, is_partly
    FROM (SELECT s.*, s.before IS NOT NULL OR s.now IS NOT NULL AS is_known,
                 s.now IS NULL
                 AND (s.before IS NULL OR s.before < s.count) AS is_new
            FROM (SELECT n.name, n.count, n.item::integer,
                         (SELECT b.stored FROM aurore.event_key_before AS b
                           WHERE b.name = n.name AND asks_before) AS before,
                         (SELECT k.stored FROM aurore.event_key AS k
                           WHERE k.name = n.name) AS now
                    FROM unnest(p_names, p_counts)
                         WITH ORDINALITY AS n (name, count, item)
                  OFFSET 0) AS s) AS w;

  IF NOT is_partly THEN
    BEGIN
      INSERT INTO aurore.event_key (name, stored, before)
      SELECT n.name, n.count, 0
        FROM unnest(new_names, new_counts) AS n (name, count)
       ORDER BY n.name;
      RETURN QUERY SELECT * FROM unnest(known_items, known_counts);
      RETURN;
    EXCEPTION
      WHEN unique_violation THEN
        NULL; -- somebody was faster
    END;
  END IF;

  RETURN QUERY
  WITH wanted AS MATERIALIZED (
    SELECT n.name, n.count, n.item::integer,
           (SELECT b.stored FROM aurore.event_key_before AS b
             WHERE b.name = n.name AND asks_before) AS before
      FROM unnest(p_names, p_counts) WITH ORDINALITY AS n (name, count, item)
  ), taken AS (
    -- What the generation before has all of is not put here: it would never be
    -- forgotten.
    INSERT INTO aurore.event_key AS k (name, stored, before)
    SELECT w.name, w.count, 0
      FROM wanted AS w
     WHERE w.before IS NULL OR w.before < w.count
     ORDER BY w.name
    ON CONFLICT (name) DO UPDATE
       SET before = k.stored, stored = greatest(k.stored, excluded.stored)
    RETURNING k.name, k.before
  )
  SELECT x.item, max(x.stored)
    FROM (SELECT w.item, w.before FROM wanted AS w WHERE w.before IS NOT NULL
           UNION ALL
          SELECT w.item, t.before
            FROM taken AS t JOIN wanted AS w ON w.name = t.name
           WHERE t.before > 0) AS x (item, stored)
   GROUP BY x.item;
END
$$;
