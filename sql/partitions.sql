-- Partitioned tables: what the change log says of each kind of write, through
-- the root and to a partition itself.
-- Seen to fail with statement triggers in place of the row triggers (writes to
-- partitions, MERGE, the dropped row), with registry_lookup_rows() giving the
-- root's layout (us and de have columns elsewhere), without the TRUNCATE
-- trigger of partitions.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA partitions;
SET search_path = partitions;
CREATE TABLE plan (id int, region text, user_id text, title text, secret int, PRIMARY KEY (region, id)) PARTITION BY LIST (region);
CREATE TABLE plan_eu PARTITION OF plan FOR VALUES IN ('de', 'fr') PARTITION BY LIST (region);
CREATE TABLE plan_fr PARTITION OF plan_eu FOR VALUES IN ('fr');
-- other columns in other places, one of them dropped
CREATE TABLE plan_us (gone text, user_id text, region text NOT NULL, secret int, id int NOT NULL, title text);
ALTER TABLE plan_us DROP COLUMN gone;
ALTER TABLE plan ATTACH PARTITION plan_us FOR VALUES IN ('us');
CREATE TABLE plan_de (id int NOT NULL, gone int, gone2 int, title text, region text NOT NULL, user_id text, secret int);
ALTER TABLE plan_de DROP COLUMN gone, DROP COLUMN gone2;
ALTER TABLE plan_eu ATTACH PARTITION plan_de FOR VALUES IN ('de');
CREATE TABLE plan_rest PARTITION OF plan DEFAULT;
CREATE TABLE day (id int PRIMARY KEY, user_id text, region text, plan_id int,
	FOREIGN KEY (region, plan_id) REFERENCES plan ON DELETE CASCADE ON UPDATE CASCADE);
CREATE INDEX ON plan (user_id, region, id);
CREATE INDEX ON day (user_id, id);
-- entries since the last call, a line each; no number of a transaction or entry
CREATE TABLE seen (seq bigint);
CREATE FUNCTION entries(OUT entry text) RETURNS SETOF text LANGUAGE sql AS $$
	WITH fresh AS (INSERT INTO seen SELECT seq FROM tide.log l
			WHERE NOT EXISTS (SELECT FROM seen s WHERE s.seq = l.seq)
			AND relid IN ('plan'::regclass, 'day'::regclass)
		RETURNING seq)
	SELECT concat_ws(' ', l.relid::regclass, coalesce(nullif(scope, ''), '(everybody)'), 'by ' || client_id,
			CASE WHEN cardinality(keys) > 5 THEN cardinality(keys) || ' keys'
			ELSE (SELECT array_agg(k ORDER BY k COLLATE "C")::text FROM unnest(keys) k) END) AS entry
		FROM tide.log l JOIN fresh USING (seq) ORDER BY (l.xid, l.relid, l.scope COLLATE "C", l.seq)
$$;

SELECT tide.track('plan', scope => 'user_id', exclude => '{secret}');
SELECT tide.track('day', scope => 'user_id');
SELECT entries();
SELECT relation, entity_type, problem FROM tide.tracked WHERE relation IN ('plan'::regclass, 'plan_eu', 'plan_us', 'plan_fr', 'plan_de');
SELECT tgrelid::regclass AS on_table, string_agg(tgname::text, ' ' ORDER BY tgname) AS triggers FROM pg_trigger
	WHERE tgname LIKE 'zz_tide%' AND tgrelid::regclass::text LIKE 'plan%' GROUP BY 1 ORDER BY 1::text;
SELECT * FROM tide.check() WHERE object LIKE 'partitions.%';

-- through the root: an entry for a statement and a scope
INSERT INTO plan (id, region, user_id, title) VALUES (1, 'us', 'ann', 'a'), (2, 'de', 'bob', 'b'), (3, 'fr', 'ann', 'c'), (4, 'jp', NULL, 'nobody');
SELECT entries();
SELECT id, region, "lastModifiedAt" > now() - interval '1 minute' AS stamped, "clientId" FROM plan ORDER BY 1;
UPDATE plan SET title = title || '!';
SELECT entries();
UPDATE plan SET secret = 1;
SELECT entries();
INSERT INTO plan (id, region, user_id) SELECT i, CASE i % 3 WHEN 0 THEN 'us' WHEN 1 THEN 'de' ELSE 'jp' END, 'many' FROM generate_series(1001, 3500) i;
SELECT entries();
DELETE FROM plan WHERE user_id = 'many';
SELECT entries();
-- to a partition, on any level
INSERT INTO plan_us (id, region, user_id) VALUES (10, 'us', 'ann');
INSERT INTO plan_eu (id, region, user_id) VALUES (11, 'de', 'ann');
SELECT entries();
UPDATE plan_us SET title = 'direct', user_id = 'cyd' WHERE id = 10;
SELECT entries();
DELETE FROM plan_de WHERE id = 11;
SELECT entries();
SELECT count(*) FROM tide.tombstone WHERE relid = 'plan'::regclass AND key = '{de,11}' AND scope = 'ann';

-- a row that moves is another key; both scopes are told
UPDATE plan SET region = 'fr', user_id = 'bob' WHERE id = 1;
SELECT entries();
UPDATE plan_eu SET region = 'de' WHERE id = 1;
SELECT entries();
UPDATE plan SET region = 'us', user_id = 'ann' WHERE id = 1;
SELECT entries();
-- where a trigger drops the row that moves, it is gone
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER refuse BEFORE INSERT ON plan_rest FOR EACH ROW EXECUTE FUNCTION refuse();
UPDATE plan SET region = 'nowhere' WHERE id = 10;
SELECT entries();
SELECT count(*) FROM plan WHERE id = 10;
DROP TRIGGER refuse ON plan_rest;
-- ON CONFLICT, COPY, writable CTEs
INSERT INTO plan (id, region, user_id) VALUES (1, 'us', 'eve'), (12, 'jp', 'ann') ON CONFLICT (region, id) DO UPDATE SET title = 'there';
SELECT entries();
INSERT INTO plan (id, region, user_id) VALUES (1, 'us', 'eve') ON CONFLICT DO NOTHING;
SELECT entries();
COPY plan (id, region, user_id) FROM stdin;
20	us	ann
21	de	bob
22	jp	ann
\.
COPY plan_fr (id, region, user_id) FROM stdin;
23	fr	ann
\.
SELECT entries();
WITH d AS (DELETE FROM plan_fr WHERE id = 23), u AS (UPDATE plan SET title = 'cte' WHERE id = 20)
	INSERT INTO plan_us (id, region, user_id) VALUES (24, 'us', 'ann');
SELECT entries();

-- foreign keys follow, and lead
INSERT INTO day VALUES (1, 'ann', 'us', 20), (2, 'ann', 'jp', 22), (3, 'ann', 'de', 21);
SELECT entries();
UPDATE plan SET id = 25 WHERE id = 20;
SELECT entries();
DELETE FROM plan_rest WHERE id = 22;
SELECT entries();

-- TRUNCATE, of a partition and of all
INSERT INTO plan VALUES (30, 'fr', 'ann', 'f'), (31, 'fr', 'bob', 'f');
SELECT entries();
BEGIN;
TRUNCATE plan_fr, day;
SELECT entries();
SELECT count(*) FROM tide.tombstone WHERE relid = 'plan'::regclass AND key IN ('{fr,30}', '{fr,31}');
ROLLBACK;
TRUNCATE plan CASCADE;
SELECT entries();

-- subtransactions: what is rolled back leaves nothing, not even a tombstone
BEGIN;
INSERT INTO plan_us (id, region, user_id) VALUES (40, 'us', 'ann');
SAVEPOINT one;
INSERT INTO plan_us (id, region, user_id) VALUES (41, 'us', 'ann');
DELETE FROM plan_us WHERE id = 41;
ROLLBACK TO one;
INSERT INTO plan_fr (id, region, user_id) VALUES (42, 'fr', 'ann');
SAVEPOINT two;
INSERT INTO plan_us (id, region, user_id) VALUES (43, 'us', 'bob');
-- reads the log: what is pending around is written in here
SELECT count(*) FROM tide.changes(tide.cursor(), entity_types => '{plan}');
ROLLBACK TO one;
INSERT INTO plan_us (id, region, user_id) VALUES (44, 'us', 'bob');
RELEASE one;
INSERT INTO plan_de (id, region, user_id) VALUES (45, 'de', 'bob');
SET TRANSACTION READ ONLY;
COMMIT;
SELECT entries();
SELECT count(*) FROM tide.tombstone WHERE relid = 'plan'::regclass AND key IN ('{us,41}', '{fr,42}');
DO $$
BEGIN
	FOR i IN 50..53 LOOP
		BEGIN
			INSERT INTO plan_us (id, region, user_id) VALUES (i, 'us', 'ann');
			PERFORM 1 / (i % 2);
		EXCEPTION WHEN division_by_zero THEN NULL;
		END;
	END LOOP;
END $$;
SELECT entries();
-- deleted, inserted and deleted again before anything is written
BEGIN;
DELETE FROM plan_us WHERE id = 40;
INSERT INTO plan_us (id, region, user_id) VALUES (40, 'us', 'ann');
DELETE FROM plan_us WHERE id = 40;
COMMIT;
SELECT entries();
SELECT count(*) FROM tide.tombstone WHERE relid = 'plan'::regclass AND key = '{us,40}';
-- likewise beside another, where both have been dead before
INSERT INTO plan_us (id, region, user_id) VALUES (70, 'us', 'ann'), (71, 'us', 'ann');
DELETE FROM plan_us WHERE id IN (70, 71);
INSERT INTO plan_us (id, region, user_id) VALUES (70, 'us', 'ann'), (71, 'us', 'ann');
BEGIN;
DELETE FROM plan_us WHERE id = 70;
DELETE FROM plan_us WHERE id = 71;
INSERT INTO plan_us (id, region, user_id) VALUES (71, 'us', 'ann');
DELETE FROM plan_us WHERE id = 71;
COMMIT;
SELECT key, count(*) FROM tide.tombstone WHERE relid = 'plan'::regclass AND key IN ('{us,70}', '{us,71}') GROUP BY key ORDER BY key COLLATE "C";
SELECT entries();
-- procedures that commit
CREATE PROCEDURE steps() LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO plan_us (id, region, user_id) VALUES (60, 'us', 'ann');
	COMMIT;
	INSERT INTO plan_us (id, region, user_id) VALUES (61, 'us', 'ann');
	ROLLBACK;
	INSERT INTO plan_us (id, region, user_id) VALUES (62, 'us', 'bob');
END $$;
CALL steps();
SELECT entries();
-- a key that looks different under other settings is written as always
CREATE TABLE reading (at timestamptz, user_id text, PRIMARY KEY (at)) PARTITION BY RANGE (at);
CREATE TABLE reading_1 PARTITION OF reading DEFAULT;
SELECT tide.track('reading', scope => 'user_id');
BEGIN;
SET LOCAL TimeZone = 'Asia/Tokyo';
SET LOCAL DateStyle = 'German';
INSERT INTO reading_1 VALUES ('2026-01-02 03:04:05+00', 'ann');
COMMIT;
SELECT keys FROM tide.log WHERE relid = 'reading'::regclass AND scope = 'ann';

-- who may write to a partition alone need not know of the rest
CREATE ROLE regress_tide_partition;
GRANT USAGE ON SCHEMA partitions TO regress_tide_partition;
GRANT SELECT, INSERT, DELETE ON plan_us TO regress_tide_partition;
SET ROLE regress_tide_partition;
INSERT INTO plan_us (id, region, user_id) VALUES (70, 'us', 'ann');
DELETE FROM plan_us WHERE id = 70;
RESET ROLE;
SELECT entries();
DROP OWNED BY regress_tide_partition;
DROP ROLE regress_tide_partition;

-- settings change, the table is untracked: partitions follow
SELECT tide.track('plan', scope => 'user_id', version => 'v', exclude => '{}');
UPDATE plan_us SET secret = 2 WHERE id = 60;
SELECT entries();
SELECT v FROM plan WHERE id = 60;
SELECT tide.untrack('plan_us');
SELECT tide.untrack('plan');
SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'zz_tide%' AND tgrelid::regclass::text LIKE 'plan%';
UPDATE plan_us SET secret = 3;
TRUNCATE plan CASCADE;
-- what untrack leaves, and no more
SELECT entries();
DROP SCHEMA partitions CASCADE;
