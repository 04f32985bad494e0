-- Runs once, when the database is created: the view from which collectd's
-- postgresql plugin reads the slow statements.
CREATE EXTENSION IF NOT EXISTS pg_stat_statements;
