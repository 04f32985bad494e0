-- A database that falls back to an earlier time: an asynchronous standby that is
-- promoted, a backup that is restored, a crash with synchronous_commit off. It is
-- then a true picture of that time, and its lanes say which one.

-- As aurore.claim, which remains for the release that knows no other, with these
-- differences:
--
-- p_owners are all tokens that the spool remembers, those of earlier times, too.
-- A lane that holds one of these is this spool's, as it was then. Only a token
-- that this spool never had raises.
--
-- A place before p_oldest, the oldest event that the spool still holds, stays
-- where it is: the spool moves it on when it has told what is lost, so that an
-- answer that was lost hides nothing. is_new: there was no such lane; it begins
-- with p_oldest.
CREATE FUNCTION aurore.claim_lane(p_spool uuid, p_lane smallint,
                                  p_owners uuid[], p_ends bigint[],
                                  p_oldest bigint, p_may_fall_back boolean,
                                  p_host text)
RETURNS TABLE (next_seq bigint, epoch integer, found_seq bigint,
               is_new boolean)
LANGUAGE plpgsql
AS $$
DECLARE
  newest CONSTANT uuid := p_owners[array_upper(p_owners, 1)];
  found    aurore.lane%ROWTYPE;
  inserted integer;
  bound    bigint;
  place    bigint;
BEGIN
  INSERT INTO aurore.lane AS l (spool_id, lane, owner, next_seq, epoch, host)
  VALUES (p_spool, p_lane, newest, p_oldest, 0, p_host)
  ON CONFLICT ON CONSTRAINT lane_pkey DO NOTHING;
  GET DIAGNOSTICS inserted = ROW_COUNT;
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
  place := found.next_seq;
  IF place > bound AND place > p_oldest THEN
    IF NOT p_may_fall_back THEN
      RAISE EXCEPTION USING
        ERRCODE = 'AU001',
        MESSAGE = format('the database has stored %s events that this spool '
                         'does not know: it was restored from a backup',
                         place - greatest(bound, p_oldest));
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
    RETURNING l.next_seq, l.epoch, found.next_seq, inserted > 0;
END
$$;

-- The id of the dead letter of a row: the same whenever the row is refused, so
-- that an event that was put back finds its dead letter again when both are
-- stored once more. Its event is part of it, since a number may be used again.
CREATE FUNCTION aurore.dead_letter_id(p_spool uuid, p_lane smallint,
                                      p_seq bigint, p_event uuid)
RETURNS uuid
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT overlay(overlay(left(encode(sha256(convert_to(
           format('aurore dead letter %s %s %s %s', p_spool, p_lane, p_seq,
                  p_event), 'UTF8')), 'hex'), 32)
         PLACING '4' FROM 13) PLACING '8' FROM 17)::uuid
$$;
