-- The table that bench.sql and cost.sql make theirs like, and the roles.

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

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'tide_user') THEN
        CREATE ROLE tide_user NOLOGIN;
        CREATE ROLE tide_gateway LOGIN NOINHERIT;
    END IF;
END
$$;
GRANT tide_user TO tide_gateway;
