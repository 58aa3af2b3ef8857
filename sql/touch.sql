-- tide.touch: these rows again, because who may see them changed elsewhere.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA touch;
SET search_path = touch;
CREATE ROLE regress_tide_touch;
GRANT USAGE ON SCHEMA touch TO regress_tide_touch;
CREATE TABLE member (note_id int, name text);
CREATE TABLE note (id int PRIMARY KEY, user_id text, body text);
CREATE TABLE pair (a int, b text, PRIMARY KEY (a, b));
CREATE TABLE untracked (id int PRIMARY KEY);
CREATE INDEX ON note (user_id);
SELECT tide.track('note', scope => 'user_id', naming => 'camel', version => 'v');
SELECT tide.track('pair', shared => true);
GRANT SELECT ON note, pair, member TO regress_tide_touch;
INSERT INTO note SELECT i, CASE WHEN i <= 5 THEN 'ann' WHEN i <= 8 THEN 'bob' END, 'x' FROM generate_series(1, 9) i;
INSERT INTO pair VALUES (1, 'x'), (1, 'y');

-- bad input
SELECT tide.touch(NULL, '[1]') IS NULL AS strict, tide.touch('note', NULL) IS NULL AS strict;
SELECT tide.touch('untracked', '[1]');
SELECT tide.touch('note', '1');
SELECT tide.touch('note', '{"id": 1}');
SELECT tide.touch('note', 'null');
SELECT tide.touch('note', '["x"]');
SELECT tide.touch('note', '[null]');
SELECT tide.touch('note', '[[1]]');
SELECT tide.touch('note', '[{"nope": 1}]');
SELECT tide.touch('pair', '[1]');
SELECT tide.touch('pair', '[{"a": 1}]');

-- each row that is there once; stamps and versions stay as they are
SELECT tide.cursor() AS c \gset
CREATE TEMP TABLE before AS TABLE note;
SELECT tide.touch('note', '[]') AS none, tide.touch('note', '[99, "-1"]') AS absent;
SELECT count(*) FROM tide.changes(:'c');
SELECT tide.touch('note', '[1, "2", {"id": 3}, 1, 99]') AS touched;
SELECT tide.touch('pair', '[{"b": "x", "a": 1}, {"a": "1", "b": "y"}, {"a": 2, "b": "y"}]') AS touched;
SELECT entity_type, operation, key FROM tide.changes(:'c') ORDER BY 1, 3;
SELECT count(*) FROM (TABLE note EXCEPT TABLE before) x;
-- a row of nobody's is nobody's news
SELECT tide.touch('note', '[9]') IS NOT NULL AS "no harm";
SELECT bool_or(key->>'id' = '9') AS sent FROM tide.changes(:'c', scopes => '{ann,bob}');
-- more keys than an entry holds
INSERT INTO note SELECT i, 'cyd' FROM generate_series(1001, 3500) i;
SELECT tide.cursor() AS c2 \gset
SELECT tide.touch('note', (SELECT jsonb_agg(id) FROM note WHERE user_id = 'cyd')) AS touched;
SELECT count(*) FROM tide.changes(:'c2', max_rows => 5000);
SELECT cardinality(keys) FROM tide.log WHERE relid = 'note'::regclass AND scope = 'cyd' ORDER BY seq DESC LIMIT 3;

-- rows come and go with a table that is not tracked; clientId hides nothing of it
ALTER TABLE note ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON note USING (NOT EXISTS (SELECT FROM member WHERE note_id = id AND name = 'hidden'));
SET ROLE regress_tide_touch;
SET request.jwt.claims = '{"sub": "ann"}';
SELECT tide.pull()->>'cursor' AS c3 \gset
RESET ROLE;
INSERT INTO member VALUES (1, 'hidden');
SET ROLE regress_tide_touch;
SELECT tide.pull(:'c3')->'stats' AS "nobody knows";
RESET ROLE;
SELECT tide.touch('note', '[1]') AS touched;
SET ROLE regress_tide_touch;
SELECT operation, key FROM tide.changes(:'c3');
SELECT p->'deletedByType'->'note'->0->>'id' AS gone, p->>'cursor' AS c4 FROM tide.pull(:'c3', client_id => 'ann') p \gset
\echo :gone
RESET ROLE;
DELETE FROM member;
SELECT tide.touch('note', '[1]') AS touched;
SET ROLE regress_tide_touch;
SELECT operation, key FROM tide.changes(:'c4');

-- only rows that the caller may sync and read: others' are as if absent
SELECT tide.touch('note', '[1, 6]') AS "own only";
RESET ROLE;
REVOKE SELECT ON note FROM regress_tide_touch;
SET ROLE regress_tide_touch;
SELECT tide.touch('note', '[1]');
RESET request.jwt.claims;
SELECT tide.touch('pair', '[{"a": 1, "b": "x"}]');
RESET ROLE;
DROP SCHEMA touch CASCADE;
DROP ROLE regress_tide_touch;
