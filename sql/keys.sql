-- Keys of every type: pushed, paged, logged, deleted, however they are spelled.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
SET client_encoding = 'UTF8';
CREATE SCHEMA keys;
SET search_path = keys;
SET timezone = 'Asia/Kolkata';
SET datestyle = 'SQL, DMY';
SET intervalstyle = 'sql_standard';
SET bytea_output = 'escape';
SET extra_float_digits = -3;
CREATE TYPE mood AS ENUM ('z', 'a', 'm');
CREATE DOMAIN code AS varchar(5) CHECK (VALUE <> 'bad');
-- for each type three keys as clients send them, in the type's own order, and
-- another spelling of the first where there is one
CREATE TABLE kinds (n serial, type text, k1 jsonb, k2 jsonb, k3 jsonb, also jsonb);
INSERT INTO kinds (type, k1, k2, k3, also) VALUES
	('smallint', '-1', '0', '7', '"-1"'),
	('integer', '1', '2', '2147483647', '"1"'),
	('bigint', '-9007199254740993', '9007199254740993', '9223372036854775807', '"-9007199254740993"'),
	('numeric(6,2)', '0.5', '1', '1000.25', '0.50'),
	('boolean', 'false', 'true', 'null', '"off"'),
	('text', '""', '"a b\\\\c\"d''{},[]"', '"zé 🔑"', '""'),
	('varchar(9)', '" "', '"A"', '"a"', '" "'),
	('char(3)', '"a"', '"b "', '"ccc"', '"a  "'),
	('name', '"n1"', '"n2"', '"n3"', NULL),
	('code', '"c1"', '"c2"', '"c3"', NULL),
	('uuid', '"A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"', '"b0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"', '"c0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"', '"a0eebc999c0b4ef8bb6d6bb9bd380a11"'),
	('bytea', '"\\x"', '"\\x00ff"', '"\\xff"', '"\\x"'),
	('date', '"2024-02-29"', '"2024-03-01"', '"9999-12-31"', '"2024-02-29"'),
	('timestamptz', '"2024-02-29T12:00:00Z"', '"2024-02-29T12:00:00.000001Z"', '1709210096789', '"2024-02-29T17:30:00+05:30"'),
	('timestamp', '"2024-02-29T12:00:00Z"', '"2024-02-29T12:00:00.5Z"', '1809210096789', '"2024-02-29T12:00:00"'),
	('time', '"00:00:00"', '"12:34:56.789"', '"23:59:59"', '"00:00"'),
	('inet', '"10.0.0.1"', '"10.0.0.2"', '"::1"', '"10.0.0.1/32"'),
	('mood', '"z"', '"a"', '"m"', NULL),
	('pg_lsn', '"0/0"', '"0/1"', '"1/0"', '"00/00"');
CREATE FUNCTION id_of(r json) RETURNS text LANGUAGE sql AS $$ SELECT r->>'id' $$;
CREATE FUNCTION check_keys(t text, type text, ks jsonb[], also jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	problems text := '';
	p json;
	c text;
	pages text[] := '{}';
	k int := cardinality(ks);
BEGIN
	EXECUTE format('CREATE TABLE %I (id %s PRIMARY KEY, user_id text, n int)', t, type);
	EXECUTE format('CREATE INDEX ON %I (user_id, id)', t);
	PERFORM tide.track(t::regclass, scope => 'user_id');
	c := tide.cursor();
	p := tide.push(jsonb_build_object('changes', jsonb_build_object(t, (SELECT jsonb_agg(jsonb_build_object('id', x, 'n', 1, 'user_id', 'ann', 'lastModifiedAt', '2020-01-01T00:00:00Z')) FROM unnest(ks) x))));
	IF (p->'summary'->>'succeeded')::int <> k THEN RETURN 'insert: ' || (p->'failed')::text; END IF;
	-- what came back names the same row
	p := tide.push(jsonb_build_object('changes', jsonb_build_object(t, (SELECT jsonb_agg(jsonb_build_object('id', s->'entity'->'id', 'n', 2, 'lastModifiedAt', '2020-01-02T00:00:00Z')) FROM json_array_elements(p->'succeeded') s))));
	IF (SELECT bool_and(s->>'status' = 'applied' AND s->'entity'->>'n' = '2') FROM json_array_elements(p->'succeeded') s) IS NOT TRUE THEN problems := problems || ' update: ' || p::text; END IF;
	-- so does another spelling
	IF also IS NOT NULL THEN
		p := tide.push(jsonb_build_object('changes', jsonb_build_object(t, jsonb_build_array(jsonb_build_object('id', also, 'n', 3, 'lastModifiedAt', '2020-01-03T00:00:00Z')))));
		IF p->'succeeded'->0->>'status' IS DISTINCT FROM 'applied' OR p->'succeeded'->0->'entity'->>'n' IS DISTINCT FROM '3' THEN problems := problems || ' other spelling: ' || coalesce((p->'failed'->0)::text, p::text); END IF;
		p := tide.push(jsonb_build_object('changes', jsonb_build_object(t, jsonb_build_array(jsonb_build_object('id', also, 'n', 4), jsonb_build_object('id', ks[1], 'n', 5)))));
		IF (p->'summary'->>'succeeded')::int <> 2 THEN problems := problems || ' both spellings: ' || (p->'failed')::text; END IF;
	END IF;
	EXECUTE format('SELECT count(*) FROM %I', t) INTO k;
	IF k <> cardinality(ks) THEN problems := problems || format(' %s rows', k); END IF;
	-- the log knows them
	p := tide.pull(c, entity_types => ARRAY[t]);
	IF json_array_length(p->'changesByType'->t) IS DISTINCT FROM k OR p->'deletedByType'->t IS NOT NULL THEN problems := problems || ' log: ' || p::text; END IF;
	-- pages of one, in the order of the type
	c := NULL;
	FOR i IN 1..k LOOP
		p := tide.pull(c, scopes => '{ann}', entity_types => ARRAY[t], max_rows => 1);
		pages := pages || id_of(p->'changesByType'->t->0);
		c := p->>'cursor';
	END LOOP;
	IF cardinality(pages) <> k OR pages @> '{NULL}' OR (SELECT count(DISTINCT x) FROM unnest(pages) x) <> k THEN problems := problems || ' pages: ' || pages::text; END IF;
	-- deleted by the other spelling, by plain SQL, and not resurrected by late changes
	p := tide.push(jsonb_build_object('changes', jsonb_build_array(jsonb_build_object('entityType', t, 'entityId', coalesce(also, ks[1]), 'action', 'delete'))));
	EXECUTE format('DELETE FROM %I', t);
	p := tide.pull(c, entity_types => ARRAY[t]);
	IF json_array_length(p->'deletedByType'->t) IS DISTINCT FROM k THEN problems := problems || ' deletions: ' || p::text; END IF;
	p := tide.push(jsonb_build_object('changes', jsonb_build_object(t, (SELECT jsonb_agg(jsonb_build_object('id', x, 'n', 9, 'user_id', 'ann', 'lastModifiedAt', '2020-01-09T00:00:00Z')) FROM unnest(ks) x))));
	IF (p->'summary'->>'superseded')::int <> k THEN problems := problems || ' late: ' || p::text; END IF;
	RETURN coalesce(nullif(ltrim(problems), ''), 'ok');
END $$;
-- what is equal but spelled in two ways names no row: refused, as key and as scope
CREATE FUNCTION refusal(command text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE command;
	RAISE 'undone' USING ERRCODE = 'P0099';
EXCEPTION WHEN OTHERS THEN
	RETURN CASE SQLSTATE WHEN 'P0099' THEN 'not refused' ELSE SQLSTATE END;
END $$;
SELECT type, refusal(format('CREATE TABLE k (id %s PRIMARY KEY); SELECT tide.track(''keys.k'', shared => true)', type)) AS as_key,
	refusal(format('CREATE TABLE k (id int PRIMARY KEY, s %s); SELECT tide.track(''keys.k'', scope => ''s'')', type)) AS as_scope
	FROM unnest('{numeric,double precision,real,interval,jsonb}'::text[]) type;
-- all others
SELECT type, check_keys('t' || n, type, array_remove(ARRAY[k1, k2, k3], 'null'), also) AS result FROM kinds ORDER BY n;
-- in composite keys
CREATE TABLE pair (a numeric(6,2), b char(4), c timestamptz, n int, PRIMARY KEY (c, a, b));
SELECT tide.track('pair', shared => true);
SELECT status, data->>'n' AS n FROM tide.upsert('pair', '{"a": 1.0, "b": "x", "c": "2024-02-29T12:00:00Z", "n": 1}');
SELECT status, data->>'n' AS n FROM tide.upsert('pair', '{"a": "1.00", "b": "x ", "c": 1709208000000, "n": 2}');
SELECT p->'failed' AS failed, p->'succeeded'->0->'entity'->>'n' AS n FROM tide.push('{"changes": [{"entityType": "pair", "entityId": {"a": 1, "b": "x", "c": "2024-02-29T17:30:00+05:30"}, "data": {"a": 1.000, "b": "x", "c": 1709208000000, "n": 3}}]}') p;
SELECT count(*) FROM pair;
SELECT status FROM tide.delete('pair', '{"c": "2024-02-29T12:00Z", "b": "x", "a": 1}');
SELECT count(*) FROM pair;
-- what the column would cut or round is another key, perhaps another row's; a date may have a time of day
CREATE TABLE cut (n numeric(6,2), at timestamp(3), tz timestamptz(0), t time(0), s name, d date, v int, PRIMARY KEY (n, at, tz, t, s, d));
SELECT tide.track('cut', shared => true);
SELECT f->'errors'->0->>'column' AS "column", f->'errors'->0->>'message' AS failed, p->'summary'->>'succeeded' AS succeeded FROM tide.push(jsonb_build_object('changes', jsonb_build_object('cut', (
	SELECT jsonb_agg('{"n": 1, "at": "2024-02-29T12:00:00.123Z", "tz": 1709208000000, "t": "12:00", "s": "x", "d": "2024-02-29", "v": 1}'::jsonb || x)
	FROM unnest(ARRAY['{}', '{"n": "1.500", "d": "2024-02-29T12:00:00Z"}', '{"n": 1.001}', '{"at": "2024-02-29T12:00:00.1234Z"}', '{"tz": 1709208000400}', '{"t": "12:00:00.4"}', jsonb_build_object('s', repeat('x', 64))]) x)))) p
	LEFT JOIN json_array_elements(p->'failed') f ON true;
-- as scopes
CREATE TABLE scoped (id int PRIMARY KEY, s numeric(6,2));
CREATE INDEX ON scoped (s);
SELECT tide.track('scoped', scope => 's');
INSERT INTO scoped VALUES (1, 1.0), (2, 1.00), (3, 1), (4, 2);
SET request.jwt.claims = '{"sub": "1.0"}';
SELECT tide.cursor() AS c \gset
SELECT count(*) FROM tide.changes(entity_types => '{scoped}');
UPDATE scoped SET s = 1.000 WHERE id IN (3, 4);
SELECT string_agg(operation || ' ' || (key->>'id'), ', ' ORDER BY key->>'id') FROM tide.changes(:'c', entity_types => '{scoped}');
SELECT tide.cursor() AS c \gset
UPDATE scoped SET s = 1.0 WHERE id = 1;
UPDATE scoped SET s = 3 WHERE id = 2;
SELECT string_agg(operation || ' ' || (key->>'id'), ', ' ORDER BY key->>'id') FROM tide.changes(:'c', entity_types => '{scoped}');
SELECT status, code FROM tide.upsert('scoped', '{"id": 1, "s": 1.00000}');
DROP SCHEMA keys CASCADE;
