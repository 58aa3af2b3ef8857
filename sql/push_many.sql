-- Many small pushes in one transaction, and plans that were made when the tables
-- were empty.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA many;
SET search_path = many;
CREATE TABLE t (id int PRIMARY KEY, user_id text, v int);
CREATE INDEX ON t (user_id);
SELECT tide.track('t', shared => true);
-- new rows one by one: locks of keys become one of the table, memory is given back
BEGIN;
CREATE TEMP TABLE before AS SELECT count(*) AS contexts, sum(total_bytes) AS bytes FROM pg_backend_memory_contexts;
DO $$ BEGIN FOR i IN 1..3000 LOOP PERFORM tide.upsert('t', jsonb_build_object('id', i, 'v', i)); END LOOP; END $$;
SELECT count(*) < 400 AS "few locks" FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory';
SELECT count(*) - contexts < 100 AS contexts, sum(total_bytes) - bytes < 4000000 AS bytes FROM pg_backend_memory_contexts, before GROUP BY contexts, bytes;
COMMIT;
SELECT count(*), sum(v) FROM t;
-- the next transaction begins anew
BEGIN;
SELECT status FROM tide.upsert('t', '{"id": 5000, "v": 1}');
SELECT count(*) AS locks FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory' AND objsubid = 7 AND mode = 'ExclusiveLock';
COMMIT;

-- rows fetched by scans of any kind, in the transaction of the call
CREATE FUNCTION reads(command text, tables regclass[]) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	before bigint;
	after bigint;
	sum text := 'SELECT sum(pg_stat_get_xact_tuples_returned(o)) + coalesce(sum(pg_stat_get_xact_tuples_fetched(o)), 0)
		FROM (SELECT unnest($1)::oid AS o UNION ALL SELECT indexrelid FROM pg_index WHERE indrelid = ANY ($1)) x';
BEGIN
	EXECUTE sum INTO before USING tables;
	EXECUTE command;
	EXECUTE sum INTO after USING tables;
	RETURN after - before;
END $$;
-- statements planned while the table and what is remembered of it are empty, and 20,000 rows later; statistics are of
-- another time, when there were a few conflicts of each of many tables
TRUNCATE tide.conflict;
INSERT INTO tide.conflict (relid, reg, key, kind, lost_is_delete, role, at, xid)
	SELECT i, 0, 'k' || i % 3, 'superseded', false, 'nobody', now(), '1' FROM generate_series(1, 3000) i;
ANALYZE tide.conflict;
TRUNCATE tide.conflict;
\c
SET search_path = many;
SET client_min_messages = warning;
CREATE TABLE grows (id int PRIMARY KEY, kind int, v int);
CREATE INDEX ON grows (kind);
SELECT tide.track('grows', shared => true);
CREATE FUNCTION body(a int, b int) RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_build_object('changes', jsonb_build_object('grows', jsonb_agg(jsonb_build_object('id', i, 'v', i, 'lastModifiedAt', '2020-01-01T00:00:00Z')))) FROM generate_series(a, b) i $$;
INSERT INTO grows VALUES (1, 1, 1), (2, 1, 1);
ANALYZE grows;
SELECT tide.push(body(1, 2))->'summary' AS summary;
SELECT tide.push(body(2, 3))->'summary' AS summary;
BEGIN;
INSERT INTO grows SELECT i, 1, 1 FROM generate_series(4, 20000) i;
SELECT sum((tide.push(body(1 + 5000 * i, 5000 + 5000 * i))->'summary'->>'superseded')::int) FROM generate_series(0, 3) i;
SELECT reads('SELECT tide.push(many.body(30000, 30002))', '{many.grows,tide.conflict,tide.tombstone}') < 100 AS bounded;
SELECT reads('SELECT tide.push(many.body(10, 12))', '{many.grows,tide.conflict,tide.tombstone}') < 100 AS bounded;
COMMIT;
-- statistics from when each user had one row, and one who has 20,000 since: row security's condition on the user is not
-- what finds a row by its key; seen to fail with plans by statistics
CREATE TABLE mine (id int PRIMARY KEY, user_id text, v int);
CREATE INDEX ON mine (user_id);
INSERT INTO mine SELECT i, 'user ' || i, 0 FROM generate_series(1, 3000) i;
SELECT tide.track('mine', scope => 'user_id');
ANALYZE mine;
ALTER TABLE mine ENABLE ROW LEVEL SECURITY;
CREATE ROLE regress_many;
CREATE POLICY own ON mine TO regress_many USING (user_id = current_setting('request.jwt.claims')::json->>'sub');
GRANT USAGE ON SCHEMA many TO regress_many;
GRANT SELECT, INSERT, UPDATE, DELETE ON mine TO regress_many;
BEGIN;
INSERT INTO mine SELECT i, 'user 1', 0 FROM generate_series(10001, 30000) i;
SET LOCAL ROLE regress_many;
SET LOCAL request.jwt.claims = '{"sub": "user 1"}';
SELECT reads('SELECT tide.push(jsonb_build_object(''changes'', jsonb_build_object(''mine'', jsonb_agg(jsonb_build_object(''id'', i, ''v'', 1))))) FROM generate_series(20001, 20003) i', '{many.mine}') < 200 AS bounded;
SELECT count(*) FROM mine WHERE v = 1;
COMMIT;

-- rows below an ancestor, while there were two of them and 20,000 later; seen to fail with plans for tables as they are
CREATE TABLE top (id int PRIMARY KEY, user_id text);
CREATE TABLE middle (id int PRIMARY KEY, top_id int REFERENCES top);
CREATE TABLE low (id int PRIMARY KEY, middle_id int REFERENCES middle);
CREATE INDEX ON middle (top_id);
CREATE INDEX ON low (middle_id);
SELECT tide.track('low', scope => 'middle_id.top_id.user_id');
INSERT INTO top VALUES (1, 'ann'), (2, 'ann');
INSERT INTO middle VALUES (1, 1), (2, 2);
INSERT INTO low VALUES (1, 1), (2, 2);
ANALYZE top, middle, low;
UPDATE top SET user_id = 'bob';
BEGIN;
INSERT INTO middle SELECT i, 1 FROM generate_series(3, 20000) i;
INSERT INTO low SELECT i, 1 FROM generate_series(3, 20000) i;
SELECT reads('UPDATE many.top SET user_id = ''cyd'' WHERE id = 2', '{many.middle,many.low}') < 100 AS bounded;
SELECT tide_scope, count(*) FROM low GROUP BY 1 ORDER BY 1;
COMMIT;
DROP SCHEMA many CASCADE;
DROP ROLE regress_many;
