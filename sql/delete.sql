-- Deletes are writes: stamps, tombstones, revival, soft deletes.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA del;
SET search_path = del;
SET timezone = 'UTC';
CREATE TABLE t (id int PRIMARY KEY, body text, at timestamptz, by text);
SELECT tide.track('t', shared => true, modified_at => 'at', client_id => 'by');
\set now 'clock_timestamp() - interval $$1 min$$'
CREATE FUNCTION up(id int, body text, at timestamptz, by text DEFAULT NULL, OUT status text, OUT body_ text, OUT gone boolean)
	LANGUAGE sql AS $$ SELECT v.status, v.data->>'body', v.data ? 'deletedAt'
		FROM tide.upsert('t', jsonb_build_object('id', id, 'body', body), at, by) v $$;
CREATE FUNCTION del(key jsonb, at timestamptz DEFAULT NULL, by text DEFAULT NULL) RETURNS TABLE (status text, data jsonb, code text, note text)
	LANGUAGE sql AS $$ SELECT v.status, v.data, v.code, v.note FROM tide.delete('t', key, at, by) v $$;

-- bad keys
SELECT code FROM del('{}');
SELECT code FROM del('"x"');
SELECT code FROM del('[1]');
SELECT code FROM del('null');

-- wins or loses by its stamp
SELECT * FROM up(1, 'a', '2020-01-01 00:00:10Z', 'p');
SELECT * FROM del('{"id": 1}', '2020-01-01 00:00:09Z', 'p');
SELECT * FROM del('{"id": 1}', '2020-01-01 00:00:20Z', 'p');
SELECT count(*) FROM t;
-- a replay has no second effect; the tombstone stands against older upserts
SELECT * FROM del('1', '2020-01-01 00:00:20Z', 'p');
SELECT * FROM up(1, 'late', '2020-01-01 00:00:19Z', 'q');
SELECT * FROM up(1, 'late', '2020-01-01 00:00:10Z', 'p');
SELECT count(*) FROM t;
-- a later delete raises it, an older one does not lower it
SELECT * FROM del('1', '2020-01-01 00:00:30Z', 'p');
SELECT * FROM del('1', '2020-01-01 00:00:25Z', 'p');
SELECT * FROM up(1, 'late', '2020-01-01 00:00:29Z', 'q');
-- equal stamps: an upsert with the delete's own stamp is no replay of it
SELECT * FROM up(1, 'same time, lower client', '2020-01-01 00:00:30Z', 'o');
SELECT * FROM up(1, 'same time, higher client', '2020-01-01 00:00:30Z', 'q');
SELECT * FROM del('1', '2020-01-01 00:00:40Z', 'p');
-- a newer upsert brings it back, and columns not sent have their defaults
SELECT * FROM up(1, 'back', '2020-01-01 00:00:50Z', 'q');
SELECT id, body, at, by FROM t;
SELECT * FROM del('1', '2020-01-01 00:00:45Z', 'p');
SELECT count(*) FROM t;

-- a row never seen: the delete is remembered
SELECT * FROM del('7', '2020-01-01 00:00:20Z', 'p');
SELECT * FROM up(7, 'late', '2020-01-01 00:00:10Z', 'q');
SELECT * FROM up(7, 'newer', '2020-01-01 00:00:21Z', 'q');
-- without a stamp: now, and above the row's
SELECT status, (data->>'deletedAt')::timestamptz > :now AS now FROM del('7');
SELECT * FROM up(7, 'late', '2020-01-01 00:00:50Z', 'q');
-- in the future: brought back
SELECT * FROM up(8, 'a', '2020-01-01 00:00:10Z', 'p');
SELECT status, (data->>'deletedAt')::timestamptz <= clock_timestamp() AS back, note FROM del('8', now() + interval '1 year');

-- plain SQL leaves a tombstone above the row, an insert above the tombstone
SELECT status FROM up(9, 'ahead', clock_timestamp() + interval '50 s', 'p');
DELETE FROM t WHERE id = 9;
SELECT * FROM up(9, 'late', clock_timestamp() + interval '5 s', 'q');
INSERT INTO t VALUES (9, 'plain again');
SELECT status, body_ FROM up(9, 'late', '2020-01-01', 'q');
-- one of plain SQL does not lower a tombstone that is ahead of the server's clock
SELECT status FROM del('14', clock_timestamp() + interval '50 s', 'p');
INSERT INTO t VALUES (14, 'plain');
DELETE FROM t WHERE id = 14;
SELECT * FROM up(14, 'late', clock_timestamp() + interval '5 s', 'q');
-- deleted with its table's rows by TRUNCATE, and by a change of its key
INSERT INTO t VALUES (10, 'x'), (11, 'y');
UPDATE t SET id = 12 WHERE id = 11;
SELECT * FROM up(11, 'late', '2020-01-01', 'q');
TRUNCATE t;
SELECT * FROM up(10, 'late', '2020-01-01', 'q');
-- a rolled-back delete leaves none
INSERT INTO t VALUES (13, 'x', '2020-01-01');
BEGIN;
DELETE FROM t WHERE id = 13;
ROLLBACK;
SELECT * FROM up(13, 'newer', '2020-01-02', 'q');

-- soft delete: the row stays
CREATE TABLE soft (id int PRIMARY KEY, body text, removed timestamp(3), at timestamptz, v int);
SELECT tide.track('soft', shared => true, modified_at => 'at', deleted_at => 'removed', version => 'v');
SELECT status FROM tide.upsert('soft', '{"id": 1, "body": "a"}', '2020-01-01 00:00:10Z', 'p');
SELECT status, data->>'removed' AS removed, data->>'body' AS body FROM tide.delete('soft', '1', '2020-01-01 00:00:20Z', 'p');
SELECT id, body, removed, at, v FROM soft;
SELECT status FROM tide.delete('soft', '1', '2020-01-01 00:00:20Z', 'p');
SELECT status FROM tide.delete('soft', '1', '2020-01-01 00:00:15Z', 'p');
SELECT status FROM tide.upsert('soft', '{"id": 1, "body": "late"}', '2020-01-01 00:00:15Z', 'p');
-- a newer upsert that does not name the column clears it
SELECT status FROM tide.upsert('soft', '{"id": 1, "body": "b"}', '2020-01-01 00:00:30Z', 'p');
SELECT id, body, removed, v FROM soft;
-- deletedAt or the column's own name: a time is a delete, null is nothing
SELECT status, data->>'removed' AS removed, data->>'body' AS body
	FROM tide.upsert('soft', '{"id": 1, "body": "ignored", "deletedAt": "2020-01-01T00:00:40Z"}', '2020-01-01 00:00:41Z');
SELECT status, data->>'removed' AS removed, data->>'body' AS body
	FROM tide.upsert('soft', '{"id": 1, "body": "c", "removed": null}', '2020-01-01 00:00:50Z');
SELECT status, data->>'removed' AS removed, data->>'body' AS body
	FROM tide.upsert('soft', '{"id": 1, "removed": "2020-01-01T00:00:59.5Z"}', '2020-01-01 00:01:00Z');
-- one never seen is remembered too; and one removed by plain SQL is a change
SELECT status FROM tide.delete('soft', '2', '2020-01-01 00:00:20Z', 'p');
SELECT status FROM tide.upsert('soft', '{"id": 2, "body": "late"}', '2020-01-01 00:00:10Z', 'p');
INSERT INTO soft VALUES (3, 'z');
UPDATE soft SET removed = '2020-01-01' WHERE id = 3;
SELECT operation, data->>'removed' AS removed FROM tide.changes(entity_types => '{soft}') WHERE key->>'id' = '3';
DELETE FROM soft WHERE id = 3;
SELECT status FROM tide.upsert('soft', '{"id": 3, "body": "late"}', '2020-01-01 00:00:10Z', 'p');
SELECT id FROM soft ORDER BY id;
DROP SCHEMA del CASCADE;
