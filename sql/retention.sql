-- tide.prune and tide.maintain: forgetting what is old and finished. In a
-- database of its own: what is forgotten is forgotten for all.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
SELECT current_database() AS home \gset
CREATE DATABASE regress_pg_tide_retention TEMPLATE template0;
\c regress_pg_tide_retention
SET client_min_messages = warning;
CREATE EXTENSION pg_tide;
CREATE TABLE note (id int PRIMARY KEY, user_id text, body text);
CREATE INDEX ON note (user_id);
SELECT tide.track('note', scope => 'user_id');
INSERT INTO note SELECT i, 'ann', 'x' FROM generate_series(1, 10) i;

-- bad input, and rights
SELECT tide.prune('-1 day');
SELECT tide.prune(NULL) IS NULL AS strict;
CREATE ROLE regress_tide_nobody;
SET ROLE regress_tide_nobody;
SELECT tide.prune();
SELECT tide.maintain();
SET pg_tide.retention = '1 d';
RESET ROLE;
DROP ROLE regress_tide_nobody;

-- nothing is old yet
SELECT tide.cursor() AS c0 \gset
DELETE FROM note WHERE id = 10;
SELECT tide.prune() AS "30 days", tide.maintain() AS maintain;
SELECT p->'reset' AS reset, p->'deletedByType'->'note'->0->>'id' AS id FROM tide.pull(:'c0') p;

-- '0 s' forgets all that is finished: older cursors begin again, newer ones go on
SELECT tide.cursor() AS c1 \gset
SELECT tide.prune('0 s') > 0 AS forgot;
SELECT count(*) FROM tide.log;
SELECT count(*) FROM tide.tombstone;
SELECT p->'reset' AS reset, p->>'resetReason' IS NOT NULL AS reason, p->'stats' AS stats FROM tide.pull(:'c0') p;
SELECT p->'reset' AS reset, p->'stats' AS stats FROM tide.pull(tide.cursor()) p;
UPDATE note SET body = 'y' WHERE id = 1;
SELECT p->'reset' AS reset, p->'stats' AS stats FROM tide.pull(:'c1') p;
SELECT tide.prune('0 s') >= 1 AS forgot;
SELECT p->'reset' AS reset FROM tide.pull(:'c1') p;
-- a time from before that reads the tables
SELECT p->'reset' AS reset, p->'stats' AS stats FROM tide.pull('2001-01-01') p;

-- push: an expired cursor stops it and nothing is written; without one, old
-- changes to rows that are not there may be of deleted ones
SELECT tide.push(jsonb_build_object('cursor', :'c0', 'changes', '{"note": [{"id": 1, "body": "z"}, {"id": 10, "body": "resurrected", "user_id": "ann"}]}'::jsonb));
\echo :LAST_ERROR_SQLSTATE
SELECT body FROM note WHERE id = 1;
SELECT s->>'entityId' AS id, s->>'status' AS status FROM tide.push('{"changes": {"note": [{"id": 1, "body": "old", "lastModifiedAt": 0}, {"id": 10, "body": "resurrected", "user_id": "ann", "lastModifiedAt": "2020-01-01T00:00:00Z"}, {"id": 11, "user_id": "ann"}]}}') p, json_array_elements(p->'succeeded') s;
SELECT s->>'entityId' AS id, s->'errors'->0->>'code' AS code FROM tide.push('{"changes": {"note": [{"id": 10, "body": "resurrected", "user_id": "ann", "lastModifiedAt": "2020-01-01T00:00:00Z"}]}}') p, json_array_elements(p->'failed') s;
SELECT id FROM note WHERE id >= 10;

-- by age: what a sample of that age saw finished goes, what came later stays
SELECT tide.cursor() AS old \gset
DELETE FROM note WHERE id = 3;
INSERT INTO tide.sample VALUES (now() - interval '40 days', pg_current_snapshot());
SELECT tide.cursor() AS young \gset
DELETE FROM note WHERE id = 4;
SELECT tide.prune('50 days') AS "nothing that old";
SELECT p->'reset' AS reset, json_array_length(p->'deletedByType'->'note') AS deletions FROM tide.pull(:'old') p;
SET pg_tide.retention = '45 d';
SELECT tide.maintain() AS "nothing that old";
RESET pg_tide.retention;
SELECT tide.maintain() > 0 AS forgot;
SELECT p->'reset' AS reset FROM tide.pull(:'old') p;
SELECT p->'reset' AS reset, json_array_length(p->'deletedByType'->'note') AS deletions FROM tide.pull(:'young') p;
SELECT count(*) AS tombstones FROM tide.tombstone WHERE key IN ('3', '4');
SELECT tide.maintain() AS again, tide.prune() AS again;
-- a late change from before the horizon; after it, tombstones still know
SELECT s->>'entityId' AS id, s->'errors'->0->>'code' AS code FROM tide.push(jsonb_build_object('changes', jsonb_build_object('note', jsonb_build_array(
	jsonb_build_object('id', 3, 'user_id', 'ann', 'lastModifiedAt', now() - interval '41 days'), jsonb_build_object('id', 4, 'user_id', 'ann', 'lastModifiedAt', now() - interval '39 days'),
	jsonb_build_object('id', 12, 'user_id', 'ann', 'lastModifiedAt', now() - interval '39 days'))))) p, json_array_elements(p->'failed') s;
SELECT id FROM note WHERE id IN (3, 4, 12);

-- a sample of a writer that was slow to commit, from before what was forgotten:
-- its time tells nothing any more, and the horizon does not go back to it
CREATE TEMP TABLE late AS SELECT clock_timestamp() - interval '31 days' AS at, pg_current_snapshot() AS snapshot, tide.cursor() AS cursor;
DELETE FROM note WHERE id = 5;
SELECT tide.prune('0 s') > 0 AS forgot;
INSERT INTO tide.sample SELECT at, snapshot FROM late;
SELECT p->'reset' AS reset, p->>'resetReason' AS reason FROM late, tide.pull(to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')) p;
SELECT tide.prune('30 days') >= 0 AS pruned;
SELECT p->'reset' AS reset, p->>'resetReason' AS reason FROM late, tide.pull(cursor) p;

-- what is not finished is not forgotten: a transaction that was open, here this one
SELECT tide.cursor() AS c2 \gset
BEGIN;
UPDATE note SET body = 'open' WHERE id = 2;
SELECT tide.prune('0 s') >= 0 AS pruned;
COMMIT;
SELECT p->'reset' AS reset, p->'changesByType'->'note'->0->>'body' AS body FROM tide.pull(:'c2') p;

-- packed tombstones are forgotten like others
INSERT INTO note SELECT i, 'ann' FROM generate_series(10001, 12000) i;
TRUNCATE note;
SELECT count(*) > 0 AS packed FROM tide.tombstone_pack;
SELECT tide.prune('0 s') > 0 AS pruned;
SELECT count(*) FROM tide.tombstone_pack;

\c :home
DROP DATABASE regress_pg_tide_retention;
