-- What the stamp trigger does to rows that plain SQL writes.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA stamp;
SET search_path = stamp;
CREATE TABLE t (id int PRIMARY KEY, body text, secret text, v int, at timestamptz, by text);
SELECT tide.track('t', shared => true, modified_at => 'at', client_id => 'by', version => 'v', exclude => '{secret}');
-- is it the server's time? clock_timestamp() is read after the statement
\set now 'at <= clock_timestamp() AND at > clock_timestamp() - interval $$1 minute$$ AS now'

-- insert: the server's time and client, version 1; a stamp that is given stands within skew
INSERT INTO t VALUES (1, 'a');
INSERT INTO t VALUES (2, 'past', NULL, 41, '2020-02-03 04:05:06.789012Z', 'phone');
INSERT INTO t VALUES (3, 'skew', NULL, NULL, now() + interval '30 s');
INSERT INTO t VALUES (4, 'future', NULL, NULL, now() + interval '5 min');
INSERT INTO t VALUES (5, 'infinity', NULL, NULL, 'infinity'), (6, '-infinity', NULL, NULL, '-infinity');
SELECT id, body, v, by, :now, at > clock_timestamp() AS ahead, at = '2020-02-03 04:05:06.789012Z' AS given
	FROM t ORDER BY id;
DELETE FROM t WHERE id > 2;

-- update: always greater than the old stamp
CREATE TEMP TABLE old AS SELECT id, at AS old_at FROM t;
UPDATE t SET body = 'b';
SELECT id, v, by, :now, at > old_at AS greater FROM t JOIN old USING (id) ORDER BY id;

-- what the statement sets: raised stands, lowered, equal and far ahead do not
UPDATE t SET body = 'r', at = at + interval '1 s' WHERE id = 1;
UPDATE t SET at = '2001-01-01' WHERE id = 2;
SELECT id, body, v, at > clock_timestamp() - interval '1 minute' AS recent FROM t ORDER BY id;
UPDATE t SET body = 'low', at = '2001-01-01' WHERE id = 1;
SELECT body, v, at > clock_timestamp() - interval '1 minute' AS recent FROM t WHERE id = 1;
UPDATE t SET body = 'far', at = clock_timestamp() + interval '1 day' WHERE id = 1;
SELECT body, v, at < clock_timestamp() + interval '1 minute' AS "not far" FROM t WHERE id = 1;
UPDATE t SET body = 'null', at = NULL WHERE id = 1;
SELECT body, v, at IS NOT NULL AS stamped FROM t WHERE id = 1;
-- a raised stamp alone is a change
SELECT at AS before, v AS v_before FROM t WHERE id = 1 \gset
UPDATE t SET at = at + interval '1 ms' WHERE id = 1;
SELECT at - :'before' AS raised, v - :v_before AS versions FROM t WHERE id = 1;
-- skew is a setting
BEGIN;
SET LOCAL pg_tide.max_clock_skew = '1h';
UPDATE t SET at = clock_timestamp() + interval '50 min' WHERE id = 2;
SELECT at > clock_timestamp() + interval '40 min' AS stands FROM t WHERE id = 2;
-- and a later plain update is above it all the same
UPDATE t SET body = 'above' WHERE id = 2;
SELECT at > clock_timestamp() + interval '40 min' AS above FROM t WHERE id = 2;
ROLLBACK;

-- nothing synced changes: stamp, client and version stay, nothing is logged
SELECT count(*) AS entries FROM tide.log \gset
CREATE TEMP TABLE before AS TABLE t;
UPDATE t SET body = body;
UPDATE t SET secret = 'x';
UPDATE t SET v = 77, by = 'liar';
UPDATE t SET at = '2001-01-01';
UPDATE t SET body = 'no row' WHERE false;
SELECT t.at = b.at AS stamp, t.v = b.v AS version, t.by IS NOT DISTINCT FROM b.by AS client
	FROM t JOIN before b USING (id) ORDER BY id;
SELECT count(*) - :entries AS entries FROM tide.log;
DROP TABLE before;

-- the client of plain SQL
SET pg_tide.client_id = 'backend-7';
UPDATE t SET body = 'c' WHERE id = 1;
INSERT INTO t VALUES (7, 'c', NULL, NULL, NULL, 'forged');
RESET pg_tide.client_id;
SELECT id, by FROM t WHERE id IN (1, 7) ORDER BY id;
UPDATE t SET body = 'd' WHERE id = 1;
BEGIN;
SET LOCAL pg_tide.client_id = 'local';
UPDATE t SET body = 'e' WHERE id = 7;
COMMIT;
UPDATE t SET body = 'f' WHERE id = 2;
SELECT id, by FROM t ORDER BY id;

-- a version that was NULL begins at 1; a full one stays and stops no write
CREATE TABLE small (id int PRIMARY KEY, n int, v smallint);
INSERT INTO small VALUES (1, 0, NULL), (2, 0, 32767), (3, 0, 5);
SELECT tide.track('small', shared => true, version => 'v');
UPDATE small SET n = 1;
SELECT id, v FROM small ORDER BY id;
DROP SCHEMA stamp CASCADE;
