-- Pulls that are refused: cursors, times, limits, entity types, scopes.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA pullno;
SET search_path = pullno;
SET timezone = 'UTC';
CREATE TABLE note (id int PRIMARY KEY, user_id text);
CREATE INDEX ON note (user_id);
SELECT tide.track('note', scope => 'user_id');
INSERT INTO note VALUES (1, 'ann'), (2, 'bob');
SELECT tide.cursor() AS cursor \gset

-- the SQLSTATE of a call, and whether its message is free of what it was given
CREATE FUNCTION refusal(since text, OUT code text, OUT message text) LANGUAGE plpgsql AS $$
BEGIN
	PERFORM tide.pull(since);
	code := 'not refused';
EXCEPTION WHEN OTHERS THEN
	code := SQLSTATE;
	message := SQLERRM;
END $$;

-- neither a cursor nor a time
SELECT s, r.code FROM unnest(ARRAY['x', 'yesterday', 'Now', 'infinity', '-infinity', '2024-02-30', '2024-13-01T00:00:00Z', '2024-02-29T12:34:56 nowhere',
	'1e400', '-', '.', '99999999999999999999', '0x10', 'null', '{}', '12:34', 'AQ', 'A', 'A!', 'AQ==', '====']) WITH ORDINALITY AS x(s, n), refusal(s) r ORDER BY n;
SELECT length(s), r.code FROM unnest(ARRAY[repeat('A', 100), repeat('Z', 10000), repeat('9', 10000)]) AS x(s), refusal(s) r;
-- a cursor cut short, prolonged, or with a character changed is malformed, never an internal error
SELECT r.code, count(*) > 0 AS "some" FROM generate_series(1, length(:'cursor') - 1) n, refusal(left(:'cursor', n)) r GROUP BY 1 ORDER BY 1;
SELECT r.code FROM unnest(ARRAY['A', 'AA', '=', ' ', '.']) tail, refusal(:'cursor' || tail) r;
SELECT bool_and(r.code IN ('not refused', 'TD001', 'TD002', 'TD004')) AS "no internal error" FROM generate_series(1, length(:'cursor')) n,
	unnest(ARRAY['A', 'Q', '_', '0', '-', '*']) c, refusal(overlay(:'cursor' PLACING c FROM n FOR 1)) r;
SELECT DISTINCT r.code FROM generate_series(1, length(:'cursor')) n, refusal(overlay(:'cursor' PLACING '+' FROM n FOR 1)) r ORDER BY 1;
-- the version comes first
SELECT r.code FROM unnest(ARRAY['A', '_', 'w']) c, refusal(overlay(:'cursor' PLACING c FROM 1 FOR 1)) r;
SELECT tide.pull(left(:'cursor', 10));
SELECT tide.pull('next week');

-- the empty string is no cursor: everything
SELECT tide.pull('')->'stats' AS stats;

-- max_rows
SELECT tide.pull(max_rows => 0);
\echo :LAST_ERROR_SQLSTATE
SELECT tide.pull(max_rows => -1);
SELECT * FROM tide.changes(max_rows => 0);
SELECT tide.pull(max_rows => NULL)->'stats' AS "the default";
SELECT tide.pull(max_rows => 2147483647)->'stats' AS stats;

-- entity types
SELECT p->'unavailableTypes' AS unavailable, p->'stats' AS stats FROM tide.pull(entity_types => '{nothing}') p;
SELECT p->'unavailableTypes' AS unavailable, p->'stats' AS stats FROM tide.pull(entity_types => '{Note,note,Note,nothing}') p;
SELECT p->'unavailableTypes' AS none, p->'stats' AS stats FROM tide.pull(entity_types => '{}') p;
-- a type that cannot be had is no error, but so many are one
SELECT tide.pull(entity_types => ARRAY(SELECT 'type ' || i FROM generate_series(1, 10001) i));
\echo :LAST_ERROR_SQLSTATE
SELECT tide.pull(entity_types => '{NULL}');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM tide.changes(entity_types => '{nothing}');
SELECT tide.pull(entity_types => '{note,note}')->'stats' AS twice;
SELECT p->'stats' AS none, p->'hasMore' AS "hasMore" FROM tide.pull(entity_types => '{}') p;

-- scopes
SELECT tide.pull(scopes => '{NULL}');
\echo :LAST_ERROR_SQLSTATE
SELECT tide.pull(scopes => '{ann,ann}')->'stats' AS twice;
SELECT tide.pull(scopes => '{}')->'stats' AS none;
SELECT tide.pull(scopes => '{zoe}')->'stats' AS nobody;
SET request.jwt.claims = '{"sub": "ann"}';
SELECT tide.pull(scopes => '{bob}');
\echo :LAST_ERROR_SQLSTATE
SELECT tide.pull(scopes => '{ann,bob}');
SELECT * FROM tide.changes(scopes => '{bob}');
SELECT tide.pull(scopes => '{ann}')->'stats' AS mine;
SELECT tide.pull(scopes => '{}')->'stats' AS none;
RESET request.jwt.claims;

-- a hand-made cursor is bound by the scopes that are allowed now
SELECT tide.cursor() AS everyone \gset
INSERT INTO note VALUES (3, 'bob'), (4, 'ann');
SET request.jwt.claims = '{"sub": "ann"}';
SELECT e.value->>'id' AS id FROM json_array_elements(tide.pull(:'everyone')->'changesByType'->'note') e;
SET request.jwt.claims = '{"sub": "bob"}';
SELECT e.value->>'id' AS id FROM json_array_elements(tide.pull(:'everyone')->'changesByType'->'note') e;

-- settings
SET pg_tide.times = 'seconds';
SET pg_tide.max_time_rows = 0;
DROP SCHEMA pullno CASCADE;
