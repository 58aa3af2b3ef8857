-- What the change log says after each kind of statement, read as the superuser.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA capture;
SET search_path = capture;
CREATE TABLE plan (id int PRIMARY KEY, user_id text, title text, v int, at timestamptz, secret int);
CREATE TABLE day (id int PRIMARY KEY, user_id text, plan_id int REFERENCES plan ON DELETE CASCADE ON UPDATE CASCADE, n int);
CREATE INDEX ON plan (user_id);
CREATE INDEX ON day (user_id);
-- entries since the last call, a line each; no number of a transaction or entry
CREATE TABLE seen (xid xid8, seq bigint);
CREATE FUNCTION entries(OUT entry text) RETURNS SETOF text LANGUAGE sql AS $$
	WITH fresh AS (INSERT INTO seen SELECT xid, seq FROM tide.log l
			WHERE NOT EXISTS (SELECT FROM seen s WHERE s.seq = l.seq)
			AND relid IN ('plan'::regclass, 'day'::regclass)
		RETURNING xid, seq)
	SELECT e FROM (SELECT xid, concat_ws(' ', relid::regclass, coalesce(nullif(scope, ''), '(everybody)'), 'by ' || client_id,
			CASE WHEN cardinality(keys) > 5 THEN cardinality(keys) || ' keys'
			ELSE (SELECT array_agg(k ORDER BY k COLLATE "C")::text FROM unnest(keys) k) END) AS e
		FROM tide.log l JOIN fresh USING (xid, seq)) x ORDER BY xid, e COLLATE "C"
$$;

-- tracking is an entry without keys: all rows are new; again is nothing
SELECT tide.track('plan', scope => 'user_id', version => 'v', modified_at => 'at', exclude => '{secret}');
SELECT tide.track('day', scope => 'user_id');
SELECT entries();
SELECT tide.track('plan', scope => 'user_id', version => 'v', modified_at => 'at', exclude => '{secret}');
SELECT entries();

-- an entry for a statement and a scope
INSERT INTO plan (id, user_id, title) VALUES (1, 'ann', 'a'), (2, 'bob', 'b'), (3, 'ann', 'c'), (4, NULL, 'nobody');
SELECT entries();
UPDATE plan SET title = title || '!' WHERE user_id = 'ann' OR user_id IS NULL;
SELECT entries();
INSERT INTO plan (id, user_id) SELECT 1000 + i, 'many' FROM generate_series(1, 2500) i;
SELECT entries();
DELETE FROM plan WHERE user_id = 'many';
SELECT entries();

-- nothing that clients get has changed
UPDATE plan SET secret = 1;
UPDATE plan SET title = title, at = at;
UPDATE plan SET title = 'x' WHERE false;
DELETE FROM plan WHERE false;
INSERT INTO plan SELECT FROM plan WHERE false;
SELECT entries();
-- the change log names a client only for what it pushed itself
SET pg_tide.client_id = 'phone';
UPDATE plan SET title = 'renamed' WHERE id = 3;
RESET pg_tide.client_id;
SELECT entries();

-- scope and key changes name the row in both
UPDATE plan SET user_id = 'bob' WHERE id = 1;
SELECT entries();
UPDATE plan SET user_id = NULL WHERE id = 1;
SELECT entries();
UPDATE plan SET user_id = 'cyd' WHERE id = 1;
SELECT entries();
UPDATE plan SET id = 9 WHERE id = 3;
SELECT entries();

-- cascades and foreign-key actions, in the scopes of the children
INSERT INTO day VALUES (1, 'cyd', 1, 1), (2, 'eve', 1, 2), (3, 'bob', 2, 3);
SELECT entries();
UPDATE plan SET id = 11 WHERE id = 1;
SELECT entries();
DELETE FROM plan WHERE id = 11;
SELECT entries();

-- many kinds of writes in one statement
WITH gone AS (DELETE FROM day WHERE id = 3 RETURNING *), new AS (INSERT INTO day SELECT 4, 'fay', plan_id FROM gone RETURNING id)
	UPDATE plan SET title = 'cte' WHERE id = 2 AND EXISTS (SELECT FROM new);
SELECT entries();
INSERT INTO day VALUES (4, 'fay', 2, 44), (5, 'fay', 2, 5) ON CONFLICT (id) DO UPDATE SET n = excluded.n;
SELECT entries();
COPY day (id, user_id) FROM stdin;
6	gus
7	gus
\.
SELECT entries();

-- MERGE, or where there is none (14) what comes of it
DO $$ BEGIN
	IF current_setting('server_version_num')::int >= 150000 THEN
		EXECUTE 'MERGE INTO day d USING (VALUES (4, 1), (5, 2), (6, 3), (40, 4)) s(id, n) ON d.id = s.id
			WHEN MATCHED AND s.n = 1 THEN DELETE WHEN MATCHED AND s.n = 2 THEN UPDATE SET user_id = ''hua'' WHEN MATCHED THEN DO NOTHING
			WHEN NOT MATCHED THEN INSERT (id, user_id) VALUES (s.id, ''hua'')';
	ELSE
		INSERT INTO day (id, user_id) VALUES (40, 'hua');
		UPDATE day SET user_id = 'hua' WHERE id = 5;
		DELETE FROM day WHERE id = 4;
	END IF;
END $$;
SELECT entries();

-- rolled back: nothing; savepoints: what remains, under the top-level transaction
BEGIN;
INSERT INTO plan (id, user_id) VALUES (20, 'hal');
ROLLBACK;
SELECT entries();
BEGIN;
SAVEPOINT a;
INSERT INTO plan (id, user_id) VALUES (21, 'hal');
ROLLBACK TO a;
INSERT INTO plan (id, user_id) VALUES (22, 'hal');
SAVEPOINT b;
INSERT INTO plan (id, user_id) VALUES (23, 'hal');
RELEASE b;
DO $$ BEGIN INSERT INTO plan (id, user_id) VALUES (24, 'hal'); RAISE 'undone'; EXCEPTION WHEN raise_exception THEN NULL; END $$;
DO $$ BEGIN INSERT INTO plan (id, user_id) VALUES (25, 'hal'); EXCEPTION WHEN raise_exception THEN NULL; END $$;
SAVEPOINT c;
INSERT INTO plan (id, user_id) VALUES (26, 'hal'), (27, 'gil');
SELECT count(*), bool_and(xid = pg_current_xact_id()) AS "top-level" FROM tide.log WHERE scope IN ('hal', 'gil');
COMMIT;
SELECT entries();

-- TRUNCATE, also of those that refer to the table
TRUNCATE day;
SELECT entries();
INSERT INTO day VALUES (8, 'ivy', 2);
SELECT entries();
TRUNCATE plan CASCADE;
SELECT entries();
TRUNCATE plan, day;
SELECT entries();
-- a rewritten table changes nothing
INSERT INTO plan (id, user_id) VALUES (30, 'jay');
SELECT entries();
ALTER TABLE plan ADD extra int DEFAULT random() * 10;
SELECT entries();
-- what nobody may see is logged for nobody
SELECT count(*) FROM tide.log WHERE relid = 'plan'::regclass AND coalesce(scope, '') = '' AND cardinality(keys) > 0;
DROP SCHEMA capture CASCADE;

-- keys are compressed by lz4, if the server has it
SELECT a.attcompression = CASE WHEN 'lz4' = ANY (s.enumvals) THEN 'l' ELSE '' END AS by_lz4
FROM pg_attribute a, pg_settings s
WHERE a.attrelid = 'tide.log'::regclass AND a.attname = 'keys' AND s.name = 'default_toast_compression';
