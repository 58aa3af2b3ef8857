-- tide.changes, a row a changed row; tide.cursor, "from now on"; tide.schema.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA changes;
SET search_path = changes;
SET timezone = 'UTC';
CREATE TABLE t (a int, b text, user_id text, body text, at timestamptz, by text, v int, hidden text, gone timestamptz, double int GENERATED ALWAYS AS (a * 2) STORED, PRIMARY KEY (a, b));
CREATE TABLE s (id uuid PRIMARY KEY, t_a int, t_b text, self uuid REFERENCES s, FOREIGN KEY (t_a, t_b) REFERENCES t);
CREATE INDEX ON t (user_id);
INSERT INTO t VALUES (0, 'old', 'ann', 'from before');
SELECT tide.track('s', 'Child', shared => true, naming => 'camel');
SELECT tide.track('t', scope => 'user_id', modified_at => 'at', client_id => 'by', version => 'v', exclude => '{hidden}', deleted_at => 'gone');
SET request.jwt.claims = '{"sub": "ann"}';
SELECT tide.cursor() AS start \gset

-- rows as in SPEC's table: stamps and clients of rows and of deletions
SELECT tide.push('{"clientId": "phone", "changes": [
	{"entityType": "t", "data": {"a": 1, "b": "x", "body": "one"}, "lastModifiedAt": "2020-01-01T00:00:01Z"},
	{"entityType": "t", "data": {"a": 2, "b": "x", "body": "two"}, "lastModifiedAt": "2020-01-01T00:00:02Z"},
	{"entityType": "Child", "entityId": "00000000-0000-0000-0000-000000000001", "data": {"tA": 1, "tB": "x"}, "lastModifiedAt": 1577836803000},
	{"entityType": "Child", "entityId": "00000000-0000-0000-0000-000000000002", "action": "delete", "lastModifiedAt": "2020-01-01T00:00:04Z"}]}')->'summary'->'failed' AS failed;
DELETE FROM t WHERE a = 2;
SELECT entity_type, operation, key, data - '{a,b,at,by}'::text[] AS data, CASE WHEN modified_at < '2021-01-01' THEN modified_at END AS modified_at, modified_at > clock_timestamp() - interval '1 min' AS fresh, client_id
	FROM tide.changes(:'start') ORDER BY entity_type, key;
SELECT entity_type, key, modified_at, client_id FROM tide.changes() WHERE entity_type = 't' ORDER BY key;

-- continue after each row, in steps of one: all once, in the same order
CREATE TEMP TABLE walk (n serial, entity_type text, key jsonb);
CREATE FUNCTION walk(since text, step int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE r record; n int; rounds int := 0;
BEGIN
	DELETE FROM walk;
	LOOP
		n := 0;
		FOR r IN SELECT * FROM tide.changes(since, max_rows => step) LOOP
			INSERT INTO walk (entity_type, key) VALUES (r.entity_type, r.key);
			since := r.cursor;
			n := n + 1;
		END LOOP;
		EXIT WHEN n = 0;
		rounds := rounds + 1;
		IF rounds > 100 THEN RAISE 'no end'; END IF;
	END LOOP;
	RETURN since;
END $$;
INSERT INTO t SELECT i, 'y', 'ann' FROM generate_series(10, 20) i;
SELECT walk(:'start', 1) AS done \gset
SELECT count(DISTINCT (entity_type, key)) FROM walk;
SELECT walk(:'start', 3) AS done \gset
SELECT count(DISTINCT (entity_type, key)) FROM walk;
SELECT walk(:'start', 100) AS done \gset
SELECT count(DISTINCT (entity_type, key)) FROM walk;
SELECT count(*) FROM tide.changes(:'done');
-- stop in the middle of a page, and go on with the cursor of that row
SELECT cursor AS mid FROM tide.changes(:'start') LIMIT 1 OFFSET 4 \gset
SELECT count(*), (SELECT count(*) FROM tide.changes(:'mid')) BETWEEN 1 AND 12 AS "only the rest" FROM
	(SELECT entity_type, key FROM (SELECT * FROM tide.changes(:'start') LIMIT 5) x UNION SELECT entity_type, key FROM tide.changes(:'mid')) x;
-- its cursors and pull's are of one kind
SELECT count(*) = (SELECT count(*) FROM tide.changes(:'mid') WHERE operation = 'upsert') AS same
	FROM tide.pull(:'mid') p, json_each(p->'changesByType') j(t, rs), json_array_elements(rs);
SELECT walk(NULL, 2) AS done \gset
SELECT count(*), count(DISTINCT (entity_type, key)) FROM walk;
SELECT tide.pull(:'done')->'stats' AS stats;

-- tide.cursor: from now on
SELECT tide.cursor() AS now \gset
SELECT count(*) FROM tide.changes(:'now');
UPDATE t SET body = 'new' WHERE a = 1;
SELECT entity_type, key FROM tide.changes(:'now');
-- inside a writing transaction: what is written later in it is not missed
BEGIN;
UPDATE t SET body = 'before' WHERE a = 10;
SELECT tide.cursor() AS inside \gset
UPDATE t SET body = 'after' WHERE a = 11;
COMMIT;
SELECT bool_or(key->>'a' = '11') AS "11 is there" FROM tide.changes(:'inside');
BEGIN;
SELECT tide.pull(:'now')->>'cursor' AS inside \gset
UPDATE t SET body = 'after' WHERE a = 12;
SAVEPOINT s;
UPDATE t SET body = 'after' WHERE a = 13;
SELECT tide.pull(:'inside')->>'cursor' AS inside2 \gset
RELEASE s;
UPDATE t SET body = 'after' WHERE a = 14;
COMMIT;
SELECT string_agg(key->>'a', ',' ORDER BY key->>'a') FROM tide.changes(:'inside') WHERE key->>'a' IN ('12', '13', '14');
SELECT bool_or(key->>'a' = '14') AS "14 is there" FROM tide.changes(:'inside2');
-- also when this transaction is older than others that have ended by then: a
-- subtransaction that was rolled back stands for them
BEGIN;
UPDATE t SET body = 'older' WHERE a = 15;
SAVEPOINT s;
UPDATE t SET body = 'undone' WHERE a = 16;
ROLLBACK TO s;
SELECT tide.cursor() AS old1, tide.pull(:'now')->>'cursor' AS old2 \gset
UPDATE t SET body = 'later' WHERE a IN (17, 18);
COMMIT;
SELECT (SELECT count(*) FROM tide.changes(c) WHERE key->>'a' IN ('17', '18')) AS later FROM unnest(ARRAY[:'old1', :'old2']) c;
-- in REPEATABLE READ, READ ONLY and in functions that only read
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SELECT count(*) FROM tide.changes(:'now');
SELECT tide.pull(:'now')->'stats'->'t'->'count' AS n, length(tide.cursor()) > 0 AS cursor;
COMMIT;
-- a deletion stays a deletion
SELECT operation, key, modified_at IS NULL OR modified_at > clock_timestamp() - interval '1 min' AS "at" FROM tide.changes(:'start') WHERE key->>'a' = '2';

-- tide.schema: names on the wire, keys, parents
SELECT name, jsonb_pretty((tide.schema()->'entityTypes'->name)::jsonb - 'columns') AS schema FROM unnest('{t,Child}'::text[]) name;
SELECT tide.schema()->'protocol' AS protocol, tide.protocol();
SELECT j.t, c.* FROM json_each(tide.schema()->'entityTypes') j(t, d), json_array_elements(d->'columns') WITH ORDINALITY AS x(c, n), json_to_record(c) AS c(name text, type text, nullable boolean, writable boolean)
	WHERE j.t IN ('t', 'Child') ORDER BY j.t COLLATE "C", n;
-- at the very start of a segment of the WAL, and of a page: its header is not
-- written before the first record is, and cannot be flushed
SELECT pg_switch_wal() IS NOT NULL AS switched, tide.cursor() <> '' AS cursor, tide.pull() IS NOT NULL AS pull;
DO $$
DECLARE
	header int := 24;
	page int := current_setting('wal_block_size')::int;
	tries int := 0;
	room int;
BEGIN
	-- a message fills what is left of a page, so that the next record begins
	-- the next page; somebody else's record may get in between
	LOOP
		PERFORM pg_logical_emit_message(false, '', '');
		room := page - (pg_current_wal_insert_lsn() - '0/0')::bigint % page;
		IF room > 200 THEN
			PERFORM pg_logical_emit_message(false, '', repeat('x', room - 56 - tries % 8));
		END IF;
		tries := tries + 1;
		EXIT WHEN (pg_current_wal_insert_lsn() - '0/0')::bigint % page = header OR tries = 200;
	END LOOP;
	IF (pg_current_wal_insert_lsn() - '0/0')::bigint % page <> header THEN
		RAISE 'no page began in % tries', tries;
	END IF;
	IF tide.cursor() = '' THEN RAISE 'no cursor'; END IF;
END $$;
DROP SCHEMA changes CASCADE;
