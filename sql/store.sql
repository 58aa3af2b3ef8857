-- pg_tide's own rows, which are written and looked up without SQL.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA store;
SET search_path = store;
CREATE TABLE t (id text COLLATE "C" PRIMARY KEY, user_id text, n int);
CREATE TABLE w (LIKE t INCLUDING ALL);
SELECT tide.track('t', scope => 'user_id');
SELECT tide.track('w', scope => 'user_id', conflict => 'client_wins');
CREATE FUNCTION put(id text, n int, at text, into_table text DEFAULT 't') RETURNS text LANGUAGE sql AS $$
	SELECT tide.push(jsonb_build_object('clientId', 'phone', 'changes', jsonb_build_object(into_table, jsonb_build_array(
		jsonb_build_object('id', id, 'user_id', 'ann', 'n', n, 'lastModifiedAt', at)))))->'succeeded'->0->>'status'
$$;
CREATE FUNCTION drop(id text, at text) RETURNS text LANGUAGE sql AS $$
	SELECT tide.push(jsonb_build_object('clientId', 'phone', 'changes', jsonb_build_array(
		jsonb_build_object('entityType', 't', 'entityId', id, 'action', 'delete', 'lastModifiedAt', at))))->'succeeded'->0->>'status'
$$;
SET request.jwt.claims = '{"sub": "ann"}';

-- a single change goes by parameters, whose collation is the column's
SELECT put('a', 1, '2026-01-01T00:00:01Z'), put('B', 1, '2026-01-01T00:00:01Z'), put('a', 2, '2026-01-01T00:00:02Z');
SELECT put('a', 1, '2026-01-01T00:00:01Z') AS replay, drop('B', '2026-01-01T00:00:03Z'), drop('B', '2026-01-01T00:00:03Z') AS again;
SELECT * FROM t ORDER BY id;

-- of tombstones the greater stamp stands, among ones that are new
CREATE FUNCTION dead() RETURNS TABLE (key text, client_id text, later boolean) LANGUAGE sql AS $$
	SELECT key, client_id, modified_at > '2026-01-02' FROM tide.tombstone WHERE relid = 't'::regclass ORDER BY key
$$;
SELECT * FROM dead();
INSERT INTO t SELECT chr(97 + i % 26) || i, 'ann', i FROM generate_series(1, 6) i;
INSERT INTO t VALUES ('B', 'ann', 1);
SET pg_tide.client_id = 'office';
DELETE FROM t;
SELECT * FROM dead();
INSERT INTO t SELECT key, 'ann', 2 FROM dead() UNION ALL SELECT 'x' || i, 'ann', 2 FROM generate_series(1, 3) i;
SET pg_tide.client_id = 'home';
DELETE FROM t;
SELECT * FROM dead();
RESET pg_tide.client_id;

-- nothing is written where nothing may be
INSERT INTO t VALUES ('z', 'ann', 1);
BEGIN READ ONLY;
SELECT tide.touch('t', '["z"]');
ROLLBACK;

-- without indexes all is found as well
DROP INDEX tide.sent_mark, tide.horizon_xid;
ALTER TABLE tide.receipt DROP CONSTRAINT receipt_pkey;
UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'tide.tombstone_pkey'::regclass;
BEGIN;
SELECT coalesce(sum(idx_scan), 0) AS scans FROM pg_stat_xact_user_tables WHERE relid = 'tide.tombstone'::regclass \gset
SELECT put('a', 3, '2026-01-01T00:00:01Z') AS dead, put('y', 1, '2026-01-01T00:00:01Z') AS new, put('y', 1, '2026-01-01T00:00:01Z') AS replay;
SELECT sum(idx_scan) - :scans AS "by the index" FROM pg_stat_xact_user_tables WHERE relid = 'tide.tombstone'::regclass;
ROLLBACK;
SELECT put('z', 5, '2026-01-01T00:00:05Z', 'w'), put('z', 6, '2026-01-01T00:00:04Z', 'w'), put('z', 5, '2026-01-01T00:00:05Z', 'w') AS replay;
SELECT n FROM w;
CREATE FUNCTION batch(id text) RETURNS text LANGUAGE sql AS $$
	SELECT tide.push(jsonb_build_object('batchId', id, 'changes', jsonb_build_object('t', jsonb_build_array(
		jsonb_build_object('id', 'x', 'user_id', 'ann', 'n', 1)))))::jsonb->>'ack'
$$;
BEGIN;
SELECT batch('one') = batch('one') AS "one reply", batch('one') <> batch('two') AS "and another";
ROLLBACK;
UPDATE pg_index SET indisvalid = true WHERE indexrelid = 'tide.tombstone_pkey'::regclass;

-- what is planned within the planning of ours is planned as it would be elsewhere
CREATE TABLE big AS SELECT i FROM generate_series(1, 10) i;
CREATE FUNCTION way() RETURNS text LANGUAGE plpgsql AS $$
DECLARE line text;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS ON) SELECT * FROM store.big' LOOP RETURN substring(line, 'rows=(\d+)'); END LOOP;
END $$;
ANALYZE big;
CREATE TABLE seen (id int PRIMARY KEY, user_id text, how text);
SELECT tide.track('seen', scope => 'user_id');
CREATE ROLE tide_store;
GRANT USAGE ON SCHEMA store TO tide_store;
GRANT SELECT, INSERT ON seen TO tide_store;
ALTER TABLE seen ENABLE ROW LEVEL SECURITY;
CREATE FUNCTION constant() RETURNS boolean IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN RETURN store.way() = '10'; END $$;
CREATE POLICY p ON seen USING (constant()) WITH CHECK (constant());
GRANT SELECT ON big TO tide_store;
SET ROLE tide_store;
SELECT tide.push('{"changes": {"seen": [{"id": 1, "user_id": "ann"}]}}')->'summary'->>'failed' AS failed;
RESET ROLE;
DROP SCHEMA store CASCADE;
DROP OWNED BY tide_store;
DROP ROLE tide_store;
