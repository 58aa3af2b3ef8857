-- Names: on the wire and in SQL, from the catalogs and always quoted.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
SET client_encoding = 'UTF8';
CREATE SCHEMA names;
CREATE SCHEMA "Other ""Schema";
SET search_path = names;

-- an entity type is one table's
CREATE TABLE workout (id int PRIMARY KEY, body text);
CREATE TABLE "Other ""Schema".workout (id int PRIMARY KEY, body text);
SELECT tide.track('workout', shared => true);
SELECT tide.track('"Other ""Schema".workout', shared => true);
SELECT tide.track('"Other ""Schema".workout', 'Workout', shared => true);
SELECT relation, entity_type FROM tide.tracked ORDER BY entity_type COLLATE "C";
-- a table may be given the name that it has
SELECT tide.track('workout', 'workout', shared => true);
SELECT tide.track('workout', 'Workout', shared => true);

-- a table that is replaced by another of its name: nothing of the new one would reach clients
BEGIN;
ALTER TABLE workout RENAME TO workout_old;
SELECT object, problem FROM tide.check() WHERE problem ~ 'clients know';
CREATE VIEW workout AS SELECT * FROM workout_old;
SELECT object, problem FROM tide.check() WHERE problem ~ 'clients know';
DROP VIEW workout;
CREATE TABLE workout (LIKE workout_old INCLUDING ALL);
SELECT severity, object, problem, hint FROM tide.check() WHERE problem ~ 'clients know';
SAVEPOINT before;
SELECT tide.track('workout', shared => true);
ROLLBACK TO before;
SELECT unnest(string_to_array(hint, '; ')) FROM tide.check() WHERE problem ~ 'clients know' \gexec
SELECT relation, entity_type FROM tide.tracked ORDER BY entity_type COLLATE "C";
SELECT count(*) FROM tide.check() WHERE problem ~ 'clients know';
ROLLBACK;

-- naming => 'camel'
CREATE TABLE camels (id int PRIMARY KEY, athlete_id int, "alreadyCamel" int, _lead int,
	trail_ int, two__under int, v2_x int, x_2 int, "Upper_case" int, url_ int);
SELECT tide.track('camels', shared => true, naming => 'camel');
SELECT string_agg(c->>'name', ' ') FROM
	json_array_elements(tide.schema()->'entityTypes'->'camels'->'columns') c;
-- and there and back
SELECT v.status, v.message FROM tide.upsert('camels', '{"id": 1, "athleteId": 7, "alreadyCamel": 8, "upper_case": 1}') v;
SELECT v.status FROM tide.upsert('camels', '{"id": 1, "athleteId": 7, "alreadyCamel": 8}') v;
SELECT athlete_id, "alreadyCamel", client_id IS NULL AS server FROM camels;
-- a wire name is not an SQL name for a push
SELECT p->'failed'->0->'errors'->0->>'code' AS code, p->'failed'->0->'errors'->0->>'column' AS "column"
	FROM tide.push('{"changes": {"camels": [{"id": 2, "athlete_id": 7}]}}') p;
-- two columns with one name on the wire
CREATE TABLE clash (id int PRIMARY KEY, athlete_id int, "athleteId" int);
SELECT tide.track('clash', shared => true, naming => 'camel');
SELECT tide.track('clash', shared => true, naming => 'camel', exclude => '{athlete_id}');
SELECT string_agg(c->>'name', ' ') FROM
	json_array_elements(tide.schema()->'entityTypes'->'clash'->'columns') c;
SELECT tide.track('clash', shared => true);

-- hostile names of everything
CREATE TABLE "Robert'); DROP TABLE ""x"";--" (
	"key "" '' \ $1 %s" uuid,
	"Schlüssel 🔑" text,
	"user id" text NOT NULL,
	"SELECT" int,
	"tide_new" text,
	"b" text, "t" text, "k0" text, "c1" text, "new_time" text, "ord" text,
	"at ""time""" timestamptz, "by $$whom$$" text, "ver.sion" smallint, "deleted,at" timestamp,
	"hidden=exclude" text,
	PRIMARY KEY ("key "" '' \ $1 %s", "Schlüssel 🔑"));
CREATE INDEX ON "Robert'); DROP TABLE ""x"";--" ("user id");
SELECT tide.track('"Robert''); DROP TABLE ""x"";--"', 'Type ''; "\ €=', scope => 'user id',
	modified_at => 'at "time"', client_id => 'by $$whom$$', version => 'ver.sion',
	deleted_at => 'deleted,at', exclude => '{hidden=exclude}', add_columns => false);
SELECT entity_type, scope, modified_at, client_id, version, deleted_at, exclude
	FROM tide.tracked WHERE relation = '"Robert''); DROP TABLE ""x"";--"'::regclass;
INSERT INTO "Robert'); DROP TABLE ""x"";--" VALUES
	('00000000-0000-0000-0000-000000000001', E'a\tb"''\\,{}', 'u''1', 1, 'n');
UPDATE "Robert'); DROP TABLE ""x"";--" SET "SELECT" = 2;
SELECT p->'summary' AS summary, s->>'entityId' LIKE '%"Schlüssel 🔑":%' AS id, s->>'status' AS status,
	s->'entity'->>'SELECT' AS "SELECT", s->'entity'->>'k0' AS k0, s->'entity'->>'ord' AS ord,
	s->'entity'->>'ver.sion' AS version, (s->'entity')::jsonb ? 'hidden=exclude' AS leaks
FROM tide.push(jsonb_build_object('changes', jsonb_build_object('Type ''; "\ €=', jsonb_build_array(
	jsonb_build_object('key " '''' \ $1 %s', '00000000-0000-0000-0000-000000000001',
		'Schlüssel 🔑', E'a\tb"''\\,{}', 'SELECT', 3, 'k0', 'k', 'b', 'b', 't', 't', 'c1', 'c', 'ord', 'o'),
	jsonb_build_object('key " '''' \ $1 %s', '00000000-0000-0000-0000-000000000002',
		'Schlüssel 🔑', 'NULL', 'user id', 'u''1'))))) p, json_array_elements(p->'succeeded') s;
SELECT p->'failed'->0->'errors'->0->>'code' AS code
FROM tide.push(jsonb_build_object('changes', jsonb_build_object('Type ''; "\ €=', jsonb_build_array(
	jsonb_build_object('key " '''' \ $1 %s', '00000000-0000-0000-0000-000000000001',
		'Schlüssel 🔑', 'NULL', 'hidden=exclude', 'x'))))) p;
SELECT e.key, json_array_length(e.value) AS n, e.value->0->>'Schlüssel 🔑' AS first
	FROM json_each(tide.pull(entity_types => ARRAY['Type ''; "\ €='])->'changesByType') e;
DELETE FROM "Robert'); DROP TABLE ""x"";--" WHERE "SELECT" IS NULL;
SELECT operation, key->>'Schlüssel 🔑' AS key FROM tide.changes(entity_types => ARRAY['Type ''; "\ €=']);
SELECT tide.untrack('"Robert''); DROP TABLE ""x"";--"', drop_columns => true);

-- a name as long as a name can be
CREATE TABLE a23456789b123456789c123456789d123456789e123456789f123456789g123 (
	z23456789b123456789c123456789d123456789e123456789f123456789g123 int PRIMARY KEY);
SELECT tide.track('a23456789b123456789c123456789d123456789e123456789f123456789g123',
	repeat('long', 100), shared => true);
SELECT length(entity_type) FROM tide.tracked WHERE relation::text LIKE 'a23%';

-- no search_path is needed, nor looked at
SET search_path = '';
INSERT INTO names.workout VALUES (1, 'a');
SELECT v.status, v.data->>'body' AS body FROM tide.upsert('"Other ""Schema".workout', '{"id": 1, "body": "b"}') v;
SELECT entity_type, data->>'body' AS body FROM tide.changes(entity_types => '{workout,Workout}') ORDER BY 1;
SELECT tide.untrack('names.workout');
SELECT tide.track('names.workout', 'again', shared => true);
SELECT count(*) FROM tide.tracked WHERE entity_type = 'again';

DROP SCHEMA names, "Other ""Schema" CASCADE;
SELECT count(*) FROM tide.tracked;
