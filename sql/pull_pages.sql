-- Pages: exact limits, nothing missing or twice, moving targets.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA pages;
SET search_path = pages;
CREATE TABLE plan (id int PRIMARY KEY, user_id text, n int);
CREATE TABLE day (id text, nr int, user_id text, PRIMARY KEY (nr, id));
CREATE TABLE unit (id uuid PRIMARY KEY);
CREATE INDEX ON plan (user_id, id);
INSERT INTO plan SELECT i, CASE i % 3 WHEN 0 THEN 'ann' WHEN 1 THEN 'bob' END, i FROM generate_series(1, 75) i;
SELECT tide.track('plan', scope => 'user_id');
SELECT tide.track('day', scope => 'user_id');
SELECT tide.track('unit', shared => true);
INSERT INTO day SELECT 'd' || i, i % 5, 'ann' FROM generate_series(1, 33) i;
INSERT INTO unit SELECT ('00000000-0000-0000-0000-0000000000' || i)::uuid FROM generate_series(10, 17) i;
SET request.jwt.claims = '{"sub": "ann"}';

CREATE TEMP TABLE pages (page int, item text, gone boolean);
-- all pages from a cursor on; what happens after the first of them. exact: those with hasMore hold just as many as asked for
CREATE FUNCTION read_all(since text, page_size int, meanwhile text DEFAULT NULL, OUT exact boolean, OUT pages int, OUT cursor text) LANGUAGE plpgsql AS $$
DECLARE
	p json;
	n int;
BEGIN
	DELETE FROM pages;
	pages := 0;
	cursor := since;
	exact := true;
	LOOP
		p := tide.pull(cursor, max_rows => page_size);
		pages := pages + 1;
		INSERT INTO pages SELECT read_all.pages, t || ' ' || concat(r->>'id', r->>'nr'), false FROM json_each(p->'changesByType') j(t, rs), json_array_elements(rs) r
			UNION ALL SELECT read_all.pages, t || ' ' || concat(r->>'id', r->>'nr'), true FROM json_each(p->'deletedByType') j(t, rs), json_array_elements(rs) r;
		GET DIAGNOSTICS n = ROW_COUNT;
		exact := exact AND CASE WHEN (p->>'hasMore')::boolean THEN n = page_size ELSE n <= page_size END;
		cursor := p->>'cursor';
		EXIT WHEN NOT (p->>'hasMore')::boolean;
		IF pages = 1 AND meanwhile IS NOT NULL THEN EXECUTE meanwhile; END IF;
		IF pages > 500 THEN RAISE 'no end'; END IF;
	END LOOP;
END $$;
-- how each row ends: what its last page says
CREATE VIEW final AS SELECT DISTINCT ON (item) item, split_part(item, ' ', 1) AS type, gone FROM pages ORDER BY item, page DESC;
\set summary 'SELECT count(*) AS rows, count(*) FILTER (WHERE gone) AS gone, count(*) FILTER (WHERE type = $$plan$$) AS plan, count(*) FILTER (WHERE type = $$day$$) AS day, count(*) FILTER (WHERE type = $$unit$$) AS unit FROM final'

-- the first pull, in every page size: 25 plans, 33 days, 8 units
SELECT s AS size, r.exact, r.pages FROM unnest('{7,1000,66,65,33}'::int[]) s, read_all(NULL, s) r;
SELECT exact, pages FROM read_all(NULL, 1);
SELECT count(*), count(DISTINCT item) AS once FROM pages;
:summary;
SELECT cursor AS c FROM read_all(NULL, 25) \gset
SELECT page, count(*) FROM pages GROUP BY 1 ORDER BY 1;
-- in key order, type after type, in every page
SELECT min(page) AS first, max(page) AS last, split_part(item, ' ', 1) AS type FROM pages GROUP BY 3 ORDER BY 1, 2;

-- changes, deletions counted as well
UPDATE plan SET n = -n WHERE id % 2 = 0;
DELETE FROM plan WHERE id % 9 = 0;
DELETE FROM day WHERE nr = 4;
INSERT INTO unit SELECT ('00000000-0000-0000-0000-0000000000' || i)::uuid FROM generate_series(20, 24) i;
SELECT exact FROM read_all(:'c', 4);
:summary;
SELECT exact, pages FROM read_all(:'c', 1000);
:summary;
SELECT exact FROM read_all(:'c', 1);
:summary;
SELECT cursor AS c1 FROM read_all(:'c', 5) \gset
SELECT exact, pages FROM read_all(:'c1', 5);
:summary;

-- a statement of more than 1000 keys, and one row changed a hundred times
INSERT INTO plan SELECT i, 'ann', 1 FROM generate_series(1001, 3500) i;
SELECT cursor AS c2 FROM read_all(:'c', 500) \gset
:summary;
DO $$ BEGIN FOR i IN 1..100 LOOP UPDATE plan SET n = i WHERE id = 1001; END LOOP; END $$;
SELECT exact, pages FROM read_all(:'c2', 10);
:summary;
DELETE FROM plan WHERE id > 1000;
SELECT cursor AS c2 FROM read_all(:'c2', 499) \gset
:summary;

-- what changes between two pages of a first pull is on a later page
SELECT exact FROM read_all(NULL, 10, $$INSERT INTO plan VALUES (0, 'ann'), (999, 'ann'); DELETE FROM plan WHERE id IN (3, 75); UPDATE plan SET n = 0 WHERE id IN (6, 69)$$);
SELECT item, gone, (SELECT max(page) > 1 FROM pages p WHERE p.item = f.item) AS later FROM final f WHERE item IN ('plan 0', 'plan 999', 'plan 3', 'plan 75', 'plan 6', 'plan 69') ORDER BY 1;
-- the same between two pages of the log
UPDATE plan SET n = n + 1;
SELECT exact, pages > 3 AS paged FROM read_all(:'c2', 6, $$INSERT INTO plan VALUES (1000, 'ann'); DELETE FROM plan WHERE id = 69; DELETE FROM plan WHERE id = 6; UPDATE plan SET n = 5 WHERE id = 12$$);
SELECT item, gone FROM final WHERE item IN ('plan 1000', 'plan 69', 'plan 6', 'plan 12') ORDER BY 1;
-- the union of all pages is the table
SELECT cursor AS c3 FROM read_all(NULL, 13, $$UPDATE plan SET n = 1 WHERE id < 40; DELETE FROM plan WHERE id IN (15, 21); INSERT INTO plan VALUES (15, 'ann', 15)$$) \gset
SELECT (SELECT array_agg(item ORDER BY item) FROM final WHERE type = 'plan' AND NOT gone)
	= (SELECT array_agg('plan ' || id ORDER BY 'plan ' || id) FROM plan WHERE user_id = 'ann') AS complete;

-- asked for less: no revocation; asked for more: the rest in full
SELECT tide.pull(entity_types => '{plan}', max_rows => 1000)->>'cursor' AS only_plan \gset
SELECT p->'stats' AS stats, p->'revokedScopes' AS revoked, p->>'cursor' AS then FROM tide.pull(:'only_plan', max_rows => 1000) p \gset
\echo :stats :revoked
SELECT tide.pull(:'then', max_rows => 1000)->'stats' AS then;
SELECT p->'stats' AS less, p->'revokedScopes' AS revoked, p->'reset' AS reset FROM tide.pull(:'then', entity_types => '{unit}') p;
-- scopes likewise
RESET request.jwt.claims;
SELECT tide.pull(scopes => '{ann}', max_rows => 1000)->>'cursor' AS only_ann \gset
SELECT p->'stats' AS bobs, p->>'cursor' AS both FROM tide.pull(:'only_ann', '{ann,bob}', max_rows => 1000) p \gset
\echo :bobs
SELECT tide.pull(:'both', '{ann,bob}', max_rows => 1000)->'stats' AS nothing;
SELECT p->'stats' AS nothing, p->'revokedScopes' AS revoked FROM tide.pull(:'both', '{bob}', max_rows => 1000) p;
-- a narrower cursor in the middle of tables, then a wider one
SELECT tide.pull(entity_types => '{plan}', scopes => '{ann}', max_rows => 5)->>'cursor' AS mid \gset
SELECT json_array_length(p->'changesByType'->'plan') = a - 5 AS rest FROM tide.pull(:'mid', '{ann}', '{plan}', 1000) p, (SELECT count(*) AS a FROM plan WHERE user_id = 'ann') a;
SELECT p->'changesByType'->'plan' IS NOT NULL AND json_array_length(p->'changesByType'->'plan') IN (a, a - 5) AS plans, json_array_length(p->'changesByType'->'day') = d AS days, json_array_length(p->'changesByType'->'unit') = u AS units
	FROM tide.pull(:'mid', '{ann,bob}', NULL, 1000) p, (SELECT count(*) AS a FROM plan WHERE user_id IN ('ann', 'bob')) a, (SELECT count(*) AS d FROM day WHERE user_id IN ('ann', 'bob')) d, (SELECT count(*) AS u FROM unit) u;

-- what the gateway asks for: the reply that tide.pull has, its rows and deletions counted, and whether there are more
INSERT INTO plan SELECT i, 'ann', i FROM generate_series(9001, 9003) i;
SELECT tide.cursor() AS counted \gset
SELECT items, more, reply->'hasMore' AS "hasMore", news, cursor = reply->>'cursor' AS same FROM tide.pull_page(:'counted');
UPDATE plan SET n = n + 1 WHERE id IN (9001, 9002);
DELETE FROM plan WHERE id = 9003;
SELECT l.n AS "limit", items, more, reply->'hasMore' AS "hasMore", reply->'stats' AS stats, news, cursor = reply->>'cursor' AS same,
	(reply::jsonb - '{syncTimestamp,serverTime}'::text[]) = (tide.pull(:'counted', max_rows => l.n)::jsonb - '{syncTimestamp,serverTime}'::text[]) AS same
FROM unnest('{2,3}'::int[]) l(n), tide.pull_page(:'counted', max_rows => l.n);
-- whether the reply says anything: that there is nothing is no news, but a reset, a lost scope or "from now on" is
SELECT items, news, cursor = reply->>'cursor' AS same FROM tide.pull_page('now');
DELETE FROM plan;
DELETE FROM day;
DELETE FROM unit;
SELECT items, news, reply->'reset' AS reset FROM tide.pull_page();
SELECT tide.pull(scopes => '{ann,bob}')->>'cursor' AS emptied \gset
SELECT items, news FROM tide.pull_page(:'emptied', '{ann,bob}');
SET request.jwt.claims = '{"sub": "ann"}';
SELECT items, news, reply->'revokedScopes' AS revoked FROM tide.pull_page(:'emptied');
RESET request.jwt.claims;
SELECT tide.untrack('plan'), tide.track('plan', scope => 'user_id');
SELECT items, news, reply->'resetTypes' AS "resetTypes" FROM tide.pull_page(:'emptied');
SELECT tide.prune('0 s') > 0 AS pruned;
SELECT items, news, reply->'resetReason' AS reset FROM tide.pull_page(:'emptied');
DROP SCHEMA pages CASCADE;
