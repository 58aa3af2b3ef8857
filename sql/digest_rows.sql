-- tide.keys of some buckets, with stamps; tide.rows: what a client fetches of the
-- buckets in which its digest differs.
--
-- Seen failing without the look at the bucket in keys.c, without the scopes in
-- fetch.c, with a row above the bound sent.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA digest_rows;
SET search_path = digest_rows, public;
CREATE TABLE note (id int PRIMARY KEY, owner text, body text);
CREATE TABLE pair (a int, at timestamptz, owner text, body text, PRIMARY KEY (a, at));
CREATE TABLE common (code text PRIMARY KEY);
SELECT tide.track('note', scope => 'owner'), tide.track('pair', scope => 'owner'), tide.track('common', shared => true);
SELECT (tide.push('{"clientId": "phone", "changes": {"note": [{"id": 1, "owner": "ann", "body": "one", "lastModifiedAt": "2026-01-01T00:00:01Z"},
	{"id": 2, "owner": "ann", "body": "two", "lastModifiedAt": "2026-01-01T00:00:02Z"}, {"id": 3, "owner": "bob", "body": "her secret", "lastModifiedAt": "2026-01-01T00:00:03Z"}],
	"pair": [{"a": 1, "at": "2026-01-01T00:00:00Z", "owner": "ann", "body": "p", "lastModifiedAt": "2026-01-01T00:00:04Z"}], "common": [{"code": "kg", "lastModifiedAt": "2026-01-01T00:00:05Z"}]}}')->'summary'->>'succeeded')::int AS pushed;
ALTER TABLE note DISABLE TRIGGER ALL;
INSERT INTO note VALUES (4, 'ann', 'from before');
ALTER TABLE note ENABLE TRIGGER ALL;
CREATE FUNCTION bucket(VARIADIC text[]) RETURNS int LANGUAGE sql AS $$ SELECT get_byte(sha256(convert_to(array_to_string($1, chr(31)), 'UTF8')), 0) $$;

-- bad input
SELECT tide.keys(buckets => '{256}');
SELECT tide.keys(buckets => '{-1}');
SELECT tide.keys(buckets => '{NULL}');
SELECT tide.rows(NULL);
SELECT tide.rows('[]');
SELECT tide.rows('{"keys": []}');
SELECT tide.rows('{"keys": {"note": 1}}');
SELECT tide.rows('{"keys": {"note": ["one"]}}');
SELECT tide.rows('{"keys": {"note": [null]}}');
SELECT tide.rows('{"keys": {"note": [{"code": 1}]}}');
SELECT tide.rows('{"keys": {"pair": [1]}}');
SELECT tide.rows('{"keys": {"note": [1]}}', max_rows => 0);
SELECT tide.rows('{"keys": {"note": [1]}}', max_bytes => 0);

-- keys of some buckets: of these types, with stamps, as rows have them
SET request.jwt.claims = '{"sub": "ann"}';
SELECT tide.keys(buckets => '{}');
SELECT tide.keys(buckets => ARRAY[bucket('1')], entity_types => '{note}');
SELECT jsonb_pretty(tide.keys(buckets => ARRAY[bucket('1'), bucket('3'), bucket('4'), bucket('1', '2026-01-01T00:00:00.000Z'), bucket('kg')])::jsonb);
SET pg_tide.times = 'ms';
SELECT tide.keys(buckets => ARRAY[bucket('1', '1767225600000')], entity_types => '{pair,nope}');
RESET pg_tide.times;
SELECT count(*) AS all_buckets FROM json_array_elements(tide.keys(entity_types => '{note}', buckets => (SELECT array_agg(i) FROM generate_series(0, 255) i))->'keysByType'->'note');
SET pg_tide.max_time_rows = 2;
SELECT tide.keys(entity_types => '{note}', buckets => (SELECT array_agg(i) FROM generate_series(0, 255) i));
SELECT tide.keys(entity_types => '{note}', buckets => ARRAY[bucket('1'), bucket('2')]);
RESET pg_tide.max_time_rows;

-- rows: in the order of the keys, each once; not another user's, nor those that are not there
SELECT tide.rows('{"keys": {"note": [2, "1", 3, 99, {"id": 1, "lastModifiedAt": "x"}], "pair": [{"a": 1, "at": "2026-01-01T01:00:00+01:00"}], "common": ["kg"], "nope": ["x"]}}');
SELECT tide.rows('{"keys": {"note": [3]}}');
SELECT tide.rows('{"keys": {"note": []}}');
SELECT tide.rows('{"keys": {}}');
SELECT tide.rows('{"keys": {"note": [3]}}', scopes => '{bob}');
SELECT tide.rows('{"keys": {"note": [1], "common": ["kg"]}}', scopes => '{}');
RESET request.jwt.claims;
SELECT tide.rows('{"keys": {"note": [1, 3]}}', scopes => '{bob}')->'rowsByType'->'note'->0->>'body' AS body;

-- bounded by rows and bytes: what there was no room for comes back; one row at least
SET request.jwt.claims = '{"sub": "ann"}';
SELECT r->'rowsByType'->'note'->0->>'id' AS first, json_array_length(r->'rowsByType'->'note') AS rows, r->'remaining' AS remaining
FROM tide.rows('{"keys": {"note": [1, 2, 4], "pair": [{"a": 1, "at": "2026-01-01T00:00:00Z"}]}}', max_rows => 2) r;
SELECT json_array_length(r->'rowsByType'->'note') AS rows, r->'remaining' AS remaining FROM tide.rows('{"keys": {"note": [1, 2, 4]}}', max_bytes => 1) r;
SELECT json_array_length(r->'rowsByType'->'note') AS rows, r->'remaining' AS remaining, length(r::text) FROM tide.rows('{"keys": {"note": [1, 2, 4]}}', max_bytes => 200) r;
RESET request.jwt.claims;
INSERT INTO note SELECT i, 'ann', repeat('x', i) FROM generate_series(1001, 1500) i;
SET request.jwt.claims = '{"sub": "ann"}';
CREATE FUNCTION fetch_all(max_rows int, max_bytes int, OUT requests int, OUT rows int, OUT largest int) LANGUAGE plpgsql AS $$
DECLARE
	keys jsonb := jsonb_build_object('note', (SELECT jsonb_agg(i % 2000 + 1) FROM generate_series(0, 2010) i));
	reply json;
	seen int[] := '{}';
BEGIN
	requests := 0; largest := 0;
	WHILE keys <> '{}' LOOP
		reply := tide.rows(jsonb_build_object('keys', keys), NULL, max_rows, max_bytes);
		requests := requests + 1;
		largest := greatest(largest, octet_length((reply->'rowsByType')::text));
		seen := seen || ARRAY(SELECT (r->>'id')::int FROM json_array_elements(reply->'rowsByType'->'note') r);
		keys := reply->'remaining';
	END LOOP;
	SELECT count(DISTINCT i) INTO rows FROM unnest(seen) i;
	IF rows <> cardinality(seen) THEN RAISE 'a row came twice'; END IF;
END $$;
SELECT requests, rows FROM fetch_all(500, 8388608);
SELECT requests, rows, largest <= 100000 AS bounded FROM fetch_all(500, 100000);
SELECT requests, rows FROM fetch_all(1, 8388608);
RESET request.jwt.claims;

-- more rows than are read at a time
INSERT INTO common SELECT i::text FROM generate_series(1, 2500) i;
SELECT json_array_length(tide.keys(entity_types => '{common}')->'keysByType'->'common') AS keys, (SELECT sum(c::int) FROM json_array_elements_text(
	tide.digest(tide.cursor(), entity_types => '{common}')->'digestByType'->'common'->'counts') c) AS counted;

-- policies and grants hold
CREATE ROLE regress_rows;
GRANT USAGE ON SCHEMA digest_rows TO regress_rows;
GRANT SELECT ON note TO regress_rows;
ALTER TABLE note ENABLE ROW LEVEL SECURITY;
CREATE POLICY short ON note USING (length(body) < 5);
SET ROLE regress_rows;
SET request.jwt.claims = '{"sub": "ann"}';
SELECT json_array_length(tide.rows('{"keys": {"note": [1, 2, 3, 4, 1001]}}')->'rowsByType'->'note') AS rows;
SELECT json_array_length(tide.keys(entity_types => '{note}', buckets => (SELECT array_agg(i) FROM generate_series(0, 255) i))->'keysByType'->'note') AS keys;
SELECT tide.rows('{"keys": {"pair": []}}');
RESET ROLE;
RESET request.jwt.claims;
SELECT tide.rows('{"keys": {"note": [1]}}');
SET ROLE regress_rows;
SELECT tide.rows('{"keys": {"note": [1]}}');
RESET ROLE;

DROP SCHEMA digest_rows CASCADE;
DROP ROLE regress_rows;
