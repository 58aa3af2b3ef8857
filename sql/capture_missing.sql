-- Rows from before ALTER TABLE ... ADD COLUMN ... DEFAULT, which rewrites
-- nothing: what they lack is with the table's description, and whoever reads
-- them has to look there.  Scope, key, image and stamps are such columns here.
-- Seen failing with CreateTupleDescCopy() in table/load.c.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA capture_missing;
SET search_path = capture_missing;

CREATE TABLE note (id int PRIMARY KEY, s text);
INSERT INTO note SELECT i, 's' || i FROM generate_series(1, 6) i;
ALTER TABLE note ADD COLUMN user_id text NOT NULL DEFAULT 'ann';
CREATE INDEX ON note (user_id);
SELECT tide.track('note', scope => 'user_id');
SELECT tide.pull(NULL, '{ann}')->>'cursor' AS ann \gset
SELECT tide.pull(NULL, '{bob}')->>'cursor' AS bob \gset
DELETE FROM note WHERE id = 1;
UPDATE note SET user_id = 'bob' WHERE id = 2;
UPDATE note SET s = 'new' WHERE id = 3;
TRUNCATE note;
INSERT INTO note VALUES (6, 'back', 'ann');
SELECT operation, key FROM tide.changes(:'ann', '{ann}') ORDER BY key->>'id';
SELECT operation, key FROM tide.changes(:'bob', '{bob}') ORDER BY key->>'id';

-- part of the key, and a table that is written row by row
CREATE TABLE day (id int NOT NULL, s text);
INSERT INTO day VALUES (1, 'a'), (2, 'b');
ALTER TABLE day ADD COLUMN part int NOT NULL DEFAULT 7, ADD COLUMN user_id text NOT NULL DEFAULT 'ann';
ALTER TABLE day ADD PRIMARY KEY (id, part);
CREATE INDEX ON day (user_id);
SELECT tide.track('day', scope => 'user_id', replicated => true);
SELECT tide.pull(NULL, '{ann}', '{day}')->>'cursor' AS ann \gset
DELETE FROM day WHERE id = 1;
UPDATE day SET user_id = 'bob' WHERE id = 2;
SELECT operation, key FROM tide.changes(:'ann', '{ann}', '{day}') ORDER BY key->>'id';

-- a partition, with columns in another order
CREATE TABLE log (id int, n int, user_id text DEFAULT 'ann', PRIMARY KEY (id)) PARTITION BY RANGE (id);
CREATE TABLE log_1 (n int, gone int, id int NOT NULL);
INSERT INTO log_1 (n, id) VALUES (1, 1), (2, 2);
ALTER TABLE log_1 DROP COLUMN gone, ADD COLUMN user_id text DEFAULT 'ann';
ALTER TABLE log ATTACH PARTITION log_1 FOR VALUES FROM (1) TO (10);
CREATE INDEX ON log (user_id);
SELECT tide.track('log', scope => 'user_id');
SELECT tide.pull(NULL, '{ann}', '{log}')->>'cursor' AS ann \gset
DELETE FROM log WHERE id = 1;
UPDATE log SET user_id = 'bob' WHERE id = 2;
SELECT operation, key FROM tide.changes(:'ann', '{ann}', '{log}') ORDER BY key->>'id';

-- the image of a deleted row has what the row had: a late patch does not lose it
CREATE TABLE plan (id int PRIMARY KEY, user_id text DEFAULT 'ann', title text);
INSERT INTO plan VALUES (1, 'ann', 'leg day');
ALTER TABLE plan ADD COLUMN colour text NOT NULL DEFAULT 'green';
CREATE INDEX ON plan (user_id);
SELECT tide.track('plan', scope => 'user_id', conflict => 'merge');
DELETE FROM plan;
SELECT status, data->>'title' AS title, data->>'colour' AS colour
FROM tide.upsert('plan', '{"id": 1, "title": "arms"}', now() + interval '30 s', 'phone');

DROP SCHEMA capture_missing CASCADE;
