-- A scope that follows foreign keys: rows enter and leave scopes with their
-- ancestors, in both scopes' streams, whoever moves them and how.
-- Seen to fail with: an ancestor's change not followed down; the row's scope not
-- found anew when it is written directly, or comes before its parent; the
-- maintained column counted as an edit of the row, or as one of those that a push
-- sends; an answer for the next row of a statement kept though an ancestor has
-- moved; keys that change hands, or come again after a delete, not followed.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA path;
SET search_path = path;
CREATE ROLE regress_tide_path;
GRANT USAGE ON SCHEMA path TO regress_tide_path;
CREATE TABLE plan (id int PRIMARY KEY, athlete text, name text);
CREATE TABLE day (id int PRIMARY KEY, plan_id int REFERENCES plan ON UPDATE CASCADE ON DELETE CASCADE, name text);
CREATE TABLE exercise (id int PRIMARY KEY, day_id int REFERENCES day ON UPDATE CASCADE ON DELETE SET NULL, name text);
CREATE TABLE note (id int PRIMARY KEY, plan_id int NOT NULL REFERENCES plan DEFERRABLE INITIALLY DEFERRED, name text, n int GENERATED ALWAYS AS (plan_id * 2) STORED);
CREATE INDEX ON plan (athlete);
CREATE INDEX ON day (plan_id);
CREATE INDEX ON exercise (day_id);
CREATE INDEX ON note (plan_id);
-- rows from before: of whom they are is found at once, without the user's triggers or a new stamp
CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.name := upper(NEW.name); RETURN NEW; END $$;
CREATE TRIGGER loud BEFORE UPDATE ON exercise FOR EACH ROW EXECUTE FUNCTION shout();
CREATE TRIGGER always BEFORE UPDATE ON exercise FOR EACH ROW EXECUTE FUNCTION shout();
ALTER TABLE exercise ENABLE ALWAYS TRIGGER always;
CREATE TRIGGER off BEFORE UPDATE ON exercise FOR EACH ROW EXECUTE FUNCTION shout();
ALTER TABLE exercise DISABLE TRIGGER off;
INSERT INTO plan VALUES (1, 'ann', 'p'), (2, 'bob', 'p'), (3, NULL, 'p');
INSERT INTO day VALUES (11, 1, 'd'), (12, 2, 'd'), (13, 3, 'd'), (14, NULL, 'd');
INSERT INTO exercise VALUES (111, 11, 'e'), (112, 12, 'e'), (113, 13, 'e'), (114, 14, 'e'), (115, NULL, 'e');
-- plan and note are tracked, day is not
SELECT tide.track('plan', scope => 'athlete');
SELECT tide.track('exercise', scope => 'day_id.plan_id.athlete');
SELECT tide.track('note', scope => 'plan_id.athlete', scope_column => 'whose', naming => 'camel', version => 'ver');
SELECT id, tide_scope, name, "lastModifiedAt" FROM exercise ORDER BY id;
SELECT tgname, tgenabled FROM pg_trigger WHERE tgrelid = 'exercise'::regclass AND NOT tgisinternal AND tgname !~ '^zz' ORDER BY tgname COLLATE "C";
DROP TRIGGER always ON exercise;
DROP TRIGGER loud ON exercise;
CREATE INDEX ON exercise (tide_scope, id);
CREATE INDEX ON note (whose, id);
CREATE FUNCTION scopes(t text DEFAULT 'exercise') RETURNS text LANGUAGE plpgsql AS
	$$ DECLARE r text; BEGIN EXECUTE format('SELECT string_agg(concat(id, %I), '' '' ORDER BY id) FROM %I', CASE t WHEN 'note' THEN 'whose' ELSE 'tide_scope' END, t) INTO r; RETURN r; END $$;

-- what each of the two sees
CREATE FUNCTION stream(who text, since text) RETURNS TABLE (change text) LANGUAGE plpgsql AS $$ BEGIN
	PERFORM set_config('request.jwt.claims', json_build_object('sub', who)::text, true);
	RETURN QUERY SELECT concat(who, ': ', string_agg(concat(CASE operation WHEN 'delete' THEN '-' ELSE '+' END, entity_type, key->>'id'), ' ' ORDER BY entity_type, (key->>'id')::int)) FROM tide.changes(since);
	PERFORM set_config('request.jwt.claims', '', true);
END $$;
CREATE FUNCTION streams(since text) RETURNS SETOF text LANGUAGE sql AS $$ SELECT stream('ann', since) UNION ALL SELECT stream('bob', since) $$;
SELECT streams(NULL);
SELECT tide.cursor() AS c \gset

-- plain SQL needs nothing, and cannot say otherwise
INSERT INTO exercise VALUES (121, 11, 'x'), (122, 12, 'x'), (123, NULL, 'x'), (124, 13, 'x');
INSERT INTO exercise (id, day_id, tide_scope) VALUES (125, 11, 'bob'), (126, NULL, 'bob');
UPDATE exercise SET tide_scope = 'bob' WHERE id IN (111, 113);
INSERT INTO note VALUES (1, 1, 'n'), (2, 2, 'n');
SELECT scopes(), scopes('note');
SELECT streams(:'c');
-- an update that is corrected back is none
SELECT tide.cursor() AS c \gset
UPDATE exercise SET tide_scope = 'bob' WHERE id = 111;
SELECT streams(:'c');
SELECT "lastModifiedAt" AS stamp FROM exercise WHERE id = 121 \gset

-- moves: of the row, of its parent, of the last ancestor; no edit of the rows below
UPDATE exercise SET day_id = 12 WHERE id = 125;
SELECT streams(:'c');
SELECT tide.cursor() AS c \gset
UPDATE day SET plan_id = 2 WHERE id = 11;
SELECT scopes(), streams(:'c');
SELECT "lastModifiedAt" = :'stamp' AS "stamp stays" FROM exercise WHERE id = 121;
SELECT tide.cursor() AS c \gset
UPDATE plan SET athlete = CASE athlete WHEN 'ann' THEN 'bob' WHEN 'bob' THEN 'ann' END;
SELECT scopes(), scopes('note'), streams(:'c');
SELECT tide.cursor() AS c \gset
-- to nobody and back, and where nothing leads on
UPDATE plan SET athlete = NULL WHERE id = 2;
SELECT scopes(), streams(:'c');
UPDATE plan SET athlete = 'bob' WHERE id = 2;
UPDATE plan SET athlete = 'ann' WHERE id = 1;
UPDATE day SET plan_id = CASE id WHEN 11 THEN 1 WHEN 12 THEN 2 END WHERE id IN (11, 12);
SELECT scopes();
-- what does not lead elsewhere moves nothing
SELECT tide.cursor() AS c \gset
SELECT max(xmin::text::bigint) AS x FROM exercise \gset
UPDATE plan SET name = 'q';
UPDATE plan SET athlete = athlete, id = id;
UPDATE day SET name = 'q', plan_id = plan_id;
SELECT max(xmin::text::bigint) = :x AS untouched FROM exercise;
SELECT streams(:'c');

-- other ways to write
SELECT tide.cursor() AS c \gset
INSERT INTO day VALUES (11, 2, 'up') ON CONFLICT (id) DO UPDATE SET plan_id = excluded.plan_id;
SELECT scopes(), streams(:'c');
-- MERGE, or where there is none (14) what comes of it
DO $$ BEGIN
	IF current_setting('server_version_num')::int >= 150000 THEN
		EXECUTE 'MERGE INTO day d USING (VALUES (11, 1)) v(id, plan) ON d.id = v.id WHEN MATCHED THEN UPDATE SET plan_id = v.plan';
	ELSE
		UPDATE day SET plan_id = 1 WHERE id = 11;
	END IF;
END $$;
WITH moved AS (UPDATE plan SET athlete = 'bob' WHERE id = 1 RETURNING id) INSERT INTO exercise SELECT 130, 11, 'cte' FROM moved;
SELECT scopes();
UPDATE plan SET athlete = 'ann' WHERE id = 1;
-- keys that change, followed by cascades
BEGIN;
UPDATE plan SET id = id + 100;
SELECT scopes('note');
UPDATE note SET plan_id = plan_id + 100;
UPDATE day SET id = id + 100;
COMMIT;
SELECT scopes('note');
SELECT scopes(), streams(:'c');
SELECT string_agg(concat(id, '<', day_id), ' ' ORDER BY id) AS followed FROM exercise;
BEGIN;
UPDATE note SET plan_id = plan_id - 100;
UPDATE plan SET id = id - 100;
UPDATE day SET id = id - 100;
COMMIT;
SELECT scopes('note');
-- rolled back
BEGIN;
SAVEPOINT s;
UPDATE plan SET athlete = 'bob';
SELECT scopes();
ROLLBACK TO s;
SELECT scopes();
INSERT INTO exercise VALUES (131, 11, 'after');
COMMIT;
SELECT scopes();
-- in a function that moves the parent row by row
CREATE FUNCTION move_parent() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE plan SET athlete = CASE athlete WHEN 'ann' THEN 'bob' ELSE 'ann' END WHERE id = 1; RETURN NEW; END $$;
CREATE TRIGGER a_mover BEFORE INSERT ON exercise FOR EACH ROW EXECUTE FUNCTION move_parent();
INSERT INTO exercise VALUES (132, 11, 'm'), (133, 11, 'm'), (134, 11, 'm'), (135, 11, 'm');
DROP TRIGGER a_mover ON exercise;
SELECT string_agg(DISTINCT tide_scope, ' ') AS all_of, (SELECT athlete FROM plan WHERE id = 1) AS one FROM exercise WHERE day_id = 11;
UPDATE plan SET athlete = 'ann' WHERE id = 1;

-- deletes: of the row, of parents by cascade and SET NULL, from the right scope
SELECT tide.cursor() AS c \gset
DELETE FROM exercise WHERE id IN (131, 132, 133, 134, 135);
DELETE FROM day WHERE id = 12;
SELECT streams(:'c');
SELECT scopes();
SELECT tide.cursor() AS c \gset
DELETE FROM note WHERE id = 1;
DELETE FROM plan WHERE id = 1;
SELECT streams(:'c');
SELECT key, scope FROM tide.tombstone WHERE relid = 'note'::regclass;
SELECT scopes();

-- a child before its parent
BEGIN;
INSERT INTO note VALUES (3, 9, 'early'), (4, 9, 'early');
SELECT scopes('note');
UPDATE note SET name = 'still' WHERE id = 4;
INSERT INTO plan VALUES (9, 'ann', 'late');
SELECT tide.cursor() AS c \gset
COMMIT;
SELECT scopes('note'), streams(:'c');
-- deleted again before its parent came, or moved elsewhere
BEGIN;
INSERT INTO note VALUES (5, 10, 'early'), (6, 10, 'early');
DELETE FROM note WHERE id = 5;
UPDATE note SET plan_id = 9 WHERE id = 6;
COMMIT;
-- a parent that is nobody's at the end
INSERT INTO note VALUES (7, 3, 'nobody');
SELECT scopes('note');
-- one that goes and comes again under the same key, in one transaction and in one statement
BEGIN;
DELETE FROM plan WHERE id = 9;
SELECT scopes('note');
INSERT INTO plan VALUES (9, 'bob', 'again');
COMMIT;
SELECT scopes('note');
ALTER TABLE note ALTER CONSTRAINT note_plan_id_fkey NOT DEFERRABLE;
WITH gone AS (DELETE FROM plan WHERE id = 9 RETURNING id) INSERT INTO plan SELECT id, 'ann', 'other' FROM gone;
SELECT scopes('note');
ALTER TABLE note ALTER CONSTRAINT note_plan_id_fkey DEFERRABLE INITIALLY DEFERRED;
-- two that swap their keys
INSERT INTO plan VALUES (20, 'bob', 'b'), (21, 'cyd', 'c');
BEGIN;
INSERT INTO note VALUES (20, 20, 'n'), (21, 21, 'n');
UPDATE plan SET id = 22 WHERE id = 20;
UPDATE plan SET id = 20 WHERE id = 21;
UPDATE plan SET id = 21 WHERE id = 22;
COMMIT;
SELECT scopes('note');

-- push: where a row belongs is its parent's to say
GRANT SELECT, INSERT, UPDATE, DELETE ON exercise, plan, note TO regress_tide_path;
DELETE FROM exercise; DELETE FROM note; DELETE FROM day; DELETE FROM plan;
INSERT INTO plan VALUES (1, 'ann', 'p'), (2, 'bob', 'p');
INSERT INTO day VALUES (11, 1, 'd'), (12, 2, 'd');
INSERT INTO exercise VALUES (112, 12, 'bob''s');
CREATE FUNCTION result(body jsonb) RETURNS TABLE (id text, result text) LANGUAGE sql AS $$
	WITH p AS MATERIALIZED (SELECT tide.push(body) AS r)
	SELECT s->>'entityId', concat_ws(' ', s->>'status', s->'entity'->>'tide_scope', s->'entity'->>'whose') FROM p, json_array_elements(r->'succeeded') s
	UNION ALL SELECT s->>'entityId', s->>'errors' FROM p, json_array_elements(r->'failed') s $$;
SET ROLE regress_tide_path;
SET request.jwt.claims = '{"sub": "ann"}';
SELECT * FROM result('{"changes": {"exercise": [{"id": 201, "day_id": 11, "name": "hers"}, {"id": 202, "day_id": 12, "name": "not hers"}, {"id": 203, "name": "nobody''s"}, {"id": 204, "day_id": 99},
	{"id": 205, "day_id": 11, "tide_scope": "bob"}, {"id": 206, "day_id": 12, "tide_scope": "ann"}, {"id": 112, "day_id": 11}, {"id": 112, "name": "x"}, {"id": 112, "deletedAt": "2030-01-01T00:00:00Z"}]}}');
-- out of her own scope, nothing goes
SELECT * FROM result('{"changes": {"exercise": [{"id": 201, "day_id": 12}, {"id": 201, "day_id": null}, {"id": 205, "name": "changed", "tide_scope": "bob"}]}}');
-- parent and child together, in any order; a plan of hers that moves on takes the notes along
SELECT * FROM result('{"changes": {"note": [{"id": 31, "planId": 30, "name": "child"}], "plan": [{"id": 30, "name": "parent"}]}}');
SELECT * FROM result('{"changes": [{"entityType": "note", "entityId": 41, "data": {"planId": 40, "whose": "bob"}}, {"entityType": "plan", "entityId": 40, "data": {"athlete": "ann"}}, {"entityType": "note", "entityId": 31, "data": {"planId": 40}}]}');
-- what it says of its scope is not looked at: a replay is one
SELECT * FROM result('{"changes": {"exercise": [{"id": 209, "day_id": 11, "tide_scope": "bob", "lastModifiedAt": "2020-01-01T00:00:00Z"}]}}');
SELECT * FROM result('{"changes": {"exercise": [{"id": 209, "day_id": 11, "tide_scope": "bob", "lastModifiedAt": "2020-01-01T00:00:00Z"}]}}');
SELECT status, code, data->>'tide_scope' AS scope FROM tide.upsert('exercise', '{"id": 207, "day_id": 11}');
SELECT status, code FROM tide.upsert('exercise', '{"id": 208, "day_id": 12}');
SELECT status FROM tide.delete('exercise', '207');
RESET ROLE;
-- who may write both scopes: the children's offline edits are not beaten by the move
CREATE FUNCTION two(claims jsonb) RETURNS text[] LANGUAGE sql AS $$ SELECT '{ann,bob}'::text[] $$;
SET pg_tide.scopes_function = 'path.two';
SET ROLE regress_tide_path;
SELECT * FROM result(jsonb_build_object('changes', jsonb_build_object('plan', jsonb_build_array(jsonb_build_object('id', 40, 'athlete', 'bob', 'lastModifiedAt', now() + '1 s')),
	'note', jsonb_build_array(jsonb_build_object('id', 41, 'name', 'edited offline', 'lastModifiedAt', now() + '0.9 s')))));
RESET ROLE;
RESET pg_tide.scopes_function;
RESET request.jwt.claims;
SELECT id, plan_id, name, whose, ver FROM note ORDER BY id;
SELECT scopes();
-- who may write all but that column may send it back: it is not written; seen to fail with the column among those that
-- a push writes
REVOKE INSERT, UPDATE ON exercise FROM regress_tide_path;
SELECT format('GRANT INSERT (%1$s), UPDATE (%1$s) ON exercise TO regress_tide_path', string_agg(quote_ident(attname), ', '))
	FROM pg_attribute WHERE attrelid = 'exercise'::regclass AND attnum > 0 AND NOT attisdropped AND attname <> 'tide_scope' \gexec
SET ROLE regress_tide_path;
SET request.jwt.claims = '{"sub": "ann"}';
SELECT * FROM result('{"changes": {"exercise": [{"id": 210, "day_id": 11, "name": "new", "tide_scope": "ann"}, {"id": 209, "name": "changed", "tide_scope": "ann"}]}}');
RESET ROLE;
RESET request.jwt.claims;
GRANT INSERT, UPDATE ON exercise TO regress_tide_path;
-- schema tells clients where it is, and not to write it
SELECT c FROM json_array_elements(tide.schema()->'entityTypes'->'exercise'->'columns') c WHERE c->>'name' = 'tide_scope';
SELECT tide.schema()->'entityTypes'->'note'->>'scope' AS scope;

-- row security and grants: who writes need not be one who may read what leads to the scope
ALTER TABLE plan ENABLE ROW LEVEL SECURITY;
ALTER TABLE plan FORCE ROW LEVEL SECURITY;
ALTER TABLE day ENABLE ROW LEVEL SECURITY;
ALTER TABLE exercise ENABLE ROW LEVEL SECURITY;
ALTER TABLE exercise FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON exercise USING (tide_scope = current_setting('request.jwt.claims')::json->>'sub');
CREATE POLICY own ON plan TO regress_tide_path USING (true);
SET ROLE regress_tide_path;
SET request.jwt.claims = '{"sub": "ann"}';
SELECT count(*) FROM day;
INSERT INTO exercise VALUES (301, 11, 'hers');
INSERT INTO exercise VALUES (302, 12, 'bob''s');
SELECT * FROM result('{"changes": {"exercise": [{"id": 303, "day_id": 11}, {"id": 304, "day_id": 12}, {"id": 201, "name": "seen"}]}}');
-- she gives a plan away whose exercises she does not even see
UPDATE plan SET athlete = 'bob' WHERE id = 1;
RESET ROLE;
RESET request.jwt.claims;
SELECT scopes();

-- triggers of one's own that leave out updates in which nothing has changed: the row moves nevertheless, in all isolation
-- levels and also if it comes before its parent; its stamp stays.  One that leaves out every update is an error.  Seen to
-- fail with: rows that were left out not written once more.
CREATE TABLE kept (id int PRIMARY KEY, plan_id int REFERENCES plan DEFERRABLE INITIALLY DEFERRED, name text);
CREATE INDEX ON kept (plan_id);
CREATE TRIGGER z_min_update BEFORE UPDATE ON kept FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();
SELECT tide.track('kept', scope => 'plan_id.athlete');
INSERT INTO plan VALUES (50, 'ann', 'p'), (51, NULL, 'p');
INSERT INTO kept VALUES (1, 50, 'k'), (2, 50, 'k'), (3, 51, 'k');
SELECT "lastModifiedAt" AS stamp FROM kept WHERE id = 1 \gset
SELECT tide.cursor() AS c \gset
UPDATE plan SET athlete = 'bob' WHERE id = 50;
SELECT scopes('kept'), streams(:'c');
BEGIN ISOLATION LEVEL REPEATABLE READ;
UPDATE plan SET athlete = 'ann' WHERE id = 51;
UPDATE plan SET athlete = NULL WHERE id = 50;
COMMIT;
SELECT scopes('kept'), "lastModifiedAt" = :'stamp' AS "stamp stays" FROM kept WHERE id = 1;
BEGIN;
INSERT INTO kept VALUES (4, 52, 'early');
INSERT INTO plan VALUES (52, 'ann', 'late');
COMMIT;
SELECT scopes('kept');
CREATE FUNCTION never() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE TRIGGER never BEFORE UPDATE ON kept FOR EACH ROW EXECUTE FUNCTION never();
UPDATE plan SET athlete = 'bob' WHERE id = 52;
UPDATE plan SET name = 'q' WHERE id = 52;
DROP TRIGGER never ON kept;
DROP SCHEMA path CASCADE;
DROP ROLE regress_tide_path;
