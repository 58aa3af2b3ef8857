-- Who may not write learns no verdict and leaves nothing behind; and what a
-- change leaves that lost, or that deletes a row nobody has seen.
-- Seen to fail with: rights_refuse() not asked (judge.c), the scopes of a
-- tombstone not looked at (judge.c, has_a_say), the key's scope not looked at
-- (judge.c, settle_scope_of_key), winners sent for what is known (conflicts.c).
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA allowed;
SET search_path = allowed;
CREATE ROLE regress_tide_reader;
CREATE ROLE regress_tide_writer;
GRANT USAGE ON SCHEMA allowed TO regress_tide_reader, regress_tide_writer;
CREATE TABLE cat (id int PRIMARY KEY, s text CHECK (s <> 'bad'), n int);
CREATE TABLE soft (LIKE cat INCLUDING ALL, gone timestamptz);
CREATE TABLE note (id int PRIMARY KEY, user_id text, s text);
CREATE TABLE profile (user_id text PRIMARY KEY, s text);
CREATE TABLE day (user_id text, day date, s text, PRIMARY KEY (day, user_id));
CREATE TABLE plan (id int PRIMARY KEY, user_id text);
CREATE TABLE step (id int PRIMARY KEY, plan_id int REFERENCES plan, s text);
CREATE INDEX ON note (user_id);
SELECT tide.track('cat', shared => true);
SELECT tide.track('soft', shared => true, deleted_at => 'gone');
SELECT tide.track('note', scope => 'user_id');
SELECT tide.track('profile', scope => 'user_id');
SELECT tide.track('day', scope => 'user_id');
SELECT tide.track('plan', scope => 'user_id');
SELECT tide.track('step', scope => 'plan_id.user_id');
GRANT SELECT ON ALL TABLES IN SCHEMA allowed TO regress_tide_reader;
GRANT ALL ON ALL TABLES IN SCHEMA allowed TO regress_tide_writer;
CREATE FUNCTION go(change jsonb) RETURNS TABLE (status text, message text, entity text) LANGUAGE sql AS $$
	SELECT coalesce(s->>'status', f->'errors'->0->>'code'), f->'errors'->0->>'message', coalesce(s->'entity'->>'s', f->'entity'->>'s')
	FROM (SELECT p->'succeeded'->0 AS s, p->'failed'->0 AS f FROM (SELECT tide.push(jsonb_build_object('changes', jsonb_build_array(change))) AS p OFFSET 0) x) y $$;
CREATE FUNCTION left_behind() RETURNS TABLE (tombstones bigint, conflicts bigint, sent bigint, log bigint) LANGUAGE sql SECURITY DEFINER AS $$
	SELECT (SELECT count(*) FROM tide.tombstone), (SELECT count(*) FROM tide.conflict), (SELECT count(*) FROM tide.sent), (SELECT count(*) FROM tide.log WHERE for_subject IS NOT NULL OR cardinality(keys) > 0) $$;
INSERT INTO cat VALUES (1, 'one', 1);
INSERT INTO soft VALUES (1, 'one', 1);
CREATE TEMP TABLE before AS SELECT * FROM left_behind();
GRANT ALL ON before TO PUBLIC;

-- who may only read: no update, stale or not, no insert, no delete, also of what is absent
SET request.jwt.claims = '{"sub": "mallory"}';
SET ROLE regress_tide_reader;
SELECT c, (go(c)).* FROM unnest(ARRAY[
	'{"entityType": "cat", "entityId": 1, "data": {"s": "stale"}, "lastModifiedAt": 1000}',
	'{"entityType": "cat", "entityId": 1, "data": {"s": "new"}}',
	'{"entityType": "cat", "entityId": 1, "data": {}}',
	'{"entityType": "cat", "entityId": 2, "data": {"s": "new"}}',
	'{"entityType": "cat", "entityId": 1, "action": "delete", "lastModifiedAt": 1000}',
	'{"entityType": "cat", "entityId": 9, "action": "delete"}',
	'{"entityType": "soft", "entityId": 1, "action": "delete", "lastModifiedAt": 1000}',
	'{"entityType": "soft", "entityId": 9, "action": "delete"}']::jsonb[]) c;
RESET ROLE;
SELECT l.* = b.* AS "nothing left behind" FROM left_behind() l, before b;
-- of some columns only
GRANT UPDATE (s, "lastModifiedAt", "clientId") ON cat TO regress_tide_reader;
SET ROLE regress_tide_reader;
SELECT (go('{"entityType": "cat", "entityId": 1, "data": {"n": 2}, "lastModifiedAt": 1000}')).*;
SELECT (go('{"entityType": "cat", "entityId": 1, "data": {"s": "stale"}, "lastModifiedAt": 1000}')).*;
RESET ROLE;
-- what fails comes with the row as it stands, where the caller may read it
SET ROLE regress_tide_writer;
SELECT (go('{"entityType": "cat", "entityId": 1, "data": {"s": "bad"}}')).*;
SELECT (go('{"entityType": "cat", "entityId": 1, "data": {"unknown": 1}}')).*;
SELECT (go('{"entityType": "cat", "entityId": 3, "data": {"s": "bad"}}')).*;
SELECT (go('{"entityType": "cat", "entityId": "x", "data": {"s": "bad"}}')).*;
RESET ROLE;
REVOKE SELECT ON cat FROM regress_tide_writer;
GRANT SELECT (id, n, "lastModifiedAt", "clientId") ON cat TO regress_tide_writer;
SET ROLE regress_tide_writer;
SELECT entity FROM go('{"entityType": "cat", "entityId": 1, "data": {"unknown": 1}}');
RESET ROLE;
GRANT SELECT ON cat TO regress_tide_writer;
-- nor of another's scope
INSERT INTO note VALUES (5, 'alice', 'hers');
SET ROLE regress_tide_writer;
SELECT (go('{"entityType": "note", "entityId": 5, "data": {"s": "mine"}}')).*;

-- mallory deletes keys that nobody has seen: alice's rows come in all the same
SELECT c->>'entityType' AS type, (go(c)).* FROM unnest(ARRAY[
	'{"entityType": "profile", "entityId": "alice", "action": "delete"}',
	'{"entityType": "day", "entityId": {"user_id": "alice", "day": "2026-01-01"}, "action": "delete"}',
	'{"entityType": "day", "entityId": {"user_id": "mallory", "day": "2026-01-01"}, "action": "delete"}',
	'{"entityType": "note", "entityId": 7, "action": "delete", "lastModifiedAt": "2026-01-01T00:00:10Z"}',
	'{"entityType": "step", "entityId": 7, "action": "delete", "lastModifiedAt": "2026-01-01T00:00:10Z"}']::jsonb[]) c;
SET request.jwt.claims = '{"sub": "alice"}';
SELECT (go('{"entityType": "plan", "entityId": 1, "data": {}}')).status;
SELECT c->>'entityType' AS type, (go(c)).* FROM unnest(ARRAY[
	'{"entityType": "profile", "entityId": "alice", "data": {"s": "hers"}, "lastModifiedAt": "2026-01-01T00:00:05Z"}',
	'{"entityType": "day", "entityId": {"user_id": "alice", "day": "2026-01-01"}, "data": {"s": "hers"}, "lastModifiedAt": "2026-01-01T00:00:05Z"}',
	'{"entityType": "note", "entityId": 7, "data": {"s": "hers"}, "lastModifiedAt": "2026-01-01T00:00:05Z"}',
	'{"entityType": "step", "entityId": 7, "data": {"plan_id": 1, "s": "hers"}, "lastModifiedAt": "2026-01-01T00:00:05Z"}']::jsonb[]) c;
-- her own deletes of what was never seen bind her own older creates
SELECT c->>'entityType' AS type, (go(c)).status FROM unnest(ARRAY[
	'{"entityType": "note", "entityId": 8, "action": "delete", "lastModifiedAt": "2026-01-01T00:00:10Z"}',
	'{"entityType": "note", "entityId": 8, "data": {"s": "older"}, "lastModifiedAt": "2026-01-01T00:00:05Z"}',
	'{"entityType": "note", "entityId": 8, "data": {"s": "newer"}, "lastModifiedAt": "2026-01-01T00:00:15Z"}',
	'{"entityType": "step", "entityId": 8, "action": "delete", "lastModifiedAt": "2026-01-01T00:00:10Z"}',
	'{"entityType": "step", "entityId": 8, "data": {"plan_id": 1, "s": "older"}, "lastModifiedAt": "2026-01-01T00:00:05Z"}',
	'{"entityType": "step", "entityId": 8, "data": {"plan_id": 1, "s": "newer"}, "lastModifiedAt": "2026-01-01T00:00:15Z"}']::jsonb[]) c;
RESET ROLE;
-- who may sync several scopes binds those
CREATE FUNCTION scopes(claims jsonb) RETURNS text[] LANGUAGE sql AS $$ SELECT CASE WHEN claims->>'sub' = 'coach' THEN '{ann,ben}' ELSE ARRAY[claims->>'sub'] END $$;
SET pg_tide.scopes_function = 'allowed.scopes';
SET request.jwt.claims = '{"sub": "coach"}';
SELECT (go('{"entityType": "note", "entityId": 9, "action": "delete", "lastModifiedAt": "2026-01-01T00:00:10Z"}')).status;
SET request.jwt.claims = '{"sub": "ben"}';
SELECT (go('{"entityType": "note", "entityId": 9, "data": {"s": "older"}, "lastModifiedAt": "2026-01-01T00:00:05Z"}')).status;
SET request.jwt.claims = '{"sub": "alice"}';
SELECT (go('{"entityType": "note", "entityId": 9, "data": {"s": "hers"}, "lastModifiedAt": "2026-01-01T00:00:05Z"}')).status;
RESET pg_tide.scopes_function;
-- of a shared table whose policies apply, nobody can say
ALTER TABLE cat ENABLE ROW LEVEL SECURITY;
CREATE POLICY all_of_it ON cat USING (true);
SET ROLE regress_tide_writer;
SELECT (go('{"entityType": "cat", "entityId": 99, "action": "delete"}')).status;
RESET ROLE;
SELECT count(*) FROM tide.tombstone WHERE relid = 'cat'::regclass AND key = '99';
ALTER TABLE cat DISABLE ROW LEVEL SECURITY;

-- stale changes: one entry for who lost, and nothing for what is known
INSERT INTO cat SELECT i, 'winner' FROM generate_series(1001, 1200) i;
SELECT max(xid::text::bigint) AS x FROM tide.log \gset
SET request.jwt.claims = '{"sub": "ann"}';
SELECT 'phone' AS client, p->'summary'->>'superseded' AS superseded FROM (SELECT tide.push(jsonb_build_object('clientId', 'phone', 'changes', jsonb_build_object('cat', jsonb_agg(jsonb_build_object('id', i, 's', 'stale', 'lastModifiedAt', 1000))))) AS p FROM generate_series(1001, 1200) i) x;
SELECT for_subject, for_client, client_id, cardinality(keys) AS keys FROM tide.log WHERE xid::text::bigint > :x;
SELECT * FROM left_behind() \gset
SELECT p->'summary'->>'superseded' AS superseded FROM (SELECT tide.push(jsonb_build_object('clientId', 'phone', 'changes', jsonb_build_object('cat', jsonb_agg(jsonb_build_object('id', i, 's', 'stale', 'lastModifiedAt', 1000))))) AS p FROM generate_series(1001, 1200) i) x;
SELECT tombstones = :tombstones AND conflicts = :conflicts AND sent = :sent AND log = :log AS "nothing is written for what is known" FROM left_behind();

-- users whose login server gives them numbers
SET request.jwt.claims = '{"sub": 42}';
SELECT (go('{"entityType": "note", "entityId": 42, "data": {"s": "by number"}}')).status;
SELECT user_id FROM note WHERE id = 42;

-- keys that no index takes
CREATE TABLE long (a text, b text, s text, PRIMARY KEY (a, b));
SELECT tide.track('long', shared => true, conflict => 'merge');
CREATE FUNCTION noise(n int) RETURNS text LANGUAGE sql AS $$ SELECT string_agg(md5(i::text), '') FROM generate_series(1, n) i $$;
INSERT INTO long VALUES ('x', noise(40), 'one'), (noise(20), noise(40), 'two'), ('y', 'z', 'three');
SELECT (go(jsonb_build_object('entityType', 'long', 'entityId', jsonb_build_object('a', 'x', 'b', noise(40)), 'data', '{"s": "stale"}'::jsonb, 'lastModifiedAt', 1000))).status;
DELETE FROM long;
SELECT max(octet_length(key)) AS longest, count(*) FROM tide.tombstone WHERE relid = 'long'::regclass;
SELECT status FROM tide.upsert('long', jsonb_build_object('a', noise(20), 'b', noise(40), 's', 'older'), '2020-01-01', 'p');
SELECT status FROM tide.upsert('long', jsonb_build_object('a', noise(20), 'b', noise(40) || 'other', 's', 'another key'), '2020-01-01', 'p');
SELECT status, data->>'s' AS s FROM tide.upsert('long', jsonb_build_object('a', noise(20), 'b', noise(40)), now(), 'p');
SET request.jwt.claims = '{"sub": "alice"}';
SELECT set_config('request.jwt.claims', jsonb_build_object('sub', noise(100))::text, false) IS NOT NULL AS "a long name";
SELECT tide.push('{"batchId": "b", "changes": {"cat": [{"id": 500, "s": "x"}]}}')::text = tide.push('{"batchId": "b", "changes": {"cat": [{"id": 500, "s": "x"}]}}')::text AS "the same reply";
RESET request.jwt.claims;

-- what jsonb cannot hold is kept, and stops no delete
CREATE TABLE doc (id int PRIMARY KEY, j json, n int);
SELECT tide.track('doc', shared => true, conflict => 'merge');
INSERT INTO doc VALUES (1, '{"nul": "\u0000", "big": 1e400000}', 1);
SELECT tide.push('{"changes": {"doc": [{"id": 1, "n": 2, "lastModifiedAt": 1000}]}}')::text ~ 'superseded.*u0000' AS "the row as it stands";
DELETE FROM doc;
SELECT image FROM tide.tombstone WHERE relid = 'doc'::regclass;
SELECT lost FROM tide.conflicts WHERE relation = 'doc'::regclass;
SELECT stood::text ~ 'u0000' AS kept FROM tide.conflicts WHERE relation = 'doc'::regclass;
SELECT tide.push('{"changes": {"doc": [{"id": 1, "n": 3}]}}')::text ~ 'applied.*u0000' AS "back with all it had";
SELECT j, n FROM doc;

-- optimistic locking: a version that the application counts itself
CREATE TABLE entity (id int PRIMARY KEY, s text, lock_version int);
SELECT tide.track('entity', shared => true, version => 'lock_version');
INSERT INTO entity VALUES (1, 'a', 0);
UPDATE entity SET lock_version = 1 WHERE id = 1 AND lock_version = 0;
UPDATE entity SET s = 'b', lock_version = 2 WHERE id = 1 AND lock_version = 1;
UPDATE entity SET lock_version = 3 WHERE id = 1 AND lock_version = 2;
UPDATE entity SET lock_version = 99 WHERE id = 1;
UPDATE entity SET lock_version = 1 WHERE id = 1;
SELECT s, lock_version FROM entity;

-- published: what is deleted from our tables can be told
SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'tide' AND c.relkind = 'r' AND c.relname IN ('tombstone', 'conflict', 'sent', 'receipt')
	AND c.relreplident <> 'f' AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary);
DROP SCHEMA allowed CASCADE;
DROP OWNED BY regress_tide_reader, regress_tide_writer;
DROP ROLE regress_tide_reader, regress_tide_writer;
