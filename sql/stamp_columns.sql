-- Stamps in columns of other types, with generated columns, and beside the user's own triggers.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA stampcol;
SET search_path = stampcol;

-- timestamp(3) without zone holds UTC, whatever the session's zone
SET timezone = 'Pacific/Auckland';
CREATE TABLE prisma (id text PRIMARY KEY, n int, "lastModifiedAt" timestamp(3) NOT NULL, "clientId" varchar(8));
SELECT tide.track('prisma', shared => true);
INSERT INTO prisma VALUES ('a', 1, NULL);
SELECT "lastModifiedAt" - (clock_timestamp() AT TIME ZONE 'UTC') BETWEEN '-1 min' AND '0' AS utc FROM prisma;
-- each update is above the last, though many come within a millisecond
DO $$
DECLARE
	last timestamp(3);
	this timestamp(3);
BEGIN
	FOR i IN 1..200 LOOP
		UPDATE prisma SET n = n + 1 RETURNING "lastModifiedAt" INTO this;
		IF this <= last THEN RAISE 'stamp % does not rise above %', this, last; END IF;
		last := this;
	END LOOP;
END $$;
SELECT n FROM prisma;
-- a client id must fit its column
SET pg_tide.client_id = 'far too long';
UPDATE prisma SET n = 0;
RESET pg_tide.client_id;
CREATE TABLE seconds (id int PRIMARY KEY, n int, "lastModifiedAt" timestamp(0));
SELECT tide.track('seconds', shared => true);
INSERT INTO seconds VALUES (1, 0), (2, 0);
CREATE TEMP TABLE was AS TABLE seconds;
UPDATE seconds SET n = 1;
UPDATE seconds SET n = 2;
SELECT id, s."lastModifiedAt" >= was."lastModifiedAt" + interval '2 s' AS rose FROM seconds s JOIN was USING (id) ORDER BY 1;
-- a row without a stamp gets one with its first change
CREATE TABLE legacy (id int PRIMARY KEY, n int);
INSERT INTO legacy VALUES (1, 0), (2, 0);
SELECT tide.track('legacy', shared => true);
UPDATE legacy SET n = id - 1;
SELECT id, "lastModifiedAt" IS NOT NULL AS stamped FROM legacy ORDER BY id;

-- stored generated columns: what they are made of counts
CREATE TABLE gen (id int PRIMARY KEY, a int, hidden int, total int GENERATED ALWAYS AS (a + hidden) STORED, v int);
SELECT tide.track('gen', shared => true, version => 'v', exclude => '{hidden}');
INSERT INTO gen VALUES (1, 1, 1);
UPDATE gen SET hidden = 2;
SELECT total, v FROM gen;
UPDATE gen SET hidden = hidden, a = a;
SELECT total, v FROM gen;
SELECT data->>'total' AS total FROM tide.changes(entity_types => '{gen}');

-- the user's BEFORE triggers come first, whatever their names
CREATE TABLE trig (id int PRIMARY KEY, n int, m int, v int);
SELECT tide.track('trig', shared => true, version => 'v');
CREATE FUNCTION set_m() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.m := coalesce(NEW.n, 0) / 10; RETURN NEW; END';
CREATE TRIGGER zzz_set_m BEFORE INSERT OR UPDATE ON trig FOR EACH ROW EXECUTE FUNCTION set_m();
CREATE FUNCTION undo() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN IF NEW.n = 0 THEN RETURN OLD; ELSIF NEW.n < 0 THEN RETURN NULL; END IF; RETURN NEW; END';
CREATE TRIGGER "zzzz" BEFORE UPDATE ON trig FOR EACH ROW EXECUTE FUNCTION undo();
INSERT INTO trig VALUES (1, 15);
UPDATE trig SET n = 25;
SELECT n, m, v FROM trig;
-- one that undoes the change leaves nothing to stamp; one that drops it, nothing to log
SELECT count(*) AS entries FROM tide.log \gset
UPDATE trig SET n = 0;
UPDATE trig SET n = -1;
SELECT n, m, v FROM trig;
SELECT count(*) - :entries AS entries FROM tide.log;

-- every kind of statement
CREATE TABLE stmt (id int PRIMARY KEY, n int, v int);
SELECT tide.track('stmt', shared => true, version => 'v');
COPY stmt (id, n) FROM stdin;
1	10
2	20
\.
INSERT INTO stmt VALUES (1, 11), (3, 30) ON CONFLICT (id) DO UPDATE SET n = excluded.n;
INSERT INTO stmt VALUES (1, 12) ON CONFLICT (id) DO NOTHING;
WITH moved AS (DELETE FROM stmt WHERE id = 2 RETURNING id, n), ins AS (INSERT INTO stmt SELECT id + 10, n FROM moved RETURNING id)
	UPDATE stmt SET n = 31 WHERE id = 3 AND EXISTS (SELECT FROM ins);
SELECT id, n, v, "lastModifiedAt" IS NOT NULL AS stamped FROM stmt ORDER BY id;

-- MERGE (as far as this server has it)
DO $$
BEGIN
	IF current_setting('server_version_num')::int >= 150000 THEN
		EXECUTE 'MERGE INTO stmt t USING (VALUES (1, 13), (3, NULL), (4, 40), (12, 20)) s(id, n) ON t.id = s.id
			WHEN MATCHED AND s.n IS NULL THEN DELETE
			WHEN MATCHED THEN UPDATE SET n = s.n
			WHEN NOT MATCHED THEN INSERT VALUES (s.id, s.n)';
	ELSE
		UPDATE stmt SET n = 13 WHERE id = 1;
		DELETE FROM stmt WHERE id = 3;
		INSERT INTO stmt VALUES (4, 40);
	END IF;
END $$;
SELECT id, n, v, "lastModifiedAt" IS NOT NULL AS stamped FROM stmt ORDER BY id;

-- the trigger functions do nothing for tables that are not tracked
CREATE TABLE loose (id int PRIMARY KEY);
CREATE TRIGGER x AFTER INSERT ON loose REFERENCING NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION tide.capture();
CREATE TRIGGER y BEFORE INSERT OR UPDATE ON loose FOR EACH ROW EXECUTE FUNCTION tide.stamp();
INSERT INTO loose VALUES (1);
UPDATE loose SET id = 2;
TABLE loose;
-- and say so when they are no such triggers
DROP TRIGGER y ON loose;
CREATE TRIGGER y AFTER UPDATE ON loose FOR EACH ROW EXECUTE FUNCTION tide.stamp();
UPDATE loose SET id = 3;
CREATE TRIGGER z AFTER DELETE ON loose FOR EACH STATEMENT EXECUTE FUNCTION tide.capture();
DELETE FROM loose;
SELECT tide.stamp();
SELECT tide.capture();
DROP SCHEMA stampcol CASCADE;
