-- How many events of a service were stored, by the minute they were accepted.
--
-- Counted in the transaction that stores them, so that the sum is exactly the
-- number of rows, and reading it costs the same however many rows there are.
-- The lane is part of the key: no two writers ever wait for the same row. A row
-- is updated by each batch of its minute, so the pages keep room for the new
-- versions (HOT).
CREATE TABLE aurore.event_count (
  minute   timestamptz NOT NULL,
  spool_id uuid        NOT NULL,
  n        bigint      NOT NULL,
  lane     smallint    NOT NULL,
  service  text        NOT NULL,
  PRIMARY KEY (minute, service, spool_id, lane)
) WITH (fillfactor = 50);
