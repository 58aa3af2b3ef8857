-- Values: times in all formats, exact numbers, and every kind of type, there and back.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA vals;
SET search_path = vals;
SET timezone = 'Asia/Kathmandu';
CREATE TYPE mood AS ENUM ('sad', 'so so', 'happy');
CREATE DOMAIN positive AS numeric(12,2) CHECK (VALUE > 0);
CREATE TYPE pair AS (a int, b text);
CREATE TABLE v (id bigint PRIMARY KEY, i2 smallint, i8 bigint, n numeric, f8 float8, f4 real, b bool, t text, vc varchar(3), c char(3),
	by bytea, u uuid, j json, jb jsonb, ia int[], ta text[], m mood, d positive, ts timestamp, tz timestamptz, da date, ti time, iv interval,
	ip inet, p pair, r int4range);
SELECT tide.track('v', shared => true, modified_at => 'lm', client_id => 'cl');
CREATE FUNCTION put(data jsonb) RETURNS TABLE (status text, code text, "column" text, r jsonb) LANGUAGE sql AS $$
	WITH p AS MATERIALIZED (SELECT tide.push(jsonb_build_object('changes', jsonb_build_object('v', jsonb_build_array(data)))) AS r)
	SELECT coalesce(r->'succeeded'->0->>'status', 'failed'), r->'failed'->0->'errors'->0->>'code', r->'failed'->0->'errors'->0->>'column',
		jsonb_strip_nulls((r->'succeeded'->0->'entity')::jsonb) - '{lm,cl,id}'::text[] FROM p $$;

-- times in: ISO with and without zone, Unix milliseconds as number; out: ISO with Z
CREATE FUNCTION times(VARIADIC t jsonb[]) RETURNS TABLE (sent jsonb, tz text, ts text, code text) LANGUAGE sql AS $$
	SELECT x, r->>'tz', r->>'ts', code FROM unnest(t) WITH ORDINALITY AS i(x, n), put(jsonb_build_object('id', 100, 'tz', x, 'ts', x)) ORDER BY n $$;
SELECT * FROM times('"2024-02-29T12:34:56.789Z"', '"2024-02-29T12:34:56.789123Z"', '"2024-02-29T12:34:56Z"', '"2024-02-29T12:34:56"', '"2024-02-29 12:34:56"',
	'"2024-02-29T12:34:56.789+05:45"', '"2024-02-29T12:34:56-0330"', '"2024-02-29T12:34:56+02"', '"2024-02-29"', '"2024-02-29T24:00:00Z"',
	'1709210096789', '0', '-1', '1709210096789.5', '"1969-12-31T23:59:59.999Z"', '"0001-01-01T00:00:00Z"', '"9999-12-31T23:59:59.999999Z"');
SELECT * FROM times('"2024-02-30T00:00:00Z"', '"2023-02-29"', '"12:34"', '"now"', '"today"', '"tomorrow"', '"epoch"', '""', '" "', '"2024-02-29T25:00:00Z"', 'true', '{}', '[]', '1e18', '-1e18');
-- microseconds that a float would round
SELECT * FROM times('"2024-02-29T12:34:56.000001Z"', '"2024-02-29T12:34:56.999999Z"', '"2024-02-29T12:34:56.9999996Z"');
-- stamps in all of them
SELECT (SELECT r->'succeeded'->0->'entity'->>'lm' FROM tide.push(jsonb_build_object('changes', jsonb_build_array(jsonb_build_object(
		'entityType', 'v', 'entityId', 1000 + n, 'data', '{}'::jsonb, 'lastModifiedAt', s)))) r) AS stamp
	FROM unnest('{1709210096789,"\"2024-02-29T12:34:56.789Z\"","\"2024-02-29T12:34:56.789\"","\"2024-02-29T18:19:56.789+05:45\"","\"2024-02-29\""}'::jsonb[]) WITH ORDINALITY AS x(s, n) ORDER BY n;
-- ... and out in milliseconds
SET pg_tide.times = 'ms';
SELECT r - 'ti' AS r FROM put('{"id": 1, "tz": "2024-02-29T12:34:56.789Z", "ts": 1709210096789, "da": "2024-02-29", "ti": "12:34:56"}');
SELECT r FROM put('{"id": 1, "tz": "1969-12-31T23:59:59.9Z", "ts": "2024-02-29T12:34:56.7891Z"}');
RESET pg_tide.times;

-- int8 and numeric are exact, as numbers and as strings
SELECT p->'succeeded'->0->'entity'->>'i8' AS i8, p->'succeeded'->0->'entity'->>'n' AS n, p->'succeeded'->0->'entityId' AS id FROM unnest(ARRAY[
	'{"id": 9007199254740993, "i8": 9223372036854775807, "n": 12345678901234567890.123456789012345678901234567890}',
	'{"id": "9007199254740995", "i8": "-9223372036854775808", "n": "0.100"}', '{"id": 4, "i8": -0, "n": 1e40}', '{"id": 5, "n": "NaN"}']) AS x(s),
	tide.push(jsonb_build_object('changes', jsonb_build_object('v', jsonb_build_array(s::jsonb)))) p;
SELECT id, i8, n FROM v WHERE i8 IS NOT NULL OR n IS NOT NULL ORDER BY id;
SELECT s, code FROM unnest(ARRAY['{"i8": 9223372036854775808}', '{"i8": 1.5}', '{"i8": 1.0}', '{"i8": true}', '{"i8": ""}', '{"i2": 32768}', '{"i2": "7 "}', '{"n": "x"}', '{"b": "maybe"}', '{"b": 1}', '{"b": "t"}',
	'{"u": "1"}', '{"m": "angry"}', '{"m": 1}', '{"d": -1}', '{"d": 1.005}', '{"vc": "four"}', '{"by": "\\xzz"}', '{"ia": 5}', '{"ia": ["a"]}', '{"ip": "300.1.1.1"}']) AS x(s),
	put('{"id": 1}' || s::jsonb);
-- each type there and back
SELECT jsonb_pretty(r - 't') AS r FROM put('{"id": 2, "i2": -7, "f8": 0.1, "f4": 1.5, "b": false, "t": "tab\t\"quote\" \\ é \u2028 \ud83d\ude00", "vc": "", "c": "a", "by": "\\x00ff10",
	"u": "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "j": {"z": [1, null], "a": 1.50}, "jb": {"z": [1, null], "a": 1.50}, "ia": [1, null, 3], "ta": ["a,b", "", null, "{x}"], "m": "so so",
	"d": 12.5, "da": "2024-02-29", "ti": "23:59:59.5", "iv": "1 day 02:03:04", "ip": "10.0.0.1/8", "p": {"a": 1, "b": "x"}, "r": "[1,5)"}');
SELECT by, encode(by, 'hex') AS hex, t = E'tab\t"quote" \\ \u00e9 \u2028 \U0001F600' AS t, j, jb, ia, ta, m, d, p, c FROM v WHERE id = 2;
-- what was sent comes back the same way, and that is a replay
SELECT p2->'succeeded'->0->>'status' AS status FROM tide.push('{"changes": {"v": [{"id": 2, "f8": 1e308, "lm": "2020-01-01T00:00:00Z", "_base": null}]}}') p1,
	LATERAL (SELECT data FROM tide.changes(entity_types => '{v}', max_rows => 1000) c WHERE c.key->>'id' = '2' AND p1 IS NOT NULL) c,
	LATERAL tide.push(jsonb_build_object('changes', jsonb_build_object('v', jsonb_build_array(data)))) p2;
-- json values in json columns: any kind, and null is SQL's
SELECT s, r FROM unnest(ARRAY['1', '"s"', '[]', 'true', '{"a": [{}]}']) AS x(s), put(jsonb_build_object('id', 3, 'j', s::jsonb, 'jb', s::jsonb));
SELECT status FROM put('{"id": 3, "jb": null, "j": null}');
SELECT jb IS NULL AS jb, j IS NULL AS j FROM v WHERE id = 3;
-- null and absent, and the empty patch
INSERT INTO v (id, t, i2) VALUES (6, 'kept', 1);
SELECT status FROM put('{"id": 6, "i2": null}');
SELECT status FROM put('{"id": 6}');
SELECT t, i2 FROM v WHERE id = 6;
-- text cannot hold NUL: JSON refuses it before we do
SELECT tide.push('{"changes": {"v": [{"id": 1, "t": "a\u0000b"}]}}');

-- utc => false: a timestamp without zone goes as it is
CREATE TABLE local (id int PRIMARY KEY, ts timestamp, tz timestamptz);
SELECT tide.track('local', shared => true, utc => false);
SELECT p->'succeeded'->0->'entity'->>'ts' AS ts, p->'succeeded'->0->'entity'->>'tz' AS tz
	FROM tide.push('{"changes": {"local": [{"id": 1, "ts": "2024-02-29T12:34:56", "tz": "2024-02-29T12:34:56Z"}]}}') p;
-- identity keys are written as sent, serials advance by themselves
CREATE TABLE ident (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, n int GENERATED BY DEFAULT AS IDENTITY, t text);
SELECT tide.track('ident', shared => true);
SELECT status, data->>'n' AS n FROM tide.upsert('ident', '{"id": 77, "t": "a"}');
SELECT status, data->>'n' AS n FROM tide.upsert('ident', '{"id": 77, "n": 9}');
SELECT id, n, t FROM ident;
DROP SCHEMA vals CASCADE;
