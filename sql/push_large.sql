-- A small push makes no large reply: numbers are written out only for numeric,
-- messages are cut short, and what the conversion of a value takes is freed.
--
-- Seen failing: without number_is_long(); without clipped(); with push->context
-- in place of push->scratch.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA large;
SET search_path = large;
CREATE TYPE p AS (a text, j jsonb);
CREATE TABLE v (id text PRIMARY KEY, t text, vc varchar, c char(3), nm name, b jsonb, j json, i int, i8 bigint, i2 smallint, f float8, f4 real, n numeric, nd numeric(10,2), bo bool, ta text[], na numeric[], p p, tz timestamptz, ts timestamp, d date, iv interval, oi oid, ba jsonb[], by bytea);
CREATE TABLE two (a int, b int, PRIMARY KEY (a, b));
SELECT tide.track('v', shared => true);
SELECT tide.track('two', shared => true);
CREATE FUNCTION put(items text) RETURNS TABLE (code text, message text, "column" text, id text, reply int) LANGUAGE sql AS $$
	WITH p AS MATERIALIZED (SELECT tide.push(format('{"changes": %s}', items)::jsonb) AS r)
	SELECT coalesce(f->'errors'->0->>'code', r->'succeeded'->0->>'status'), f->'errors'->0->>'message', f->'errors'->0->>'column', coalesce(f, r->'succeeded'->0)->>'entityId', length(r::text) / 1000
	FROM p LEFT JOIN json_array_elements(r->'failed') f ON true $$;
-- the number for each column, in values of each kind; reply in kB
SELECT c.name, x.* FROM unnest('{t,vc,c,nm,b,j,i,i8,i2,f,f4,nd,bo,tz,ts,d,iv,oi,by}'::text[]) WITH ORDINALITY AS c(name, n), put(format('{"v": [{"id": "a", %s: 1e131071}]}', to_json(c.name))) x ORDER BY n;
SELECT c.value, x.code, x."column", x.reply FROM unnest(ARRAY['"t": -1e131071', '"t": 1e-16000', '"f": 1e-16000', '"i": 1e-16000', '"t": {"a": [1e131071]}', '"b": {"a": [1, {"b": 1e131071}]}', '"j": [1e1000]', '"ta": [1e131071]', '"na": [1e5]', '"p": {"a": 1e131071}', '"p": {"j": 1e131071}', '"ba": [1e131071]', '"b": 1e999', '"t": 1e999', '"n": 1e5000']) c(value), put(format('{"v": [{"id": "a", %s}]}', c.value)) x;
-- what names the change
SELECT x.code, x.id, x.reply FROM unnest(ARRAY['{"v": [{"id": 1e131071}]}', '{"two": [{"a": 1e131071, "b": 1}]}', '[{"id": 1e131071, "entityType": "v", "entityId": "x", "data": {}}]', '[{"id": [1e131071], "entityType": "v", "entityId": {"id": 1e131071}, "data": {}}]', '[{"entityType": "two", "entityId": {"a": 1e131071, "b": 2}, "data": {}}]', '[{"entityType": "nothing", "entityId": 1e131071, "data": {}}]']) i, put(i) x;
-- messages; the row is small again, since it is in the reply to a change that fails
DELETE FROM v;
SELECT x.code, length(x.message) < 500 AS short, length(x."column") < 500 AS column_short, x.reply < 3 AS reply_small FROM unnest(ARRAY[format('{"v": [{"id": "a", "i": "%s"}]}', repeat('x', 9000)), format('{"v": [{"id": "a", "i": "%s"}]}', repeat('é', 9000)), format('{"v": [{"id": "a", "%s": 1}]}', repeat('x', 9000)),
	format('{"%s": [{"id": "a"}]}', repeat('x', 9000)), format('{"v": [{"id": "a", "tz": "%s"}]}', repeat('1', 9000)), format('{"v": [{"id": "a", "lastModifiedAt": "%s"}]}', repeat('x', 9000)), format('{"v": [{"id": "a", "by": "%s"}]}', repeat('x', 9000)), format('{"v": [{"id": "a", "_changed": "%s"}]}', repeat('x', 9000))]) i, put(i) x;
-- memory: 200 numeric values that are written out as 131 kB each are 26 MB of text
CREATE TABLE seen (at text, bytes bigint);
CREATE TYPE note AS (n numeric);
ALTER TABLE v ADD COLUMN o note;
CREATE FUNCTION watch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO seen SELECT 'push', sum(total_bytes) FROM pg_backend_memory_contexts; RETURN NULL; END $$;
CREATE TRIGGER watch AFTER INSERT ON v FOR EACH STATEMENT EXECUTE FUNCTION watch();
SELECT p->'summary'->>'succeeded' AS stored FROM tide.push((SELECT jsonb_build_object('changes', jsonb_build_object('v', jsonb_agg(jsonb_build_object('id', i, 'n', 1))) ) FROM generate_series(1, 200) i)) p;
UPDATE seen SET at = 'before';
SELECT p->'summary'->>'succeeded' AS stored FROM tide.push((SELECT jsonb_build_object('changes', jsonb_build_object('v', jsonb_agg(jsonb_build_object('id', 1000 + i, 'o', '{"n": 1e131071}'::jsonb)))) FROM generate_series(1, 200) i)) p;
SELECT max(bytes) FILTER (WHERE at = 'push') - max(bytes) FILTER (WHERE at = 'before') < 10000000 AS "little memory" FROM seen;
-- a reply has the rows of all changes: above 256 MB the push has to be parted, and nothing of it is stored
CREATE TABLE doc (id int PRIMARY KEY, body text, read boolean);
SELECT tide.track('doc', shared => true);
INSERT INTO doc SELECT i, repeat('x', 1000000) FROM generate_series(1, 300) i;
CREATE FUNCTION read_all(n int) RETURNS text LANGUAGE sql AS $$ SELECT tide.push((SELECT jsonb_build_object('changes', jsonb_build_object('doc', jsonb_agg(jsonb_build_object('id', i, 'read', true)))) FROM generate_series(1, n) i))->'summary'->>'succeeded' $$;
SELECT read_all(300);
\echo :LAST_ERROR_SQLSTATE
SELECT count(*) FILTER (WHERE read) AS read FROM doc;
SELECT read_all(150);
DROP SCHEMA large CASCADE;
