-- What finds dead letters by their event, and those that wait in order; and
-- deleting one that is under way.

-- GET /events/:id asks for the dead letter of an event.
CREATE INDEX dead_letter_event ON aurore.dead_letter (event_id);

-- Those that may be put back, whether nobody has yet or the event was lost
-- since: putting back thousands reads them in order, and passes over none that
-- is stored.
CREATE INDEX dead_letter_waiting ON aurore.dead_letter (created_at DESC, id)
  WHERE stored_at IS NULL AND deleted_at IS NULL;

-- Deletes it: 'deleted'; 'none': there is none; 'busy': its event waits in a
-- buffer, so that it is not known yet whether it will be stored or refused
-- again. What has waited for longer than ten minutes was lost with the memory
-- or the disk it waited in, or is stuck: then it is as aurore.delete_dead_letter
-- says.
CREATE FUNCTION aurore.remove_dead_letter(p_id uuid)
RETURNS text
LANGUAGE plpgsql
AS $$
DECLARE
  is_busy boolean;
BEGIN
  SELECT d.reprocessed AND d.stored_at IS NULL
         AND d.reprocessed_at > now() - interval '10 minutes'
    INTO is_busy
    FROM aurore.dead_letter AS d
   WHERE d.id = p_id AND d.deleted_at IS NULL
     FOR UPDATE;
  IF NOT FOUND THEN
    RETURN 'none';
  END IF;
  IF is_busy THEN
    RETURN 'busy';
  END IF;
  PERFORM aurore.delete_dead_letter(p_id);
  RETURN 'deleted';
END
$$;
