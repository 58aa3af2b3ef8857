-- The image of a deleted row follows its columns when they are renamed.  By their
-- names alone a row that came back had NULL there, or the value of the column
-- that has the name now, without a word.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE SCHEMA merge_renamed;
SET search_path = merge_renamed;
CREATE FUNCTION pushed(what text, data jsonb, at text) RETURNS text LANGUAGE sql AS $$
	SELECT coalesce(p->'succeeded'->0->>'status', p->'failed'->0->>'errors')
	FROM tide.push(jsonb_build_object('changes', jsonb_build_object(what, jsonb_build_array(data || jsonb_build_object('lastModifiedAt', at))))) p $$;
CREATE TABLE doc (id int PRIMARY KEY, a text, b text, c text, d text, e text);
SELECT tide.track('doc', shared => true, conflict => 'merge');
SELECT pushed('doc', jsonb_build_object('id', n, 'a', 'a', 'b', 'b', 'c', 'c', 'd', 'd', 'e', NULL), '2020-01-01T00:00:10Z') FROM generate_series(1, 3) n;
SELECT pushed('doc', jsonb_build_object('id', n, 'deletedAt', '2020-01-01T00:00:20Z'), '2020-01-01T00:00:20Z') FROM generate_series(1, 3) n;
-- what an older version has written goes by names
UPDATE tide.tombstone SET image = (image::jsonb - '')::text WHERE relid = 'doc'::regclass AND key = '3';
SELECT key, image FROM tide.tombstone WHERE relid = 'doc'::regclass ORDER BY key;
-- a is z, b and c change their names, d is another column
ALTER TABLE doc RENAME a TO z;
ALTER TABLE doc RENAME b TO x;
ALTER TABLE doc RENAME c TO b;
ALTER TABLE doc RENAME x TO c;
ALTER TABLE doc DROP d;
ALTER TABLE doc ADD d text;
-- a late edit goes into the image, and the row comes back from it
SELECT pushed('doc', '{"id": 1, "b": "late"}', '2020-01-01T00:00:15Z');
SELECT key, image FROM tide.tombstone WHERE relid = 'doc'::regclass AND key = '1';
SELECT pushed('doc', '{"id": 1, "e": "new"}', '2020-01-01T00:00:30Z'), pushed('doc', '{"id": 2, "e": "new"}', '2020-01-01T00:00:30Z'), pushed('doc', '{"id": 3, "e": "new"}', '2020-01-01T00:00:30Z');
SELECT id, z, b, c, d, e FROM doc ORDER BY id;

-- partitions: one numbers its columns as the root does, the other in another way
CREATE TABLE part (id int PRIMARY KEY, a text, b text) PARTITION BY RANGE (id);
CREATE TABLE part_same PARTITION OF part FOR VALUES FROM (1) TO (10);
CREATE TABLE part_other (b text, gone int, id int NOT NULL, a text);
ALTER TABLE part_other DROP gone;
ALTER TABLE part ATTACH PARTITION part_other FOR VALUES FROM (10) TO (20);
SELECT tide.track('part', shared => true, conflict => 'merge');
SELECT pushed('part', jsonb_build_object('id', n, 'a', 'a', 'b', 'b'), '2020-01-01T00:00:10Z') FROM unnest('{1,10,11}'::int[]) n;
SELECT pushed('part', jsonb_build_object('id', n, 'deletedAt', '2020-01-01T00:00:20Z'), '2020-01-01T00:00:20Z') FROM unnest('{1,10,11}'::int[]) n;
SELECT key, image FROM tide.tombstone WHERE relid = 'part'::regclass ORDER BY key;
ALTER TABLE part RENAME b TO c;
SELECT pushed('part', '{"id": 1, "a": "new"}', '2020-01-01T00:00:30Z'), pushed('part', '{"id": 11, "a": "new"}', '2020-01-01T00:00:30Z');
SELECT pushed('part', '{"id": 10, "c": "late"}', '2020-01-01T00:00:15Z'), pushed('part', '{"id": 10, "a": "new"}', '2020-01-01T00:00:30Z');
SELECT id, a, c FROM part ORDER BY id;

-- a composite value has its attributes by place: of another attribute it would be
-- the value, without a word
CREATE TYPE inner_pair AS (x int, y int);
CREATE DOMAIN pairs AS inner_pair[];
CREATE TYPE outer_pair AS (n int, i inner_pair);
CREATE TABLE comp (id int PRIMARY KEY, s text, p inner_pair, d pairs, o outer_pair);
SELECT tide.track('comp', shared => true, conflict => 'merge');
INSERT INTO comp ("lastModifiedAt", id, s, p, d, o) SELECT '2020-01-01T00:00:10Z', n, 'a', CASE WHEN n <> 3 THEN '(1,2)'::inner_pair END,
	CASE WHEN n <> 4 THEN '{"(3,4)"}'::inner_pair[] END, '(5,"(6,7)")' FROM generate_series(1, 5) n;
SELECT pushed('comp', jsonb_build_object('id', n, 'deletedAt', '2020-01-01T00:00:20Z'), '2020-01-01T00:00:20Z') FROM generate_series(1, 5) n;
SELECT key, image FROM tide.tombstone WHERE relid = 'comp'::regclass AND key IN ('1', '3') ORDER BY key;
SELECT pushed('comp', '{"id": 1, "s": "same"}', '2020-01-01T00:00:30Z');
ALTER TYPE inner_pair RENAME ATTRIBUTE y TO z;
SELECT pushed('comp', '{"id": 5, "s": "renamed"}', '2020-01-01T00:00:30Z');
ALTER TYPE inner_pair ADD ATTRIBUTE y int;
ALTER TYPE inner_pair DROP ATTRIBUTE x;
-- late edits leave what is kept as it is; what comes back in full does not need it
SELECT pushed('comp', '{"id": 2, "s": "late"}', '2020-01-01T00:00:15Z');
SELECT n, pushed('comp', jsonb_build_object('id', n, 's', 'new'), '2020-01-01T00:00:30Z') FROM generate_series(2, 4) n;
SELECT pushed('comp', '{"id": 3, "s": "new", "d": null, "o": null}', '2020-01-01T00:00:30Z');
SELECT pushed('comp', '{"id": 4, "s": "new", "p": null, "o": {"n": 1, "i": {"z": 2, "y": 3}}}', '2020-01-01T00:00:30Z');
SELECT id, s, p, d, o FROM comp ORDER BY id;
DROP SCHEMA merge_renamed CASCADE;
