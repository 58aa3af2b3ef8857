-- What a push causes is not what it says: the writes of triggers and cascades
-- are plain SQL, with stamps of their own, and bound by the caller's scopes.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA causes;
SET search_path = causes;
CREATE TABLE note (id int PRIMARY KEY, user_id text, body text, parent int REFERENCES note ON DELETE SET NULL, n int DEFAULT 0, v int);
CREATE INDEX ON note (user_id);
SELECT tide.track('note', scope => 'user_id', version => 'v');
SET request.jwt.claims = '{"sub": "ann"}';
CREATE FUNCTION push(body jsonb) RETURNS TABLE (id text, status text, "column" text, entity jsonb) LANGUAGE sql AS $$
	WITH p AS MATERIALIZED (SELECT tide.push(jsonb_build_object('clientId', 'phone', 'changes', jsonb_build_object('note', body))) AS r)
	SELECT s->>'entityId', s->>'status', NULL, (s->'entity')::jsonb FROM p, json_array_elements(r->'succeeded') s
	UNION ALL SELECT s->>'entityId', s->'errors'->0->>'code', s->'errors'->0->>'column', NULL FROM p, json_array_elements(r->'failed') s $$;

-- a trigger writes the pushed row once more: it is the pushed version all the
-- same, with its stamp and client, and sent again it has no second effect
CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE note SET body = upper(body) WHERE id = NEW.id; RETURN NULL; END $$;
CREATE TRIGGER shout AFTER INSERT OR UPDATE OF n ON note FOR EACH ROW WHEN (NEW.body <> upper(NEW.body)) EXECUTE FUNCTION shout();
SELECT id, status, entity->>'body' AS body, entity->>'clientId' AS client, entity->>'lastModifiedAt' AS at
	FROM push('[{"id": 1, "body": "loud", "lastModifiedAt": "2020-01-01T00:00:00Z"}]');
SELECT id, status, entity->>'body' AS body FROM push('[{"id": 1, "body": "loud", "lastModifiedAt": "2020-01-01T00:00:00Z"}]');
SELECT id, status, entity->>'body' AS body, entity->>'clientId' AS client FROM push('[{"id": 1, "body": "again", "n": 1}]');
SELECT body, v FROM note;
-- likewise a row that a trigger writes first, and the push after it
DROP TRIGGER shout ON note;
SELECT count(*) FROM push('[{"id": 10}, {"id": 11}]');
CREATE FUNCTION next_too() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE note SET n = n + 1 WHERE id = NEW.id + 1; RETURN NULL; END $$;
CREATE TRIGGER next_too AFTER UPDATE OF body ON note FOR EACH ROW EXECUTE FUNCTION next_too();
SELECT id, status, entity->>'body' AS body, entity->>'n' AS n, entity->>'clientId' AS client FROM push('[{"id": 10, "body": "a"}, {"id": 11, "body": "b"}]') ORDER BY 1;
DROP TRIGGER next_too ON note;

-- cascades within one table share the push's statement, and only the keys tell
SELECT tide.cursor() AS c \gset
SELECT count(*) FROM push('[{"id": 20}, {"id": 21, "parent": 20}, {"id": 22, "parent": 20}]');
SELECT tide.cursor() AS c \gset
SELECT id, status FROM push('[{"id": 20, "deletedAt": "2020-01-01T00:00:00Z"}, {"id": 22, "body": "mine"}]') ORDER BY 1;
SELECT id, parent, body, "clientId" FROM note WHERE id >= 20 ORDER BY id;
SELECT r->>'id' AS "sent to the phone" FROM json_array_elements(tide.pull(:'c', client_id => 'phone')->'changesByType'->'note') r ORDER BY 1;

-- a trigger that gives the row to somebody else: the row as it was written
-- counts, not as it was sent
CREATE FUNCTION give_away() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.body = 'for bob' THEN NEW.user_id := 'bob'; ELSIF NEW.body = 'for nobody' THEN NEW.user_id := NULL; END IF; RETURN NEW; END $$;
CREATE TRIGGER give_away BEFORE INSERT OR UPDATE ON note FOR EACH ROW EXECUTE FUNCTION give_away();
SELECT id, status, "column" FROM push('[{"id": 30, "body": "for bob"}, {"id": 31, "body": "for nobody"}, {"id": 32, "body": "for ann"}, {"id": 10, "body": "for bob"}, {"id": 11, "body": "for nobody"}]') ORDER BY 1;
SELECT id, user_id, body FROM note WHERE id IN (10, 11, 30, 31, 32) ORDER BY id;

-- triggers before the row that change other rows of the push, which is no error row by row
CREATE TABLE item (id int PRIMARY KEY, user_id text, parent int, pos int);
CREATE FUNCTION make_room() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE item SET pos = pos + 1 WHERE pos >= NEW.pos AND id <> NEW.id; RETURN NEW; END $$;
CREATE TRIGGER make_room BEFORE UPDATE ON item FOR EACH ROW WHEN (pg_trigger_depth() = 0 AND NEW.pos <> OLD.pos) EXECUTE FUNCTION make_room();
CREATE FUNCTION take_along() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN DELETE FROM item WHERE parent = OLD.id; RETURN OLD; END $$;
CREATE TRIGGER take_along BEFORE DELETE ON item FOR EACH ROW EXECUTE FUNCTION take_along();
SELECT tide.track('item', scope => 'user_id');
INSERT INTO item VALUES (1, 'ann', NULL, 1), (2, 'ann', NULL, 2), (3, 'ann', 2, 3), (4, 'ann', NULL, 4);
SELECT s->>'entityId' AS id, s->>'status' AS status FROM tide.push('{"changes": {"item": [{"id": 1, "pos": 2}, {"id": 2, "pos": 1}, {"id": 4, "pos": 9}]}}') p, json_array_elements(p->'succeeded') s;
SELECT id, pos FROM item ORDER BY id;
SELECT s->>'entityId' AS id, s->>'status' AS status FROM tide.push('{"changes": {"item": [{"id": 2, "deletedAt": "2026-01-01T00:00:00Z"}, {"id": 3, "deletedAt": "2026-01-01T00:00:00Z"}]}}') p, json_array_elements(p->'succeeded') s;
SELECT id FROM item ORDER BY id;
-- triggers that do something else instead: it is undone, and told of that change
CREATE TABLE paper (id int PRIMARY KEY, user_id text, body text, binned timestamptz);
CREATE TABLE review (id int, body text);
CREATE FUNCTION bin() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE paper SET binned = CASE OLD.body WHEN 'a' THEN now() ELSE clock_timestamp() END WHERE id = OLD.id; RETURN NULL; END $$;
CREATE TRIGGER bin BEFORE DELETE ON paper FOR EACH ROW EXECUTE FUNCTION bin();
CREATE FUNCTION for_review() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO review VALUES (NEW.id, NEW.body); RETURN NULL; END $$;
CREATE TRIGGER for_review BEFORE INSERT OR UPDATE ON paper FOR EACH ROW WHEN (NEW.body = 'rude') EXECUTE FUNCTION for_review();
SELECT tide.track('paper', scope => 'user_id');
INSERT INTO paper VALUES (1, 'ann', 'a'), (2, 'ann', 'b'), (3, 'ann', 'c');
SELECT s->>'entityId' AS id, coalesce(s->>'status', s->'errors'->0->>'code') AS status FROM tide.push('{"changes": [{"entityType": "paper", "entityId": 1, "action": "delete"}, {"entityType": "paper", "entityId": 2, "action": "delete"}, {"entityType": "paper", "entityId": 3, "action": "update", "data": {"body": "rude"}},
	{"entityType": "paper", "entityId": 4, "action": "create", "data": {"body": "rude"}}, {"entityType": "paper", "entityId": 5, "action": "create", "data": {"body": "good"}}]}') p, LATERAL (SELECT json_array_elements(p->'succeeded') UNION ALL SELECT json_array_elements(p->'failed')) x(s) ORDER BY 1;
SELECT id, body, binned FROM paper ORDER BY id;
SELECT * FROM review;
-- a trigger that takes a new row away at once: it was stored, and is deleted
CREATE TABLE job (id int PRIMARY KEY, user_id text, body text);
CREATE TABLE done (id int, body text);
CREATE FUNCTION carry_out() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO done VALUES (NEW.id, NEW.body); DELETE FROM job WHERE id = NEW.id; RETURN NULL; END $$;
CREATE TRIGGER carry_out AFTER INSERT ON job FOR EACH ROW WHEN (NEW.body <> 'later') EXECUTE FUNCTION carry_out();
SELECT tide.track('job', scope => 'user_id');
CREATE FUNCTION jobs(policy text) RETURNS TABLE (id text, status text, "deletedAt" boolean) LANGUAGE plpgsql AS $$ BEGIN
	PERFORM tide.track('job', scope => 'user_id', conflict => policy);
	RETURN QUERY SELECT s->>'entityId', s->>'status', (s->'entity'->>'deletedAt')::timestamptz > now() - interval '1 day' FROM json_array_elements(
		tide.push('{"changes": {"job": [{"id": 1, "body": "now", "lastModifiedAt": "2020-01-01T00:00:00Z"}, {"id": 2, "body": "later", "lastModifiedAt": "2020-01-01T00:00:00Z"}, {"id": 3, "body": "now"}]}}')->'succeeded') s;
END $$;
SELECT * FROM jobs('last_write_wins');
SELECT id, body FROM done ORDER BY id;
-- and once more: the first has no second effect
SELECT * FROM jobs('last_write_wins');
SELECT id, body FROM done ORDER BY id;
SELECT * FROM jobs('merge');
SELECT * FROM jobs('client_wins');
SELECT id, body FROM job;
-- a row that is gone when the push ends comes with the time of that, and not
-- with null or the stamp that it had: a cascade, or a trigger that gives it to
-- somebody else
CREATE TABLE node (id int PRIMARY KEY, user_id text, body text, parent int REFERENCES node ON DELETE CASCADE);
SELECT tide.track('node', scope => 'user_id');
SELECT tide.push('{"changes": {"node": [{"id": 1, "lastModifiedAt": "2019-01-01T00:00:00Z"}, {"id": 2, "body": "old", "parent": 1, "lastModifiedAt": "2019-01-01T00:00:00Z"}, {"id": 3, "lastModifiedAt": "2019-01-01T00:00:00Z"}]}}')->'summary'->'succeeded' AS stored;
CREATE FUNCTION give_node() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE node SET user_id = 'bob' WHERE id = NEW.id; RETURN NULL; END $$;
CREATE TRIGGER give_node AFTER INSERT OR UPDATE OF body ON node FOR EACH ROW WHEN (NEW.body = 'away') EXECUTE FUNCTION give_node();
SELECT tide.cursor() AS c \gset
SELECT tide.push('{"changes": [{"entityType": "node", "entityId": 1, "action": "delete"},
	{"entityType": "node", "entityId": 2, "action": "update", "data": {"body": "new"}, "lastModifiedAt": "2020-01-01T00:00:00Z"},
	{"entityType": "node", "entityId": 4, "action": "create", "data": {"parent": 1}, "lastModifiedAt": "2020-01-01T00:00:00Z"},
	{"entityType": "node", "entityId": 3, "action": "update", "data": {"body": "away"}},
	{"entityType": "node", "entityId": 5, "action": "create", "data": {"body": "away"}, "lastModifiedAt": "2020-01-01T00:00:00Z"}]}')->'succeeded' AS r \gset
SELECT s->>'entityId' AS id, s->>'status' AS status, s->'entity'->'id' AS key, (s->'entity'->>'deletedAt')::timestamptz > now() - interval '1 day' AS "deletedAt",
	(s->'entity'->>'deletedAt')::timestamptz = d.modified_at AS "as pulled" FROM json_array_elements(:'r') s
	LEFT JOIN tide.changes(:'c') d ON d.entity_type = 'node' AND d.key->'id' = (s->'entity'->'id')::jsonb ORDER BY 1;
SELECT id, user_id FROM node ORDER BY id;
-- the time of a deletion in another scope is nobody's business
CREATE FUNCTION take_node() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
	UPDATE node SET user_id = 'bob' WHERE id = NEW.id;
	PERFORM set_config('request.jwt.claims', '{"sub": "bob"}', true);
	PERFORM tide.delete('node', to_jsonb(NEW.id), '2021-01-01T00:00:00Z');
	PERFORM set_config('request.jwt.claims', '{"sub": "ann"}', true);
	RETURN NULL;
END $$;
CREATE TRIGGER take_node AFTER UPDATE OF body ON node FOR EACH ROW WHEN (NEW.body = 'taken') EXECUTE FUNCTION take_node();
SELECT tide.push('{"changes": {"node": [{"id": 6, "lastModifiedAt": "2019-01-01T00:00:00Z"}]}}')->'summary'->'succeeded' AS stored;
SELECT s->>'status' AS status, (s->'entity'->>'deletedAt')::timestamptz > now() - interval '1 day' AS "now" FROM json_array_elements(
	tide.push('{"changes": {"node": [{"id": 6, "body": "taken", "lastModifiedAt": "2020-01-01T00:00:00Z"}]}}')->'succeeded') s;
SELECT scope, modified_at = '2021-01-01T00:00:00Z' AS then FROM tide.tombstone WHERE relid = 'node'::regclass AND key = '6';
-- nor does it fail all of the push that a trigger deletes a new row there; seen to raise 40001
CREATE FUNCTION give_and_drop() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE node SET user_id = 'bob' WHERE id = NEW.id; DELETE FROM node WHERE id = NEW.id; RETURN NULL; END $$;
CREATE TRIGGER give_and_drop AFTER INSERT ON node FOR EACH ROW WHEN (NEW.body = 'drop') EXECUTE FUNCTION give_and_drop();
SELECT s->>'entityId' AS id, s->>'status' AS status, (s->'entity'->>'deletedAt')::timestamptz > now() - interval '1 day' AS "deletedAt" FROM json_array_elements(
	tide.push('{"changes": {"node": [{"id": 7, "body": "drop", "lastModifiedAt": "2020-01-01T00:00:00Z"}, {"id": 8, "body": "stays"}]}}')->'succeeded') s;
DROP SCHEMA causes CASCADE;
