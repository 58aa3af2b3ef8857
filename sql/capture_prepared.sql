-- Our triggers never stop PREPARE TRANSACTION, and what is prepared is sent
-- when it commits. (expected/capture_prepared_1.out: the server is set up
-- without prepared transactions.)
-- releases differ in the hint of a server that allows none
\set VERBOSITY terse
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA prepared;
SET search_path = prepared;
CREATE TABLE t (id int PRIMARY KEY, user_id text);
CREATE INDEX ON t (user_id);
SELECT tide.track('t', scope => 'user_id');
SET request.jwt.claims = '{"sub": "ann"}';
SELECT tide.cursor() AS c0 \gset
BEGIN;
INSERT INTO t VALUES (1, 'ann'), (2, 'ann');
SELECT status FROM tide.upsert('t', '{"id": 3}');
DELETE FROM t WHERE id = 2;
PREPARE TRANSACTION 'pg_tide_regress';
-- in doubt: not seen, and it delays nothing else
INSERT INTO t VALUES (4, 'ann');
SELECT operation, key->>'id' AS id FROM tide.changes(:'c0', entity_types => '{t}') ORDER BY 2;
SELECT tide.pull(:'c0')->>'cursor' AS c1 \gset
COMMIT PREPARED 'pg_tide_regress';
-- delivered once
SELECT operation, key->>'id' AS id FROM tide.changes(:'c1', entity_types => '{t}') ORDER BY 2;
SELECT tide.pull(:'c1')->>'cursor' AS c2 \gset
SELECT count(*) FROM tide.changes(:'c2', entity_types => '{t}');
-- and rolled back, never
BEGIN;
UPDATE t SET user_id = 'bob';
PREPARE TRANSACTION 'pg_tide_regress';
SELECT tide.pull(:'c2')->>'cursor' AS c3 \gset
ROLLBACK PREPARED 'pg_tide_regress';
SELECT count(*) FROM tide.changes(:'c3', entity_types => '{t}');
-- what row triggers of a partition have collected is written before PREPARE
CREATE TABLE part (id int, y int, user_id text, PRIMARY KEY (y, id)) PARTITION BY LIST (y);
CREATE TABLE part_1 PARTITION OF part FOR VALUES IN (1);
CREATE INDEX ON part (user_id);
SELECT tide.track('part', scope => 'user_id');
SELECT tide.cursor() AS c4 \gset
BEGIN;
INSERT INTO part_1 VALUES (1, 1, 'ann');
SAVEPOINT s;
INSERT INTO part_1 VALUES (2, 1, 'ann');
RELEASE s;
INSERT INTO part_1 VALUES (3, 1, 'ann');
PREPARE TRANSACTION 'pg_tide_regress';
SELECT count(*) FROM tide.changes(:'c4', entity_types => '{part}');
COMMIT PREPARED 'pg_tide_regress';
SELECT operation, key->>'id' AS id FROM tide.changes(:'c4', entity_types => '{part}') ORDER BY 2;
DROP SCHEMA prepared CASCADE;
