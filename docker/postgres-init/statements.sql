-- Run once, when the database is made: what collectd's postgresql plugin reads
-- the slow statements from.
CREATE EXTENSION IF NOT EXISTS pg_stat_statements;
