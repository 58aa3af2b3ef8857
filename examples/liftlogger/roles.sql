-- The two roles of a pg_tide installation. As a superuser, after CREATE
-- EXTENSION pg_tide; may be run again.
--
-- tide_gateway  what the gateway logs in as. NOINHERIT: it may do nothing
--               itself but upkeep, only become one of the roles it is a member
--               of. Give it a password with \password tide_gateway.
-- tide_user     what a request runs as. It needs grants on your tables and on
--               nothing else; row level security on them holds as ever.

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'tide_user') THEN
        CREATE ROLE tide_user NOLOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'tide_gateway') THEN
        CREATE ROLE tide_gateway LOGIN NOINHERIT;
    END IF;
END
$$;
GRANT tide_user TO tide_gateway;
-- the gateway's timer forgets what is older than pg_tide.retention
GRANT EXECUTE ON FUNCTION tide.maintain() TO tide_gateway;
GRANT EXECUTE ON FUNCTION tide.watch(text) TO tide_gateway;

-- Whose rows somebody may sync: their own, and a coach those of the athletes.
CREATE OR REPLACE FUNCTION gym_scopes(claims jsonb) RETURNS text[]
LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
    SELECT array_agg(a.id::text) || (claims->>'sub')
    FROM athletes AS a
    WHERE a.coach_id::text = claims->>'sub' AND a.deleted_at IS NULL
$$;
DO $$
BEGIN
    EXECUTE format('ALTER DATABASE %I SET pg_tide.scopes_function = %L',
        current_database(), 'public.gym_scopes');
END
$$;

-- An athlete may not edit the catalogue or a coach, nor make athletes.
GRANT SELECT ON coaches, exercises, variants TO tide_user;
GRANT SELECT, UPDATE ON athletes TO tide_user;
GRANT SELECT, INSERT, UPDATE, DELETE ON
    training_plans, exercise_plans, set_plans, exercise_plan_variants,
    training_sessions, exercise_sessions, set_sessions,
    exercise_session_variants, body_weight_entries TO tide_user;
