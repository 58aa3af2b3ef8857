-- The two tables of `make bench`: the same columns and indexes, one tracked.
-- Users u0..u7 are the eight connections; the bulk part has tables of its own.

CREATE TABLE bench_plain (
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
CREATE INDEX ON bench_plain (user_id, id);
CREATE TABLE bench_tracked (LIKE bench_plain INCLUDING ALL);

CREATE EXTENSION IF NOT EXISTS pg_tide;
SELECT tide.track('bench_tracked', scope => 'user_id');

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'tide_user') THEN
        CREATE ROLE tide_user NOLOGIN;
        CREATE ROLE tide_gateway LOGIN NOINHERIT;
    END IF;
END
$$;
GRANT tide_user TO tide_gateway;
GRANT SELECT, INSERT, UPDATE, DELETE ON bench_tracked, bench_plain TO tide_user;

-- what the bulk statements write: 100,000 rows of 1,000 users
CREATE UNLOGGED TABLE bench_source AS
SELECT md5(n::text)::uuid AS id, 's' || n % 1000 AS user_id, 'Bench Press ' || n AS title,
       'five by five, two minutes of rest' AS notes, n % 100 AS position,
       (n % 200)::numeric(6,2) AS weight_kg, n % 2 = 0 AS done
FROM generate_series(1, 100000) AS n;
VACUUM ANALYZE bench_source;

-- whom a login is for must not be told by its time
CREATE EXTENSION pg_tide_auth CASCADE;
SELECT tide_auth.create_account('known', 'the right password');
