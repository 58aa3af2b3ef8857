-- What jsonb cannot hold, a json column can, and a text beyond 256 MB: rows that
-- have it are pulled, deleted by plain SQL, lost in conflicts and brought back
-- like others.  (The large text is in test/fault/large.t.)
--
-- Seen failing: with the image of a row and the versions of a conflict as jsonb
-- in the tables; with false in place of json_needs_text_form().
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA texts;
SET search_path = texts;
SET timezone = 'UTC';
CREATE TABLE m (id int PRIMARY KEY, j json, n int);
CREATE TABLE w (id int PRIMARY KEY, j json, n int);
SELECT tide.track('m', shared => true, conflict => 'merge');
SELECT tide.track('w', shared => true, conflict => 'client_wins');
CREATE TABLE texts (id int PRIMARY KEY, j json);
INSERT INTO texts VALUES (1, '"\u0000"'), (2, '{"a":1E400000}'), (3, '["\ud800"]'), (4, (repeat('[', 1500) || repeat(']', 1500))::json), (5, '{"b":1,  "a":2,"b":3}'), (6, 'null');
INSERT INTO m SELECT id, j, 1 FROM texts;
INSERT INTO w SELECT id, j, 1 FROM texts;

-- read as a page, as rows, as one row
SELECT count(*) FROM json_array_elements(tide.pull(entity_types => '{m}')::jsonb::json->'changesByType'->'m') r;
SELECT key->>'id' AS id, length(data->>'j') AS length FROM tide.changes(entity_types => '{m}') ORDER BY 1;
SELECT status, data->>'j' AS j FROM tide.upsert('w', '{"id": 1, "n": 2}');

-- deleted by plain SQL under merge; brought back by a newer edit as it was
DELETE FROM m;
SELECT s->>'status' AS status FROM tide.push((SELECT jsonb_build_object('changes', jsonb_build_object('m', jsonb_agg(jsonb_build_object('id', id, 'n', 5, 'lastModifiedAt', now() + '1 s')))) FROM texts)) p, json_array_elements(p->'succeeded') s;
SELECT id, m.j::text = t.j::text AS "as it was", n FROM m JOIN texts t USING (id) ORDER BY id;
-- a late edit goes into the image, and the next newer one finds it there
INSERT INTO m VALUES (7, '"\u0000"', 1);
SELECT to_json("lastModifiedAt" + '1 us') #>> '{}' AS between FROM m WHERE id = 7 \gset
DELETE FROM m WHERE id = 7;
SELECT p->'succeeded'->0->>'status' AS status FROM tide.push(jsonb_build_object('changes', jsonb_build_object('m', jsonb_build_array(jsonb_build_object('id', 7, 'j', '{"$json": "\"\\u0000 late\""}'::jsonb, 'lastModifiedAt', :'between'))))) p;
SELECT p->'succeeded'->0->>'status' AS status FROM tide.push(jsonb_build_object('changes', jsonb_build_object('m', jsonb_build_array(jsonb_build_object('id', 7, 'n', 6, 'lastModifiedAt', now() + '2 s'))))) p;
SELECT j, n FROM m WHERE id = 7;

-- overruled: both versions are kept, and the one that lost is put back
SELECT s->>'status' AS status FROM tide.push('{"changes": {"w": [{"id": 1, "j": 1, "lastModifiedAt": "2020-01-01T00:00:00Z"}, {"id": 2, "j": 1, "lastModifiedAt": "2020-01-01T00:00:00Z"}]}}') p, json_array_elements(p->'succeeded') s;
SELECT key, kind, lost->'j' AS lost, stood->'j' AS stood FROM tide.conflicts WHERE relation = 'w'::regclass ORDER BY id;
SELECT r.status, r.data->'j' AS j FROM tide.conflicts c, tide.restore(c.id) r WHERE relation = 'w'::regclass ORDER BY c.id;
SELECT id, j FROM w WHERE id < 3 ORDER BY id;
DROP SCHEMA texts CASCADE;
