-- A page ends at a number of bytes, too: exact places, at least one row, and rows that are too large.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA bytes;
SET search_path = bytes;
CREATE TABLE doc (id int PRIMARY KEY, user_id text, s text);
CREATE TABLE part (id int PRIMARY KEY, user_id text, s text);
CREATE TABLE unit (id int PRIMARY KEY);
CREATE INDEX ON doc (user_id, id);
CREATE INDEX ON part (user_id, id);
SELECT tide.track('doc', scope => 'user_id'), tide.track('part', scope => 'user_id'), tide.track('unit', shared => true);
INSERT INTO doc SELECT i, (ARRAY['ann', 'bob', 'eve'])[i % 3 + 1], repeat('d', i * 7) FROM generate_series(1, 30) i;
INSERT INTO part SELECT i, (ARRAY['ann', 'bob', 'eve'])[i % 3 + 1], repeat('p', 100) FROM generate_series(1, 20) i;
INSERT INTO unit SELECT generate_series(1, 9);
CREATE TEMP TABLE pages (page int, item text, gone boolean, bytes int);
-- all pages from a cursor on: how many, whether each is as full as it can be, how large the largest is
CREATE FUNCTION read_all(since text, max_bytes int, max_rows int DEFAULT 500, scopes text[] DEFAULT '{ann,bob}', OUT pages int, OUT rows int, OUT twice int, OUT full_pages boolean, OUT cursor text) LANGUAGE plpgsql AS $$
DECLARE
	p record;
	n int;
	size int;
	before int := 0;
BEGIN
	DELETE FROM pages;
	pages := 0;
	cursor := since;
	full_pages := true;
	LOOP
		SELECT * INTO p FROM tide.pull_page(cursor, scopes, max_rows => max_rows, max_bytes => read_all.max_bytes);
		pages := pages + 1;
		INSERT INTO pages SELECT read_all.pages, t || ' ' || (r->>'id'), false, octet_length(r::text) FROM json_each(p.reply->'changesByType') j(t, rs), json_array_elements(rs) r
			UNION ALL SELECT read_all.pages, t || ' ' || (r->>'id'), true, octet_length(r::text) FROM json_each(p.reply->'deletedByType') j(t, rs), json_array_elements(rs) r;
		SELECT count(*), sum(g.bytes) INTO n, size FROM pages g WHERE g.page = read_all.pages;
		full_pages := full_pages AND n = p.items AND n <= max_rows AND (n > 0 OR NOT p.more) AND (n <= 1 OR size <= max_bytes);
		cursor := p.cursor;
		EXIT WHEN NOT p.more;
		IF pages > 500 THEN RAISE 'no end'; END IF;
	END LOOP;
	SELECT count(*), count(*) - count(DISTINCT item) INTO rows, twice FROM pages;
END $$;
-- first reads, over the borders of scopes and tables
SELECT b AS bytes, pages, rows, twice, full_pages, cursor IS NOT NULL AS cursor FROM unnest('{1,300,900,5000,8388608}'::int[]) b, read_all(NULL, b);
SELECT l.n AS "limit", pages, rows, twice, full_pages FROM unnest('{1,3,40}'::int[]) l(n), read_all(NULL, 700, l.n);
-- one row more would have been too much: the first of each page and all of the one before
SELECT pages FROM read_all(NULL, 700, scopes => '{ann}');
SELECT count(*), bool_and(before + (SELECT min(p.bytes) FROM pages p WHERE p.page = f.page) >= 700) AS as_full_as_can_be
	FROM (SELECT page, lag(sum(bytes)) OVER (ORDER BY page) + lag(count(*)) OVER (ORDER BY page) AS before FROM pages WHERE item LIKE 'doc%' GROUP BY page) f WHERE before IS NOT NULL;
-- changes: rows, deletions, a row that came into a scope and one that left it
SELECT cursor AS then FROM read_all(NULL, 8388608) \gset
UPDATE doc SET s = s || 'x' WHERE id > 8;
DELETE FROM part WHERE id IN (3, 4, 9, 10, 15, 16);
UPDATE part SET user_id = 'bob' WHERE id = 2;
UPDATE part SET user_id = 'ann' WHERE id = 5;
UPDATE part SET user_id = NULL WHERE id = 6;
UPDATE doc SET s = 'y' WHERE id IN (9, 10, 11);
INSERT INTO unit SELECT generate_series(11, 19);
SELECT b AS bytes, pages, rows, twice, full_pages FROM unnest('{1,60,300,900,8388608}'::int[]) b, read_all(:'then', b);
-- a client that asks for less in the middle, and one whose scopes grow in it
SELECT tide.pull(:'then', '{ann,bob}', max_bytes => 200)->>'cursor' AS mid \gset
SELECT cursor AS narrowed FROM read_all(:'mid', 200, scopes => '{bob}') \gset
SELECT count(*) FROM pages;
SELECT rows, twice FROM read_all(:'narrowed', 300);
SELECT rows, twice FROM read_all(:'mid', 300, scopes => '{ann,bob,eve}');
-- types that are read again say so until they are complete
SELECT tide.untrack('part'), tide.track('part', scope => 'user_id');
SELECT p->'resetTypes' AS "resetTypes", p->'hasMore' AS "hasMore" FROM tide.pull(:'then', '{ann,bob}', max_bytes => 200) p;
SELECT rows, twice, full_pages FROM read_all(:'then', 200);
-- what is asked for again is asked for once, on all pages
SELECT cursor AS rest FROM read_all(NULL, 8388608) \gset
SELECT count(*) > 10 AS pages, sum(json_array_length(r)) AS rows FROM (WITH RECURSIVE p AS (SELECT tide.pull(:'rest', '{ann,bob}', max_bytes => 250, refresh => '{doc}') AS r
	UNION ALL SELECT tide.pull(r->>'cursor', '{ann,bob}', max_bytes => 250, refresh => '{doc}') FROM p WHERE (r->>'hasMore')::boolean) SELECT r->'changesByType'->'doc' AS r FROM p) p;
-- within a transaction that writes
BEGIN;
UPDATE doc SET s = 'z' WHERE user_id = 'ann';
SELECT pages > 3 AS pages, rows, full_pages FROM read_all(:'rest', 150);
ROLLBACK;

-- at least one row, however large
TRUNCATE doc, part, unit;
INSERT INTO doc SELECT i, 'ann', repeat('x', 11 * 1024 * 1024) FROM generate_series(1, 3) i;
SELECT pages, rows, twice FROM read_all(NULL, 8388608);
-- but not of any size: named, and a way past it
ALTER TABLE doc ALTER s SET STORAGE EXTERNAL;
INSERT INTO part SELECT i, 'ann', 'p' FROM generate_series(1, 3) i;
INSERT INTO doc SELECT 4, 'ann', repeat('x', 65 * 1024 * 1024);
CREATE FUNCTION refused(since text, max_bytes int DEFAULT 8388608, types text[] DEFAULT NULL, OUT message text, OUT hint text) LANGUAGE plpgsql AS $$ BEGIN
	SELECT sum(items) || ' items' INTO message FROM tide.pull_page(since, '{ann}', types, 500, max_bytes => max_bytes);
	EXCEPTION WHEN OTHERS THEN GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT; message := sqlstate || ' ' || message; END $$;
SELECT tide.pull(NULL, '{ann}', '{doc}', 3, max_bytes => 1073741823)->>'cursor' AS before \gset
SELECT * FROM refused(:'before');
SELECT message FROM refused(:'before', types => '{part}');
SELECT message FROM refused(:'before', 1000, types => '{doc}');
-- the rows before it come first
SELECT items, more, cursor AS next FROM tide.pull_page(NULL, '{ann}', '{doc}', max_bytes => 40000000) \gset first_
SELECT :first_items AS items, :'first_more' AS more;
SELECT message FROM refused(:'first_next', 40000000, types => '{doc}');
SELECT tide.track('doc', scope => 'user_id', exclude => '{s}');
SELECT message FROM refused(NULL);
SELECT tide.track('doc', scope => 'user_id');
-- a key that is long; there is no more in its row than it allows, but in what becomes of it
CREATE TABLE huge (id text PRIMARY KEY, s text);
INSERT INTO huge SELECT repeat('ü', 150) || 'end', repeat(E'\x01', 11 * 1024 * 1024);
SELECT tide.track('huge', shared => true);
SELECT message FROM refused(NULL, types => '{huge}');
DROP TABLE huge;
-- since a time it is one reply: not more than that either
CREATE TABLE big (id int PRIMARY KEY, s text);
SELECT tide.track('big', shared => true);
INSERT INTO big SELECT i, repeat('x', 9 * 1024 * 1024) FROM generate_series(1, 8) i;
SELECT * FROM refused('2001-01-01T00:00:00Z', types => '{big}');
SELECT message FROM refused('2001-01-01T00:00:00Z', 100000000, types => '{big}');
SELECT message FROM refused(NULL, 0);
SELECT message FROM refused(NULL, -1);
DROP SCHEMA bytes CASCADE;
