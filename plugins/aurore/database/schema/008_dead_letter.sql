-- What the API does with a dead letter. Each takes its row lock first, so that
-- the transaction that stores its event is seen whole or not at all.

-- Its event has been put into a buffer. false: the dead letter is gone. It is
-- not marked when that event, or an earlier row of it, was stored or refused
-- meanwhile: p_retry_count is what was read before it was put back.
CREATE FUNCTION aurore.mark_dead_letter(p_id uuid, p_retry_count integer)
RETURNS boolean
LANGUAGE plpgsql
AS $$
DECLARE
  found_letter aurore.dead_letter%ROWTYPE;
BEGIN
  SELECT d.* INTO found_letter
    FROM aurore.dead_letter AS d
   WHERE d.id = p_id AND d.deleted_at IS NULL
     FOR UPDATE;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  IF found_letter.stored_at IS NULL
     AND found_letter.retry_count = p_retry_count THEN
    UPDATE aurore.dead_letter AS d
       SET reprocessed = true, reprocessed_at = now()
     WHERE d.id = p_id;
  END IF;
  RETURN true;
END
$$;

-- Deletes it; false: there is none. One whose event waits in a buffer stays,
-- unseen, until that is stored (or refused, and then it comes back): the event
-- was promised, and without the dead letter it could be stored twice. Who may not
-- delete may not hide it either: the writer has the same rights, and would fail
-- to delete it later.
CREATE FUNCTION aurore.delete_dead_letter(p_id uuid)
RETURNS boolean
LANGUAGE plpgsql
AS $$
DECLARE
  found_letter aurore.dead_letter%ROWTYPE;
BEGIN
  SELECT d.* INTO found_letter
    FROM aurore.dead_letter AS d
   WHERE d.id = p_id AND d.deleted_at IS NULL
     FOR UPDATE;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  IF found_letter.reprocessed AND found_letter.stored_at IS NULL
     AND has_table_privilege('aurore.dead_letter', 'DELETE') THEN
    UPDATE aurore.dead_letter AS d SET deleted_at = now() WHERE d.id = p_id;
  ELSE
    DELETE FROM aurore.dead_letter AS d WHERE d.id = p_id;
  END IF;
  RETURN true;
END
$$;
