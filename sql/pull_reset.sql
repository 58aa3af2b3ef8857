-- A cursor is bound to this history: elsewhere it starts from the beginning.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA reset;
SET search_path = reset;
CREATE TABLE t (id int PRIMARY KEY);
SELECT tide.track('t', 'resettable', shared => true);
INSERT INTO t VALUES (1), (2), (3);
SELECT tide.cursor() AS here, current_database() AS home \gset
CREATE DATABASE regress_pg_tide_elsewhere TEMPLATE template0;
\c regress_pg_tide_elsewhere
SET client_min_messages = warning;
CREATE EXTENSION pg_tide;
CREATE TABLE t (id int PRIMARY KEY);
SELECT tide.track('t', 'resettable', shared => true);
INSERT INTO t VALUES (1), (7);
SELECT p->'stats' AS stats, p->'hasMore' AS more, p->'reset' AS reset, p->>'resetReason' AS reason, p->>'cursor' AS c FROM tide.pull(:'here', max_rows => 1) p \gset
\echo :stats :more :reset :reason
-- only the first page says so; then it is a cursor of here
SELECT p->'stats' AS stats, p->'hasMore' AS more, p->'reset' AS reset, p->>'resetReason' AS reason FROM tide.pull(:'c') p;
SELECT tide.cursor() AS elsewhere \gset
SELECT p->'reset' AS reset, p->'stats' AS stats FROM tide.pull(:'elsewhere') p;
SELECT operation, key FROM tide.changes(:'here') ORDER BY key;
-- a copy of there is no copy to compare with what is here
SELECT tide.digest(:'here');

\c :home
SET client_min_messages = warning;
SET search_path = reset;
SELECT p->'reset' AS reset, p->'stats'->'resettable' AS stats FROM tide.pull(:'elsewhere', entity_types => '{resettable}') p;
SELECT p->'reset' AS reset, p->'stats'->'resettable' AS stats FROM tide.pull(:'here', entity_types => '{resettable}') p;
-- clientId never hides rows of a reset
SELECT tide.push('{"clientId": "phone", "changes": {"resettable": [{"id": 4}]}}')->'summary'->>'succeeded' AS n;
SELECT p->'reset' AS reset, p->'stats'->'resettable' AS stats FROM tide.pull(:'elsewhere', entity_types => '{resettable}', client_id => 'phone') p;
-- untracked and tracked again is a new type: read in full, and named, since
-- rows that were deleted meanwhile are in no log
SELECT tide.untrack('t');
INSERT INTO t VALUES (5);
SELECT tide.track('t', 'resettable', shared => true);
SELECT p->'reset' AS reset, p->'resetTypes' AS types, p->'stats'->'resettable' AS stats FROM tide.pull(:'here', entity_types => '{resettable}') p;
-- so is another table of that name
ALTER TABLE t RENAME TO t_old;
SELECT tide.untrack('t_old');
CREATE TABLE t (id int PRIMARY KEY);
INSERT INTO t VALUES (9);
SELECT tide.track('t', 'resettable', shared => true);
SELECT p->'reset' AS reset, p->'resetTypes' AS types, p->'changesByType'->'resettable'->0->>'id' AS id FROM tide.pull(:'here', entity_types => '{resettable}') p;
-- a cursor taken before a rewrite and a new column: no reset, nothing twice
SELECT tide.pull(entity_types => '{resettable}')->>'cursor' AS c \gset
ALTER TABLE t ADD extra text DEFAULT md5(random()::text), ALTER id TYPE bigint;
VACUUM FULL t;
SELECT p->'reset' AS reset, p->'stats' AS stats FROM tide.pull(:'c', entity_types => '{resettable}') p;
UPDATE t SET extra = 'x';
SELECT p->'changesByType'->'resettable'->0->>'extra' AS extra FROM tide.pull(:'c', entity_types => '{resettable}') p;
ALTER TABLE t RENAME extra TO more;
SELECT p->'changesByType'->'resettable'->0->>'more' AS more FROM tide.pull(:'c', entity_types => '{resettable}') p;
ALTER TABLE t DROP more;
SELECT p->'stats' AS stats FROM tide.pull(:'c', entity_types => '{resettable}') p;
-- in the middle of a first reading there is more to be had, or less is asked for: what was sent keeps its place
INSERT INTO t SELECT generate_series(100, 105);
SELECT tide.pull(entity_types => '{resettable}', max_rows => 3)->>'cursor' AS half \gset
DELETE FROM t WHERE id = 9;
SELECT p->'reset' AS reset, p->>'resetReason' AS reason FROM tide.pull(:'half', entity_types => '{resettable}') p;
CREATE TABLE another (id int PRIMARY KEY);
SELECT tide.track('another', shared => true);
SELECT p->'reset' AS reset, json_array_length(p->'deletedByType'->'resettable') AS deleted FROM tide.pull(:'half') p;
SELECT tide.pull(max_rows => 3)->>'cursor' AS half \gset
SELECT p->'reset' AS reset, p->>'resetReason' AS reason FROM tide.pull(:'half', entity_types => '{resettable}') p;
SELECT tide.untrack('another');
-- a table that is gone
DROP TABLE t;
SELECT tide.pull(:'c', entity_types => '{resettable}')->'unavailableTypes' AS unavailable;
SELECT tide.pull(:'c')->'reset' AS reset;
DROP SCHEMA reset CASCADE;
DROP DATABASE regress_pg_tide_elsewhere;
