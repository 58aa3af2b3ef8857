-- One row pushed again and again in one transaction: each call finds the last version
-- by its place, whatever has become of the row since.
-- Seen to fail with the place named for who may not read it, and with a look-up by key
-- each time (in what the index returns).
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA again_and_again;
SET search_path = again_and_again;
CREATE ROLE regress_tide_again;
GRANT USAGE ON SCHEMA again_and_again TO regress_tide_again;
CREATE TABLE t (id int PRIMARY KEY, user_id text, n int, m int DEFAULT 0);
CREATE TABLE merged (id int PRIMARY KEY, user_id text, n int, m int DEFAULT 0);
CREATE INDEX ON t (user_id);
CREATE INDEX ON merged (user_id);
SELECT tide.track('t', scope => 'user_id');
SELECT tide.track('merged', scope => 'user_id', conflict => 'merge');
CREATE FUNCTION often(target regclass, first int, last int, key int DEFAULT 1) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	verdicts text[] := '{}';
	v tide.verdict;
BEGIN
	FOR i IN first..last LOOP
		v := tide.upsert(target, jsonb_build_object('id', key, 'user_id', 'ann', 'n', i));
		IF v.status <> 'applied' OR (v.data->>'n')::int <> i THEN RAISE 'not %: %', i, v; END IF;
		verdicts := verdicts || v.status;
	END LOOP;
	RETURN array_length(verdicts, 1) || ' ' || (SELECT string_agg(DISTINCT x, ' ') FROM unnest(verdicts) x);
END $$;
BEGIN;
SELECT often('t', 1, 50), often('merged', 1, 50);
-- no more of the index's entries, which lead through all versions
SELECT pg_stat_get_xact_numscans('t_pkey'::regclass) AS scans \gset
SELECT often('t', 1, 50);
SELECT pg_stat_get_xact_numscans('t_pkey'::regclass) - :scans AS "by key", n FROM t;
-- a savepoint takes some away
SAVEPOINT a;
SELECT often('t', 51, 60);
ROLLBACK TO a;
SELECT n FROM t;
SELECT often('t', 61, 80);
SAVEPOINT b;
SELECT often('t', 81, 90);
ROLLBACK TO b;
INSERT INTO t (id, user_id) SELECT i, 'ann' FROM generate_series(1000, 1300) i;
SELECT often('t', 91, 100);
-- plain SQL changes, moves, deletes and brings back
UPDATE t SET m = 7 WHERE id = 1;
SELECT often('t', 101, 110);
SELECT n, m FROM t WHERE id = 1;
UPDATE t SET id = 2 WHERE id = 1;
SELECT often('t', 111, 120);
SELECT id, n, m FROM t WHERE id < 1000 ORDER BY id;
DELETE FROM t WHERE id = 1;
SELECT status FROM tide.upsert('t', '{"id": 1, "user_id": "ann", "n": 0}');
SELECT often('t', 121, 130);
SELECT status FROM tide.delete('t', '1');
SELECT often('t', 131, 140);
-- two rows in turn, and a trigger that changes the row beside
SELECT often('t', 141, 142), often('t', 141, 142, 2), often('t', 143, 144), often('t', 143, 144, 2);
CREATE FUNCTION beside() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
	IF pg_trigger_depth() < 2 THEN UPDATE t SET m = m + 1 WHERE id = NEW.id; END IF;
	RETURN NULL; END $$;
CREATE TRIGGER beside AFTER UPDATE OF n ON t FOR EACH ROW EXECUTE FUNCTION beside();
SELECT often('t', 151, 170);
DROP TRIGGER beside ON t;
SELECT id, n, m FROM t WHERE id < 1000 ORDER BY id;
-- who may read some columns only does without
GRANT SELECT (id, user_id, n, m, "lastModifiedAt", "clientId"), UPDATE, INSERT ON t TO regress_tide_again;
SET LOCAL ROLE regress_tide_again;
SET LOCAL request.jwt.claims = '{"sub": "ann"}';
SELECT often('t', 171, 190);
RESET ROLE;
-- a version that is not in the caller's scope
UPDATE t SET user_id = 'bob' WHERE id = 1;
SELECT status, code FROM tide.upsert('t', '{"id": 1, "n": 500}');
COMMIT;
SELECT id, user_id, n, m FROM t WHERE id < 1000 ORDER BY id;
SELECT id, user_id, n, m FROM merged;
DROP SCHEMA again_and_again CASCADE;
DROP ROLE regress_tide_again;
