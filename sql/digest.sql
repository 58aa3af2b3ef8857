-- tide.digest: counts and sums of a caller's rows by bucket.  Here they are made
-- once more, in SQL, from what a pull has sent.
--
-- Seen failing without scopes in scan.c, with the server's text of a time, with a
-- moved bucket left out, with a cursor in the middle of a page taken.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA digest;
SET search_path = digest, public;
CREATE TABLE note (id uuid PRIMARY KEY, owner text, body text, deleted_at timestamptz);
CREATE TABLE pair (a int, b text, owner text, PRIMARY KEY (a, b));
CREATE TABLE flag (is_on boolean, at timestamp, owner text, PRIMARY KEY (is_on, at));
CREATE TABLE raw (id bytea PRIMARY KEY, owner text);
CREATE TABLE common (code text PRIMARY KEY);
INSERT INTO note SELECT md5('before' || i)::uuid, 'ann', 'from before' FROM generate_series(1, 20) i;
SELECT tide.track('note', scope => 'owner', deleted_at => 'deleted_at'), tide.track('pair', scope => 'owner'),
	tide.track('flag', scope => 'owner'), tide.track('raw', scope => 'owner'), tide.track('common', shared => true);
SET pg_tide.client_id = 'phone';
INSERT INTO note SELECT md5('note' || i)::uuid, CASE WHEN i % 3 = 0 THEN 'bob' ELSE 'ann' END, i FROM generate_series(1, 300) i;
RESET pg_tide.client_id;
UPDATE note SET deleted_at = now() WHERE body LIKE '1_1';
INSERT INTO pair SELECT i, 'Zoë "' || i || E'\t\\ 日本', 'ann' FROM generate_series(-20, 20) i;
INSERT INTO flag SELECT i % 2 = 0, '2026-01-01'::timestamp + i * '1 day'::interval, 'ann' FROM generate_series(1, 10) i;
INSERT INTO raw SELECT decode(to_hex(i), 'hex'), 'ann' FROM generate_series(16, 30) i;
INSERT INTO common VALUES ('kg'), ('lb'), (''), (E'\x01\x7f');

-- all that a user can pull; the last cursor goes into the table
CREATE TABLE pulled (cursor text, type text, r jsonb);
GRANT ALL ON pulled TO PUBLIC;
CREATE PROCEDURE pull_all(types text[] DEFAULT NULL, scopes text[] DEFAULT NULL) LANGUAGE plpgsql AS $$
DECLARE
	page jsonb := '{"hasMore": true}';
BEGIN
	DELETE FROM pulled;
	WHILE (page->>'hasMore')::boolean LOOP
		page := tide.pull(page->>'cursor', scopes, types, 100);
		INSERT INTO pulled SELECT page->>'cursor', t, r FROM jsonb_each(page->'changesByType') AS c(t, rs), jsonb_array_elements(rs) r;
	END LOOP;
	UPDATE pulled SET cursor = page->>'cursor';
END $$;

-- count and sum by bucket, from what was pulled
CREATE FUNCTION mine() RETURNS TABLE (type text, bucket int, count bigint, sum numeric) LANGUAGE sql AS $$
	WITH key AS (SELECT type, r, convert_to(CASE type WHEN 'pair' THEN r->>'a' || chr(31) || (r->>'b') WHEN 'common' THEN r->>'code'
			WHEN 'flag' THEN r->>'is_on' || chr(31) || (r->>'at') ELSE r->>'id' END, 'UTF8') AS k FROM pulled),
		hash AS (SELECT type, get_byte(sha256(k), 0) AS bucket, sha256(k || '\x1f'
			|| coalesce(convert_to(r->>'lastModifiedAt', 'UTF8'), '\x00') || '\x1f'
			|| coalesce(convert_to(r->>'clientId', 'UTF8'), '\x00')) AS h FROM key)
	SELECT type, bucket, count(*), mod(sum((SELECT sum(get_byte(h, i)::numeric * 256::numeric ^ (7 - i)) FROM generate_series(0, 7) i)), 18446744073709551616)
	FROM hash GROUP BY 1, 2 $$;
CREATE FUNCTION theirs(d json) RETURNS TABLE (type text, bucket int, count bigint, sum numeric) LANGUAGE sql AS $$
	SELECT t, i, (x->'counts'->>i)::bigint, (x->'sums'->>i)::numeric
	FROM json_each(d->'digestByType') AS e(t, x), generate_series(0, 255) i WHERE (x->'counts'->>i)::bigint > 0 OR (x->'sums'->>i)::numeric > 0 $$;
CREATE FUNCTION compare(scopes text[] DEFAULT NULL, types text[] DEFAULT NULL, OUT rows bigint, OUT differ bigint, OUT moved json) LANGUAGE sql AS $$
	WITH d AS MATERIALIZED (SELECT c AS since, tide.digest(c, scopes, types) AS d FROM (SELECT min(cursor) FROM pulled) p(c))
	SELECT (SELECT sum(count) FROM theirs(d)),
		(SELECT count(*) FROM mine() m FULL JOIN theirs(d) USING (type, bucket) WHERE (m.count, m.sum) IS DISTINCT FROM (theirs.count, theirs.sum)),
		d->'moved' FROM d $$;

-- bad input
SELECT tide.digest(NULL);
SELECT tide.digest('now');
SELECT tide.digest('2026-01-01T00:00:00Z');
SELECT tide.digest('Anonsense');
SELECT tide.digest(tide.cursor(), entity_types => '{nope,common}')::jsonb - 'cursor' - 'digestByType' AS unknown;

-- the owner of everything; then a user, whose rows alone count; in milliseconds; narrowed
CALL pull_all();
SELECT * FROM compare();
SET request.jwt.claims = '{"sub": "ann"}';
CALL pull_all();
SELECT * FROM compare();
SELECT count(*) FILTER (WHERE r->'lastModifiedAt' = 'null') AS without_stamp, count(*) FILTER (WHERE r->'clientId' = 'null') AS without_client,
	count(*) FILTER (WHERE r->'deleted_at' <> 'null') AS soft_deleted FROM pulled;
SET pg_tide.times = 'ms';
SET TimeZone = 'Asia/Kolkata';
SET DateStyle = 'German';
SET bytea_output = 'escape';
CALL pull_all();
SELECT * FROM compare();
RESET pg_tide.times;
RESET TimeZone;
RESET DateStyle;
RESET bytea_output;
CALL pull_all(types => '{common,pair}');
SELECT * FROM compare(types => '{common,pair}');
CALL pull_all(types => '{common,pair}', scopes => '{}');
SELECT * FROM compare(types => '{common,pair}', scopes => '{}');
SELECT tide.digest(min(cursor), scopes => '{bob}') FROM pulled;

-- what changed since: new, changed, gone, given away, taken over; another user's does not count
CALL pull_all();
CREATE TEMP TABLE touched AS SELECT id, owner, row_number() OVER (PARTITION BY owner ORDER BY id) AS n FROM note;
RESET request.jwt.claims;
BEGIN;
UPDATE note SET body = 'changed' WHERE id = (SELECT id FROM touched WHERE owner = 'ann' AND n = 1);
DELETE FROM note WHERE id = (SELECT id FROM touched WHERE owner = 'ann' AND n = 2);
UPDATE note SET owner = 'bob' WHERE id = (SELECT id FROM touched WHERE owner = 'ann' AND n = 3);
UPDATE note SET owner = 'ann' WHERE id = (SELECT id FROM touched WHERE owner = 'bob' AND n = 1);
UPDATE note SET body = 'changed' WHERE id = (SELECT id FROM touched WHERE owner = 'bob' AND n = 2);
INSERT INTO pair VALUES (99, 'new', 'ann');
COMMIT;
CREATE TEMP TABLE expected AS SELECT DISTINCT get_byte(sha256(convert_to(id::text, 'UTF8')), 0) AS bucket FROM touched WHERE (owner = 'ann' AND n <= 3) OR (owner = 'bob' AND n = 1);
SET request.jwt.claims = '{"sub": "ann"}';
SELECT (tide.digest(min(cursor))->'moved'->'note')::jsonb = (SELECT jsonb_agg(bucket ORDER BY bucket) FROM expected) AS notes,
	(tide.digest(min(cursor))->'moved'->'pair')::jsonb = jsonb_build_array(get_byte(sha256(convert_to('99' || chr(31) || 'new', 'UTF8')), 0)) AS pairs,
	(tide.digest(min(cursor))->'moved')::jsonb - 'note' - 'pair' AS others FROM pulled;
SELECT bool_and(bucket IN (SELECT bucket FROM expected) OR type = 'pair') AS only_moved_ones_differ FROM (
	SELECT type, bucket FROM mine() m FULL JOIN (SELECT (theirs(tide.digest(min(cursor)))).* FROM pulled) t USING (type, bucket)
	WHERE (m.count, m.sum) IS DISTINCT FROM (t.count, t.sum)) x;
-- the reply's cursor is as new as the digest
SELECT tide.digest(tide.digest(min(cursor))->>'cursor')->'moved' AS moved FROM pulled;

-- more entries of the log than are looked at at a time
SELECT tide.cursor() AS since \gset
DO $$ BEGIN FOR i IN 1..150 LOOP INSERT INTO pair VALUES (i, 'many', 'ann'); END LOOP; END $$;
SELECT (tide.digest(:'since')->'moved'->'pair')::jsonb = (SELECT jsonb_agg(DISTINCT get_byte(sha256(convert_to(i || chr(31) || 'many', 'UTF8')), 0)) FROM generate_series(1, 150) i) AS all_moved;

-- in a transaction that writes, and in one that may not
BEGIN;
SELECT tide.cursor() AS since \gset
INSERT INTO pair VALUES (100, 'own', 'ann');
SELECT jsonb_array_length(tide.digest(:'since')::jsonb->'moved'->'pair') AS moved;
ROLLBACK;
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SELECT tide.digest(:'since')->'moved' AS moved;
COMMIT;

-- a cursor of less than all: in the middle of a transfer, of one type, without a new scope or table, with one that was taken away
SELECT tide.pull(max_rows => 5)->>'cursor' AS page \gset
SELECT tide.digest(:'page');
SELECT tide.pull(entity_types => '{common}')->>'cursor' AS common \gset
SELECT tide.digest(:'common');
SELECT tide.digest(:'common', entity_types => '{common}')->'moved' AS moved;
RESET request.jwt.claims;
CREATE FUNCTION scopes(claims jsonb) RETURNS text[] LANGUAGE sql AS $$ SELECT array_agg(s) FROM jsonb_array_elements_text(claims->'scopes') s $$;
SET pg_tide.scopes_function = 'digest.scopes';
SET request.jwt.claims = '{"sub": "coach", "scopes": ["ann"]}';
SELECT tide.cursor() AS since \gset
SET request.jwt.claims = '{"sub": "coach", "scopes": ["ann", "bob"]}';
SELECT tide.digest(:'since');
SELECT tide.digest(:'since', scopes => '{ann}')->'moved' AS moved;
SELECT tide.cursor() AS since \gset
SET request.jwt.claims = '{"sub": "coach", "scopes": ["bob"]}';
SELECT tide.digest(:'since');
RESET pg_tide.scopes_function;
SET request.jwt.claims = '{"sub": "ann"}';
SELECT tide.cursor() AS since \gset
RESET request.jwt.claims;
CREATE TABLE late (id int PRIMARY KEY, owner text);
SELECT tide.track('late', scope => 'owner');
SET request.jwt.claims = '{"sub": "ann"}';
SELECT tide.digest(:'since');
SELECT tide.digest(:'since', entity_types => '{note,pair,flag,raw,common}')->'moved' AS moved;

RESET request.jwt.claims;
-- policies and grants hold
CREATE ROLE regress_digest;
GRANT USAGE ON SCHEMA digest TO regress_digest;
GRANT SELECT ON note TO regress_digest;
ALTER TABLE note ENABLE ROW LEVEL SECURITY;
CREATE POLICY old ON note USING (body = 'from before');
SET ROLE regress_digest;
SET request.jwt.claims = '{"sub": "ann"}';
CALL pull_all(types => '{note}');
SELECT * FROM compare(types => '{note}');
SELECT tide.digest(min(cursor), entity_types => '{note,pair}') FROM pulled;
SELECT json_object_keys(tide.digest(min(cursor))->'digestByType') AS readable FROM pulled;
RESET ROLE;
GRANT SELECT (a, b, owner) ON pair TO regress_digest;
SET ROLE regress_digest;
SELECT tide.digest(min(cursor)) FROM pulled;
RESET ROLE;
RESET request.jwt.claims;

DROP SCHEMA digest CASCADE;
DROP ROLE regress_digest;
