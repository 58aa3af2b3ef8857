-- Pull since a time: whole replies, never a row missed, in every format of a time.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA pulltime;
SET search_path = pulltime;
SET timezone = 'America/St_Johns';
DELETE FROM tide.log;	-- what other tests have done since 2001
CREATE TABLE t (id int PRIMARY KEY, user_id text);
CREATE TABLE u (id int PRIMARY KEY);
CREATE INDEX ON t (user_id);
SELECT tide.track('t', scope => 'user_id');
SET request.jwt.claims = '{"sub": "ann"}';
INSERT INTO t SELECT i, 'ann' FROM generate_series(1, 5) i;
-- Writers keep a sample a minute. Two from long ago stand for a history that
-- this test has no time to wait for; the one of now would make it one of a
-- clock that was set back.
DELETE FROM tide.sample;
INSERT INTO tide.sample VALUES ('2001-01-01T00:00:00Z', pg_current_snapshot());
INSERT INTO t VALUES (6, 'ann'), (7, 'bob');
INSERT INTO tide.sample VALUES ('2001-01-02T00:00:00Z', pg_current_snapshot());
INSERT INTO t VALUES (8, 'ann');
DELETE FROM t WHERE id = 1;
CREATE FUNCTION since("time" text, OUT rows text, OUT gone text, OUT "hasMore" text, OUT reset text, OUT reason boolean) LANGUAGE sql AS $$
	SELECT (SELECT string_agg(t || ':' || (SELECT string_agg(r->>'id', ',' ORDER BY (r->>'id')::int) FROM json_array_elements(rs) r), ' ') FROM json_each(p->'changesByType') j(t, rs)),
		(SELECT string_agg(r->>'id', ',' ORDER BY (r->>'id')::int) FROM json_array_elements(p->'deletedByType'->'t') r), p->>'hasMore', p->>'reset', p->>'resetReason' <> ''
	FROM tide.pull("time") p
$$;

-- a time means the newest sample not after it
SELECT s, r.* FROM unnest(ARRAY['2001-01-01T00:00:00Z', '2001-01-01T12:00:00Z', '2001-01-01T23:59:59.999999Z', '2001-01-02T00:00:00Z', '2001-01-03T00:00:00Z']) s, since(s) r;
-- before all samples: the tables, and reset
SELECT s, r.* FROM unnest(ARRAY['2000-12-31T23:59:59.999999Z', '1999-01-01', '0', '-1', '978307200', '0001-01-01T00:00:00Z']) s, since(s) r;
-- formats: with zones, Unix milliseconds; without a zone the earliest instant it can mean, 14 hours before UTC's
SELECT s, rows FROM unnest(ARRAY['2001-01-02T05:45:00+05:45', '2001-01-02T05:44:59+05:45', '2001-01-01T20:30:00-0330', '2001-01-01T20:29:59-0330', '2001-01-02 00:00:00Z',
	'978393600000', '978393599999', '978393600000.5', '2001-01-02T14:00:00', '2001-01-02T13:59:59.999', '2001-01-02', '2001-01-03']) s, since(s);
-- the server's own times, as clients keep them, in both spellings
SELECT tide.pull()->>'serverTime' AS iso, extract(epoch FROM clock_timestamp()) * 1000 AS ms \gset
INSERT INTO t VALUES (9, 'ann');
SELECT (rows || ',') ~ '[:,]9,' AS "9 is there", "hasMore", reset FROM since(:'iso');
SELECT (rows || ',') ~ '[:,]9,' AS "9 is there", "hasMore", reset FROM since(split_part(:'ms', '.', 1));
-- a time in the future is now: nothing that is there is missed later
SELECT tide.pull('2100-01-01T00:00:00Z')->>'cursor' AS c \gset
INSERT INTO t VALUES (10, 'ann');
SELECT r->>'id' AS id FROM json_array_elements(tide.pull(:'c')->'changesByType'->'t') r;

-- whole, whatever max_rows says; the cursor of the reply goes on from it
SELECT json_array_length(p->'changesByType'->'t') AS rows, p->'hasMore' AS "hasMore", p->>'cursor' AS c FROM tide.pull('2001-01-01T00:00:00Z', max_rows => 1) p \gset
\echo :rows :hasMore
SELECT tide.pull(:'c')->'stats' AS stats;
UPDATE t SET user_id = 'bob' WHERE id = 2;
SELECT p->'deletedByType'->'t'->0->>'id' AS moved FROM tide.pull(:'c') p;
SELECT gone FROM since('2001-01-02T00:00:00Z');
-- but not beyond the limit of such replies
SET pg_tide.max_time_rows = 3;
SELECT tide.pull('2001-01-01T00:00:00Z');
\echo :LAST_ERROR_SQLSTATE
SELECT tide.pull('1999-01-01T00:00:00Z');
SET pg_tide.max_time_rows = 7;
SELECT "hasMore" FROM since('2001-01-02T00:00:00Z');
RESET pg_tide.max_time_rows;

-- a type that was tracked after that time is read in full
INSERT INTO u VALUES (1), (2);
SELECT tide.track('u', shared => true);
SELECT rows, "hasMore" FROM since('2001-01-02T00:00:00Z');
-- narrowed
SELECT p->'stats' AS stats FROM tide.pull('2001-01-01T00:00:00Z', entity_types => '{u}') p;
RESET request.jwt.claims;
SELECT p->'changesByType'->'t'->0->>'id' AS id FROM tide.pull('2001-01-01T00:00:00Z', scopes => '{bob}', entity_types => '{t}') p;
-- a delete of a row that this time has never seen does no harm
SELECT p->'changesByType' AS changes FROM tide.pull('2001-01-01T00:00:00Z', scopes => '{nobody}', entity_types => '{t}') p;

-- a table untracked and tracked again since then: nobody knows what went meanwhile, so all of it, and it is named, but not the others;
-- seen to fail without the entry that untrack writes
RESET request.jwt.claims;
INSERT INTO tide.sample VALUES ('2001-01-03T00:00:00Z', pg_current_snapshot());
UPDATE t SET user_id = user_id WHERE id = 9;
DELETE FROM t WHERE id = 10;
SELECT tide.untrack('u');
DELETE FROM u WHERE id = 1;
SELECT rows, gone, reset FROM since('2001-01-03T00:00:00Z');
SELECT tide.track('u', shared => true);
SELECT p->>'reset' AS reset, p->>'resetTypes' AS types, json_array_length(p->'deletedByType'->'t') AS gone, json_array_length(p->'changesByType'->'t') AS t, p->'changesByType'->'u' IS NOT NULL AS u FROM tide.pull('2001-01-03T00:00:00Z') p;
SELECT p->>'reset' AS reset, p->>'deletedByType' <> '{}' AS gone FROM tide.pull('2001-01-03T00:00:00Z', entity_types => '{t}') p;
INSERT INTO tide.sample VALUES ('2001-01-04T00:00:00Z', pg_current_snapshot());
-- tracked again with another scope is that, too; with other settings it is not
SELECT tide.track('u', shared => true, conflict => 'client_wins');
SELECT reset FROM since('2001-01-04T00:00:00Z');
SELECT tide.track('t', shared => true);
SELECT p->>'reset' AS reset, p->>'resetTypes' AS types FROM tide.pull('2001-01-04T00:00:00Z') p;

-- writers keep samples by themselves: there is one not older than a minute or so
DELETE FROM tide.sample;
\c -
SET client_min_messages = warning;
SET search_path = pulltime;
INSERT INTO u VALUES (77);
SELECT max(at) > clock_timestamp() - interval '3 min' AS recent FROM tide.sample;
-- the clock was set back by two hours, and ran on from there: a time that it said twice means the first one, for
-- nobody knows how far it had come; seen to fail with the newest sample that is not after the time
DELETE FROM tide.sample;
TRUNCATE t;
INSERT INTO tide.sample VALUES ('2001-02-01T10:00:00Z', pg_current_snapshot());
INSERT INTO t VALUES (20, 'ann');
INSERT INTO tide.sample VALUES ('2001-02-01T11:00:00Z', pg_current_snapshot());
INSERT INTO t VALUES (21, 'ann');
INSERT INTO tide.sample VALUES ('2001-02-01T09:30:00Z', pg_current_snapshot());
INSERT INTO t VALUES (22, 'ann');
INSERT INTO tide.sample VALUES ('2001-02-01T10:30:00Z', pg_current_snapshot());
INSERT INTO t VALUES (23, 'ann');
INSERT INTO tide.sample VALUES ('2001-02-01T11:30:00Z', pg_current_snapshot());
INSERT INTO t VALUES (24, 'ann');
INSERT INTO tide.sample VALUES ('2001-02-03T12:00:00Z', pg_current_snapshot());
INSERT INTO t VALUES (25, 'ann');
SELECT s, rows, reset FROM unnest(ARRAY['2001-02-01T09:45:00Z', '2001-02-01T10:45:00Z', '2001-02-01T11:15:00Z', '2001-02-01T11:45:00Z', '2001-02-02T12:00:00Z', '2001-02-04T12:00:00Z']) s, since(s);
DELETE FROM tide.sample;
DROP SCHEMA pulltime CASCADE;
