-- Putting the event of a dead letter back, and storing it once.
--
-- The event waits in a spool, as all others do, and its row there names the dead
-- letter. There may be several such rows: a process that died between keeping
-- the row and marking the dead letter leaves one behind, and the next attempt
-- adds another one, maybe in another lane or on another host. The dead letter
-- decides which of them is stored: the first, which takes its row lock.
--
--   not reprocessed                    it may be put back
--   reprocessed, stored_at IS NULL     its event waits in a spool
--   reprocessed, stored_at             its event is stored; another row of it
--                                      is passed over
--   deleted_at                         deleted while its event waited: shown to
--                                      nobody, and gone once that is stored
--   no row                             deleted: a row of it is passed over
ALTER TABLE aurore.dead_letter
  ADD COLUMN stored_at timestamptz,
  ADD COLUMN deleted_at timestamptz,
  ADD CONSTRAINT dead_letter_deleted
    CHECK (deleted_at IS NULL OR reprocessed),
  ADD CONSTRAINT dead_letter_stored
    CHECK (stored_at IS NULL OR reprocessed);

-- The dead letters of a service, newest first; and all that the statistics
-- need, so that the events themselves need not be read for them.
CREATE INDEX dead_letter_service
  ON aurore.dead_letter (service, created_at DESC, id) INCLUDE (reprocessed)
  WHERE deleted_at IS NULL;

-- Stores the event of the dead letter in the transaction that moves the lane's
-- watermark past its row. false: it was stored before, or its dead letter was
-- deleted before it was promised; nothing has changed.
--
-- Text comes as bytes, so that whatever the row holds is refused, if at all, as
-- a value of the row would be.
CREATE FUNCTION aurore.store_dead_letter(p_id uuid, p_spool uuid,
                                         p_lane smallint,
                                         p_ingested_at timestamptz,
                                         p_event_id uuid,
                                         p_occurred_at timestamptz,
                                         p_service bytea, p_message bytea,
                                         p_metadata bytea)
RETURNS boolean
LANGUAGE plpgsql
AS $$
DECLARE
  found_deleted_at timestamptz;
BEGIN
  UPDATE aurore.dead_letter AS d
     SET reprocessed = true,
         reprocessed_at = coalesce(d.reprocessed_at, now()),
         stored_at = now()
   WHERE d.id = p_id AND d.stored_at IS NULL
  RETURNING d.deleted_at INTO found_deleted_at;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  IF found_deleted_at IS NOT NULL THEN
    DELETE FROM aurore.dead_letter AS d WHERE d.id = p_id;
  END IF;

  INSERT INTO aurore.event (ingested_at, event_id, occurred_at, service,
                            message, metadata)
  VALUES (p_ingested_at, p_event_id, p_occurred_at,
          convert_from(p_service, 'UTF8'), convert_from(p_message, 'UTF8'),
          convert_from(p_metadata, 'UTF8')::jsonb);
  INSERT INTO aurore.event_count AS c (minute, service, spool_id, lane, n)
  VALUES (to_timestamp(floor(extract(epoch FROM p_ingested_at) / 60) * 60),
          convert_from(p_service, 'UTF8'), p_spool, p_lane, 1)
  ON CONFLICT (minute, service, spool_id, lane)
  DO UPDATE SET n = c.n + EXCLUDED.n;
  RETURN true;
END
$$;

-- The event was refused again: its dead letter waits again, with the new
-- reason. Also one that was deleted meanwhile: its event was promised. Nothing
-- is done when another row of it was stored, or when it is gone. Always false:
-- nothing was stored.
CREATE FUNCTION aurore.refuse_dead_letter(p_id uuid, p_sql_state text,
                                          p_reason text)
RETURNS boolean
LANGUAGE sql
AS $$
  UPDATE aurore.dead_letter AS d
     SET retry_count = d.retry_count + 1,
         failure_reason = p_reason,
         sql_state = p_sql_state,
         last_attempt_at = now(),
         reprocessed = false,
         reprocessed_at = NULL,
         deleted_at = NULL
   WHERE d.id = p_id AND d.stored_at IS NULL;
  SELECT false
$$;
