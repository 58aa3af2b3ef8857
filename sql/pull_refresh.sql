-- A type read in full again, with a cursor that is good: for a column that came
-- with a default, which changes no row.
-- Seen to fail with "seen" moved on when the reading begins (deletions were
-- missing), with a reading begun anew by each page (no end), with done_types and
-- the place kept (rows were missing), and without the time's part.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA refresh;
SET search_path = refresh;
CREATE TABLE plan (id int PRIMARY KEY, user_id text, n int);
CREATE TABLE unit (id int PRIMARY KEY, n int);
CREATE TABLE tag (id int PRIMARY KEY);
CREATE INDEX ON plan (user_id, id);
SELECT tide.track('plan', scope => 'user_id');
SELECT tide.track('unit', shared => true);
SELECT tide.track('tag', shared => true);
INSERT INTO plan SELECT i, CASE WHEN i % 5 = 0 THEN 'bob' ELSE 'ann' END, i FROM generate_series(1, 25) i;
INSERT INTO unit SELECT i, i FROM generate_series(1, 7) i;
INSERT INTO tag VALUES (1);
SET request.jwt.claims = '{"sub": "ann"}';

-- a client: its copy, a cursor, and how a round of pulls went
CREATE TABLE copy (type text, id int, data jsonb, PRIMARY KEY (type, id));
CREATE TABLE client (cursor text);
CREATE TYPE round AS (rows bigint, gone bigint, pages int, reset text, exact boolean, right_copy boolean);
CREATE VIEW truth AS SELECT 'plan' AS type, id, to_jsonb(p) - '{user_id,lastModifiedAt,clientId}'::text[] AS data FROM plan p WHERE user_id = 'ann'
	UNION ALL SELECT 'unit', id, to_jsonb(u) - '{lastModifiedAt,clientId}'::text[] FROM unit u
	UNION ALL SELECT 'tag', id, to_jsonb(t) - '{lastModifiedAt,clientId}'::text[] FROM tag t;
CREATE FUNCTION sync(refresh text[] DEFAULT NULL, size int DEFAULT 1000, every_page boolean DEFAULT false, meanwhile text DEFAULT NULL) RETURNS round LANGUAGE plpgsql AS $$
DECLARE
	r round := (0, 0, 0, NULL, true, NULL);
	p json;
	n int;
	m int;
BEGIN
	LOOP
		p := tide.pull((SELECT cursor FROM client), max_rows => size, refresh => CASE WHEN r.pages = 0 OR every_page THEN refresh END);
		r.pages := r.pages + 1;
		r.reset := coalesce(r.reset, p->>'resetReason');
		INSERT INTO copy SELECT t, (d->>'id')::int, d::jsonb - '{user_id,lastModifiedAt,clientId}'::text[] FROM json_each(p->'changesByType') j(t, ds), json_array_elements(ds) d
			ON CONFLICT ON CONSTRAINT copy_pkey DO UPDATE SET data = EXCLUDED.data;
		GET DIAGNOSTICS n = ROW_COUNT;
		SELECT count(*) INTO m FROM json_each(p->'deletedByType') j(t, ds), json_array_elements(ds) d;
		DELETE FROM copy c USING json_each(p->'deletedByType') j(t, ds), json_array_elements(ds) d WHERE c.type = t AND c.id = (d->>'id')::int;
		r.rows := r.rows + n;
		r.gone := r.gone + m;
		r.exact := r.exact AND CASE WHEN (p->>'hasMore')::boolean THEN n + m = size ELSE n + m <= size END;
		UPDATE client SET cursor = p->>'cursor';
		EXIT WHEN NOT (p->>'hasMore')::boolean;
		IF r.pages > 200 THEN RAISE 'no end'; END IF;
		IF r.pages = 1 AND meanwhile IS NOT NULL THEN EXECUTE meanwhile; END IF;
	END LOOP;
	r.right_copy := NOT EXISTS ((TABLE copy EXCEPT TABLE truth) UNION ALL (TABLE truth EXCEPT TABLE copy));
	RETURN r;
END $$;
INSERT INTO client VALUES (NULL);
SELECT * FROM sync();

-- a column with a default: no row has changed, and the copy is wrong
ALTER TABLE plan ADD mood text DEFAULT 'fine';
ALTER TABLE unit ADD size int DEFAULT 3;
SELECT * FROM sync();
-- the others go on from the cursor
UPDATE tag SET id = 2;
SELECT * FROM sync('{plan}');
SELECT * FROM sync('{unit}');
SELECT * FROM sync();

-- what is gone since the cursor is named, also of what was changed while pages were read
SELECT cursor AS c FROM client \gset
CREATE TABLE copied AS TABLE copy;
CREATE TABLE kept AS TABLE client;
CREATE PROCEDURE again() LANGUAGE sql AS $$ DELETE FROM copy; INSERT INTO copy TABLE copied; UPDATE client SET cursor = (SELECT cursor FROM kept) $$;
DELETE FROM plan WHERE id IN (1, 12, 24);
DELETE FROM unit WHERE id = 7;
UPDATE plan SET n = 100 + n WHERE id < 8;
INSERT INTO plan VALUES (30, 'ann', 30), (31, 'bob', 31);
UPDATE plan SET user_id = 'bob' WHERE id = 9;
UPDATE plan SET user_id = 'ann' WHERE id = 10;
SELECT * FROM sync('{plan}');
CALL again();
SELECT * FROM sync('{plan,unit}', 6);
CALL again();
SELECT * FROM sync('{plan,unit}', 1);
-- named with every page, it comes to an end
CALL again();
SELECT * FROM sync('{plan,unit}', 4, every_page => true);
SELECT * FROM sync();
CALL again();
SELECT * FROM sync('{plan}', 5, meanwhile => 'DELETE FROM plan WHERE id IN (2, 23); INSERT INTO plan VALUES (0, $$ann$$, 0); UPDATE plan SET n = -1 WHERE id IN (3, 22)');
SELECT * FROM sync();
-- a cursor in the middle of the log, and one in the middle of reading another type
CALL again();
UPDATE client SET cursor = tide.pull(:'c', entity_types => '{plan}', max_rows => 3)->>'cursor';
SELECT * FROM sync('{plan}');
CALL again();
UPDATE client SET cursor = tide.pull(:'c', max_rows => 3, refresh => '{unit}')->>'cursor';
SELECT * FROM sync('{plan}', 3);
-- in the middle of a first reading: what was read of it comes again, once, wherever that was
CREATE FUNCTION interrupted(size int, OUT missing bigint, OUT extra bigint) LANGUAGE plpgsql AS $$
DECLARE r round;
BEGIN
	UPDATE client SET cursor = tide.pull(NULL, max_rows => size)->>'cursor';
	DELETE FROM copy;
	r := sync('{plan}', 7, every_page => true);
	SELECT count(*) INTO missing FROM (SELECT * FROM truth WHERE type = 'plan' EXCEPT TABLE copy) t;
	extra := r.rows - (SELECT count(*) FROM copy);
END $$;
SELECT sum(missing) AS missing, sum(extra) AS extra, count(*) FROM generate_series(1, 25) size, interrupted(size);

-- since a time, and without anything
DELETE FROM tide.sample;
INSERT INTO tide.sample SELECT now() - interval '1 s', pg_current_snapshot();
SELECT tide.pull()->>'syncTimestamp' AS t \gset
SELECT tide.pull(:'t')->>'changesByType' AS nothing;
SELECT json_array_length(tide.pull(:'t', refresh => '{unit}')->'changesByType'->'unit') AS rows, tide.pull(:'t', refresh => '{unit}')->>'reset' AS reset;
SELECT json_array_length(tide.pull(refresh => '{unit}')->'changesByType'->'unit') AS rows;
-- less asked for than there is
UPDATE client SET cursor = tide.cursor();
SELECT json_array_length(tide.pull(cursor, entity_types => '{unit,plan}', refresh => '{unit}')->'changesByType'->'unit') AS rows FROM client;
SELECT tide.pull(cursor, refresh => '{}')->>'changesByType' AS nothing FROM client;

-- no
SELECT tide.pull(refresh => '{nope}');
\echo :SQLSTATE
SELECT tide.pull(refresh => '{unit,NULL}');
\echo :SQLSTATE
SELECT tide.pull(entity_types => '{plan}', refresh => '{unit}');
\echo :SQLSTATE
DROP SCHEMA refresh CASCADE;
