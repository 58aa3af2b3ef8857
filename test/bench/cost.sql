-- The tables of test/bench/cost: the same columns and indexes, untracked,
-- tracked, and under client_wins.

CREATE TABLE cost_plain (
    id                uuid PRIMARY KEY,
    user_id           text NOT NULL,
    title             text NOT NULL,
    notes             text,
    position          integer NOT NULL,
    weight_kg         numeric(6,2) NOT NULL,
    done              boolean NOT NULL DEFAULT false,
    last_modified_at  timestamptz,
    client_id         text
);
CREATE INDEX ON cost_plain (user_id, id);
CREATE TABLE cost_tracked (LIKE cost_plain INCLUDING ALL);
CREATE TABLE cost_client_wins (LIKE cost_plain INCLUDING ALL);
CREATE TABLE cost_sql_plain (LIKE cost_plain INCLUDING ALL);
CREATE TABLE cost_sql_tracked (LIKE cost_plain INCLUDING ALL);

CREATE EXTENSION IF NOT EXISTS pg_tide;
SELECT tide.track('cost_tracked', scope => 'user_id');
SELECT tide.track('cost_sql_tracked', scope => 'user_id');
SELECT tide.track('cost_client_wins', scope => 'user_id', conflict => 'client_wins');

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'tide_user') THEN
        CREATE ROLE tide_user NOLOGIN;
        CREATE ROLE tide_gateway LOGIN NOINHERIT;
    END IF;
END
$$;
GRANT tide_user TO tide_gateway;
GRANT SELECT, INSERT, UPDATE, DELETE
    ON cost_plain, cost_tracked, cost_client_wins, cost_sql_plain, cost_sql_tracked TO tide_gateway, tide_user;

-- the rows that are edited, see {row} in cost.c
INSERT INTO cost_sql_plain (id, user_id, title, position, weight_kg)
SELECT CAST('00000000-0000-4000-8000-' || lpad(to_hex(n), 12, '0') AS uuid), 'u0', 'Bench Press', n, 20.5
FROM generate_series(0, 999) n;
INSERT INTO cost_sql_tracked SELECT * FROM cost_sql_plain;
VACUUM ANALYZE;
