-- The tables of test/bench/cost: the same columns and indexes, untracked,
-- tracked, and under client_wins.

\ir rows.sql
CREATE TABLE cost_plain (LIKE bench_plain INCLUDING ALL);
CREATE TABLE cost_tracked (LIKE bench_plain INCLUDING ALL);
CREATE TABLE cost_client_wins (LIKE bench_plain INCLUDING ALL);
CREATE TABLE cost_sql_plain (LIKE bench_plain INCLUDING ALL);
CREATE TABLE cost_sql_tracked (LIKE bench_plain INCLUDING ALL);

CREATE EXTENSION IF NOT EXISTS pg_tide;
SELECT tide.track('cost_tracked', scope => 'user_id');
SELECT tide.track('cost_sql_tracked', scope => 'user_id');
SELECT tide.track('cost_client_wins', scope => 'user_id', conflict => 'client_wins');

GRANT SELECT, INSERT, UPDATE, DELETE
    ON cost_plain, cost_tracked, cost_client_wins, cost_sql_plain, cost_sql_tracked TO tide_gateway, tide_user;

-- the rows that are edited, see {row} in cost.c
INSERT INTO cost_sql_plain (id, user_id, title, position, weight_kg)
SELECT CAST('00000000-0000-4000-8000-' || lpad(to_hex(n), 12, '0') AS uuid), 'u0', 'Bench Press', n, 20.5
FROM generate_series(0, 999) n;
INSERT INTO cost_sql_tracked SELECT * FROM cost_sql_plain;
VACUUM ANALYZE;
