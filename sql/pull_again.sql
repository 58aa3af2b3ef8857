-- A row that changed over and over is sent once, with the newest of its entries
-- in the log, and a page reads no more of the log than it needs.
-- Seen to fail with each key sent with each of its entries, with the newest looked
-- for among all scopes (a row that has left one was not told), with no more than
-- the page's own entries looked at, with what was measured not kept in the
-- cursor, and with entries read by the hundred.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA again;
SET search_path = again;
CREATE TABLE t (id int PRIMARY KEY, user_id text, n int);
CREATE INDEX ON t (user_id, id);
SELECT tide.track('t', scope => 'user_id');
INSERT INTO t SELECT i, 'ann', 0 FROM generate_series(1, 1000) i;

-- a client: how many rows it is sent in how many pages, and whether its copy is right
CREATE TABLE copy (id int PRIMARY KEY, n int);
CREATE FUNCTION drain(since text, size int, meanwhile text DEFAULT NULL, OUT rows int, OUT pages int, OUT right_copy boolean) LANGUAGE plpgsql AS $$
DECLARE
	reply json;
BEGIN
	rows := 0; pages := 0;
	LOOP
		reply := tide.pull(since, '{ann}', max_rows => size);
		since := reply->>'cursor';
		pages := pages + 1;
		INSERT INTO copy SELECT (d->>'id')::int, (d->>'n')::int FROM json_array_elements(coalesce(reply#>'{changesByType,t}', '[]')) d
			ON CONFLICT ON CONSTRAINT copy_pkey DO UPDATE SET n = EXCLUDED.n;
		DELETE FROM copy c USING json_array_elements(coalesce(reply#>'{deletedByType,t}', '[]')) d WHERE c.id = (d->>'id')::int;
		rows := rows + coalesce(json_array_length(reply#>'{changesByType,t}'), 0) + coalesce(json_array_length(reply#>'{deletedByType,t}'), 0);
		EXIT WHEN NOT (reply->>'hasMore')::boolean;
		IF meanwhile IS NOT NULL THEN EXECUTE meanwhile; END IF;
		IF pages > 2000 THEN RAISE 'no end'; END IF;
	END LOOP;
	right_copy := NOT EXISTS ((TABLE copy EXCEPT SELECT id, n FROM t WHERE user_id = 'ann') UNION ALL (SELECT id, n FROM t WHERE user_id = 'ann' EXCEPT TABLE copy));
END $$;
SELECT * FROM drain(NULL, 100);

-- 1,000 rows updated 100 times cost 1,000 rows: by statements of their own, in one transaction, and row by row
SELECT tide.cursor() AS c \gset
SELECT format('UPDATE t SET n = %s', i) FROM generate_series(1, 100) i \gexec
SELECT size, d.* FROM unnest('{10,100,500,1000}'::int[]) size, drain(:'c', size) d;
SELECT tide.cursor() AS c \gset
DO $$ BEGIN FOR i IN 1..30 LOOP UPDATE t SET n = -i; END LOOP; END $$;
SELECT size, d.* FROM unnest('{10,100,500}'::int[]) size, drain(:'c', size) d;
SELECT tide.cursor() AS c \gset
DO $$ BEGIN FOR i IN 1..20000 LOOP UPDATE t SET n = i WHERE id = i * 7919 % 1000 + 1; IF i % 1000 = 0 THEN COMMIT; END IF; END LOOP; END $$;
SELECT size, d.* FROM unnest('{10,100,500}'::int[]) size, drain(:'c', size) d;
-- who may see every scope reads the log in another order
SELECT tide.pull(:'c', max_rows => 10)->>'cursor' AS page \gset
SELECT jsonb_array_length(p#>'{changesByType,t}') AS rows, p->>'hasMore' AS more FROM (SELECT tide.pull(:'page', max_rows => 1000)::jsonb) x(p);
-- while some of the rows go on changing, faster than pages come
SELECT rows < 1500 AS rows, pages < 20 AS pages, right_copy FROM drain(:'c', 100, 'DO $d$ BEGIN FOR i IN 1..10 LOOP UPDATE t SET n = n + 1 WHERE id % 20 = 0; END LOOP; END $d$');
-- deleted, inserted and deleted again; inserted and deleted and inserted
SELECT tide.cursor() AS c \gset
DO $$
BEGIN
	FOR i IN 1..20 LOOP
		DELETE FROM t WHERE id <= 20;
		INSERT INTO t SELECT j, 'ann', i FROM generate_series(1, 20) j;
	END LOOP;
	DELETE FROM t WHERE id <= 10;
END $$;
SELECT size, d.* FROM unnest('{3,7,100}'::int[]) size, drain(:'c', size) d;

-- a row that has left a scope: the newest entry in that scope says so, although the
-- newest of all is in another one, which the next page does not ask for
INSERT INTO t SELECT i, 'bob', 0 FROM generate_series(2001, 2005) i;
SELECT tide.cursor() AS c \gset
UPDATE t SET n = 1 WHERE id = 101;
UPDATE t SET n = 1 WHERE id = 102;
UPDATE t SET user_id = 'bob' WHERE id = 102;
UPDATE t SET n = 2 WHERE id = 102;
CREATE FUNCTION short(reply json) RETURNS text LANGUAGE sql AS $$
	SELECT concat_ws(' ', (SELECT string_agg('+' || (d->>'id'), ' ') FROM json_array_elements(reply#>'{changesByType,t}') d),
		(SELECT string_agg('-' || (d->>'id'), ' ') FROM json_array_elements(reply#>'{deletedByType,t}') d), CASE WHEN (reply->>'hasMore')::boolean THEN 'more' END) $$;
SELECT short(p), p->>'cursor' AS page FROM tide.pull(:'c', '{ann,bob}', max_rows => 1) p \gset
\echo :short
SELECT short(tide.pull(:'page', '{ann}'));
SELECT short(tide.pull(:'page', '{ann,bob}'));
SELECT short(tide.pull(:'c', '{ann}'));
-- and for who reads all scopes
SELECT short(p), p->>'cursor' AS page FROM tide.pull(:'c', max_rows => 1) p \gset
\echo :short
SELECT short(tide.pull(:'page', '{ann}'));
SELECT short(tide.pull(:'page'));

-- what a call reads, in tuples of the log, its indexes and of where long entries are
CREATE FUNCTION reads(command text, OUT log bigint) LANGUAGE plpgsql AS $$
DECLARE
	tables oid[] := (SELECT ARRAY[oid, reltoastrelid] FROM pg_class WHERE oid = 'tide.log'::regclass);
	before bigint;
	sum text := 'SELECT sum(pg_stat_get_xact_tuples_returned(o)) + sum(pg_stat_get_xact_tuples_fetched(o))
		FROM (SELECT unnest($1) UNION ALL SELECT indexrelid FROM pg_index WHERE indrelid = ANY ($1)) x(o)';
BEGIN
	EXECUTE sum INTO before USING tables;
	EXECUTE command;
	EXECUTE sum INTO log USING tables;
	log := log - before;
END $$;
-- of 50,000 rows that one statement changed, the second page reads one entry
CREATE TABLE u (id uuid PRIMARY KEY, user_id text);
CREATE INDEX ON u (user_id, id);
SELECT tide.track('u', scope => 'user_id');
SELECT tide.cursor() AS c \gset
INSERT INTO u SELECT md5(i::text)::uuid, 'ann' FROM generate_series(1, 50000) i;
SELECT log > 1000 AS "the first page measures" FROM reads(format('SELECT tide.pull(%L, ''{ann}'')', :'c'));
SELECT tide.pull(:'c', '{ann}')->>'cursor' AS page \gset
SELECT log BETWEEN 10 AND 100 AS log FROM reads(format('SELECT tide.pull(%L, ''{ann}'')', :'page'));
SELECT tide.pull(:'page', '{ann}', max_rows => 950)->>'cursor' AS page \gset
SELECT log BETWEEN 10 AND 200 AS log FROM reads(format('SELECT tide.pull(%L, ''{ann}'')', :'page'));

-- 30 changes in each of 1,000 scopes: a page reads some scopes' entries, not all of them
CREATE FUNCTION buffers(command text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	plan json;
	best bigint;
	n bigint;
BEGIN
	FOR i IN 1..3 LOOP
		EXECUTE 'EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) ' || command INTO plan;
		n := (plan#>>'{0,Plan,Shared Hit Blocks}')::bigint + (plan#>>'{0,Plan,Shared Read Blocks}')::bigint;
		best := least(best, n);
	END LOOP;
	RETURN best;
END $$;
CREATE TABLE s (id int PRIMARY KEY, user_id text, n int);
CREATE INDEX ON s (user_id, id);
SELECT tide.track('s', scope => 'user_id');
INSERT INTO s SELECT i, 's' || i % 1000, 0 FROM generate_series(1, 3000) i;
SELECT array_agg('s' || i)::text AS scopes FROM generate_series(0, 999) i \gset
SELECT tide.pull(NULL, :'scopes', '{s}', 100)->>'cursor' AS page \gset
SELECT tide.cursor() AS c \gset
DO $$ BEGIN FOR i IN 1..30 LOOP UPDATE s SET n = i; END LOOP; END $$;
SELECT buffers(format('SELECT tide.pull(%L, %L, ''{s}'', 100)', :'c', :'scopes')) < 4000 AS "a page of the log";
SELECT tide.pull(:'c', :'scopes', '{s}', 100)->>'cursor' AS second \gset
SELECT buffers(format('SELECT tide.pull(%L, %L, ''{s}'', 100)', :'second', :'scopes')) < 4000 AS "the second page";
SELECT buffers(format('SELECT tide.pull(%L, %L, ''{s}'', 100)', :'page', :'scopes')) < 4000 AS "a page of a first sync";
-- nothing new in 1,000 scopes costs what changed, which is little; one scope did
SELECT tide.cursor() AS c \gset
UPDATE t SET n = 0 WHERE id = 30;
SELECT buffers(format('SELECT tide.pull(%L, %L, ''{s}'', 100)', :'c', :'scopes')) < 300 AS idle;
UPDATE s SET n = 0 WHERE id IN (17, 18);
SELECT buffers(format('SELECT tide.pull(%L, %L, ''{s}'', 100)', :'c', :'scopes')) < 300 AS "one of them", tide.pull(:'c', :'scopes', '{s}', 100)->'stats' AS stats;
-- and where more than those have changed, all of them
SELECT tide.cursor() AS c \gset
DO $$ BEGIN FOR i IN 1..2500 LOOP UPDATE t SET n = i WHERE id = 30; END LOOP; END $$;
UPDATE s SET n = 5 WHERE id = 5;
SELECT tide.pull(:'c', :'scopes', '{s}', 100)->'stats' AS stats;
-- also of what was running then
BEGIN;
UPDATE s SET n = 1 WHERE id = 19;
SELECT tide.cursor() AS c \gset
UPDATE s SET n = 2 WHERE id IN (20, 21);
COMMIT;
SELECT buffers(format('SELECT tide.pull(%L, %L, ''{s}'', 100)', :'c', :'scopes')) < 300 AS running, tide.pull(:'c', :'scopes', '{s}', 100)->'stats' AS stats;
DROP SCHEMA again CASCADE;
