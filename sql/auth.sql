-- pg_tide_auth: accounts, attempts, and refresh tokens that are used once.
-- Seen failing: without rotated_at in refresh() the grace never ends, without
-- "previous" any old token will do; without the first test of admit() refused
-- attempts count; without "NOT known" others lock a user out of home.
\set SHOW_CONTEXT never
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE EXTENSION pg_tide_auth CASCADE;
RESET client_min_messages;

-- ---------- what is in the catalogs ----------
CREATE TEMP VIEW members AS SELECT classid, objid FROM pg_depend
	WHERE refclassid = 'pg_extension'::regclass AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'pg_tide_auth') AND deptype = 'e';
SELECT e.extnamespace::regnamespace AS schema, e.extrelocatable AS relocatable, e.extconfig::regclass[] AS dumped FROM pg_extension e WHERE extname = 'pg_tide_auth';
SELECT p.oid::regprocedure FROM members JOIN pg_proc p ON objid = p.oid AND classid = 'pg_proc'::regclass
	WHERE proconfig IS DISTINCT FROM '{"search_path=pg_catalog, pg_temp"}' AND prosqlbody IS NULL;
SELECT pg_describe_object(classid, objid, 0) FROM members WHERE classid IN ('pg_proc'::regclass, 'pg_class'::regclass)
	AND obj_description(objid, (SELECT relname FROM pg_class c WHERE c.oid = classid)) IS NULL
	AND NOT (classid = 'pg_class'::regclass AND EXISTS (SELECT FROM pg_class c WHERE c.oid = objid AND c.relkind IN ('i', 't')));
SELECT count(*) AS "for everybody" FROM members WHERE CASE classid WHEN 'pg_proc'::regclass THEN has_function_privilege('public', objid, 'EXECUTE')
	WHEN 'pg_class'::regclass THEN (SELECT c.relkind = 'r' AND has_any_column_privilege('public', c.oid, 'SELECT, INSERT, UPDATE') FROM pg_class c WHERE c.oid = objid) END;
SELECT has_schema_privilege('public', 'tide_auth', 'USAGE') OR has_schema_privilege('public', 'tide_auth', 'CREATE') AS "schema for everybody";
CREATE ROLE regress_tide_auth;
SELECT tide_auth.allow('regress_tide_auth');
SELECT p.oid::regprocedure AS "for the gateway", prosecdef AS definer FROM members JOIN pg_proc p ON objid = p.oid AND classid = 'pg_proc'::regclass
	WHERE has_function_privilege('regress_tide_auth', p.oid, 'EXECUTE') ORDER BY p.oid::regprocedure::text COLLATE "C";

-- ---------- accounts ----------
SET pg_tide_auth.bcrypt_cost = 4;
SELECT tide_auth.create_account('', 'long enough');
SELECT tide_auth.create_account('maja', 'short');
SELECT tide_auth.create_account('maja', NULL);
SELECT tide_auth.create_account('maja', repeat('ä', 37));
SELECT tide_auth.create_account('maja', 'long enough', user_id => '');
SELECT tide_auth.create_account('maja', 'long enough', role => 'none');
SELECT tide_auth.create_account('maja', 'long enough', claims => '[]');
SELECT tide_auth.create_account('maja', 'long enough', 'u1', 'athlete', claims => '{"club": 7, "sub": "u2", "userType": "coach"}');
SELECT tide_auth.create_account('Maja', 'long enough');
SELECT tide_auth.create_account('other', 'long enough', 'u1');
SELECT tide_auth.create_account('coach@example.org', 'also long enough', 'c1', role => 'regress_tide_auth') AS c1;
SELECT length(tide_auth.create_account('random', 'long enough')) AS uuid;
SELECT tide_auth.set_password('nobody', 'long enough');

SET ROLE regress_tide_auth;
SELECT * FROM tide_auth.account;
SELECT tide_auth.create_account('me', 'long enough');
SELECT tide_auth.bcrypt('a', '$2a$04$......................');
SELECT tide_auth.login('maja', 'long enough');
SELECT tide_auth.login('MAJA', 'long enough');
SELECT tide_auth.login('coach@example.org', 'also long enough');
SELECT tide_auth.login('maja', 'long enougH'), tide_auth.login('maja', ''), tide_auth.login('maja', NULL), tide_auth.login('nobody', 'long enough'), tide_auth.login(NULL, 'x');
RESET ROLE;
-- 72 bytes are compared, so none may be longer
SELECT tide_auth.set_password('random', repeat('x', 72));
SELECT tide_auth.login('random', repeat('x', 72)) IS NOT NULL AS "72", tide_auth.login('random', repeat('x', 73)) AS "73";
SELECT tide_auth.disable_account('maja');
SELECT tide_auth.login('maja', 'long enough');
SELECT tide_auth.enable_account('maja');
-- a higher cost is taken over at the next login
SET pg_tide_auth.bcrypt_cost = 5;
SELECT tide_auth.login('maja', 'wrong'), substr(password_hash, 1, 7) FROM tide_auth.account WHERE id = 'u1';
SELECT tide_auth.login('maja', 'long enough') IS NOT NULL AS good;
SELECT substr(password_hash, 1, 7), tide_auth.login('maja', 'long enough') IS NOT NULL AS good FROM tide_auth.account WHERE id = 'u1';
SET pg_tide_auth.bcrypt_cost = 4;
-- pgcrypto elsewhere, and a trap where it was
CREATE SCHEMA regress_elsewhere;
ALTER EXTENSION pgcrypto SET SCHEMA regress_elsewhere;
CREATE FUNCTION crypt(text, text) RETURNS text LANGUAGE sql AS $$ SELECT $2 $$;
SELECT tide_auth.login('maja', 'wrong'), tide_auth.login('maja', 'long enough') IS NOT NULL AS good;
DROP FUNCTION crypt(text, text);

-- ---------- refresh tokens ----------
SET ROLE regress_tide_auth;
\set s1 '''00000000-0000-0000-0000-000000000001'''
\set s2 '''00000000-0000-0000-0000-000000000002'''
SELECT tide_auth.start_session(NULL, 'maja', '10.0.0.1', :s1, 'A', 3600);
SELECT tide_auth.start_session('{}', 'maja', '10.0.0.1', :s1, 'A', 3600);
SELECT tide_auth.start_session('{"sub": 7}', 'maja', '10.0.0.1', :s1, 'A', 3600);
SELECT tide_auth.start_session('[]', 'maja', '10.0.0.1', :s1, 'A', 3600);
SELECT tide_auth.start_session(tide_auth.login('maja', 'long enough') || '{"tenant": "x"}', 'maja', '10.0.0.1', :s1, 'A', 3600);
SELECT tide_auth.start_session('{"sub": "own", "userType": "guest", "big": 12345678901234567890, "exp": 1}', 'guest', '10.0.0.1', :s2, 'A', 3600);
-- rotated; the reply may be lost, and lost again
SELECT tide_auth.refresh(:s1, 'A', 'B', '10.0.0.2', 3600, 300);
SELECT tide_auth.refresh(:s1, 'A', 'C', '10.0.0.2', 3600, 300);
SELECT tide_auth.refresh(:s1, 'A', 'D', '10.0.0.2', 3600, 300);
-- one of them was not: from now on the others are old
SELECT tide_auth.refresh(:s1, 'C', 'E', '10.0.0.2', 3600, 300);
SELECT tide_auth.refresh(:s1, 'E', 'F', '10.0.0.2', 3600, 300);
SELECT tide_auth.refresh(:s1, 'B', 'X', '10.0.0.3', 3600, 300);
-- and with the family is over
SELECT tide_auth.refresh(:s1, 'F', 'X', '10.0.0.2', 3600, 300);
-- the other device goes on, with the claims of its own login
SELECT tide_auth.refresh(:s2, 'A', 'B', '10.0.0.2', 3600, 0);
-- no grace
SELECT tide_auth.refresh(:s2, 'A', 'C', '10.0.0.2', 3600, 0);
SELECT tide_auth.refresh(:s2, 'B', 'C', '10.0.0.2', 3600, 0);
-- a phone may lose any number of replies; the last ten of them are good
SELECT tide_auth.start_session('{"sub": "own"}', 'guest', '10.0.0.1', :s2, 'A', 3600);
SELECT tide_auth.refresh(:s2, 'A', convert_to('B' || i, 'UTF8'), '10.0.0.2', 3600, 300)->>0 AS refused, count(*) FROM generate_series(1, 12) i GROUP BY 1 ORDER BY 1;
SELECT tide_auth.refresh(:s2, 'B3', 'C', '10.0.0.2', 3600, 300);
SELECT tide_auth.start_session('{"sub": "own"}', 'guest', '10.0.0.1', '00000000-0000-0000-0000-000000000003', 'A', 3600);
SELECT tide_auth.refresh('00000000-0000-0000-0000-000000000003', 'A', convert_to('B' || i, 'UTF8'), '10.0.0.2', 3600, 300)->>0 AS refused, count(*) FROM generate_series(1, 12) i GROUP BY 1 ORDER BY 1;
SELECT tide_auth.refresh('00000000-0000-0000-0000-000000000003', 'B2', 'C', '10.0.0.2', 3600, 300);
SELECT tide_auth.logout(:s2);
-- what is known of the account now goes first; what the login function added stays
SELECT tide_auth.start_session(tide_auth.login('maja', 'long enough') || '{"tenant": "x", "role": "old"}', 'maja', '10.0.0.1', :s1, 'A', 3600)->>'role' AS role;
RESET ROLE;
UPDATE tide_auth.account SET user_type = 'coach' WHERE id = 'u1';
SELECT tide_auth.refresh(:s1, 'A', 'B', '10.0.0.2', 3600, 300);
UPDATE tide_auth.account SET disabled = true WHERE id = 'u1';
SELECT tide_auth.refresh(:s1, 'B', 'C', '10.0.0.2', 3600, 300);
UPDATE tide_auth.account SET disabled = false WHERE id = 'u1';
SELECT tide_auth.refresh(:s1, 'B', 'C', '10.0.0.2', 3600, 300);
-- expired
SELECT tide_auth.start_session('{"sub": "own"}', 'guest', '10.0.0.1', :s2, 'A', 0) IS NOT NULL AS good;
SELECT tide_auth.refresh(:s2, 'A', 'B', '10.0.0.2', 3600, 300);
-- logout, and what ends sessions of an account
SELECT tide_auth.start_session('{"sub": "u1"}', 'maja', '10.0.0.1', :s1, 'A', 3600) IS NOT NULL AS good;
SELECT count(*) AS "the expired one is gone" FROM tide_auth.session;
SELECT tide_auth.logout(:s1), tide_auth.logout(:s1) AS again, tide_auth.refresh(:s1, 'A', 'B', '10.0.0.2', 3600, 300);
CREATE FUNCTION pg_temp.sessions_after(statement text) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
	PERFORM tide_auth.start_session('{"sub": "u1"}', 'maja', '10.0.0.1', gen_random_uuid(), 'A', 3600);
	EXECUTE statement;
	RETURN (SELECT count(*) FROM tide_auth.session);
END $$;
SELECT pg_temp.sessions_after('SELECT') AS nothing,
	pg_temp.sessions_after($$SELECT tide_auth.set_password('maja', 'another one')$$) AS password,
	pg_temp.sessions_after($$SELECT tide_auth.disable_account('maja')$$) AS disabled,
	pg_temp.sessions_after($$SELECT tide_auth.end_sessions('u1')$$) AS ended,
	pg_temp.sessions_after($$SELECT tide_auth.drop_account('maja')$$) AS dropped;

-- ---------- attempts ----------
SET ROLE regress_tide_auth;
-- three by name and address; refused ones are not counted
SELECT array_agg(tide_auth.admit('bo', '10.0.0.1', 3, 100, 100, 900) > 0) FROM generate_series(1, 6);
SELECT tide_auth.admit('bo', '10.0.0.1', 3, 100, 100, 900) BETWEEN 800 AND 900 AS seconds;
SELECT tide_auth.admit('BO', '10.0.0.1', 3, 100, 100, 900) > 0 AS "same name", tide_auth.admit('bo', '10.0.0.2', 3, 100, 100, 900) AS "elsewhere", tide_auth.admit('al', '10.0.0.1', 3, 100, 100, 900) AS "another";
RESET ROLE;
SELECT username = '' AS "all names", address, failures FROM tide_auth.attempt ORDER BY 1, 2, 3;
-- by address, whatever the name
SELECT array_agg(tide_auth.admit('name ' || i, '10.0.0.9', 3, 4, 100, 900) > 0 ORDER BY i) FROM generate_series(1, 6) i;
-- by name, from everywhere; but not where the user is logged in
SELECT array_agg(tide_auth.admit('cy', '10.0.1.' || i, 3, 100, 4, 900) > 0 ORDER BY i) FROM generate_series(1, 6) i;
SELECT tide_auth.start_session('{"sub": "cy"}', 'cy', '10.0.2.1', :s1, 'A', 3600) IS NOT NULL AS good;
SELECT array_agg(tide_auth.admit('cy', '10.0.2.1', 3, 100, 4, 900) > 0) AS home FROM generate_series(1, 4) i;
-- a login that succeeds takes its attempt back
TRUNCATE tide_auth.attempt;
SELECT tide_auth.admit('di', '10.0.0.1', 3, 100, 100, 900), tide_auth.admit('di', '10.0.0.1', 3, 100, 100, 900);
SELECT tide_auth.start_session('{"sub": "di"}', 'di', '10.0.0.1', :s2, 'A', 3600) IS NOT NULL AS good;
SELECT username = '' AS "all names", address, failures FROM tide_auth.attempt ORDER BY 1, 2, 3;
-- the time is over; what is old goes
UPDATE tide_auth.attempt SET since = since - interval '1 hour', failures = 1000;
SELECT tide_auth.admit('di', '10.0.0.1', 3, 100, 100, 900), tide_auth.admit('ed', '10.0.0.2', 3, 100, 100, 900);
SELECT max(failures) FROM tide_auth.attempt;
SELECT tide_auth.admit('ed', '10.0.0.2', 1, 100, 100, 900) > 0 AS refused;
SELECT tide_auth.forget_attempts('ed');
SELECT tide_auth.admit('ed', '10.0.0.2', 1, 100, 100, 900);

SET client_min_messages = warning;
DROP EXTENSION pg_tide_auth;
DROP EXTENSION pgcrypto;
DROP SCHEMA regress_elsewhere, tide_auth;
DROP ROLE regress_tide_auth;
