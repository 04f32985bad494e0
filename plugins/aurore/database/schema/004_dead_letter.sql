-- The events that the database refused, each with the reason.
--
-- event is the tuple as it was sent (format 1: COPY ... (FORMAT binary) with
-- the columns ingested_at, event_id, occurred_at, service, message, metadata).
-- It is kept as bytes, since what it holds may be the very thing that cannot be
-- stored as text.
--
-- A dead letter is stored in the transaction that moves the watermark past it,
-- so once. Its place in the lane is not made unique: a spool that lost its tail
-- in a power cut (durability "interval") uses numbers again, and a refused
-- dead letter would stop the lane.
CREATE TABLE aurore.dead_letter (
  id              uuid        NOT NULL DEFAULT gen_random_uuid() PRIMARY KEY,
  event_id        uuid        NOT NULL,
  service         text        NOT NULL,
  event           bytea       NOT NULL,
  format          smallint    NOT NULL DEFAULT 1,
  failure_reason  text        NOT NULL,
  sql_state       text,
  retry_count     integer     NOT NULL DEFAULT 0,
  last_attempt_at timestamptz NOT NULL DEFAULT now(),
  reprocessed     boolean     NOT NULL DEFAULT false,
  reprocessed_at  timestamptz,
  created_at      timestamptz NOT NULL DEFAULT now(),
  spool_id        uuid        NOT NULL,
  lane            smallint    NOT NULL,
  seq             bigint      NOT NULL
);

-- Newest first is how they are listed; those that wait are counted.
CREATE INDEX dead_letter_newest ON aurore.dead_letter (created_at DESC, id);
CREATE INDEX dead_letter_pending ON aurore.dead_letter (created_at DESC, id)
  WHERE NOT reprocessed;
