-- What was sent before has no second effect, whatever happened since.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA again;
SET search_path = again;
CREATE TABLE lww (id int PRIMARY KEY, body text, v int);
CREATE TABLE cw (LIKE lww INCLUDING ALL);
CREATE TABLE sw (LIKE lww INCLUDING ALL);
CREATE TABLE soft (LIKE lww INCLUDING ALL, gone timestamptz);
SELECT tide.track('lww', shared => true, version => 'v');
SELECT tide.track('cw', shared => true, version => 'v', conflict => 'client_wins');
SELECT tide.track('sw', shared => true, version => 'v', conflict => 'server_wins');
SELECT tide.track('soft', shared => true, version => 'v', deleted_at => 'gone');
CREATE FUNCTION push(change jsonb) RETURNS TABLE (policy text, status text, body text, gone boolean) LANGUAGE sql AS $$
	SELECT t, coalesce(s->>'status', f->'errors'->0->>'code'), s->'entity'->>'body', coalesce(s->'entity'->>'gone', s->'entity'->>'deletedAt') IS NOT NULL
	FROM unnest('{lww,cw,sw,soft}'::text[]) WITH ORDINALITY AS x(t, n), LATERAL (SELECT tide.push(jsonb_build_object('clientId', 'phone', 'changes', jsonb_build_array(change || jsonb_build_object('entityType', t)))) AS p OFFSET 0) y,
		LATERAL (SELECT p->'succeeded'->0 AS s, p->'failed'->0 AS f) z ORDER BY n $$;
CREATE VIEW rows AS SELECT 'lww' AS policy, id, body, v FROM lww UNION ALL SELECT 'cw', id, body, v FROM cw UNION ALL SELECT 'sw', id, body, v FROM sw UNION ALL SELECT 'soft', id, CASE WHEN gone IS NULL THEN body END, v FROM soft;
-- new rows first, so that this session inserts without looking
SELECT count(*) FROM generate_series(100, 109) i, LATERAL push(jsonb_build_object('entityId', i, 'data', '{}'::jsonb));

-- a stamp that was set back, once the row is gone
SELECT * FROM push('{"entityId": 1, "data": {"body": "ahead"}, "lastModifiedAt": "2999-01-01T00:00:00Z"}');
SELECT * FROM push('{"entityId": 1, "action": "delete"}');
SELECT count(*) FROM generate_series(110, 119) i, LATERAL push(jsonb_build_object('entityId', i, 'data', '{}'::jsonb));
SELECT * FROM push('{"entityId": 1, "data": {"body": "ahead"}, "lastModifiedAt": "2999-01-01T00:00:00Z"}');
-- a delete whose stamp was set back, once the row has come back
SELECT * FROM push('{"entityId": 2, "data": {"body": "first"}, "lastModifiedAt": "2020-01-01T00:00:00Z"}');
SELECT * FROM push('{"entityId": 2, "action": "delete", "lastModifiedAt": "2999-01-01T00:00:00Z"}');
SELECT * FROM push('{"entityId": 2, "data": {"body": "back"}}');
SELECT * FROM push('{"entityId": 2, "action": "delete", "lastModifiedAt": "2999-01-01T00:00:00Z"}');
-- what stood by its base, once it is overwritten by plain SQL
SELECT * FROM push('{"entityId": 3, "data": {"body": "first"}, "lastModifiedAt": "2020-01-01T00:00:10Z"}');
SELECT * FROM push('{"entityId": 3, "data": {"body": "based"}, "lastModifiedAt": "2020-01-01T00:00:05Z", "base": "2020-01-01T00:00:10Z"}');
UPDATE lww SET body = 'plain' WHERE id = 3;
UPDATE cw SET body = 'plain' WHERE id = 3;
UPDATE sw SET body = 'plain' WHERE id = 3;
UPDATE soft SET body = 'plain' WHERE id = 3;
SELECT * FROM push('{"entityId": 3, "data": {"body": "based"}, "lastModifiedAt": "2020-01-01T00:00:05Z", "base": "2020-01-01T00:00:10Z"}');
-- what lost, once what it lost to is gone: it is dead, not revived
SELECT * FROM push('{"entityId": 4, "data": {"body": "newer"}, "lastModifiedAt": "2020-01-01T00:00:10Z"}');
SELECT * FROM push('{"entityId": 4, "data": {"body": "older"}, "lastModifiedAt": "2020-01-01T00:00:05Z"}');
SELECT * FROM push('{"entityId": 4, "action": "delete", "lastModifiedAt": "2020-01-01T00:00:20Z"}');
SELECT * FROM push('{"entityId": 4, "data": {"body": "older"}, "lastModifiedAt": "2020-01-01T00:00:05Z"}');
-- a create and a delete in one push, both once more
SELECT i AS time, s->>'status' AS status FROM generate_series(1, 2) i, LATERAL (SELECT i AS this, tide.push('{"changes": [{"entityType": "lww", "entityId": 5, "data": {"body": "short"}, "lastModifiedAt": 1000},
	{"entityType": "lww", "entityId": 5, "action": "delete", "lastModifiedAt": 2000}]}') AS p OFFSET 0) x, json_array_elements(p->'succeeded') s;
-- a version that plain SQL replaced, and one whose base another change was, under a policy that lets older ones stand
CREATE FUNCTION incoming(text, jsonb, jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT $3 $$;
CREATE TABLE res (LIKE lww INCLUDING ALL);
SELECT tide.track('res', shared => true, version => 'v', conflict => 'again.incoming');
CREATE FUNCTION up(t regclass, id int, body text, seconds int, base int DEFAULT NULL) RETURNS TABLE (status text, body text) LANGUAGE sql AS $$
	SELECT s->>'status', s->'entity'->>'body' FROM (SELECT tide.push(jsonb_build_object('clientId', 'phone', 'changes', jsonb_build_array(jsonb_strip_nulls(jsonb_build_object(
		'entityType', t, 'entityId', id, 'data', jsonb_build_object('body', body), 'lastModifiedAt', '2020-01-01Z'::timestamptz + make_interval(secs => seconds),
		'base', '2020-01-01Z'::timestamptz + make_interval(secs => base))))))->'succeeded'->0 AS s) x $$;
SELECT (up(t, 7, 'phone', 1)).* FROM unnest('{cw,res}'::regclass[]) t;
UPDATE cw SET body = 'backend' WHERE id = 7;
UPDATE res SET body = 'backend' WHERE id = 7;
SELECT (up(t, 7, 'phone', 1)).* FROM unnest('{cw,res}'::regclass[]) t;
SELECT (up(t, 8, 'phone', 1)).* FROM unnest('{cw,res}'::regclass[]) t;
SELECT (up(t, 8, 'tablet', 2, 1)).* FROM unnest('{cw,res}'::regclass[]) t;
SELECT (up(t, 8, 'phone', 1)).* FROM unnest('{cw,res}'::regclass[]) t;
SELECT (up(t, 8, 'newer', 9)).* FROM unnest('{cw,res}'::regclass[]) t;
SELECT (up(t, 8, 'tablet', 2, 1)).* FROM unnest('{cw,res}'::regclass[]) t;
-- and one that plain SQL deleted, also after another has come in its place
SELECT (up(t, 9, 'phone', 1)).* FROM unnest('{cw,res}'::regclass[]) t;
DELETE FROM cw WHERE id = 9;
DELETE FROM res WHERE id = 9;
SELECT (up(t, 9, 'phone', 1)).* FROM unnest('{cw,res}'::regclass[]) t;
INSERT INTO cw VALUES (9, 'backend');
INSERT INTO res VALUES (9, 'backend');
SELECT (up(t, 9, 'phone', 1)).* FROM unnest('{cw,res}'::regclass[]) t;
-- the same of a delete, also once another one has come
CREATE FUNCTION del(t regclass, id int, seconds int) RETURNS text LANGUAGE sql AS $$
	SELECT status FROM tide.delete(t, jsonb_build_object('id', id), '2020-01-01Z'::timestamptz + make_interval(secs => seconds), 'phone') $$;
SELECT (up(t, 10, 'phone', 1)).status, del(t, 10, 2) FROM unnest('{cw,res}'::regclass[]) t;
INSERT INTO cw VALUES (10, 'backend');
INSERT INTO res VALUES (10, 'backend');
SELECT del(t, 10, 2) FROM unnest('{cw,res}'::regclass[]) t;
DELETE FROM cw WHERE id = 10;
DELETE FROM res WHERE id = 10;
INSERT INTO cw VALUES (10, 'backend again');
INSERT INTO res VALUES (10, 'backend again');
SELECT del(t, 10, 2) FROM unnest('{cw,res}'::regclass[]) t;
-- of all that only the versions that lost to another are shown
SELECT kind, key, count(*) FROM tide.conflicts WHERE relation IN ('cw'::regclass, 'res'::regclass) AND key IN ('7', '8', '9') GROUP BY 1, 2 ORDER BY 1, 2;
SELECT * FROM rows WHERE id < 100 ORDER BY 1, 2;
DROP SCHEMA again CASCADE;
