-- Deferred constraints: by what the push wrote, wherever it was written, and at a
-- cost that does not grow with how much is wrong.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA late;
SET search_path = late;
CREATE FUNCTION go(changes jsonb) RETURNS TABLE (what text, id text, result text) LANGUAGE sql AS $$
	WITH p AS MATERIALIZED (SELECT tide.push(jsonb_build_object('changes', changes)) AS r)
	SELECT x->>'entityType', x->>'entityId', x->>'status' FROM p, json_array_elements(r->'succeeded') x
	UNION ALL SELECT x->>'entityType', x->>'entityId', concat_ws(' ', x->'errors'->0->>'code', x->'errors'->0->>'constraint') FROM p, json_array_elements(r->'failed') x
$$;
-- a table that only a trigger writes
CREATE TABLE kind (name text PRIMARY KEY);
CREATE TABLE audit (n int, kind text CONSTRAINT audited REFERENCES kind DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE t (id int PRIMARY KEY, kind text);
CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO late.audit VALUES (NEW.id, NEW.kind); RETURN NULL; END $$;
CREATE TRIGGER audit AFTER INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION audit();
SELECT tide.track('t', shared => true);
INSERT INTO kind VALUES ('good');
SELECT * FROM go('{"t": [{"id": 1, "kind": "good"}, {"id": 2, "kind": "bad"}, {"id": 3, "kind": "good"}]}');
SELECT n, kind FROM audit;
-- the caller's own violation, pending in another table on a constraint of the same name
CREATE TABLE other (id int PRIMARY KEY, ref int CONSTRAINT same_name REFERENCES other DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE mine (id int PRIMARY KEY, ref int CONSTRAINT same_name REFERENCES mine DEFERRABLE INITIALLY DEFERRED, x int CONSTRAINT mine_x REFERENCES mine DEFERRABLE INITIALLY DEFERRED);
SELECT tide.track('mine', shared => true);
BEGIN;
INSERT INTO other VALUES (1, 2);
SELECT * FROM go('{"mine": [{"id": 1}, {"id": 2, "ref": 1}, {"id": 3, "x": 77}]}');
INSERT INTO other VALUES (2);
COMMIT;
SELECT id, ref FROM mine ORDER BY id;
-- what a push brings may be what the caller's own row waits for
BEGIN;
INSERT INTO audit VALUES (9, 'new');
CREATE TEMP TABLE k AS SELECT 1;
SELECT * FROM go('{"t": [{"id": 9, "kind": "good"}]}');
INSERT INTO kind VALUES ('new');
COMMIT;
-- pending in the push's own table: raises, and no change is blamed
BEGIN;
INSERT INTO mine VALUES (50, 51);
SELECT * FROM go('{"mine": [{"id": 52}]}');
ROLLBACK;

-- what failed comes with the row that stands, not with what was undone
CREATE TABLE note (id int PRIMARY KEY, ref int REFERENCES note DEFERRABLE INITIALLY DEFERRED, body text);
SELECT tide.track('note', shared => true);
CREATE FUNCTION standing(changes jsonb) RETURNS TABLE (id text, status text, body text) LANGUAGE sql AS $$
	WITH p AS MATERIALIZED (SELECT tide.push(jsonb_build_object('changes', jsonb_build_object('note', changes))) AS r)
	SELECT x->>'entityId', x->>'status', x->'entity'->>'body' FROM p, json_array_elements(r->'succeeded') x
	UNION ALL SELECT x->>'entityId', 'failed', coalesce(x->'entity'->>'body', x->>'entity', 'no row') FROM p, json_array_elements(r->'failed') x
$$;
SELECT * FROM standing('[{"id": 1, "body": "stands"}]');
SELECT * FROM standing('[{"id": 1, "body": "undone", "ref": 77}, {"id": 2, "body": "undone", "ref": 77}]');
SELECT * FROM standing('[{"id": 1, "body": "undone", "ref": 77}, {"id": 2, "body": "undone", "ref": 77}, {"id": 3, "body": "good"}]');

-- a bad one is in the way of a good one until it is undone, and no longer
CREATE TABLE named (id int PRIMARY KEY, name text UNIQUE, ref int REFERENCES named DEFERRABLE INITIALLY DEFERRED);
SELECT tide.track('named', shared => true);
SELECT * FROM go('{"named": [{"id": 1, "name": "x", "ref": 77}, {"id": 2, "name": "x"}, {"id": 3, "name": "y"}, {"id": 4, "name": "x"}]}');

-- 4,000 rows with 400 bad, foreign keys deferrable, then deletes with children: few statements
CREATE TABLE parent (id int PRIMARY KEY);
CREATE TABLE child (id int PRIMARY KEY, parent_id int REFERENCES parent DEFERRABLE INITIALLY DEFERRED, up int REFERENCES child DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE plain (id int PRIMARY KEY, parent_id int REFERENCES parent);
SELECT tide.track(x::regclass, shared => true) FROM unnest('{parent,child,plain}'::text[]) x;
INSERT INTO parent SELECT generate_series(1, 1000);
-- each try is a subtransaction, which takes a transaction id: there must be few
\set mark 'SELECT pg_snapshot_xmax(pg_current_snapshot())::text AS before \\gset'
\set few 'SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint - :before < 100 AS "few tries";'
CREATE FUNCTION summary(changes jsonb) RETURNS json LANGUAGE sql AS $$ SELECT tide.push(jsonb_build_object('changes', changes))->'summary' $$;
:mark
SELECT summary((SELECT jsonb_build_object('child', jsonb_agg(jsonb_build_object('id', i, 'parent_id', CASE WHEN i % 10 = 5 THEN 100000 + i ELSE i % 1000 + 1 END))) FROM generate_series(1, 4000) i));
:few
SELECT count(*) FROM child;
-- likewise rows that refer to bad ones in the same push, a chain of them
:mark
SELECT summary((SELECT jsonb_build_object('child', jsonb_agg(jsonb_build_object('id', 5000 + i, 'up', CASE WHEN i % 10 = 0 THEN 99999 ELSE 5000 + i - 1 END))) FROM generate_series(1, 400) i));
:few
:mark
SELECT summary((SELECT jsonb_build_object('plain', jsonb_agg(jsonb_build_object('id', i, 'parent_id', CASE WHEN i % 10 = 5 THEN 100000 + i ELSE i % 1000 + 1 END))) FROM generate_series(1, 2000) i));
:few
SELECT count(*) FROM plain;
-- edits, too
:mark
SELECT summary((SELECT jsonb_build_object('plain', jsonb_agg(jsonb_build_object('id', i, 'parent_id', CASE WHEN i % 100 = 1 THEN 100000 ELSE 7 END))) FROM generate_series(1, 2000) i WHERE i % 10 <> 5));
:few
-- a chain of good ones and one that is bad
CREATE TABLE link (id int PRIMARY KEY, up int REFERENCES link);
SELECT tide.track('link', shared => true);
:mark
SELECT summary((SELECT jsonb_build_object('link', jsonb_agg(jsonb_build_object('id', i, 'up', CASE WHEN i = 350 THEN 99999 WHEN i > 1 AND i < 350 THEN i - 1 END))) FROM generate_series(1, 350) i));
:few
-- a long chain whose first is bad
SET statement_timeout = '5s';
SELECT summary((SELECT jsonb_build_object('link', jsonb_agg(jsonb_build_object('id', 1000 + i, 'up', 999 + i))) FROM generate_series(1, 4000) i));
RESET statement_timeout;
-- deletes of rows that others refer to, some of which go with them
DELETE FROM plain WHERE id > 50;
:mark
SELECT summary((SELECT jsonb_agg(jsonb_build_object('entityType', 'parent', 'entityId', i, 'action', 'delete')) FROM generate_series(1, 785) i));
:few
:mark
SELECT summary((SELECT jsonb_agg(jsonb_build_object('entityType', 'child', 'entityId', i, 'action', 'delete')) FROM generate_series(1, 2000) i WHERE i % 10 <> 5));
:few
-- 300 rows that a check refuses, beside foreign keys that are looked at later
CREATE TABLE checked (id int PRIMARY KEY, parent_id int REFERENCES parent DEFERRABLE INITIALLY DEFERRED, n int CHECK (n < 1000));
SELECT tide.track('checked', shared => true);
SELECT p->'summary' AS summary FROM tide.push((SELECT jsonb_build_object('changes', jsonb_build_object('checked', jsonb_agg(jsonb_build_object('id', i, 'parent_id', i % 900 + 1, 'n', CASE WHEN i % 10 = 3 THEN 1000 ELSE 1 END)))) FROM generate_series(1, 3000) i)) p;

-- and each is looked at a few times, not once a row that is refused
CREATE SEQUENCE looks;
CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM nextval('late.looks'); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER look AFTER INSERT ON checked DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION look();
SELECT summary((SELECT jsonb_build_object('checked', jsonb_agg(jsonb_build_object('id', 10000 + i, 'n', CASE WHEN i % 10 = 3 THEN 1000 ELSE 1 END))) FROM generate_series(1, 300) i));
SELECT last_value < 1500 AS "few looks" FROM looks;

-- a row may refer to one that is hidden from the caller; composite keys, other types, parts that are NULL
CREATE ROLE regress_tide_late;
CREATE TABLE pair (a bigint, b text, PRIMARY KEY (a, b));
CREATE TABLE of_pair (id int PRIMARY KEY, a int, b varchar(9), FOREIGN KEY (a, b) REFERENCES pair);
ALTER TABLE pair ENABLE ROW LEVEL SECURITY;
SELECT tide.track('of_pair', shared => true);
INSERT INTO pair VALUES (1, 'x'), (2, 'y');
GRANT USAGE ON SCHEMA late TO regress_tide_late;
GRANT ALL ON of_pair, pair TO regress_tide_late;
SET request.jwt.claims = '{"sub": "ann"}';
SET ROLE regress_tide_late;
SELECT * FROM go('{"of_pair": [{"id": 1, "a": 1, "b": "x"}, {"id": 2, "a": 2, "b": "x"}, {"id": 3, "a": 3}, {"id": 4, "a": 4, "b": "y"}, {"id": 5, "a": 2, "b": "y"}]}');
SELECT * FROM go('{"of_pair": [{"id": 1, "a": 2}, {"id": 3, "b": "q"}, {"id": 5, "a": null}]}');
RESET ROLE;
SELECT id, a, b FROM of_pair ORDER BY id;
-- a trigger that sets what a foreign key refers to: no change is blamed for what it sent
CREATE TABLE fixed (id int PRIMARY KEY, parent_id int REFERENCES parent);
CREATE FUNCTION fix() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.parent_id = 4242 THEN NEW.parent_id := 900; END IF; RETURN NEW; END $$;
CREATE TRIGGER fix BEFORE INSERT ON fixed FOR EACH ROW EXECUTE FUNCTION fix();
SELECT tide.track('fixed', shared => true);
SELECT * FROM go('{"fixed": [{"id": 1, "parent_id": 900}, {"id": 2, "parent_id": 4242}, {"id": 3, "parent_id": 5555}, {"id": 4, "parent_id": 901}]}');

-- a scope found by a path through a cycle of foreign keys: parent and child new, in one push
CREATE TABLE plan (id int PRIMARY KEY, user_id text NOT NULL, today int);
CREATE TABLE day (id int PRIMARY KEY, plan_id int NOT NULL REFERENCES plan DEFERRABLE INITIALLY DEFERRED);
ALTER TABLE plan ADD FOREIGN KEY (today) REFERENCES day DEFERRABLE INITIALLY DEFERRED;
CREATE INDEX ON plan (user_id);
SELECT tide.track('day', scope => 'plan_id.user_id');
SELECT tide.track('plan', scope => 'user_id');
CREATE INDEX ON day (tide_scope);
SELECT * FROM go('{"day": [{"id": 1, "plan_id": 1}], "plan": [{"id": 1, "user_id": "ann", "today": 1}]}');
SELECT * FROM go('{"day": [{"id": 2, "plan_id": 2}, {"id": 3, "plan_id": 99}], "plan": [{"id": 2, "user_id": "ann", "today": 2}, {"id": 4, "today": 98}]}');
SELECT id, plan_id, tide_scope FROM day ORDER BY id;
DROP SCHEMA late CASCADE;
DROP ROLE regress_tide_late;
