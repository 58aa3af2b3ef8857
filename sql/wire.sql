-- Values on the wire: what is sent of them, and what is refused.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA wire;
SET search_path = wire;
SET timezone = 'UTC';
CREATE DOMAIN filled AS jsonb NOT NULL;
CREATE TYPE pair AS (a int, j jsonb);
CREATE TABLE v (id int PRIMARY KEY, j json, b jsonb, must jsonb NOT NULL DEFAULT '0', dom filled DEFAULT '0', ba jsonb[], p pair, ps pair[], t text, iv interval, n numeric, i int, f float8, by bytea, bys bytea[],
	pt point, r int4range, u uuid, ip inet, ia int[], nm name, vc varchar(20), tz timestamptz, ts timestamp, tz0 timestamptz(0), d date, e int2vector);
SELECT tide.track('v', shared => true);

-- JSON's null is not SQL's.  In a column that cannot be NULL, null means JSON's;
-- elsewhere JSON's is sent as its text, and so is what looks like that, what
-- jsonb does not take, and what is too deep or too long for a push.  Within
-- arrays and composites json is text.
-- (seen failing: without json_is_null() in append_json; without
-- wire_null_is_json() in wire_read_value; with false for each of the terms of
-- json_needs_text_form)
INSERT INTO v (id, j, b, must, dom, ba, p) VALUES (1, NULL, NULL, 'null', 'null', '{"null",NULL,"\"null\"","{\"a\": 1}"}', ROW(1, 'null')), (2, ' null', 'null', '{"$json": "x"}', '[]', NULL, ROW(2, NULL)),
	(3, '"\u0000 \ud800"', '{"$json": "null"}', '{"$json": 1}', '{}', NULL, NULL), (4, '1E400000', '1e999', '1', '"s"', NULL, NULL),
	(5, (repeat('[', 401) || repeat(']', 401))::json, (repeat('[', 400) || repeat(']', 400))::jsonb, '1', '1', NULL, NULL), (6, '{"a": 1, "\u0024json": "x"}', '1e1001', '2', '2', NULL, NULL), (7, '{"\u0024js\u006fn": "x", "$json": "y"}', NULL, '3', '3', NULL, NULL);
CREATE TABLE pulled AS SELECT row FROM json_array_elements(tide.pull()->'changesByType'->'v') row;
SELECT row->>'id' AS id, left(row->>'j', 40) AS j, left(row->>'b', 30) AS b, row->>'must' AS must, row->>'dom' AS dom, row->'ba' AS ba, row->'p' AS p FROM pulled ORDER BY 1;
CREATE TABLE was AS SELECT * FROM v;
UPDATE v SET j = '9', b = '9', must = '9', dom = '9', ba = '{9}', p = ROW(9, '9');
SELECT p->'summary'->>'succeeded' AS stored, p->'failed' AS failed FROM tide.push((SELECT jsonb_build_object('changes', jsonb_build_object('v', jsonb_agg(row::jsonb - '{lastModifiedAt,clientId}'::text[]))) FROM pulled)) p;
SELECT id, left(was.j::text, 40) AS was, left(v.j::text, 40) AS j, was.b = v.b AS b, was.must = v.must AS must, was.dom = v.dom AS dom, v.ba, v.p FROM was JOIN v USING (id)
	WHERE was.j::text IS DISTINCT FROM v.j::text OR (was.b, was.must, was.dom, was.ba::text, was.p::text) IS DISTINCT FROM (v.b, v.must, v.dom, v.ba::text, v.p::text) ORDER BY 1;

-- objects and arrays are for json, text, arrays and composites; what else an
-- input function would take for something else is refused, too
-- (seen failing: with get_element_type() for wire_element_type(), and with
-- nested arrays of json as dimensions, see wire_element_nests(); with json_text()
-- at the end of container_text; without require_hex; without the count of known
-- members in composite_text; without fields_know_clock)
CREATE FUNCTION put(id int, members text) RETURNS TABLE (sent text, code text, "column" text, message text) LANGUAGE sql AS $$
	SELECT members, r->'failed'->0->'errors'->0->>'code', r->'failed'->0->'errors'->0->>'column', r->'failed'->0->'errors'->0->>'message'
	FROM tide.push(format('{"changes": {"v": [{"id": %s, %s}]}}', id, members)::jsonb) r $$;
SELECT x.* FROM unnest(ARRAY['"iv": {"hours": 1, "minutes": 30}', '"iv": [1]', '"by": "SGVsbG8="', '"by": "\\"', '"by": 5', '"by": true', '"by": {}', '"bys": ["\\x00", "AAAA"]', '"pt": [1, 2]', '"pt": {"x": 1, "y": 2}', '"r": [1, 5]', '"r": {"lower": 1}',
	'"u": {}', '"ip": []', '"i": [1]', '"n": {}', '"f": [1.5]', '"tz": {}', '"ts": []', '"d": {}', '"ia": {}', '"ia": 5', '"ia": [{}]', '"p": [1, null]', '"p": {"a": 1, "B": 2}', '"p": {"a": {}}', '"ps": [{"a": 1, "x": null}]', '"ps": ["(1,"]', '"ba": ["{"]', '"e": [1, 2]']) i, put(1, i) x;
SELECT x.sent, x.code FROM unnest(ARRAY['"t": {"a": [1, null]}', '"vc": [1, 2]', '"nm": [true]', '"by": ""', '"by": "\\x0a"', '"ba": [{"a": 1}, [2], 3, true, null, "\"s\""]', '"p": {"j": {"a": 1}}', '"p": "(5,null)"', '"ia": "[5:6]={1,2}"', '"f": "1e-3"']) i, put(10, i) x;
SELECT t, vc, nm, by, ba, p, ia, f FROM v WHERE id = 10;
SET search_path = wire, pg_temp;
CREATE TYPE moment AS (at timestamptz, what text);
ALTER TABLE v ADD COLUMN m moment, ADD COLUMN ms moment[];
SELECT x.sent, x.code FROM unnest(ARRAY['"m": "(now,x)"', '"ms": ["(tomorrow,x)"]', '"ms": "{\"(today,)\"}"', '"m": {"at": "now"}', '"m": "(2024-02-29 00:00:00Z,x)"']) i, put(11, i) x;

-- times beyond those that there are
-- (seen failing: without the test of the rounded time in read_directly; without
-- that in stamp_just_above)
SELECT x.sent, x.code FROM unnest(ARRAY['"tz": "294277-01-01T00:00:00Z"', '"tz": "+300000-01-01T00:00:00Z"', '"tz": "294276-12-31T23:59:59.9999999Z"', '"tz0": "294276-12-31T23:59:59.6Z"', '"ts": "294276-12-31T23:59:59.9-14:00"', '"tz": 9224318016000000', '"d": 1e300', '"d": "5874898-01-01"', '"d": 99999999999999999999', '"tz": "4714-11-23T00:00:00Z BC"', '"ts": "999999-01-01"', '"tz": 1e131071', '"tz": "-004713-11-23T23:59:59Z"']) i, put(12, i) x;
SELECT tz, ts, tz0, d FROM v WHERE id = 12;
CREATE TABLE late (id int PRIMARY KEY, ts timestamp, "lastModifiedAt" timestamptz);
INSERT INTO late VALUES (1, NULL, 'infinity'), (2, NULL, '294276-12-31 23:59:59.999999Z'), (3, NULL, '-infinity');
SELECT tide.track('late', shared => true, conflict => 'client_wins', utc => false);
UPDATE late SET ts = '2024-02-29';
SELECT id, "lastModifiedAt" > '2024-02-29' AS late FROM late ORDER BY id;
SELECT s->>'status' AS status FROM tide.push('{"changes": {"late": [{"id": 1, "ts": "2024-02-29T12:00:00+02:00", "lastModifiedAt": 1}, {"id": 2, "ts": null, "lastModifiedAt": 1}]}}') p, json_array_elements(p->'succeeded') s;
SELECT id, ts, "lastModifiedAt" > '2024-02-29' AS late FROM late ORDER BY id;
SELECT e->>'code' AS code, f->'errors'->0->>'column' AS "column" FROM tide.push('{"changes": {"late": [{"id": 4, "lastModifiedAt": "+300000-01-01T00:00:00Z"}, {"id": 5, "lastModifiedAt": 1e131071}, {"id": 6, "lastModifiedAt": "infinity"}, {"id": 7, "lastModifiedAt": "-infinity"},
	{"id": 8, "deletedAt": "+294277-01-01T00:00:00Z"}, {"id": 9, "_base": 9e18}, {"id": 10, "ts": "294276-12-31T23:59:59-01:00"}, {"id": 11, "ts": "294276-12-31T23:00:00+23:00"}]}}') p, json_array_elements(p->'failed') f, json_array_elements(f->'errors') e;
SELECT id, ts FROM late WHERE id > 3;
DROP SCHEMA wire CASCADE;
