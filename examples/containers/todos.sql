-- Run once, as the superuser, in the new database "todos".

CREATE EXTENSION pg_tide;
CREATE ROLE tide_user NOLOGIN;
CREATE ROLE tide_gateway LOGIN NOINHERIT;
SELECT format('ALTER ROLE tide_gateway PASSWORD %L', current_setting('setup.gateway_password')) \gexec
GRANT tide_user TO tide_gateway;
GRANT EXECUTE ON FUNCTION tide.maintain() TO tide_gateway;
GRANT EXECUTE ON FUNCTION tide.watch(text) TO tide_gateway;

-- the owner of the tables: your backend's role, for example
CREATE ROLE app NOLOGIN;
GRANT EXECUTE ON FUNCTION tide.trusted() TO app;
GRANT CREATE ON SCHEMA public TO app;

SET ROLE app;
CREATE TABLE todos (
    id       uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id  text NOT NULL,
    title    text NOT NULL,
    done     boolean NOT NULL DEFAULT false
);
CREATE INDEX ON todos (user_id, id);
SELECT tide.track('todos', scope => 'user_id');
GRANT SELECT, INSERT, UPDATE, DELETE ON todos TO tide_user;
RESET ROLE;
GRANT USAGE ON SCHEMA public TO tide_user;
