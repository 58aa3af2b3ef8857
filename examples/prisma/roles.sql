-- The roles, as in ../liftlogger/roles.sql, with grants on these tables.

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

GRANT SELECT, INSERT, UPDATE, DELETE ON
    "WorkoutSession", "WorkoutTemplate", "BodyMeasurement", "ProgressionState",
    "UserSettings", "Mesocycle", "MesocycleWeek", "Achievement" TO tide_user;
