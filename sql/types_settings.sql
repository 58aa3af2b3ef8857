-- Names and amounts: types whose text depends on settings of the session.  Every
-- session sends the same, takes what another was sent, and brings back a row
-- that another has deleted.
--
-- Seen failing: without text_begin_output() in text_output() and in
-- wire_append_value(); without text_begin_input() in text_input() and in
-- wire_read_value(); with text_input() in place of kept_value(): the last push
-- raised 42704.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
SET timezone = 'UTC';
CREATE SCHEMA one;
CREATE SCHEMA two;
CREATE TABLE one.thing (a int);
CREATE TABLE two.thing (b int);
CREATE TABLE one.pg_class (c int);
CREATE TYPE one.kind AS ENUM ('x');
CREATE TYPE named AS (label text, "of" regclass, kinds regtype[]);
CREATE DOMAIN object AS regclass CHECK (VALUE <> 'pg_am'::regclass);
CREATE TABLE pointer (id int PRIMARY KEY, rel regclass, rels object[], named named, kind regtype, note text,
	at timestamptz, by text);
SELECT tide.track('pointer', shared => true, modified_at => 'at', client_id => 'by', conflict => 'merge');
CREATE FUNCTION public.pulled() RETURNS SETOF jsonb LANGUAGE sql AS $$
	SELECT r::jsonb - 'at' - 'by' FROM json_array_elements(tide.pull(NULL)->'changesByType'->'pointer') r ORDER BY 1 $$;
CREATE FUNCTION public.pushed(changes jsonb) RETURNS TABLE (id int, status text, code text, "column" text, message text) LANGUAGE sql AS $$
	WITH r AS (SELECT tide.push(jsonb_build_object('changes', jsonb_build_object('pointer', changes))) r)
	SELECT (v->>'entityId')::int, v->>'status', v->'errors'->0->>'code', v->'errors'->0->>'column', v->'errors'->0->>'message'
	FROM r, LATERAL (SELECT json_array_elements(r->'succeeded') UNION ALL SELECT json_array_elements(r->'failed')) x (v) ORDER BY 1 $$;
INSERT INTO pointer VALUES (1, 'one.thing', '{two.thing,pg_type}', ROW('l', 'one.thing', '{one.kind,int}'), 'one.kind', 'a'),
	(2, 'one.pg_class', '{one.pg_class}', ROW(NULL, 'pg_am', '{}'), 'timestamptz', 'b');
SELECT * FROM pulled();
-- a field that a composite gets is seen at once
CREATE TYPE later AS (label text);
CREATE TABLE lately (id int PRIMARY KEY, later later);
SELECT tide.track('lately', shared => true);
SELECT tide.pull(NULL)->'changesByType'->'lately';
ALTER TYPE later ADD ATTRIBUTE "of" regclass;
SET search_path = one, public;
INSERT INTO lately VALUES (1, ROW('l', 'thing'));
SELECT r->'later' FROM json_array_elements(tide.pull(NULL)->'changesByType'->'lately') r;
DROP TABLE lately;

-- sessions that would write them in other ways
SET search_path = one, pg_catalog, two, public;
SELECT rel, rels, named, kind FROM pointer ORDER BY id;
SELECT jsonb_agg(r) AS rows FROM pulled() r \gset
SELECT * FROM pulled();
SET quote_all_identifiers = on;
SELECT rel, rels, named, kind FROM pointer ORDER BY id;
SELECT * FROM pulled();
RESET quote_all_identifiers;
-- what one was sent, another stores as it was
SET search_path = two, public;
CREATE TABLE before AS SELECT rel::oid, rels, named, kind::oid FROM pointer;
SELECT count(*) FROM pushed((SELECT jsonb_agg(r || '{"note": "c"}') FROM jsonb_array_elements(:'rows') r));
SELECT rel::oid, rels, named, kind::oid FROM pointer EXCEPT SELECT * FROM before;
DROP TABLE before;
-- a name without a schema is one of the system, else one of the session
SELECT * FROM pushed('[{"id": 3, "rel": "thing", "rels": ["pg_class"]}]');
SET search_path = one, pg_catalog, two, public;
SELECT * FROM pushed('[{"id": 4, "rel": "thing", "rels": ["pg_class"]}, {"id": 5, "rel": "nothing"}]');
SELECT * FROM pulled() WHERE pulled->>'id' IN ('3', '4');

-- an edit of a row that another session has deleted
DELETE FROM pointer WHERE id <= 2;
SELECT key, image FROM tide.tombstone WHERE relid = 'pointer'::regclass ORDER BY 1;
SET search_path = two, public;
SELECT * FROM pushed('[{"id": 1, "note": "back"}, {"id": 2, "note": "back"}]');
SELECT * FROM pulled() WHERE pulled->>'id' IN ('1', '2');
-- of which one named what is gone by now, or a value that the column no longer takes: it fails, others do not
DELETE FROM pointer;
INSERT INTO pointer VALUES (6, NULL, NULL, NULL, NULL, 'long');
DELETE FROM pointer;
DROP TYPE one.kind;
ALTER TABLE pointer ALTER note TYPE varchar(3);
SELECT * FROM pushed('[{"id": 1, "note": "on"}, {"id": 2, "note": "on"}, {"id": 6, "rel": "pg_am"}, {"id": 7, "note": "new"}]');
SELECT * FROM pulled();
SELECT * FROM pushed('[{"id": 1, "kind": "text"}, {"id": 6, "note": "sh"}]');
SELECT * FROM pulled();


-- a fragment of XML, in a session that asks for documents; not every server is built with XML
SET search_path = public;
CREATE TABLE scrap (id int PRIMARY KEY, body xml);
SELECT tide.track('scrap', shared => true);
CREATE FUNCTION pg_temp.has_xml() RETURNS bool LANGUAGE plpgsql AS $$
	BEGIN PERFORM '<a/>'::xml; RETURN true; EXCEPTION WHEN feature_not_supported THEN RETURN false; END $$;
SELECT pg_temp.has_xml() AS has_xml \gset
SET xmloption = document;
\if :has_xml
SELECT s->>'status' AS status, s->'entity'->>'body' AS body
FROM json_array_elements(tide.push('{"changes": {"scrap": [{"id": 1, "body": "a<b/>"}]}}')->'succeeded') s;
\else
SELECT 'applied' AS status, 'a<b/>' AS body;
\endif

-- the names of types, which say to a client how it keeps a value
SELECT tide.schema()::text AS schema \gset
SET quote_all_identifiers = on;
SELECT tide.schema()::text = :'schema' AS same;
RESET quote_all_identifiers;
DROP TABLE pointer, scrap;
RESET search_path;
DROP TYPE later;
DROP TYPE named;
DROP DOMAIN object;
DROP FUNCTION pulled, pushed;
DROP SCHEMA one CASCADE;
DROP SCHEMA two CASCADE;
