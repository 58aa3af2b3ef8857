-- Types: what a pull sends of a row, a push stores again as it was, whatever
-- the type, up to its last value.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA types;
SET search_path = types;
SET timezone = 'Asia/Kathmandu';
SET datestyle = 'SQL, DMY';
SET intervalstyle = 'postgres_verbose';
SET extra_float_digits = -3;
SET bytea_output = 'escape';
CREATE TYPE mood AS ENUM ('sad', 'so so', 'o"k');
CREATE DOMAIN moods AS mood[] CHECK (cardinality(VALUE) < 9);
CREATE TYPE pair AS (a int, b text, c numeric[]);
CREATE TABLE a (id int PRIMARY KEY, i2 smallint, i8 bigint, n numeric, n2 numeric(30,10), f4 real, f8 float8, b bool, t text, vc varchar(9), c char(5), nm name,
	by bytea, u uuid, j json, jb jsonb, m mood, ms moods, p pair, ps pair[], ts timestamp, ts3 timestamp(3), tz timestamptz, d date, ti time, tiz timetz, iv interval,
	ia int[], na numeric[], ta text[], tza timestamptz[], jba jsonb[], bya bytea[], r4 int4range, rn numrange, rz tstzrange, rd daterange, mr int8multirange,
	ip inet, ci cidr, mac macaddr, bi bit(4), vb varbit, pt point, bx box, ls pg_lsn, tv tsvector, ox oid, g bigint GENERATED ALWAYS AS (id * 2) STORED);
CREATE TABLE z (LIKE a INCLUDING ALL);
SELECT tide.track('a', shared => true);
SELECT tide.track('z', shared => true);

INSERT INTO a (id) VALUES (1);
INSERT INTO a (id, i2, i8, n, n2, f4, f8, b, t, vc, c, nm, by, u, j, jb, m, ms, p, ps) VALUES
	(2, -32768, -9223372036854775808, '-123456789012345678901234567890.123456789012345678901234567890', '0.1000000000', '-1.17549435e-38', '4.94065645841247e-324', false,
		E'tab\t\\ "q" \u2028 \U0001F600 \x7f', '', 'ab', 'n', '', '00000000-0000-0000-0000-000000000000', '{"a": [], "b": 1.50}', '{"n": 1234567890123456789012345678901234567890.10, "s": "\u00e9\"", "o": {}}',
		'so so', '{sad,NULL,"o\"k"}', '(1,"x ""y"" (z)","{1.0,NULL,0.00}")', ARRAY[NULL, '(,,)'::pair, '(2,,"{}")'::pair]),
	(3, 32767, 9223372036854775807, 'NaN', '-99999999999999999999.9999999999', 'Infinity', '-Infinity', true, repeat('é', 5000), 'zé "', '', 'Ünï', '\x00ff5c27', 'ffffffff-ffff-ffff-ffff-ffffffffffff',
		'"scalar"', '[1e400, -0.0, true, null]', 'o"k', '{}', '(,,)', '{}'),
	(4, 0, 9007199254740993, 'Infinity', '0', 'NaN', '1.7976931348623157e308', true, '', 'x', ' x', '', '\x5c5c', NULL, '1.10', 'false', 'sad', NULL, NULL, NULL),
	(5, 1, -9007199254740993, '-Infinity', '1e-10', 0.1, 0.1, false, 'null', '"', '\', '"', '\x', NULL, '[]', '"null"', NULL, '{sad}', '(-2147483648,"","{NaN,Infinity}")', NULL);
INSERT INTO a (id, ts, ts3, tz, d, ti, tiz, iv, ia, na, ta, tza, jba, bya) VALUES
	(6, 'infinity', '-infinity', 'infinity', 'infinity', '24:00', '23:59:59.999999-15:59', '178000000 years -11 mons 3 days -04:05:06.789', '{{1,2},{NULL,4}}', '{1.00,NaN,1e30}', '{"a,b","",NULL,"NULL","{x}","\\"}', '{infinity,NULL}',
		ARRAY['{"a": [1]}', NULL, '"null"']::jsonb[], ARRAY['\x00', NULL]::bytea[]),
	(7, '-infinity', 'infinity', '-infinity', '-infinity', '00:00', '00:00+15:59', '0', '{}', '{}', '{}', '{}', '{}', '{}'),
	(8, '4714-11-24 00:00:00 BC', '0001-01-01 00:00:00', '4714-11-24 00:00:00+00 BC', '4714-11-24 BC', '12:34:56.789012', '12:34:56.789012+05:45', '-1 day +00:00:00.000001', '{1,2}', NULL, '{{a,"b c"},{"",null}}', '{2024-02-29 12:34:56.000001+00}', NULL, NULL),
	(9, '294276-12-31 23:59:59.999999', '9999-12-31 23:59:59.999', '294276-12-31 23:59:59.999999+00', '5874897-12-31', NULL, NULL, '1 mon', '{-2147483648,2147483647}', '{0}', ARRAY[E'tab\t\n\u2028'], NULL, NULL, NULL),
	(10, '1969-12-31 23:59:59.999999', '1970-01-01 00:00:00.001', '1970-01-01 00:00:00+00', '1970-01-01', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO a (id, r4, rn, rz, rd, mr, ip, ci, mac, bi, vb, pt, bx, ls, tv, ox) VALUES
	(11, '[1,5)', '(,1.50]', '[2024-02-29 12:00:00+00,infinity)', '[-infinity,2024-02-29)', '{[1,3),[7,9223372036854775807)}', '10.0.0.1/8', '10.0.0.0/8', '08:00:2b:01:02:03', '0101', '', '(1e300,-0.1)', '(2,2),(1,1)', 'FFFFFFFF/FFFFFFFF', '''a b'':1A ''c'':2', 4294967295),
	(12, 'empty', '(,)', '(,)', 'empty', '{}', '::1', '::/0', 'ff:ff:ff:ff:ff:ff', '1111', '10101010101', '(NaN,Infinity)', NULL, '0/0', '', 0),
	(13, '(,)', '[-Infinity,NaN]', 'empty', '[2024-02-29,2024-03-01)', '{(,)}', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);

-- pushed as it was pulled: the row of a, as z's
CREATE FUNCTION carry_over(source text, target text) RETURNS TABLE (n bigint, failed json) LANGUAGE sql AS $$
	WITH rows AS MATERIALIZED (SELECT r - 'lastModifiedAt' - 'clientId' AS r FROM jsonb_array_elements(tide.pull(entity_types => ARRAY[source], max_rows => 500)::jsonb->'changesByType'->source) r),
		p AS MATERIALIZED (SELECT tide.push(jsonb_build_object('changes', jsonb_build_object(target, (SELECT jsonb_agg(r) FROM rows)))) AS r)
	SELECT (r->'summary'->>'succeeded')::bigint, r->'failed' FROM p $$;
SELECT * FROM carry_over('a', 'z');
SET extra_float_digits = 1;
SET bytea_output = 'hex';
CREATE FUNCTION differ() RETURNS TABLE ("column" name, ids int[]) LANGUAGE plpgsql AS $$ BEGIN
	FOR "column" IN SELECT attname FROM pg_attribute WHERE attrelid = 'a'::regclass AND attnum > 0 AND attname NOT IN ('lastModifiedAt', 'clientId') ORDER BY attnum LOOP
		EXECUTE format('SELECT array_agg(id ORDER BY id) FROM a FULL JOIN z USING (id) WHERE a.%1$I::text IS DISTINCT FROM z.%1$I::text', "column") INTO ids;
		IF ids IS NOT NULL THEN RETURN NEXT; END IF;
	END LOOP; END $$;
SELECT * FROM differ();
SELECT count(*) FROM z;
-- over what is there already, and that is a replay where nothing changed
UPDATE z SET i2 = 5, t = 'x', tz = 'epoch', jb = '1', ia = '{9}', p = '(9,,)', mr = '{[9,9]}' WHERE id % 2 = 0;
SELECT * FROM carry_over('a', 'z');
SELECT * FROM differ();
SELECT p->'summary'->>'succeeded' AS n, (SELECT count(DISTINCT s->>'status') = 1 AND min(s->>'status') = 'unchanged' FROM json_array_elements(p->'succeeded') s) AS unchanged
	FROM tide.push(jsonb_build_object('changes', jsonb_build_object('z', tide.pull(entity_types => '{z}', max_rows => 500)::jsonb->'changesByType'->'z'))) p;
-- where an array begins, and JSON's null beside SQL's, come back too; what is
-- not told apart: the white space of json, and a name that is in it twice
INSERT INTO a (id, ia, j, jb, jba) VALUES (20, '[2:3]={1,2}', '{"b": 1, "a" : [ ], "b": 2}', 'null', ARRAY['null'::jsonb]);
SELECT * FROM carry_over('a', 'z');
SELECT * FROM differ();
SELECT ia, j, jb IS NULL AS jb, jba FROM z WHERE id = 20;

-- NULL in an array, whatever the session makes of it
SET array_nulls = off;
SELECT s->'entity'->>'ia' AS ia FROM tide.push('{"changes": {"a": [{"id": 21, "ia": [1, null]}]}}') p, json_array_elements(p->'succeeded') s;
RESET array_nulls;

-- values that a column does not take fail their change, and name the column
SELECT f->>'entityId' AS id, f->'errors'->0->>'code' AS code, f->'errors'->0->>'column' AS "column" FROM tide.push(jsonb_build_object('changes', jsonb_build_object('a', (SELECT jsonb_agg(jsonb_build_object('id', 100 + n) || v ORDER BY n)
	FROM unnest(ARRAY['{"i2": 32768}', '{"i8": 1e19}', '{"n2": 1e21}', '{"f4": 1e39}', '{"f8": "1e309"}', '{"m": "glad"}', '{"ms": ["glad"]}', '{"ms": ["sad","sad","sad","sad","sad","sad","sad","sad","sad"]}', '{"p": {"a": "x"}}', '{"ps": [{"a": 1e10}]}',
		'{"vc": "ten letters"}', '{"c": "sixsix"}', '{"ia": [[1],[2,3]]}', '{"ia": [1, "x"]}', '{"ia": {"a": 1}}', '{"r4": "[5,1]"}', '{"rz": "[2024"}', '{"mr": "{[1,2]"}', '{"ts": "294277-01-01"}', '{"tz": "infinity"}', '{"d": "2024-02-30"}',
		'{"ti": "25:00"}', '{"iv": "soon"}', '{"by": "\\x0"}', '{"bi": "01010"}', '{"ox": 4294967296}', '{"g": 9}']::jsonb[]) WITH ORDINALITY AS x(v, n))))) p, json_array_elements(p->'failed') f ORDER BY 1;
SELECT id, tz, g FROM a WHERE id > 100;
DROP SCHEMA types CASCADE;
