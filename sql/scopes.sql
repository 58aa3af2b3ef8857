-- pg_tide.scopes_function: whose rows a caller may sync, made of its claims.
-- Seen to fail with: the function's result not asked about scopes that were
-- asked for; its EXECUTE privilege not asked for; only the row as it is, or only
-- as it will be, tested by push.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA team;
SET search_path = team;
CREATE ROLE regress_tide_coach;
GRANT USAGE ON SCHEMA team TO regress_tide_coach;
CREATE TABLE coaching (coach text, athlete text);
INSERT INTO coaching VALUES ('cora', 'ann'), ('cora', 'bob'), ('cora', NULL), ('carl', 'bob');
CREATE FUNCTION scopes(claims jsonb) RETURNS text[] LANGUAGE sql STABLE SECURITY DEFINER SET search_path = team AS
	$$ SELECT array_agg(athlete) FROM coaching WHERE coach = claims->>'sub' $$;
CREATE FUNCTION strange(claims jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT claims';
CREATE FUNCTION strange(claims json) RETURNS text[] LANGUAGE sql AS 'SELECT NULL::text[]';
CREATE FUNCTION several(claims jsonb) RETURNS SETOF text[] LANGUAGE sql AS $$ SELECT '{ann}'::text[] $$;
CREATE FUNCTION closed(claims jsonb) RETURNS text[] LANGUAGE sql AS $$ SELECT '{ann}'::text[] $$;
REVOKE EXECUTE ON FUNCTION closed(jsonb) FROM PUBLIC;
CREATE FUNCTION nosy(claims jsonb) RETURNS text[] LANGUAGE plpgsql AS
	$$ BEGIN RAISE WARNING 'asked as %', current_user; RETURN ARRAY[claims->>'sub']; END $$;
CREATE FUNCTION fails(claims jsonb) RETURNS text[] LANGUAGE plpgsql AS
	$$ BEGIN RAISE 'no list of athletes today' USING ERRCODE = 'XX999'; END $$;

CREATE TABLE plan (id int PRIMARY KEY, athlete text, name text);
CREATE INDEX ON plan (athlete);
CREATE TABLE catalogue (id int PRIMARY KEY, name text);
SELECT tide.track('plan', scope => 'athlete');
SELECT tide.track('catalogue', shared => true);
INSERT INTO plan VALUES (1, 'ann', 'a'), (2, 'bob', 'b'), (3, 'cyd', 'c'), (4, NULL, 'nobody''s');
INSERT INTO catalogue VALUES (1, 'squat');
GRANT SELECT, INSERT, UPDATE, DELETE ON plan TO regress_tide_coach;
GRANT SELECT ON catalogue TO regress_tide_coach;
CREATE FUNCTION result(body jsonb, scopes text[] DEFAULT NULL) RETURNS TABLE (id text, result text) LANGUAGE sql AS $$
	WITH p AS MATERIALIZED (SELECT tide.push(body, scopes) AS r)
	SELECT s->>'entityId', s->>'status' FROM p, json_array_elements(r->'succeeded') s
	UNION ALL SELECT s->>'entityId', concat_ws(' ', s->'errors'->0->>'code', s->'errors'->0->>'column') FROM p, json_array_elements(r->'failed') s $$;
CREATE FUNCTION rows(scopes text[] DEFAULT NULL) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(concat(entity_type, key->>'id'), ' ' ORDER BY entity_type, key->>'id') FROM tide.changes(NULL, scopes) $$;

-- it is no user's to choose
SET ROLE regress_tide_coach;
SET pg_tide.scopes_function = 'team.nosy';
RESET ROLE;

-- what is no such function
SET request.jwt.claims = '{"sub": "cora"}';
SET pg_tide.scopes_function = 'scopes';
SELECT tide.pull();
SET pg_tide.scopes_function = 'team.nothing';
SELECT tide.pull();
SET pg_tide.scopes_function = 'nowhere.scopes';
SELECT tide.pull();
SET pg_tide.scopes_function = 'team.strange';
SELECT tide.push('{"changes": []}');
SET pg_tide.scopes_function = 'team.several';
SELECT tide.keys();
SET pg_tide.scopes_function = 'team.scopes(jsonb)';
SELECT tide.cursor();
SET pg_tide.scopes_function = 'team..scopes';
SELECT tide.cursor();
SET pg_tide.scopes_function = 'team.fails';
SELECT tide.pull();
\echo :LAST_ERROR_SQLSTATE
SET pg_tide.scopes_function = 'team.closed';
SELECT rows();
SET ROLE regress_tide_coach;
SELECT rows();
\echo :LAST_ERROR_SQLSTATE
RESET ROLE;

-- run as the caller, once a request
SET pg_tide.scopes_function = 'team.nosy';
SET ROLE regress_tide_coach;
SET request.jwt.claims = '{"sub": "ann"}';
SELECT rows();
SELECT * FROM result('{"changes": {"plan": [{"id": 1, "name": "A"}, {"id": 5, "name": "new"}, {"id": 2, "name": "B"}]}}');
SELECT tide.touch('plan', '[1, 2]');
RESET ROLE;

-- a coach: her athletes, without the list of names that nobody has
SET pg_tide.scopes_function = 'team.scopes';
SET ROLE regress_tide_coach;
SET request.jwt.claims = '{"sub": "cora"}';
SELECT rows(), rows('{bob}'), rows('{}');
SELECT rows('{ann,cyd}');
\echo :LAST_ERROR_SQLSTATE
-- her own name is none of them
SELECT rows('{cora}');
SELECT tide.push('{"changes": []}', '{cyd}');
SELECT (SELECT array_agg(k ORDER BY k) FROM json_array_elements_text(tide.keys()->'keysByType'->'plan') k) AS keys,
	(SELECT array_agg(k ORDER BY k) FROM json_array_elements_text(tide.keys('{ann}')->'keysByType'->'plan') k) AS of_ann;
SELECT tide.keys('{cyd}');
SELECT tide.touch('plan', '[1, 2, 3, 4]');
-- nobody's coach: what is everybody's
SET request.jwt.claims = '{"sub": "nobody"}';
SELECT rows();
SELECT * FROM result('{"changes": {"plan": [{"id": 6, "name": "whose"}, {"id": 1, "name": "x"}]}}');

-- push: the row as it is and as it will be
SET request.jwt.claims = '{"sub": "cora"}';
SELECT * FROM result('{"changes": {"plan": [{"id": 1, "name": "A2"}, {"id": 2, "athlete": "ann"}, {"id": 3, "name": "C"}, {"id": 3, "athlete": "ann"},
	{"id": 1, "athlete": "cyd"}, {"id": 7, "athlete": "bob", "name": "seven"}, {"id": 8, "athlete": "cyd"}, {"id": 4, "name": "now hers"}]}}');
-- asked for bob alone, ann's are not hers to write; of one scope, it need not be sent
SELECT * FROM result('{"changes": {"plan": [{"id": 1, "name": "A3"}, {"id": 7, "name": "7"}, {"id": 7, "athlete": "ann"}, {"id": 9, "name": "nine"}]}}', '{bob}');
-- of several, it must be
SELECT * FROM result('{"changes": {"plan": [{"id": 10, "name": "whose"}, {"id": 7, "deletedAt": "2030-01-01T00:00:00Z"}, {"id": 3, "deletedAt": "2030-01-01T00:00:00Z"}]}}');
SELECT status, code FROM tide.upsert('plan', '{"id": 2, "name": "by upsert"}');
SELECT status, code FROM tide.delete('plan', '3');
-- the tombstone is bob's: carl may bring it back, dora not
SET request.jwt.claims = '{"sub": "dora"}';
RESET ROLE;
INSERT INTO coaching VALUES ('dora', 'ann');
SET ROLE regress_tide_coach;
SELECT * FROM result('{"changes": {"plan": [{"id": 7, "athlete": "ann", "lastModifiedAt": "2031-01-01T00:00:00Z"}]}}');
SET request.jwt.claims = '{"sub": "carl"}';
SELECT * FROM result('{"changes": {"plan": [{"id": 7, "name": "back", "lastModifiedAt": "2031-01-01T00:00:00Z"}]}}');
RESET ROLE;
SELECT id, athlete, name FROM plan ORDER BY id;

-- no claims: the function is not asked, and unrestricted() decides as ever
RESET request.jwt.claims;
SELECT count(*) FROM tide.changes() WHERE entity_type = 'plan';
SET ROLE regress_tide_coach;
SELECT rows();
RESET ROLE;
RESET pg_tide.scopes_function;
DROP SCHEMA team CASCADE;
DROP ROLE regress_tide_coach;
