-- One bad change never takes a good one down, and a good push is cheap.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA iso;
SET search_path = iso;
CREATE TABLE plan (id int PRIMARY KEY, user_id text);
CREATE TABLE item (id int PRIMARY KEY, user_id text NOT NULL, plan_id int REFERENCES plan, n int CHECK (n < 1000000),
	code text UNIQUE, name varchar(20) NOT NULL, pic bytea);
CREATE INDEX ON plan (user_id);
CREATE INDEX ON item (user_id);
SELECT tide.track('plan', scope => 'user_id');
SELECT tide.track('item', scope => 'user_id');
INSERT INTO plan VALUES (1, 'ann');
INSERT INTO item VALUES (5000, 'bob', NULL, 1, 'taken', 'bob''s');
CREATE FUNCTION refuse_some() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.n = -666 THEN RAISE 'a trigger does not like it' USING ERRCODE = 'P0001'; END IF;
	IF NEW.n = -667 THEN RETURN NULL; END IF;
	RETURN NEW;
END $$;
CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON item FOR EACH ROW EXECUTE FUNCTION refuse_some();
-- counts statements, also those that are undone
CREATE SEQUENCE statements;
CREATE FUNCTION count_statement() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM nextval('iso.statements'); RETURN NULL; END $$;
CREATE TRIGGER count_statement BEFORE INSERT OR UPDATE ON item FOR EACH STATEMENT EXECUTE FUNCTION count_statement();
SET request.jwt.claims = '{"sub": "ann"}';

-- 1000 changes, 7 of them bad, each in another way
CREATE TEMP TABLE changes AS SELECT i, jsonb_build_object('id', i, 'plan_id', 1, 'n', i, 'code', 'c' || i, 'name', 'item ' || i,
	'lastModifiedAt', '2020-01-01T00:00:00Z') AS row FROM generate_series(1, 1000) i;
UPDATE changes SET row = row || CASE i
	WHEN 17 THEN '{"plan_id": 99}'::jsonb			-- foreign key
	WHEN 120 THEN '{"n": 5000000}'					-- check
	WHEN 333 THEN '{"name": null}'					-- not null
	WHEN 499 THEN '{"code": "taken"}'				-- unique
	WHEN 500 THEN '{"n": "many"}'					-- not a number
	WHEN 777 THEN '{"user_id": "bob"}'				-- another user's
	WHEN 1000 THEN '{"n": -666}' END					-- a trigger raises
	WHERE i IN (17, 120, 333, 499, 500, 777, 1000);
SELECT tide.push(jsonb_build_object('changes', jsonb_build_object('item', jsonb_agg(row ORDER BY i)))) AS reply FROM changes \gset
SELECT :'reply'::json->'summary' AS summary;
-- an insert is parted where it stopped, or by what a foreign key's error says: a few statements for each bad change, not 1000
SELECT last_value < 80 AS "few statements" FROM statements;
SELECT f->>'entityId' AS id, e->>'code' AS code, e->>'constraint' AS "constraint", e->>'column' AS "column"
	FROM json_array_elements(:'reply'::json->'failed') f, json_array_elements(f->'errors') e;
SELECT count(*), min(id), max(id) FROM item WHERE user_id = 'ann';
SELECT count(DISTINCT s->>'status') AS statuses, min((s->>'entityId')::int), bool_and(s->'entity'->>'id' = s->>'entityId') AS entities
	FROM json_array_elements(:'reply'::json->'succeeded') s;
-- in request order
SELECT bool_and(a < b) AS ordered FROM (SELECT (s->>'entityId')::int AS a, lead((s->>'entityId')::int) OVER (ORDER BY n) AS b
	FROM json_array_elements(:'reply'::json->'succeeded') WITH ORDINALITY AS x(s, n)) y;
-- the log has the good ones only
SELECT count(*), count(DISTINCT k) FROM tide.log, unnest(keys) k WHERE relid = 'item'::regclass AND scope = 'ann';
-- edits, of which nobody says where they stopped: in quarters, 4 * log4(1000) statements for each bad one
SELECT setval('statements', 1);
SELECT v->'summary' AS summary FROM (SELECT tide.push(jsonb_build_object('changes', jsonb_build_object('item', jsonb_agg(jsonb_build_object('id', i, 'n', CASE WHEN i IN (250, 700) THEN 5000000 ELSE i + 1 END)
	ORDER BY i)))) AS v FROM generate_series(1, 999) i WHERE i NOT IN (17, 120, 333, 499, 500, 777)) x;
SELECT last_value < 80 AS "few statements" FROM statements;
SELECT count(*) FROM item WHERE n = id + 1;
-- many missing parents, each another: guessing has an end
SELECT setval('statements', 1);
SELECT v->'summary' AS summary FROM (SELECT tide.push(jsonb_build_object('changes', jsonb_build_object('item', jsonb_agg(jsonb_build_object('id', 3000 + i, 'name', 'x', 'plan_id', CASE WHEN i % 4 = 0 THEN 1 ELSE 100 + i END)
	ORDER BY i)))) AS v FROM generate_series(1, 200) i) x;
SELECT last_value < 900 AS "few statements" FROM statements;
DELETE FROM item WHERE id > 3000 AND user_id = 'ann';
-- one parent that is missing to many is found in one go
SELECT setval('statements', 1);
SELECT v->'summary' AS summary FROM (SELECT tide.push(jsonb_build_object('changes', jsonb_build_object('item', jsonb_agg(jsonb_build_object('id', 3000 + i, 'name', 'x', 'plan_id', CASE WHEN i % 100 = 0 THEN 99 ELSE 1 END)
	ORDER BY i)))) AS v FROM generate_series(1, 400) i) x;
SELECT last_value < 30 AS "few statements" FROM statements;
DELETE FROM item WHERE id > 3000 AND user_id = 'ann';
-- a trigger that drops the row is told of
SELECT p->'failed'->0->'errors'->0->>'code' AS code FROM tide.push('{"changes": {"item": [{"id": 2000, "n": -667, "name": "x"}]}}') p;
SELECT p->'failed'->0->'errors'->0->>'code' AS code FROM tide.push('{"changes": {"item": [{"id": 1, "n": -667}]}}') p;

-- a clean push of 1000 rows is one subtransaction: its rows have one xmin
DELETE FROM item WHERE user_id = 'ann';
UPDATE changes SET row = jsonb_build_object('id', i, 'name', 'clean', 'plan_id', 1 + i % 2, 'code', CASE WHEN i % 3 = 0 THEN 'x' || i END);
CREATE FUNCTION xids(body jsonb) RETURNS TABLE (summary json, subtransactions bigint) LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pg_current_xact_id();
	summary := tide.push(body)->'summary';
	subtransactions := count(DISTINCT xmin::text) FROM (SELECT xmin FROM item WHERE user_id = 'ann' 
		UNION ALL SELECT xmin FROM tide.log WHERE xid = pg_current_xact_id()) x;
	RETURN NEXT;
END $$;
SELECT xids.* FROM xids((SELECT jsonb_build_object('changes', jsonb_build_array(jsonb_build_object('entityType', 'plan', 'entityId', 2, 'data', '{}'::jsonb))
	|| jsonb_agg(jsonb_build_object('entityType', 'item', 'entityId', i, 'data', row) ORDER BY i)) FROM changes));
-- all of it again, changed: updates
SELECT xids.* FROM xids((SELECT jsonb_build_object('changes', jsonb_build_object('item', jsonb_agg(row || '{"n": 1}' ORDER BY i))) FROM changes));
-- and deletes
SELECT p->'summary' AS summary FROM tide.push((SELECT jsonb_build_object('changes', jsonb_agg(jsonb_build_object('entityType', 'item', 'entityId', i, 'action', 'delete'))) FROM changes)) p;
SELECT count(*) FROM item WHERE user_id = 'ann';

-- transient failures are no change's fault: the whole push is to be tried again
CREATE FUNCTION storm() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.id > 100 THEN RAISE 'again' USING ERRCODE = NEW.name; END IF; RETURN NEW; END $$;
CREATE TRIGGER storm BEFORE INSERT ON item FOR EACH ROW EXECUTE FUNCTION storm();
SELECT tide.push('{"changes": {"item": [{"id": 1, "name": "fine"}, {"id": 101, "name": "40001"}]}}');
SELECT tide.push('{"changes": {"item": [{"id": 1, "name": "fine"}, {"id": 101, "name": "40P01"}]}}');
SELECT tide.push('{"changes": {"item": [{"id": 1, "name": "fine"}, {"id": 101, "name": "53200"}]}}');
SELECT tide.push('{"changes": {"item": [{"id": 1, "name": "fine"}, {"id": 101, "name": "57014"}]}}');
SELECT tide.push('{"changes": {"item": [{"id": 1, "name": "fine"}, {"id": 101, "name": "58030"}]}}');
SELECT p->'summary' AS summary, p->'failed'->0->'errors'->0->>'code' AS code FROM tide.push('{"changes": {"item": [{"id": 1, "name": "fine"}, {"id": 101, "name": "22012"}]}}') p;
SELECT id FROM item WHERE user_id = 'ann';
DROP SCHEMA iso CASCADE;
