-- What was added to version 9.
--
-- A release refuses a schema whose version is above its own: it could not know
-- what has become of what it needs. So what only adds (tables, columns that have
-- a default, functions under new names, indexes) does not move the version: it
-- is written down here, and a release that does not know of it goes on writing.
--
-- Whoever may look up the version looks up this, too: a role that was given the
-- rights it needs by hand must not need another one after an upgrade.
CREATE TABLE aurore.schema_addition (
  name       text        NOT NULL PRIMARY KEY,
  applied_at timestamptz NOT NULL DEFAULT now()
);

COMMENT ON TABLE aurore.schema_addition IS
  'One row for each migration that adds to the last version.';

GRANT SELECT ON aurore.schema_addition TO PUBLIC;
