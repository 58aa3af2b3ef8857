-- tide.push_as: role, claims, settings and the push, in one statement.
\set SHOW_CONTEXT never
\set VERBOSITY sqlstate
SET client_min_messages = warning;
CREATE SCHEMA push_as;
SET search_path = push_as;
CREATE ROLE tide_as_user;
CREATE ROLE tide_as_gateway NOINHERIT;
GRANT tide_as_user TO tide_as_gateway;
CREATE TABLE t (id int PRIMARY KEY, user_id text, who text DEFAULT current_user, parent int REFERENCES t DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE noted (id int, lock_timeout text DEFAULT current_setting('lock_timeout'));
SELECT tide.track('t', scope => 'user_id');
GRANT USAGE ON SCHEMA push_as TO tide_as_user;
GRANT SELECT, INSERT, UPDATE ON t, noted TO tide_as_user;
CREATE FUNCTION go(body text, role text DEFAULT 'tide_as_user', timeout int DEFAULT 60000, lock_timeout int DEFAULT 7000) RETURNS text LANGUAGE sql AS $$
	SELECT (p.reply->'succeeded'->0->'entity')::jsonb->>'who' || ' ' || ((p.reply->'succeeded'->0->'entity')::jsonb->>'clientId') || ' ' || p.changes
	FROM tide.push_as(convert_to(body, 'UTF8'), role, '{"sub": "ann"}', 'phone', 'iso', 5000, timeout, lock_timeout) p
$$;

-- each is the transaction's, and gone with it
SET SESSION AUTHORIZATION tide_as_gateway;
SELECT push_as.go('{"changes": {"t": [{"id": 1}]}}');
RESET SESSION AUTHORIZATION;
GRANT USAGE ON SCHEMA push_as TO tide_as_gateway;
SET SESSION AUTHORIZATION tide_as_gateway;
SELECT push_as.go('{"changes": {"t": [{"id": 1}]}}');
SELECT current_user, current_setting('request.jwt.claims') AS claims, current_setting('pg_tide.client_id') AS client, current_setting('lock_timeout') AS lock_timeout;
BEGIN;
SELECT push_as.go('{"changes": {"t": [{"id": 2}]}}');
SELECT current_user, current_setting('request.jwt.claims') AS claims, current_setting('pg_tide.client_id') AS client, current_setting('lock_timeout') AS lock_timeout,
	current_setting('statement_timeout') AS statement_timeout, current_setting('idle_in_transaction_session_timeout') AS idle;
ROLLBACK;

-- no role but those that the session may be
SELECT push_as.go('{"changes": {"t": [{"id": 3}]}}', role => 'postgres');
SELECT push_as.go('{"changes": {"t": [{"id": 3}]}}', role => 'nobody at all');
SELECT push_as.go('{"changes": {"t": [{"id": 3}]}}', timeout => 0);
SELECT push_as.go(NULL);
SELECT tide.push_as('{}', NULL, '{"sub": "ann"}', NULL, 'iso', 5000, 60000, 0);

-- nor any transaction but the usual
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT push_as.go('{"changes": {"t": [{"id": 3}]}}');
ROLLBACK;
SET default_transaction_read_only = on;
SELECT push_as.go('{"changes": {"t": [{"id": 3}]}}');
RESET default_transaction_read_only;
SELECT id FROM push_as.t;
RESET SESSION AUTHORIZATION;

-- what is deferred is done before the statement ends: a look at it alone leaves no trace
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO push_as.noted VALUES (NEW.id); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER note AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION note();
BEGIN;
SELECT push_as.go('{"changes": {"t": [{"id": 4, "parent": 1}]}}');
RESET ROLE;
SELECT * FROM noted;
COMMIT;
SELECT * FROM noted;
SELECT reply->'failed'->0->'errors'->0->>'code' AS code FROM tide.push_as('{"changes": {"t": [{"id": 5, "parent": 99}]}}', 'tide_as_user', '{"sub": "ann"}', NULL, 'iso', 5000, 60000, 0);

-- and the timeout is that of this statement
CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(60); RETURN NULL; END $$;
CREATE TRIGGER wait AFTER INSERT ON t FOR EACH ROW WHEN (NEW.id = 6) EXECUTE FUNCTION wait();
SELECT go('{"changes": {"t": [{"id": 6}]}}', timeout => 200);
SET statement_timeout = 100000;
SELECT go('{"changes": {"t": [{"id": 6}]}}', timeout => 200);
RESET statement_timeout;
SELECT id FROM t ORDER BY id;
DROP SCHEMA push_as CASCADE;
DROP ROLE tide_as_user, tide_as_gateway;
