-- A pull costs what changed for this client, however much changed for others.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA plans;
SET search_path = plans;
SET max_parallel_workers_per_gather = 0;
CREATE TABLE t (id int PRIMARY KEY, user_id text, n int);
CREATE TABLE u (id uuid PRIMARY KEY, user_id text, n int);
CREATE INDEX ON t (user_id, id);
CREATE INDEX ON u (user_id);
INSERT INTO u SELECT ('00000000-0000-0000-0000-' || lpad(i::text, 12, '0'))::uuid, 'u' || i % 1000 FROM generate_series(1, 20000) i;
SELECT tide.track('t', scope => 'user_id');
SELECT tide.track('u', scope => 'user_id');
-- What pg_tide reads of a table: rows fetched by scans of any kind, in the
-- transaction of the call. Statistics of the own transaction are exact, need
-- no time to arrive, and see the reads of nobody else.
CREATE FUNCTION reads(command text, OUT log bigint, OUT t bigint, OUT u bigint, OUT sample bigint, OUT tombstone bigint) LANGUAGE plpgsql AS $$
DECLARE
	tables regclass[] := '{tide.log,plans.t,plans.u,tide.sample,tide.tombstone}';
	before bigint[];
	after bigint[];
	sum text := 'SELECT array_agg((SELECT sum(pg_stat_get_xact_tuples_returned(o)) + coalesce(sum(pg_stat_get_xact_tuples_fetched(o)), 0)
		FROM (SELECT c AS o UNION ALL SELECT indexrelid FROM pg_index WHERE indrelid = c) x) ORDER BY n) FROM unnest($1) WITH ORDINALITY AS y(c, n)';
BEGIN
	EXECUTE sum INTO before USING tables;
	EXECUTE command;
	EXECUTE sum INTO after USING tables;
	log := after[1] - before[1]; t := after[2] - before[2]; u := after[3] - before[3]; sample := after[4] - before[4]; tombstone := after[5] - before[5];
END $$;

-- ann has been busy, and so have shared tables: statistics say that both are
-- frequent in the log
CREATE TABLE shared (id int PRIMARY KEY);
SELECT tide.track('shared', shared => true);
SELECT tide.cursor() AS busy \gset
DO $$ BEGIN FOR i IN 1..2000 LOOP INSERT INTO shared VALUES (i); INSERT INTO t VALUES (-i, 'ann', 0); END LOOP; END $$;

-- 10 changes of ann's, before, among and after 200,000 others': 100,000 entries
-- of the log with one key each, 100,000 rows in packed ones
SELECT tide.cursor() AS c0 \gset
INSERT INTO t SELECT i, 'ann', 0 FROM generate_series(1, 5) i;
SELECT tide.cursor() AS c1 \gset
INSERT INTO t SELECT 1000 + i, 'user ' || i, 0 FROM generate_series(1, 50000) i;
SELECT tide.cursor() AS c2 \gset
UPDATE t SET n = 1 WHERE id BETWEEN 1 AND 5 OR id > 1000;
INSERT INTO t SELECT 100000 + i, 'user ' || i % 100, 0 FROM generate_series(1, 100000) i;
DELETE FROM t WHERE id = 5;
SELECT count(*) > 100000 AS "long log" FROM tide.log;
ANALYZE tide.log;
-- the meter works: scans of it all are seen
SELECT log > 100000 AS log FROM reads('SELECT count(*) FROM tide.log');
SELECT t > 150000 AS t FROM reads('SELECT count(*) FROM plans.t');
SELECT u >= 20000 AS u FROM reads('SELECT count(*) FROM plans.u');
SET request.jwt.claims = '{"sub": "ann"}';
-- warm plans; then each pull, and again with generic plans
SELECT tide.pull(:'c0')->'stats' AS stats, tide.pull(:'c2')->'stats' AS stats2;
SELECT plan, since, log < 100 AS "log is bounded", t < 100 AS "t is bounded", u < 100 AS "u is bounded", tombstone < 100 AS tombstones
	FROM (SELECT 'c' || n AS since, plan, r.* FROM unnest('{auto,force_custom_plan,force_generic_plan}'::text[]) plan, unnest(ARRAY[:'c0', :'c1', :'c2']) WITH ORDINALITY AS x(c, n),
		LATERAL (SELECT set_config('plan_cache_mode', plan, false)) s(m), LATERAL reads(format('SELECT tide.pull(%L)', CASE WHEN m <> '' THEN c END)) r) x;
RESET plan_cache_mode;
-- a small page of a long reading: the first one looks whether keys come again, as far as that pays
RESET request.jwt.claims;
SELECT log BETWEEN 10000 AND 60000 AS log, t < 500 AS t, u < 100 AS u FROM reads(format('SELECT tide.pull(%L, max_rows => 10)', :'c0'));
SELECT tide.pull(:'c0', max_rows => 10)->>'cursor' AS page \gset
SELECT log < 100 AS log, t < 500 AS t, u < 100 AS u FROM reads(format('SELECT tide.pull(%L, max_rows => 10)', :'page'));
SELECT log < 500 AS log, t < 500 AS t, u < 100 AS u FROM reads(format('SELECT tide.pull(%L, ARRAY[''ann'', ''user 7''], max_rows => 10)', :'c0'));
-- also where one of the scopes has been busy all the time
SELECT log BETWEEN 2000 AND 10000 AS log, t < 500 AS t FROM reads(format('SELECT tide.pull(%L, ARRAY[''ann'', ''user 7''], max_rows => 10)', :'busy'));
SELECT tide.pull(:'busy', ARRAY['ann', 'user 7'], max_rows => 10)->>'cursor' AS page \gset
SELECT log < 100 AS log, t < 500 AS t FROM reads(format('SELECT tide.pull(%L, ARRAY[''ann'', ''user 7''], max_rows => 10)', :'page'));
-- nothing new for ann is nearly no work, though others go on
SELECT tide.cursor() AS c3 \gset
UPDATE t SET n = 2 WHERE id > 150000;
SET request.jwt.claims = '{"sub": "ann"}';
SELECT log < 50 AS log, t = 0 AS t, u = 0 AS u FROM reads(format('SELECT tide.pull(%L)', :'c3'));
-- one transaction that was running then does not make the others' entries read again
SET request.jwt.claims = '{"sub": "ann"}';
BEGIN;
UPDATE t SET n = 3 WHERE id = 1;
SELECT tide.pull(:'c3')->>'cursor' AS inside \gset
UPDATE t SET n = 4 WHERE id = 2;
COMMIT;
SELECT log < 100 AS log, t < 100 AS t FROM reads(format('SELECT tide.pull(%L)', :'inside'));
-- the first pull reads ann's rows, by the index that track asked for
SELECT log < 100 AS log, t < 500 AS t, u < 100 AS u FROM reads('SELECT tide.pull()');
SET request.jwt.claims = '{"sub": "u7"}';
SELECT log < 100 AS log, t < 100 AS t, u < 200 AS u FROM reads('SELECT tide.pull()');
-- the eighth time as the first, though nothing is known of the table
SET request.jwt.claims = '{"sub": "nobody"}';
SELECT n, u < 100 AS u FROM generate_series(1, 8) n, LATERAL reads('SELECT tide.pull(entity_types => ''{u}'') -- ' || n) ORDER BY n;
-- a page of everything, in key order, does not sort the table
RESET request.jwt.claims;
SELECT t < 500 AS t, u < 500 AS u FROM reads('SELECT tide.pull(max_rows => 10)');
SELECT tide.pull(max_rows => 10)->>'cursor' AS page \gset
SELECT t < 500 AS t, u < 500 AS u FROM reads(format('SELECT tide.pull(%L, max_rows => 10)', :'page'));
-- a push of one row reads that row
SET request.jwt.claims = '{"sub": "ann"}';
SELECT log < 100 AS log, t < 100 AS t, tombstone < 100 AS tombstones FROM reads($$SELECT tide.push('{"changes": {"t": [{"id": 1, "n": 5}, {"id": 999999, "n": 6}]}}')$$);
-- and under row security, keys go to the tables as typed arrays
CREATE ROLE regress_tide_plans;
GRANT USAGE ON SCHEMA plans TO regress_tide_plans;
GRANT ALL ON plans.t, plans.u TO regress_tide_plans;
ALTER TABLE u ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON u USING (user_id = current_setting('request.jwt.claims', true)::json->>'sub');
SET request.jwt.claims = '{"sub": "u7"}';
SELECT tide.cursor() AS c4 \gset
UPDATE u SET n = 1 WHERE user_id IN ('u6', 'u7', 'u8');
ANALYZE u;
CREATE FUNCTION pull_as_user(since text) RETURNS json LANGUAGE plpgsql SET role = regress_tide_plans AS 'BEGIN RETURN tide.pull(since); END';
SELECT u BETWEEN 20 AND 200 AS u, log < 100 AS log FROM reads(format('SELECT plans.pull_as_user(%L)', :'c4'));
DROP SCHEMA plans CASCADE;
DROP ROLE regress_tide_plans;
