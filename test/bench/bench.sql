-- The two tables of `make bench`: the same columns and indexes, one tracked.
-- Users u0..u7 are the eight connections; the bulk part has tables of its own.

\ir rows.sql
CREATE TABLE bench_tracked (LIKE bench_plain INCLUDING ALL);

CREATE EXTENSION IF NOT EXISTS pg_tide;
SELECT tide.track('bench_tracked', scope => 'user_id');

GRANT EXECUTE ON FUNCTION tide.watch(text) TO tide_gateway;
GRANT SELECT, INSERT, UPDATE, DELETE ON bench_tracked, bench_plain TO tide_user;

\ir statements.sql

-- whom a login is for must not be told by its time
CREATE EXTENSION pg_tide_auth CASCADE;
SELECT tide_auth.create_account('known', 'the right password');
