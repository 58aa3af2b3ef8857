-- A function of the user's decides conflicts.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA resolver;
SET search_path = resolver;
SET timezone = 'UTC';
CREATE TABLE counter (id int PRIMARY KEY, hits int CHECK (hits < 1000), name text, at timestamptz, by text);
-- hits: the greater; a name that begins with "keep" keeps the row, one with "no" raises an error
CREATE FUNCTION greatest_hits(entity_type text, current jsonb, incoming jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	IF incoming->>'name' LIKE 'no%' THEN
		RAISE EXCEPTION 'not with me' USING COLUMN = 'name';
	ELSIF incoming->>'name' LIKE 'keep%' THEN
		RETURN CASE WHEN incoming->>'name' = 'keep json' THEN 'null'::jsonb END;
	ELSIF incoming->>'name' = 'unknown' THEN
		RETURN '{"colour": 1}';
	ELSIF incoming->>'name' = 'array' THEN
		RETURN '[]';
	ELSIF incoming->>'name' = 'other key' THEN
		RETURN '{"id": 99, "hits": 1}';
	ELSIF incoming->>'name' = 'show' THEN
		RETURN jsonb_build_object('name', concat_ws(' | ', entity_type, current - 'at', incoming, current_user));
	END IF;
	RETURN current || incoming || jsonb_build_object('hits', greatest((current->>'hits')::int, (incoming->>'hits')::int));
END $$;
CREATE FUNCTION no_json(text, jsonb, jsonb) RETURNS text LANGUAGE sql AS $$ SELECT 'x' $$;
CREATE FUNCTION many(text, jsonb, jsonb) RETURNS SETOF jsonb LANGUAGE sql AS $$ SELECT $2 $$;
-- names that are none
SELECT tide.track('counter', shared => true, conflict => 'resolver.nobody');
SELECT tide.track('counter', shared => true, conflict => 'resolver.no_json');
SELECT tide.track('counter', shared => true, conflict => 'resolver.many');
SELECT tide.track('counter', shared => true, conflict => 'greatest_hits');
SELECT tide.track('counter', shared => true, modified_at => 'at', client_id => 'by', conflict => 'resolver.greatest_hits');
SELECT conflict FROM tide.tracked WHERE relation = 'counter'::regclass;

CREATE FUNCTION s(seconds int) RETURNS timestamptz LANGUAGE sql AS $$ SELECT '2020-01-01Z'::timestamptz + make_interval(secs => seconds) $$;
CREATE FUNCTION up(id int, data jsonb, seconds int, by text) RETURNS TABLE (status text, hits text, name text, sec numeric, "by" text, code text, message text, col text) LANGUAGE sql AS $$
	SELECT v.status, v.data->>'hits', v.data->>'name', extract(epoch FROM (v.data->>'at')::timestamptz - s(0)), v.data->>'by', v.code, v.message, v.column_name
	FROM tide.upsert('counter', data || jsonb_build_object('id', id), s(seconds), by) v $$;

-- a new row is nobody's conflict
SELECT * FROM up(1, '{"hits": 5, "name": "a"}', 10, 'p');
-- combined; just what was sent; kept; in either order of stamps
SELECT * FROM up(1, '{"hits": 3, "name": "b"}', 20, 'q');
SELECT * FROM up(1, '{"hits": 8}', 15, 'r');
SELECT * FROM up(1, '{"hits": 9, "name": "keep"}', 30, 'q');
SELECT * FROM up(1, '{"hits": 9, "name": "keep json"}', 31, 'q');
-- replays have no second effect
SELECT * FROM up(1, '{"hits": 3, "name": "b"}', 20, 'q');
SELECT * FROM up(1, '{"hits": 8}', 15, 'r');
SELECT * FROM counter;
-- what lost, in full or in part, and what was overruled
SELECT kind, lost, extract(epoch FROM lost_modified_at - s(0)) AS lost_at, extract(epoch FROM stood_modified_at - s(0)) AS stood_at
	FROM tide.conflict WHERE relid = 'counter'::regclass ORDER BY id;

-- its errors are the change's, the rest of the push goes through
SELECT * FROM up(1, '{"name": "none"}', 40, 'q');
SELECT * FROM up(1, '{"name": "unknown"}', 40, 'q');
SELECT * FROM up(1, '{"name": "array"}', 40, 'q');
SELECT * FROM up(1, '{"name": "other key"}', 40, 'q');
SELECT * FROM up(1, '{"hits": 5000}', 40, 'q');
INSERT INTO counter SELECT n, n, 'x' FROM generate_series(2, 9) n;
SELECT v->'summary' AS summary, v->'failed'->0->'entityId' AS failed FROM (SELECT tide.push(jsonb_build_object('changes', (SELECT jsonb_agg(jsonb_build_object('entityType', 'counter', 'entityId', n,
	'data', jsonb_build_object('hits', 100 + n, 'name', CASE n WHEN 6 THEN 'no' WHEN 7 THEN 'keep' ELSE 'many' END))) FROM generate_series(1, 9) n))) AS v) x;
SELECT id, hits, name FROM counter ORDER BY id;

-- base and a stamp that is stored ask nobody
SELECT status, hits, name FROM up(2, '{"hits": 1, "name": "x"}', 50, 'q');
SELECT f->>'status' AS status, f->'entity'->>'name' AS name FROM (SELECT tide.push(jsonb_build_object('changes', jsonb_build_array(jsonb_build_object('entityType', 'counter', 'entityId', 2,
	'data', '{"name": "no error"}'::jsonb, 'lastModifiedAt', '2020-01-01T00:00:05Z', 'base', (SELECT at FROM counter WHERE id = 2)))))->'succeeded'->0 AS f) x;

-- deletes, and what brings a row back, go by the stamps
SELECT status FROM tide.delete('counter', '{"id": 3}', s(1), 'p');
SELECT status FROM tide.delete('counter', '{"id": 3}', now(), 'p');
SELECT * FROM up(3, '{"hits": 1, "name": "none"}', 50, 'q');

-- what it sees: wire names, the whole row, the columns sent; it runs as who pushes
CREATE ROLE regress_resolver_user;
GRANT USAGE ON SCHEMA resolver TO regress_resolver_user;
GRANT SELECT, INSERT, UPDATE ON counter TO regress_resolver_user;
GRANT EXECUTE ON FUNCTION tide.unrestricted() TO regress_resolver_user;
UPDATE counter SET name = 'y' WHERE id = 4;
SET ROLE regress_resolver_user;
SELECT status, name FROM up(4, '{"name": "show"}', 60, 'q');
RESET ROLE;
REVOKE EXECUTE ON FUNCTION greatest_hits FROM PUBLIC;
SET ROLE regress_resolver_user;
SELECT * FROM up(4, '{"name": "z"}', 70, 'q');
RESET ROLE;
-- gone: no change is to blame for that; new rows do not need it
DROP FUNCTION greatest_hits;
SELECT * FROM up(4, '{"name": "z"}', 70, 'q');
SELECT status FROM up(44, '{"name": "z"}', 70, 'q');
SELECT severity, problem, hint FROM tide.check() WHERE problem ~ 'resolver';
-- nor is one called that somebody else has put in its place
CREATE ROLE regress_resolver_other;
GRANT USAGE, CREATE ON SCHEMA resolver TO regress_resolver_other;
SET ROLE regress_resolver_other;
CREATE FUNCTION greatest_hits(text, jsonb, jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RAISE 'called as %', current_user; END $$;
RESET ROLE;
SELECT * FROM up(4, '{"name": "z"}', 70, 'q');
SELECT severity, problem, hint FROM tide.check() WHERE problem ~ 'resolver';
SELECT tide.track('counter', shared => true, modified_at => 'at', client_id => 'by', conflict => 'resolver.greatest_hits');
-- but the table's owner's own is, and a trusted one's
GRANT EXECUTE ON FUNCTION tide.trusted() TO regress_resolver_other;
SELECT code, message FROM up(4, '{"name": "z"}', 70, 'q');
REVOKE EXECUTE ON FUNCTION tide.trusted() FROM regress_resolver_other;
-- the same of pg_tide.scopes_function
SET ROLE regress_resolver_other;
CREATE FUNCTION scopes(jsonb) RETURNS text[] LANGUAGE sql AS $$ SELECT '{all}'::text[] $$;
RESET ROLE;
SET pg_tide.scopes_function = 'resolver.scopes';
SET request.jwt.claims = '{"sub": "u"}';
SELECT tide.pull();
SELECT severity, problem, hint FROM tide.check('regress_resolver_user') WHERE object ~ 'scopes';
GRANT EXECUTE ON FUNCTION tide.trusted() TO regress_resolver_other;
SELECT tide.pull()->'hasMore';
REVOKE EXECUTE ON FUNCTION tide.trusted() FROM regress_resolver_other;
RESET pg_tide.scopes_function;
RESET request.jwt.claims;
DROP SCHEMA resolver CASCADE;
DROP ROLE regress_resolver_other;
REVOKE EXECUTE ON FUNCTION tide.unrestricted() FROM regress_resolver_user;
DROP ROLE regress_resolver_user;
