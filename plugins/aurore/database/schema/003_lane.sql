-- How far each lane of each spool has been stored.
--
-- next_seq is the first sequence number that is not stored. It moves in the
-- transaction that stores the events before it, so that an event is stored
-- exactly once, whatever becomes of the answer to COMMIT. owner is the token of
-- the opening of the spool that writes this lane; epoch counts its claims, so
-- that a batch that was sent before a claim cannot be stored after it.
--
-- Each batch updates one row. No index holds what changes, and the pages are
-- mostly empty, so that the new version of the row finds room beside the old
-- one (HOT) and the next visitor removes the dead ones.
CREATE TABLE aurore.lane (
  spool_id   uuid        NOT NULL,
  owner      uuid        NOT NULL,
  next_seq   bigint      NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  epoch      integer     NOT NULL,
  lane       smallint    NOT NULL,
  host       text,
  PRIMARY KEY (spool_id, lane)
) WITH (fillfactor = 10);

-- Claims the lane, or makes it with p_oldest as its first number, for the last
-- of p_owners: the tokens that this spool may have told the database, the
-- newest last. A lane that holds none of them belongs to another opening of
-- the spool, one that this spool does not come from: a copy, or the original of
-- a backup. That raises.
--
-- p_ends has for each owner the number from which on nothing can be stored if
-- the lane holds that owner. A place behind it is of events that the spool does
-- not know: it was restored from a backup, which raises, unless it may have
-- lost its tail (p_may_fall_back); then the place goes back, so that the numbers
-- that were given again are stored. A place before p_oldest is of events that
-- the database has lost; it moves on. found_seq is the place as it was.
--
-- All of this is decided before the owner changes, so that an owner in this
-- table is one that the database and its spool agreed about.
--
-- The row lock waits for a backend that still finishes a batch of the lane.
-- Asking again after a lost answer is harmless.
CREATE FUNCTION aurore.claim(p_spool uuid, p_lane smallint, p_owners uuid[],
                             p_ends bigint[], p_oldest bigint,
                             p_may_fall_back boolean, p_host text)
RETURNS TABLE (next_seq bigint, epoch integer, found_seq bigint)
LANGUAGE plpgsql
AS $$
DECLARE
  newest CONSTANT uuid := p_owners[array_upper(p_owners, 1)];
  found  aurore.lane%ROWTYPE;
  bound  bigint;
  place  bigint;
BEGIN
  INSERT INTO aurore.lane AS l (spool_id, lane, owner, next_seq, epoch, host)
  VALUES (p_spool, p_lane, newest, p_oldest, 0, p_host)
  ON CONFLICT ON CONSTRAINT lane_pkey DO NOTHING;
  SELECT l.* INTO STRICT found
    FROM aurore.lane AS l
   WHERE l.spool_id = p_spool AND l.lane = p_lane
     FOR UPDATE;

  bound := p_ends[array_position(p_owners, found.owner)];
  IF bound IS NULL THEN
    RAISE EXCEPTION USING
      ERRCODE = 'AU001',
      MESSAGE = format('lane %s of spool %s belongs to another copy of it, on '
                       'host "%s", in epoch %s',
                       p_lane, p_spool, coalesce(found.host, ''), found.epoch);
  END IF;
  place := greatest(found.next_seq, p_oldest);
  IF place > bound AND place > p_oldest THEN
    IF NOT p_may_fall_back THEN
      RAISE EXCEPTION USING
        ERRCODE = 'AU001',
        MESSAGE = format('the database has stored %s events that this spool '
                         'does not know: it was restored from a backup',
                         place - bound);
    END IF;
    place := greatest(bound, p_oldest);
  END IF;

  RETURN QUERY
    UPDATE aurore.lane AS l
       SET owner = newest,
           next_seq = place,
           epoch = l.epoch + 1,
           host = p_host,
           updated_at = now()
     WHERE l.spool_id = p_spool AND l.lane = p_lane
    RETURNING l.next_seq, l.epoch, found.next_seq;
END
$$;

-- Moves the watermark from p_first to p_next, or raises. An UPDATE that finds
-- no row would not stop the statements behind it; an exception does.
CREATE FUNCTION aurore.advance(p_spool uuid, p_lane smallint, p_epoch integer,
                               p_first bigint, p_next bigint)
RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
  found_seq   bigint;
  found_epoch integer;
BEGIN
  UPDATE aurore.lane AS l
     SET next_seq = p_next, updated_at = now()
   WHERE l.spool_id = p_spool AND l.lane = p_lane
     AND l.next_seq = p_first AND l.epoch = p_epoch;
  IF FOUND THEN
    RETURN;
  END IF;

  SELECT l.next_seq, l.epoch INTO found_seq, found_epoch
    FROM aurore.lane AS l
   WHERE l.spool_id = p_spool AND l.lane = p_lane;
  RAISE EXCEPTION USING
    ERRCODE = 'AU001',
    MESSAGE = format('lane %s of spool %s: expected sequence number %s in epoch '
                     '%s, found %s in epoch %s',
                     p_lane, p_spool, p_first, p_epoch,
                     coalesce(found_seq::text, 'none'),
                     coalesce(found_epoch::text, 'none'));
END
$$;
