-- A client that asks for less keeps its place in what it leaves out: later it
-- gets what it missed, deletions too, and nothing in full again.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA places;
SET search_path = places;
CREATE TABLE a (id int PRIMARY KEY, user_id text, n int);
CREATE TABLE b (id int PRIMARY KEY, user_id text, n int);
CREATE TABLE s (id int PRIMARY KEY, n int);
CREATE INDEX ON a (user_id);
CREATE INDEX ON b (user_id);
SELECT tide.track('a', scope => 'user_id'), tide.track('b', scope => 'user_id'), tide.track('s', shared => true);
INSERT INTO a SELECT i, CASE WHEN i % 2 = 0 THEN 'ann' ELSE 'bob' END FROM generate_series(1, 6) i;
INSERT INTO b SELECT i, CASE WHEN i % 2 = 0 THEN 'ann' ELSE 'bob' END FROM generate_series(1, 6) i;
INSERT INTO s VALUES (1), (2), (3);
CREATE FUNCTION my_scopes(claims jsonb) RETURNS text[] LANGUAGE sql AS $$ SELECT ARRAY['ann', 'bob', 'cyd'] $$;
SET pg_tide.scopes_function = 'places.my_scopes';
SET request.jwt.claims = '{"sub": "cora"}';

-- a reply in one line
CREATE FUNCTION short(p json) RETURNS text LANGUAGE sql AS $$
	SELECT concat_ws(' ',
		(SELECT string_agg('+' || t.key || (r->>'id'), ' ' ORDER BY t.key, (r->>'id')::int) FROM json_each(p->'changesByType') t, json_array_elements(t.value) r),
		(SELECT string_agg('-' || t.key || (r->>'id'), ' ' ORDER BY t.key, (r->>'id')::int) FROM json_each(p->'deletedByType') t, json_array_elements(t.value) r),
		'more ' || nullif(p->>'hasMore', 'false'), 'reset ' || (p->>'resetReason'), 'again ' || (p->>'resetTypes'), 'not ' || (p->>'unavailableTypes')) $$;
-- a client, all of whose pulls are one line each
CREATE TABLE client (name text PRIMARY KEY, cursor text);
CREATE FUNCTION pull(who text, types text[] DEFAULT NULL, scopes text[] DEFAULT NULL, max_rows int DEFAULT 100) RETURNS text LANGUAGE plpgsql AS $$
DECLARE p json := tide.pull((SELECT cursor FROM client WHERE name = who), scopes, types, max_rows);
BEGIN
	INSERT INTO client VALUES (who, p->>'cursor') ON CONFLICT (name) DO UPDATE SET cursor = excluded.cursor;
	RETURN coalesce(nullif(short(p), ''), 'nothing');
END $$;
CREATE FUNCTION copy(who text, to_ text) RETURNS void LANGUAGE sql AS $$ INSERT INTO client SELECT to_, cursor FROM client WHERE name = who ON CONFLICT (name) DO UPDATE SET cursor = excluded.cursor $$;

-- by type: the change and the deletion are told, and once
SELECT pull('x');
SELECT pull('x', '{a}');
DELETE FROM b WHERE id = 1;
UPDATE b SET n = 1 WHERE id = 2;
UPDATE a SET n = 1 WHERE id = 1;
SELECT pull('x', '{a}');
SELECT pull('x', '{s}');
SELECT pull('x');
SELECT pull('x');
-- by scope; a shared type belongs to every pull
DELETE FROM a WHERE id = 1;
DELETE FROM s WHERE id = 1;
SELECT pull('x', scopes => '{ann}');
SELECT pull('x', scopes => '{bob}');
SELECT pull('x');
-- both, crosswise
UPDATE a SET n = 2;
UPDATE b SET n = 2;
DELETE FROM a WHERE id IN (2, 3);
SELECT pull('x', '{a}', '{ann}');
SELECT pull('x', '{b}', '{bob}');
SELECT pull('x', NULL, '{ann}');
SELECT pull('x');
SELECT length(cursor) < 100 AS short_again FROM client;

-- who has asked for a part only gets the rest in full, without being told to drop anything
SELECT pull('y', '{a}', '{ann}');
SELECT pull('y', '{a,b}', '{ann}');
SELECT pull('y');
SELECT pull('y');

-- amid the tables: each part goes on where it was
SELECT pull('z', max_rows => 3);
DELETE FROM a WHERE id = 4;
UPDATE a SET n = 3 WHERE id = 5;
SELECT pull('z', '{b}', max_rows => 2);
SELECT pull('z', '{b}');
DELETE FROM b WHERE id = 6;
SELECT pull('z', '{a}', '{bob}');
SELECT pull('z');
SELECT pull('z');
-- amid the log likewise
INSERT INTO a SELECT i, 'ann' FROM generate_series(10, 15) i;
INSERT INTO b SELECT i, 'bob' FROM generate_series(10, 15) i;
SELECT pull('z', max_rows => 4);
SELECT pull('z', '{b}', max_rows => 4);
DELETE FROM b WHERE id = 10;
DELETE FROM a WHERE id IN (10, 15);
SELECT pull('z', '{a}', '{bob}');
SELECT pull('z', '{b}');
SELECT pull('z');
SELECT pull('z');

-- a row that moved from what is left out to what is asked for, and back: it has
-- moved, and is not gone
SELECT pull('x'), pull('z');
UPDATE a SET user_id = 'bob' WHERE id = 11;
SELECT pull('z', scopes => '{bob}');
SELECT pull('z', scopes => '{ann}');
UPDATE a SET user_id = 'cyd' WHERE id = 11;
SELECT pull('z', scopes => '{bob}');
SELECT pull('z');
-- but to whom has never asked for that scope, it is gone
SELECT pull('only', '{a}', '{bob}');
UPDATE a SET user_id = 'ann' WHERE id = 5;
SELECT pull('only', '{a}', '{bob}');

-- eight and more places
SELECT pull('x');
SELECT copy('x', 'many');
CREATE FUNCTION make(n int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1..n LOOP
		EXECUTE format('CREATE TABLE m%s (id int PRIMARY KEY); INSERT INTO m%1$s SELECT generate_series(1, 3); SELECT tide.track(''places.m%1$s'', shared => true)', i);
	END LOOP;
END $$;
SELECT make(40);
SELECT length(pull('many', max_rows => 1000)) > 0 AS pulled;
CREATE FUNCTION one_by_one(who text, n int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE came text[];
BEGIN
	FOR i IN 1..n LOOP
		EXECUTE format('DELETE FROM m%s WHERE id = 1; INSERT INTO m%1$s VALUES (%s)', i, 10 + i);
		came := came || pull(who, ARRAY['m' || i]);
	END LOOP;
	FOR i IN 1..n LOOP
		EXECUTE format('UPDATE m%s SET id = id + 100 WHERE id = 2', i);
	END LOOP;
	RETURN array_to_string(came, '; ');
END $$;
BEGIN;
SELECT one_by_one('many', 10);
COMMIT;
SELECT pull('many', '{m1,m2,m3,m4,m5}');
SELECT pull('many');
-- too many of them: what was left out longest comes in full again, and is named
INSERT INTO b VALUES (100, 'ann');
DO $$ BEGIN FOR i IN 1..40 LOOP EXECUTE format('DELETE FROM places.m%s WHERE id = 3', i); PERFORM places.pull('many', ARRAY['m' || i]); COMMIT; END LOOP; END $$;
SELECT pull('many', '{m40}');
DELETE FROM b WHERE id = 100;
SELECT pull('many', '{b}');
SELECT pull('many', '{b}');
SELECT pull('many', '{m40,m39,m38}');

-- one dropped table, and one that is new or tracked anew: only that one in full
SELECT pull('x', max_rows => 1000) <> '' AS pulled;
DELETE FROM s WHERE id = 2;
SELECT tide.untrack('s');
DELETE FROM s WHERE id = 3;
INSERT INTO s SELECT generate_series(4, 7);
UPDATE a SET n = 9 WHERE id = 12;
SELECT tide.track('s', shared => true);
SELECT pull('x', '{a,s}', max_rows => 2);
-- until it is complete, each page says so
SELECT pull('x', '{a,s}', max_rows => 2);
SELECT pull('x', '{a,s}', max_rows => 2);
SELECT pull('x', '{a,s}', max_rows => 2);
-- also to whom pulled while it was not tracked
SELECT pull('z', '{s}');
SELECT tide.untrack('s');
SELECT pull('z', '{s}');
SELECT tide.track('s', shared => true);
SELECT pull('z', '{s}');
-- and to whom has pulled without asking for it meanwhile, whenever it asks; seen to fail with what an earlier pull knew forgotten
SELECT pull('g') <> '' AS pulled;
SELECT tide.untrack('s');
DELETE FROM s WHERE id = 4;
UPDATE a SET n = 10 WHERE id = 12;
SELECT pull('g', '{a}');
SELECT tide.track('s', shared => true);
UPDATE a SET n = 9 WHERE id = 12;
SELECT pull('g', '{a}');
SELECT pull('g', '{a,s}'), pull('x', '{a}');

-- types that cannot be had: one that does not fit its settings goes on from its place
SELECT pull('x', '{a,b,nope}');
UPDATE a SET n = 10 WHERE id = 12;
ALTER TABLE a RENAME user_id TO owner;
UPDATE b SET n = 10 WHERE id = 11;
SELECT pull('x', '{a,b}');
SELECT pull('x', '{a}');
SELECT pull('x') ~ 'not \["a"\]$' AS named;
-- rows cannot say it, so an error does
SELECT tide.changes(entity_types => '{a}');
ALTER TABLE a RENAME owner TO user_id;
SELECT pull('x', '{a,b}');
-- what the caller has no right to: by name an error that says what is missing, else left out, also for want of the schema
CREATE ROLE regress_places;
GRANT SELECT ON a TO regress_places;
RESET pg_tide.scopes_function;
SET ROLE regress_places;
SET request.jwt.claims = '{"sub": "ann"}';
SELECT tide.pull(entity_types => '{a}');
\echo :LAST_ERROR_SQLSTATE
SELECT tide.pull()->'stats' AS nothing;
RESET ROLE;
GRANT USAGE ON SCHEMA places TO regress_places;
SET ROLE regress_places;
SELECT tide.pull(entity_types => '{b}');
\echo :LAST_ERROR_SQLSTATE
SELECT tide.pull()->'stats' AS a;
RESET ROLE;

-- from now on
SET pg_tide.scopes_function = 'places.my_scopes';
SELECT tide.scopes();
SELECT p->'stats' AS nothing, p->'hasMore' AS more, p->>'cursor' AS now FROM tide.pull('now', entity_types => '{a}') p \gset
\echo :nothing :more
UPDATE a SET n = 11 WHERE id = 12;
UPDATE b SET n = 11 WHERE id = 11;
SELECT short(tide.pull(:'now', entity_types => '{a}'));
SELECT short(tide.pull(:'now', '{bob}', '{a}'));
SELECT p->'stats' AS a_and_all_of_b FROM tide.pull(:'now', entity_types => '{a,b}') p;
RESET request.jwt.claims;
SELECT tide.scopes();
SET request.jwt.claims = '{"sub": "cora"}';

-- a place from before the horizon: that type in full again, the others go on
SELECT pull('x', max_rows => 1000) <> '' AS pulled;
DELETE FROM b WHERE id = 13;
UPDATE a SET n = 12 WHERE id = 12;
SELECT p->>'cursor' AS both, short(p) FROM client, tide.pull(cursor, entity_types => '{a}') p WHERE name = 'x' \gset
\echo :short
SELECT tide.prune('0 s') IS NOT NULL AS pruned;
UPDATE a SET n = 13 WHERE id = 12;
SELECT short(tide.pull(:'both', entity_types => '{a}'));
SELECT short(tide.pull(:'both', entity_types => '{b}'));
SELECT short(p), p->>'cursor' AS c FROM tide.pull(:'both', entity_types => '{a,b}') p \gset
\echo :short
SELECT short(tide.pull(:'c', entity_types => '{a,b}'));
-- a push looks at the place of its type
SELECT tide.push(json_build_object('cursor', :'both', 'changes', json_build_object('a', json_build_array(json_build_object('id', 20, 'user_id', 'ann'))))::jsonb)->'summary' AS pushed;
SELECT tide.push(json_build_object('cursor', :'both', 'changes', json_build_object('b', json_build_array(json_build_object('id', 20, 'user_id', 'ann'))))::jsonb);
\echo :LAST_ERROR_SQLSTATE
-- all of it is from before: the cursor is of no use
SELECT short(tide.pull(cursor, entity_types => '{s}')) FROM client WHERE name = 'x';
-- who drops only what it asked for is told to drop the rest later
SELECT p->>'cursor' AS c FROM client, tide.pull(cursor, entity_types => '{s}') p WHERE name = 'x' \gset
SELECT (tide.pull(:'c', max_rows => 1000)->'resetTypes')::jsonb @> '["a", "b"]' AS later;
-- nothing new, whatever others do: the cursor comes back as it was; what does not
-- concern the client but stands in its way is passed once
SET request.jwt.claims = '{"sub": "ann"}';
RESET pg_tide.scopes_function;
SELECT tide.pull(entity_types => '{a}', max_rows => 1000)->>'cursor' AS c \gset
INSERT INTO a VALUES (30, 'bob');
SELECT tide.pull(:'c', entity_types => '{a}')->>'cursor' = :'c' AS same;
INSERT INTO b VALUES (30, 'ann');
SELECT p->>'cursor' = :'c' AS same, p->>'cursor' AS c FROM tide.pull(:'c', entity_types => '{a}') p \gset
\echo :same
SELECT tide.pull(:'c', entity_types => '{a}')->>'cursor' = :'c' AS same;

-- a cursor that lists more running transactions than a server can have is refused before it costs anything
CREATE FUNCTION forge(cursor text, tail bytea) RETURNS text LANGUAGE sql AS $$
	SELECT translate(rtrim(encode(substr(b, 1, length(b) - 2) || tail, 'base64'), '='), E'+/\n', '-_')
	FROM decode(rpad(translate(cursor, '-_', '+/'), (length(cursor) + 3) / 4 * 4, '='), 'base64') b
$$;
SELECT forge(:'c', '\x0000') = :'c' AS unchanged;
SELECT tide.pull(forge(:'c', '\xa08d0690bf05' || decode(repeat('00', 90000), 'hex')));
\echo :LAST_ERROR_SQLSTATE
SELECT tide.push(jsonb_build_object('changes', '{}'::jsonb, 'cursor', forge(:'c', '\xa08d0690bf05' || decode(repeat('00', 90000), 'hex'))));
\echo :LAST_ERROR_SQLSTATE
-- and one from beyond all that the server has given out is none of this history
SELECT tide.pull(forge(:'c', '\xa08d060a' || decode(repeat('00', 10), 'hex')))->>'resetReason' AS reason;

DELETE FROM tide.horizon;	-- for the other tests' sake
DROP SCHEMA places CASCADE;
DROP ROLE regress_places;
