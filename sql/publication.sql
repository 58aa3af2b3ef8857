-- FOR ALL TABLES publishes pg_tide's own tables, too, and PostgreSQL then refuses each
-- UPDATE and DELETE of one that has no replica identity.
-- Seen to fail with REPLICA IDENTITY FULL taken out of the install script.
\set SHOW_CONTEXT never
SET client_min_messages = error;
CREATE SCHEMA publication;
SET search_path = publication;
CREATE PUBLICATION publication_all FOR ALL TABLES;
-- every table there is, whatever pg_tide does with it now
DO $$
DECLARE
	r record;
	n int := 0;
BEGIN
	FOR r IN SELECT c.oid::regclass AS name, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attgenerated = '' AND a.attidentity = ''
		WHERE c.relnamespace = 'tide'::regnamespace AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped LOOP
		EXECUTE format('UPDATE %s SET %I = %2$I WHERE false', r.name, r.attname);
		EXECUTE format('DELETE FROM %s WHERE false', r.name);
		n := n + 1;
	END LOOP;
	IF n < 30 THEN RAISE 'only % columns', n; END IF;
END $$;
-- what clients and upkeep do
CREATE TABLE t (id int PRIMARY KEY, user_id text, n int);
SELECT tide.track('t', scope => 'user_id', conflict => 'merge');
SET request.jwt.claims = '{"sub": "ann"}';
SELECT status FROM tide.upsert('t', '{"id": 1, "user_id": "ann", "n": 1}', '2026-01-02', 'phone');
SELECT status FROM tide.upsert('t', '{"id": 1, "n": 2}', '2026-01-01', 'tablet');
SELECT status FROM tide.delete('t', '{"id": 1}', '2026-01-03', 'phone');
SELECT status FROM tide.delete('t', '{"id": 1}', '2026-01-04', 'phone');
SELECT status FROM tide.upsert('t', '{"id": 1, "user_id": "ann", "n": 3}', '2026-01-05', 'phone');
SELECT tide.push('{"batchId": "b", "changes": {"t": [{"id": 1, "n": 4, "lastModifiedAt": "2026-01-06T00:00:00Z"}]}}')->'summary' AS pushed;
INSERT INTO t SELECT i, 'ann', i FROM generate_series(2, 2000) i;
TRUNCATE t;
SELECT tide.prune('0 s') > 0 AS pruned, tide.prune('0 s') >= 0 AS again, tide.maintain() >= 0 AS maintained;
DROP PUBLICATION publication_all;
DROP SCHEMA publication CASCADE;
