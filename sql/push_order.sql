-- The order of rows in a push does not matter: parents, children, deletes, swaps.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA ord;
SET search_path = ord;
CREATE TABLE plan (id int PRIMARY KEY, name text, parent_id int REFERENCES plan);
CREATE TABLE day (id int PRIMARY KEY, plan_id int NOT NULL REFERENCES plan, nr int, UNIQUE (plan_id, nr) DEFERRABLE);
CREATE TABLE "set" (id int PRIMARY KEY, day_id int NOT NULL REFERENCES day, reps int);
SELECT tide.track(t::regclass, shared => true) FROM unnest('{plan,day,"\"set\""}'::text[]) t;
CREATE FUNCTION go(body jsonb) RETURNS TABLE (what text, id text, result text) LANGUAGE sql AS $$
	WITH p AS MATERIALIZED (SELECT tide.push(body) AS r)
	SELECT s->>'entityType', s->>'entityId', s->>'status' FROM p, json_array_elements(r->'succeeded') s
	UNION ALL SELECT s->>'entityType', s->>'entityId', concat_ws(' ', s->'errors'->0->>'code', s->'errors'->0->>'constraint') FROM p, json_array_elements(r->'failed') s
$$;

-- children first, in every table
SELECT * FROM go('{"changes": {"set": [{"id": 1, "day_id": 1}], "day": [{"id": 1, "plan_id": 1, "nr": 1}], "plan": [{"id": 1}]}}');
SELECT * FROM go('{"changes": [
	{"entityType": "set", "entityId": 2, "data": {"day_id": 2}}, {"entityType": "day", "entityId": 2, "data": {"plan_id": 2, "nr": 1}},
	{"entityType": "plan", "entityId": 2, "data": {"name": "two"}}, {"entityType": "set", "entityId": 3, "data": {"day_id": 1}}]}');
-- and parents first among deletes, mixed with upserts
SELECT * FROM go('{"changes": [
	{"entityType": "plan", "entityId": 2, "action": "delete"}, {"entityType": "day", "entityId": 2, "action": "delete"}, {"entityType": "set", "entityId": 2, "action": "delete"},
	{"entityType": "set", "entityId": 4, "data": {"day_id": 4}}, {"entityType": "day", "entityId": 4, "data": {"plan_id": 1, "nr": 4}}]}');
-- self-references, shuffled, with different columns sent
SELECT * FROM go('{"changes": {"plan": [{"id": 13, "parent_id": 12, "name": "leaf"}, {"id": 11, "parent_id": 10}, {"id": 12, "parent_id": 11, "name": "x"}, {"id": 14, "parent_id": 13}, {"id": 10, "name": "root"}]}}');
SELECT id, parent_id FROM plan WHERE id >= 10 ORDER BY id;
SELECT * FROM go('{"changes": {"plan": [{"id": 10, "deletedAt": 1e12}, {"id": 12, "deletedAt": 1e12}, {"id": 14, "deletedAt": 1e12}, {"id": 11, "deletedAt": 1e12}, {"id": 13, "deletedAt": 1e12}]}}');
SELECT count(*) FROM plan WHERE id >= 10;
-- a cycle of rows, and a chain whose links fail one by one
SELECT * FROM go('{"changes": {"plan": [{"id": 20, "parent_id": 21}, {"id": 21, "parent_id": 20}, {"id": 22, "parent_id": 99}, {"id": 23, "parent_id": 22}, {"id": 24, "parent_id": 20}]}}');
SELECT * FROM go('{"changes": {"plan": [{"id": 35, "parent_id": 34}, {"id": 34, "parent_id": 33, "name": "a"}, {"id": 33, "parent_id": 32}, {"id": 32, "parent_id": 31, "name": "b"}, {"id": 31, "parent_id": 30}, {"id": 30}, {"id": 36, "parent_id": 98}]}}');
-- two tables that refer to each other, and a chain that goes to and fro: each try mends the next links; seen to fail
-- with what failed tried again once
CREATE TABLE here (id int PRIMARY KEY, there_id int);
CREATE TABLE there (id int PRIMARY KEY, here_id int REFERENCES here);
ALTER TABLE here ADD FOREIGN KEY (there_id) REFERENCES there;
SELECT tide.track('here', shared => true), tide.track('there', shared => true);
SELECT * FROM go('{"changes": {"here": [{"id": 1, "there_id": 1}, {"id": 2, "there_id": 2}, {"id": 3, "there_id": 3}, {"id": 4}], "there": [{"id": 1, "here_id": 2}, {"id": 2, "here_id": 3}, {"id": 3, "here_id": 4}]}}');
-- a child that has to go before its parent's delete, and one that stays in the way
SELECT * FROM go('{"changes": [{"entityType": "plan", "entityId": 1, "action": "delete"}]}');
SELECT * FROM go('{"changes": [{"entityType": "plan", "entityId": 1, "action": "delete"}, {"entityType": "day", "entityId": 1, "data": {"plan_id": 20}}, {"entityType": "day", "entityId": 4, "data": {"plan_id": 20}}]}');
-- what is unique may be freed by a delete in the same push
CREATE TABLE code (id int PRIMARY KEY, c text UNIQUE);
SELECT tide.track('code', shared => true);
SELECT * FROM go('{"changes": {"code": [{"id": 1, "c": "a"}, {"id": 2, "c": "b"}]}}');
SELECT * FROM go('{"changes": [{"entityType": "code", "entityId": 3, "data": {"c": "a"}}, {"entityType": "code", "entityId": 1, "action": "delete"}]}');
-- swapped where the constraint is deferrable
SELECT * FROM go('{"changes": {"day": [{"id": 1, "nr": 4}, {"id": 4, "nr": 1}]}}');
SELECT id, nr FROM day ORDER BY id;
SELECT * FROM go('{"changes": {"code": [{"id": 2, "c": "a"}, {"id": 3, "c": "b"}]}}');
SELECT id, c FROM code ORDER BY id;
-- a change that is wrong does not take a swap down: a new row with a value that is taken, a second row with a value of
-- the swap; seen to fail, all of them, without try_swaps()
CREATE TABLE seat (id int PRIMARY KEY, nr int UNIQUE DEFERRABLE);
CREATE TABLE turn (id int PRIMARY KEY, nr int UNIQUE DEFERRABLE INITIALLY DEFERRED);
SELECT tide.track('seat', shared => true), tide.track('turn', shared => true);
INSERT INTO seat SELECT n, n FROM generate_series(1, 9) n;
INSERT INTO turn TABLE seat;
SELECT * FROM go('{"changes": {"seat": [{"id": 1, "nr": 2}, {"id": 2, "nr": 1}, {"id": 20, "nr": 1}, {"id": 21, "nr": 21}]}}');
SELECT * FROM go('{"changes": {"turn": [{"id": 1, "nr": 2}, {"id": 2, "nr": 1}, {"id": 20, "nr": 1}, {"id": 21, "nr": 21}]}}');
SELECT * FROM go('{"changes": {"seat": [{"id": 3, "nr": 4}, {"id": 4, "nr": 5}, {"id": 5, "nr": 3}, {"id": 6, "nr": 4}]}}');
SELECT id, nr FROM seat ORDER BY id;
SELECT id, nr FROM turn ORDER BY id;

-- deferred constraints are checked before a verdict is given, and their modes restored
CREATE TABLE late (id int PRIMARY KEY, ref int REFERENCES late DEFERRABLE INITIALLY DEFERRED, u int UNIQUE DEFERRABLE INITIALLY DEFERRED);
SELECT tide.track('late', shared => true);
SELECT * FROM go('{"changes": {"late": [{"id": 5, "u": 1}]}}');
BEGIN;
SELECT * FROM go('{"changes": {"late": [{"id": 1, "ref": 2}, {"id": 3, "ref": 77}, {"id": 2, "ref": 1, "u": 2}, {"id": 4, "u": 1}, {"id": 6, "ref": 2}]}}');
-- still deferred
INSERT INTO late VALUES (7, 66);
INSERT INTO late VALUES (66);
COMMIT;
SELECT id FROM late ORDER BY id;
-- modes that the caller set stay, whichever they were
BEGIN;
SET CONSTRAINTS late_ref_fkey IMMEDIATE;
SELECT * FROM go('{"changes": {"late": [{"id": 70}]}}');
INSERT INTO late VALUES (8, 88);
ROLLBACK;
BEGIN;
SET CONSTRAINTS day_plan_id_nr_key DEFERRED;
SELECT * FROM go('{"changes": {"day": [{"id": 5, "plan_id": 20, "nr": 5}]}}');
INSERT INTO day VALUES (6, 20, 5);
UPDATE day SET nr = 6 WHERE id = 6;
COMMIT;
-- a violation that the caller has pending raises, and no change is blamed
BEGIN;
INSERT INTO late VALUES (9, 99);
SELECT * FROM go('{"changes": {"late": [{"id": 10}, {"id": 11, "ref": 10}]}}');
ROLLBACK;
-- one in a table that the push does not touch is none of its business
BEGIN;
INSERT INTO late VALUES (9, 99);
SELECT * FROM go('{"changes": {"code": [{"id": 9}]}}');
INSERT INTO late VALUES (99);
COMMIT;
-- constraint triggers of the user are checked as well
CREATE FUNCTION no_42() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.u = 42 THEN RAISE 'not 42' USING ERRCODE = 'check_violation', CONSTRAINT = 'no 42'; END IF; RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER no_42 AFTER INSERT OR UPDATE ON late DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION no_42();
BEGIN;
SELECT * FROM go('{"changes": {"late": [{"id": 41, "u": 41}, {"id": 42, "u": 42}, {"id": 43, "u": 43}]}}');
SELECT id FROM late WHERE id BETWEEN 41 AND 43 ORDER BY id;
COMMIT;
-- a key that is checked late: new rows, rows that are there, and the same one twice
CREATE TABLE lax (id int PRIMARY KEY DEFERRABLE, v int CHECK (v < 100));
SELECT tide.track('lax', shared => true);
SELECT * FROM go('{"changes": {"lax": [{"id": 1, "v": 1}, {"id": 2, "v": 2}]}}');
SELECT * FROM go('{"changes": {"lax": [{"id": 2, "v": 22}, {"id": 3, "v": 3}, {"id": 4, "v": 400}]}}');
SELECT * FROM go('{"changes": {"lax": [{"id": 5, "v": 5}, {"id": 5, "v": 55}, {"id": 3, "v": 33}]}}');
SELECT id, v FROM lax ORDER BY id;
-- of a tree with one row too many, the others are written once more together, not one by one
CREATE SEQUENCE attempts;
CREATE TABLE tree (id int PRIMARY KEY, parent int REFERENCES tree, attempt int DEFAULT nextval('attempts'));
SELECT tide.track('tree', shared => true);
SELECT result, count(*) FROM go((SELECT jsonb_build_object('changes', jsonb_build_object('tree', jsonb_agg(jsonb_build_object(
	'id', i, 'parent', CASE WHEN i = 50 THEN 999 WHEN i > 1 THEN i / 2 END) ORDER BY i))) FROM generate_series(1, 50) i)) GROUP BY 1;
SELECT last_value AS rows_written FROM attempts;
DROP SCHEMA ord CASCADE;
