-- MERGE that moves rows between partitions fires no statement trigger for what
-- it does to them. (expected/partition_merge_1.out: PostgreSQL 14 has no MERGE.)
-- Seen to fail with statement triggers in place of the row triggers.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
SELECT current_setting('server_version_num')::int < 150000 AS old \gset
\if :old
\quit
\endif
CREATE SCHEMA merging;
SET search_path = merging;
CREATE TABLE t (id int, region text, user_id text, v int, PRIMARY KEY (region, id)) PARTITION BY LIST (region);
CREATE TABLE t_a PARTITION OF t FOR VALUES IN ('a');
CREATE TABLE t_b (v int, user_id text, region text NOT NULL, id int NOT NULL);
ALTER TABLE t ATTACH PARTITION t_b FOR VALUES IN ('b');
CREATE INDEX ON t (user_id);
SELECT tide.track('t', scope => 'user_id');
INSERT INTO t VALUES (1, 'a', 'ann', 1), (2, 'a', 'bob', 1), (3, 'b', 'ann', 1), (4, 'b', 'ann', 1);
SET request.jwt.claims = '{"sub": "ann"}';
SELECT tide.cursor() AS ann \gset
SET request.jwt.claims = '{"sub": "bob"}';
SELECT tide.cursor() AS bob \gset
MERGE INTO t USING (VALUES (1, 'b', 'bob'), (2, 'b', 'ann'), (3, 'b', 'ann'), (4, NULL, NULL), (5, 'a', 'ann')) s(id, region, user_id)
	ON t.id = s.id
	WHEN MATCHED AND s.region IS NULL THEN DELETE
	WHEN MATCHED THEN UPDATE SET region = s.region, user_id = s.user_id, v = 2
	WHEN NOT MATCHED THEN INSERT VALUES (s.id, s.region, s.user_id, 2);
SELECT operation, key, data->>'v' AS v FROM tide.changes(:'bob', entity_types => '{t}') ORDER BY key::text;
SET request.jwt.claims = '{"sub": "ann"}';
SELECT operation, key, data->>'v' AS v FROM tide.changes(:'ann', entity_types => '{t}') ORDER BY key::text;
-- only a move, to one partition directly
SELECT tide.cursor() AS ann \gset
MERGE INTO t USING (VALUES (5)) s(id) ON t.id = s.id WHEN MATCHED THEN UPDATE SET region = 'b';
MERGE INTO t_b USING (VALUES (3), (9)) s(id) ON t_b.id = s.id
	WHEN MATCHED THEN UPDATE SET v = 3 WHEN NOT MATCHED THEN INSERT (id, region, user_id, v) VALUES (s.id, 'b', 'ann', 3);
SELECT operation, key, data->>'v' AS v FROM tide.changes(:'ann', entity_types => '{t}') ORDER BY key::text;
DROP SCHEMA merging CASCADE;
