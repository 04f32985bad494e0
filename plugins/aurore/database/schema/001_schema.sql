-- The schema, and what is known about its version.
--
-- A role that may not create schemas can be given one: CREATE SCHEMA aurore
-- AUTHORIZATION role. IF NOT EXISTS would ask for the right to create even
-- then, so the question is asked first.
DO $$
BEGIN
  IF to_regnamespace('aurore') IS NULL THEN
    CREATE SCHEMA aurore;
  END IF;
END
$$;

CREATE TABLE aurore.schema_version (
  version    integer     NOT NULL PRIMARY KEY,
  applied_at timestamptz NOT NULL DEFAULT now()
);

COMMENT ON TABLE aurore.schema_version IS
  'One row for each migration that was applied.';
