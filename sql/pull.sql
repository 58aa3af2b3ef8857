-- Pull: what a client is sent, from the first page to the last deletion.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA pull;
SET search_path = pull;
CREATE TABLE unit (code text PRIMARY KEY, name text);
CREATE TABLE plan (id int PRIMARY KEY, user_id text, name text);
CREATE TABLE day (id int PRIMARY KEY, user_id text, plan_id int REFERENCES plan ON DELETE CASCADE);
CREATE INDEX ON plan (user_id);
CREATE INDEX ON day (user_id);
INSERT INTO plan VALUES (1, 'ann', 'from before'), (2, 'bob', 'from before'), (3, NULL, 'nobody''s');
-- children tracked first: the reply has parents first all the same
SELECT tide.track('day', scope => 'user_id');
SELECT tide.track('plan', scope => 'user_id');
SELECT tide.track('unit', shared => true);
INSERT INTO unit VALUES ('kg', 'kilogram');
INSERT INTO day VALUES (10, 'ann', 1), (11, 'ann', 1), (20, 'bob', 2);
SET request.jwt.claims = '{"sub": "ann"}';

-- a reply without its times and cursor
CREATE FUNCTION show(p json, OUT changes text, OUT deletions text, OUT rest text) LANGUAGE sql AS $$
	SELECT (SELECT string_agg(t || ':' || (SELECT string_agg(coalesce(r->>'id', r->>'code'), ',' ORDER BY n) FROM json_array_elements(rs) WITH ORDINALITY AS x(r, n)), ' ') FROM json_each(p->'changesByType') AS j(t, rs)),
		(SELECT string_agg(t || ':' || (SELECT string_agg(coalesce(r->>'id', r->>'code'), ',' ORDER BY n) FROM json_array_elements(rs) WITH ORDINALITY AS x(r, n)), ' ') FROM json_each(p->'deletedByType') AS j(t, rs)),
		regexp_replace(p::text, '.*"stats":', '')
$$;

SELECT tide.pull() AS p \gset
SELECT (SELECT string_agg(k, ' ') FROM json_object_keys(:'p'::json) k) AS members;
SELECT (:'p'::json->'changesByType'->'plan'->0)::jsonb AS untouched_since_before, :'p'::json->'changesByType'->'unit'->0->>'name' AS shared;
SELECT * FROM show(:'p');
SELECT :'p'::json->>'syncTimestamp' = :'p'::json->>'serverTime' AS same, :'p'::json->>'serverTime' ~ '^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$' AS ms,
	(:'p'::json->>'serverTime')::timestamptz BETWEEN clock_timestamp() - interval '1 min' AND clock_timestamp() AS now;
-- nothing new: the empty reply, byte by byte, and a short cursor
SELECT :'p'::json->>'cursor' AS c \gset
SELECT tide.pull(:'c') AS p \gset
SELECT regexp_replace(regexp_replace(:'p', '"cursor":"[-A-Za-z0-9_]+"', '"cursor":"..."'), '"\d{4}-[^"]*Z"', '"time"', 'g') AS reply;
SELECT length(:'c') < 100 AS short;

-- changes, once each, as they stand now
INSERT INTO plan VALUES (4, 'ann', 'a');
UPDATE plan SET name = 'b' WHERE id = 4;
UPDATE plan SET name = 'c' WHERE id = 4;
INSERT INTO plan VALUES (5, 'ann', 'gone again');
DELETE FROM plan WHERE id = 5;
UPDATE plan SET name = 'bob''s' WHERE user_id = 'bob';
INSERT INTO unit VALUES ('lb', 'pound');
SELECT tide.pull(:'c') AS p \gset
SELECT * FROM show(:'p');
SELECT :'p'::json->'changesByType'->'plan'->0->>'name' AS name;
-- the same cursor gives the same again
SELECT * FROM show(tide.pull(:'c'));
SELECT :'p'::json->>'cursor' AS c \gset

-- deletions: with key and time; cascades; deletes of others are nobody else's business
SELECT clock_timestamp() AS t0 \gset
DELETE FROM plan WHERE id IN (1, 2);
DELETE FROM unit WHERE code = 'kg';
SELECT tide.pull(:'c') AS p \gset
SELECT * FROM show(:'p');
SELECT t, r->>'deletedAt' ~ 'Z$' AND (r->>'deletedAt')::timestamptz BETWEEN :'t0' AND clock_timestamp() AS "deletedAt", (SELECT count(*) FROM json_object_keys(r)) AS members
	FROM json_each(:'p'::json->'deletedByType') j(t, rs), json_array_elements(rs) r;
SELECT :'p'::json->>'cursor' AS c \gset
-- deleted and inserted again
BEGIN;
DELETE FROM plan WHERE id = 4;
INSERT INTO plan VALUES (4, 'ann', 'again');
COMMIT;
SELECT * FROM show(tide.pull(:'c'));

-- between scopes: for the one who loses it a deletion, for the other a row
SET request.jwt.claims = '{"sub": "bob"}';
SELECT tide.pull()->>'cursor' AS bob \gset
UPDATE plan SET user_id = 'bob' WHERE id = 4;
SELECT * FROM show(tide.pull(:'bob'));
SET request.jwt.claims = '{"sub": "ann"}';
SELECT tide.pull(:'c') AS p \gset
SELECT * FROM show(:'p');
SELECT :'p'::json->>'cursor' AS c \gset
-- moved away and back: a row; to nobody: a deletion; from nobody: a row
UPDATE plan SET user_id = 'ann' WHERE id = 4;
UPDATE plan SET user_id = 'bob' WHERE id = 4;
UPDATE plan SET user_id = 'ann' WHERE id = 4;
SELECT * FROM show(tide.pull(:'c'));
UPDATE plan SET user_id = NULL WHERE id = 4;
SELECT * FROM show(tide.pull(:'c'));
UPDATE plan SET user_id = 'ann' WHERE id = 3;
SELECT * FROM show(tide.pull(:'c'));
-- between two scopes of the same caller: a row
RESET request.jwt.claims;
SELECT tide.pull(scopes => '{ann,bob}')->>'cursor' AS both \gset
UPDATE plan SET user_id = 'bob' WHERE id = 3;
SELECT * FROM show(tide.pull(:'both', '{ann,bob}'));
-- a key change: the old key is deleted, the new one is a row
SELECT tide.pull(:'both', '{ann,bob}')->>'cursor' AS both \gset
UPDATE plan SET id = 33 WHERE id = 3;
SELECT * FROM show(tide.pull(:'both', '{ann,bob}'));
-- TRUNCATE
SELECT tide.pull(:'both', '{ann,bob}')->>'cursor' AS both \gset
TRUNCATE plan CASCADE;
SELECT * FROM show(tide.pull(:'both', '{ann,bob}'));
SELECT * FROM show(tide.pull());
-- the empty string is a scope like any other, not everybody's and not nobody's
TRUNCATE unit;
SELECT tide.pull(scopes => '{"",bob}')->>'cursor' AS empty \gset
SET request.jwt.claims = '{"sub": "ann"}';
SELECT tide.pull()->>'cursor' AS c \gset
INSERT INTO plan VALUES (50, '', 'x'), (51, 'ann', 'y'), (52, '', 'z');
DELETE FROM plan WHERE id = 52;
SELECT * FROM show(tide.pull(:'c'));
SELECT * FROM show(tide.pull());
RESET request.jwt.claims;
SELECT * FROM show(tide.pull(:'empty', '{"",bob}'));
SELECT * FROM show(tide.pull(scopes => '{""}'));
-- when another one deleted what had been ann's is not for ann to know
INSERT INTO plan VALUES (60, 'ann', 'x');
SELECT tide.pull(scopes => '{ann}')->>'cursor' AS c \gset
UPDATE plan SET user_id = 'bob' WHERE id = 60;
SELECT v.status, v.data->>'deletedAt' AS stamp FROM tide.delete('plan', '60', clock_timestamp() + interval '50 s', 'bob''s') v \gset
SELECT r->>'id' AS id, (r->>'deletedAt')::timestamptz <= clock_timestamp() AS "of this pull" FROM json_array_elements(tide.pull(:'c', '{ann}')->'deletedByType'->'plan') r;
SELECT r->>'id' AS id, r->>'deletedAt' = :'stamp' AS "the delete's" FROM json_array_elements(tide.pull(:'c', '{ann,bob}')->'deletedByType'->'plan') r;
DROP SCHEMA pull CASCADE;
