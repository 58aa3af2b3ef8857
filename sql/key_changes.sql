-- A key that changes: for clients, the deletion of the old row and a new one.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA rekey;
SET search_path = rekey;
CREATE TABLE plan (id int PRIMARY KEY, user_id text, name text);
CREATE TABLE day (a int, b text, user_id text, n int, PRIMARY KEY (a, b));
CREATE TABLE step (id int PRIMARY KEY, user_id text, a int, b text, FOREIGN KEY (a, b) REFERENCES day ON UPDATE CASCADE ON DELETE CASCADE);
CREATE INDEX ON plan (user_id);
CREATE INDEX ON day (user_id);
CREATE INDEX ON step (user_id);
SELECT tide.track('plan', scope => 'user_id');
SELECT tide.track('day', scope => 'user_id');
SELECT tide.track('step', scope => 'user_id');
INSERT INTO plan VALUES (1, 'ann', 'one'), (2, 'ann', 'two'), (3, 'ann', 'three');
INSERT INTO day VALUES (1, 'x', 'ann', 1), (1, 'y', 'ann', 2), (2, 'x', 'bob', 3);
INSERT INTO step VALUES (1, 'ann', 1, 'x'), (2, 'cyd', 1, 'x'), (3, 'bob', 2, 'x');
CREATE FUNCTION seen(since text, sub text) RETURNS TABLE (what text) LANGUAGE sql AS $$
	SELECT concat_ws(' ', entity_type, operation, key, CASE WHEN operation <> 'delete' THEN coalesce(data->>'name', data->>'n', concat(data->>'a', data->>'b')) END)
	FROM tide.changes(since, ARRAY[sub]) ORDER BY entity_type COLLATE "C", key::text COLLATE "C" $$;
CREATE FUNCTION late(entity_type text, key jsonb) RETURNS text LANGUAGE sql AS $$
	SELECT coalesce(p->'succeeded'->0->>'status', p->'failed'->0->'errors'->0->>'code') FROM tide.push(jsonb_build_object('changes', jsonb_build_array(jsonb_build_object(
		'entityType', entity_type, 'entityId', key, 'data', '{"user_id": "ann"}'::jsonb, 'lastModifiedAt', '2020-01-01T00:00:00Z')))) p $$;

SELECT tide.cursor() AS c \gset
UPDATE plan SET id = 11 WHERE id = 1;
SELECT * FROM seen(:'c', 'ann');
-- an edit of the old key that arrives late does not bring it back
SELECT late('plan', '1');
-- there and back again: the row is there; nobody has ever seen it under the other key
SELECT tide.cursor() AS c \gset
UPDATE plan SET id = 12 WHERE id = 2;
UPDATE plan SET id = 2 WHERE id = 12;
SELECT * FROM seen(:'c', 'ann');
-- keys that move up in one statement: 3 is another row now, 2 is none
SELECT tide.cursor() AS c \gset
UPDATE plan SET id = 4 WHERE id = 3;
UPDATE plan SET id = 3 WHERE id = 2;
SELECT * FROM seen(:'c', 'ann');
SELECT late('plan', '2'), late('plan', '3');
-- with the scope at once: each of both sees what is its own
SELECT tide.cursor() AS c \gset
UPDATE plan SET id = 21, user_id = 'bob' WHERE id = 11;
SELECT * FROM seen(:'c', 'ann');
SELECT * FROM seen(:'c', 'bob');
-- one of several columns, and what follows by ON UPDATE CASCADE in its own scopes
SELECT tide.cursor() AS c \gset
UPDATE day SET b = 'z"ü' WHERE a = 1 AND b = 'x';
SELECT * FROM seen(:'c', 'ann');
SELECT * FROM seen(:'c', 'cyd');
SELECT * FROM seen(:'c', 'bob');
SELECT late('day', '{"a": 1, "b": "x"}');
-- by ON CONFLICT
SELECT tide.cursor() AS c \gset
INSERT INTO plan VALUES (3, 'ann', 'taken'), (5, 'ann', 'free') ON CONFLICT (id) DO UPDATE SET id = 30, name = excluded.name;
SELECT * FROM seen(:'c', 'ann');
-- rolled back: nothing of it
SELECT tide.cursor() AS c \gset
BEGIN;
UPDATE plan SET id = id + 100;
ROLLBACK;
SELECT * FROM seen(:'c', 'ann');
-- deleted by cascade under the new key
DELETE FROM day WHERE a = 1;
SELECT * FROM seen(:'c', 'ann');
SELECT * FROM seen(:'c', 'cyd');
DROP SCHEMA rekey CASCADE;
