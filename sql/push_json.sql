-- tide.push_json: a body as text.  A change that is JSON and no jsonb fails,
-- and is named by what of it can be read; the others are stored.
--
-- Seen failing: with value_of_span() outside of try_work(), with
-- name_unreadable() taken out, without compare_types(), without the digest of
-- what cannot be read.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA bodies;
SET search_path = bodies;
CREATE TABLE t (id int PRIMARY KEY, s text, j jsonb);
CREATE TABLE pairs (a int, b text, s text, PRIMARY KEY (a, b));
SELECT tide.track('t', shared => true);
SELECT tide.track('pairs', shared => true);
CREATE FUNCTION put(body text) RETURNS TABLE (type text, id text, change text, result text) LANGUAGE sql AS $$
	WITH p AS MATERIALIZED (SELECT reply AS r FROM tide.push_json(convert_to(body, 'UTF8')))
	SELECT s->>'entityType', (s->'entityId')::text, (s->'changeId')::text, s->>'status' FROM p, json_array_elements(r->'succeeded') s
	UNION ALL SELECT s->>'entityType', (s->'entityId')::text, (s->'changeId')::text, concat_ws(' ', s->'errors'->0->>'code', left(s->'errors'->0->>'message', 60)) FROM p, json_array_elements(r->'failed') s $$;
-- in the map form: half a surrogate, NUL, a number beyond numeric, 700 levels
SELECT * FROM put(format('{"changes": {"t": [{"id": 1, "s": "a"}, {"id": 2, "s": "\ud800"}, {"id": 3, "s": "x\udc00\ud83d"}, {"id": 4, "s": "\u0000"}, {"s": 1e200000, "id": 5}, {"id": 6, "j": %s}, {"id": 7, "s": "\ud83d\ude00"}, {"id": 8, "\ud800": 1}, {"id": 1e200000, "s": 1}, {"id": "\ud800"}, 5, null],
	"pairs": [{"a": 1, "b": "x", "s": "\ud800"}, {"a": 1e200000, "b": "y", "s": "z"}, {"a": 2, "b": "y", "s": "z"}], "un\ud800known": [{"id": 9, "s": "a"}]}}', repeat('[', 700) || repeat(']', 700)));
-- in the list form
SELECT * FROM put('{"changes": [{"id": "q1", "entityType": "t", "entityId": 11, "data": {"s": "a"}}, {"id": "q2", "entityType": "t", "entityId": 12, "data": {"s": "\ud800"}}, {"id": "\ud800", "entityType": "t", "entityId": 13, "data": {"s": "a"}}, {"id": "q4", "entityType": "\u0000", "entityId": 14, "data": {}},
	{"id": "q5", "entityType": "pairs", "entityId": {"a": 1, "b": "z"}, "data": {"s": "\u0000"}}, {"id": "q6", "entityType": "none", "entityId": 1, "data": {"s": "\u0000"}}, {"id": "q7", "entityType": "t", "entityId": 15, "data": {"s": "b"}}, {"id": "q8", "\u0065ntityType": "t", "entityId": 16, "\udead": 1, "data": {"s": "b"}}]}');
SELECT id, encode(convert_to(s, 'UTF8'), 'escape') AS s, jsonb_typeof(j) AS j FROM t ORDER BY id;
SELECT a, b, s FROM pairs;

-- what is wrong with the body is wrong with all of it
CREATE FUNCTION refused(body text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN (tide.push_json(convert_to(body, 'UTF8'))).reply; EXCEPTION WHEN OTHERS THEN RETURN sqlstate || ' ' || sqlerrm; END $$;
SELECT left(b, 60) AS body, refused(b) FROM unnest(ARRAY['', '{', '[]', '5', '{"changes": {"t": [}}', '{"changes": {"t": []}} x', '{"changes": {"t": [01]}}', '{"changes": {"t": ["\x"]}}', E'{"changes": {"t": ["\t"]}}', '{"changes": {"t": [nul]}}', '{"changes": {"t": [-]}}', '{"changes": {"t": [1.]}}', '{"changes": {"t": [1e]}}',
	'{"changes": {"t": ["\u12g4"]}}', '{"changes": {"t": [{"a" 1}]}}', '{"changes": {"t": [{"a": 1,}]}}', '{"changes": {"t": [1 2]}}', '{"changes": {"t": [[1}]}}', '{"changes": {"t": ["a]}}', '{}', '{"changes": null}', '{"changes": 5}', '{"changes": {"t": {}}}', '{"changes": {"t": null}}',
	'{"changes": {"t": [], "t": []}}', '{"changes": {"t": [], "\u0074": []}}', '{"changes": [], "changes": []}', '{"changes": [], "\u0063hanges": []}', '{"changes": [], "batchId": "\ud800"}', '{"changes": [], "batchId": ""}', '{"changes": [], "atomic": 1}', '{"changes": [], "clientId": "\u0000"}', '{"changes": [], "cursor": 5}',
	'{"changes": {"t": [' || repeat('[', 1001) || repeat(']', 1001) || ']}}']) b;
SELECT tide.push_json('\x7b226368616e676573223a205b22ff225d7d');
SELECT tide.push_json(NULL);
-- members that mean nothing may be anything
SELECT refused(' {"x": ["\ud800"], "changes" : [ ] , "\u0000": 1e200000, "clientId": null}')::json->'summary' AS summary;

-- all or nothing, and then nothing of the good one either
SELECT * FROM put('{"atomic": true, "changes": {"t": [{"id": 21, "s": "a"}, {"id": 22, "s": "\ud800"}]}}');
SELECT count(*) FROM t WHERE id > 20;

-- a batch that comes again, in another order of members; another one under its id
SELECT * FROM put('{"batchId": "b1", "changes": {"t": [{"id": 31, "s": "a"}, {"id": 32, "s": "\ud800"}], "pairs": [{"a": 5, "b": "x"}]}}');
DELETE FROM t WHERE id = 31;
SELECT * FROM put('{"changes": {"pairs": [{"b": "x", "a": 5}],  "t": [{"s": "a", "id": 31}, {"id": 32, "s": "\ud800"}]}, "batchId": "b1"}');
SELECT count(*) FROM t WHERE id = 31;
SELECT refused(b) FROM unnest(ARRAY['{"batchId": "b1", "changes": {"t": [{"id": 31, "s": "b"}, {"id": 32, "s": "\ud800"}], "pairs": [{"a": 5, "b": "x"}]}}', '{"batchId": "b1", "changes": {"t": [{"id": 31, "s": "a"}, {"id": 32, "s": "\ud801"}], "pairs": [{"a": 5, "b": "x"}]}}',
	'{"batchId": "b1", "changes": {"t": [{"id": 31, "s": "a"}, {"id": 32, "s": "\ud800"}, {"a": 5, "b": "x"}]}}', '{"batchId": "b1", "atomic": true, "changes": {"t": [{"id": 31, "s": "a"}, {"id": 32, "s": "\ud800"}], "pairs": [{"a": 5, "b": "x"}]}}']) b;
-- tide.push knows it, too
SELECT * FROM put('{"batchId": "b2", "changes": [{"entityType": "t", "entityId": 33, "data": {"s": "x"}}]}');
DELETE FROM t WHERE id = 33;
SELECT s->>'status' AS status FROM tide.push('{"batchId": "b2", "changes": [{"entityType": "t", "data": {"s": "x"}, "entityId": 33}]}') p, json_array_elements(p->'succeeded') s;
SELECT count(*) FROM t WHERE id = 33;

-- of nothing, too
SELECT refused('{"batchId": "b3", "changes": []}')::json->'summary' AS summary;
SELECT refused('{"batchId": "b3", "changes": []}')::json->'summary' AS summary;
SELECT refused('{"batchId": "b3", "changes": {"t": [{"id": 51}]}}');

-- the number of changes, also of one that came before
SELECT changes FROM unnest('{1,2}'::int[]), tide.push_json(convert_to('{"batchId": "b4", "changes": {"t": [{"id": 61}, {"id": 62, "s": "\ud800"}]}}', 'UTF8'));

-- arguments go before the body's members
SELECT reply->'summary' AS summary, changes FROM tide.push_json(convert_to('{"changes": {"t": [{"id": 41, "s": "a"}, {"id": 42, "n": "a"}]}}', 'UTF8'), client_id => 'phone', atomic => true);
SELECT reply->'succeeded'->0->'entity'->>'clientId' AS client FROM tide.push_json(convert_to('{"clientId": "tablet", "changes": {"t": [{"id": 41, "s": "a"}]}}', 'UTF8'), client_id => 'phone');
DROP SCHEMA bodies CASCADE;
