-- tide.pull_lines: what streams are made of.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA lines;
SET search_path = lines;
CREATE TABLE parent (id int PRIMARY KEY, user_id text, j json);
CREATE TABLE child (id int PRIMARY KEY, user_id text, parent int REFERENCES parent ON DELETE CASCADE);
CREATE INDEX ON parent (user_id, id);
CREATE INDEX ON child (user_id, id);
CREATE INDEX ON child (parent);
SELECT tide.track('parent', scope => 'user_id'), tide.track('child', scope => 'user_id');
INSERT INTO parent SELECT i, 'ann', E'{"a":\r\n\t[1,\n2], "s": "x\\ny"}' FROM generate_series(1, 3) i;
INSERT INTO child SELECT i, 'ann', i % 3 + 1 FROM generate_series(1, 4) i;
CREATE FUNCTION show(lines text, OUT line json) RETURNS SETOF json LANGUAGE sql AS $$
	SELECT regexp_replace(regexp_replace(l, ',"lastModifiedAt":"[^"]*","clientId":null|,"deletedAt":"[^"]*"', ''), '"cursor":"[^"]*"', '"cursor":"..."')::json
	FROM regexp_split_to_table(rtrim(lines, E'\n'), E'\n') WITH ORDINALITY t(l, n) ORDER BY n $$;
-- all pages from a place on: their lines, and what comes beside
CREATE FUNCTION read_all(since text, max_rows int, refresh text[] DEFAULT NULL, OUT page int, OUT items int, OUT more boolean, OUT begins boolean, OUT says text, OUT counts json, OUT types text) RETURNS SETOF record LANGUAGE plpgsql AS $$
DECLARE
	p record;
BEGIN
	page := 0;
	LOOP
		SELECT * INTO p FROM tide.pull_lines(since, '{ann}', max_rows => max_rows, refresh => refresh);
		page := page + 1;
		items := p.items;
		more := p.more;
		begins := p.must_open;
		says := rtrim(p.opening, E'\n');
		counts := p.counts;
		SELECT string_agg(concat_ws(' ', l->>'type', coalesce(l->'row', l->'deleted')->>'id', CASE WHEN l->'deleted' IS NOT NULL THEN 'gone' END), ', ') INTO types FROM show(p.lines) l WHERE l->'type' IS NOT NULL;
		RETURN NEXT;
		since := p.cursor;
		EXIT WHEN NOT p.more;
		IF page > 100 THEN RAISE 'no end'; END IF;
	END LOOP;
END $$;
-- a line each, whatever the rows hold; parents first
SELECT line FROM tide.pull_lines(scopes => '{ann}') p, show(p.lines);
SELECT opening, must_open, items, more, news, counts, tail LIKE '"cursor":"' || cursor || '","syncTimestamp":"2%Z","serverTime":"2%Z"' AS tail FROM tide.pull_lines(scopes => '{ann}', entity_types => '{parent,child,none}');
SELECT page, items, more, counts, types FROM read_all(NULL, 3);
SELECT l.*, items FROM unnest('{100,200,1000000}'::int[]) l(page_bytes), tide.pull_lines(scopes => '{ann}', page_bytes => l.page_bytes);
SELECT items FROM tide.pull_lines(scopes => '{ann}', max_bytes => 100, page_bytes => 1000000);
-- deletions, children first
SELECT cursor AS before FROM tide.pull_lines(scopes => '{ann}') \gset
DELETE FROM tide.sample;
INSERT INTO tide.sample VALUES ('2001-01-02T00:00:00Z', pg_current_snapshot());
DELETE FROM parent WHERE id = 2;
UPDATE parent SET j = NULL WHERE id = 1;
SELECT line FROM tide.pull_lines(:'before', '{ann}') p, show(p.lines);
SELECT line, items, news FROM tide.pull_lines('now', '{ann}') p, show(p.lines);
-- since a time: by pages, too, and as the one reply that it is else
SELECT page, items, more, begins, types FROM read_all('2001-01-03T00:00:00Z', 2);
SELECT p->'stats' AS stats, json_array_length(p->'deletedByType'->'child') AS children, p->'reset' AS reset FROM tide.pull('2001-01-03T00:00:00Z', '{ann}') p;
-- from before tracking: everything, and so much is said once
SELECT page, items, more, begins, says::json->'begin'->'reset' AS reset FROM read_all('2001-01-01T00:00:00Z', 3);
-- a type that was tracked since then is read from its table, and said to be
SELECT tide.untrack('child'), tide.track('child', scope => 'user_id');
SELECT page, items, more, begins, says::json->'begin'->'resetTypes' AS "resetTypes", types FROM read_all('2001-01-03T00:00:00Z', 2);
-- as one that is to be read again
SELECT count(*) < 20 AS ends, bool_or(types LIKE '%parent 3%') AS again, array_length(string_to_array(string_agg(types, ', '), 'parent 3'), 1) - 1 AS times FROM read_all('2001-01-03T00:00:00Z', 2, refresh => '{parent}');
SELECT page, says FROM read_all(:'before', 3);
SET request.jwt.claims = '{"sub": "bob"}';
SELECT opening, must_open FROM tide.pull_lines(:'before');
DROP SCHEMA lines CASCADE;
