-- What a client has pushed is left out by the acks of the pushes whose replies it
-- shows, and by nothing else: by clientId a device restored from a backup would
-- never see its own later rows again, nor an athlete those of a coach whose phone
-- has the same name.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA echo;
SET search_path = echo;
CREATE TABLE plan (id int PRIMARY KEY, user_id text, name text);
CREATE TABLE day (id int PRIMARY KEY, user_id text, plan_id int REFERENCES plan ON DELETE CASCADE);
CREATE INDEX ON plan (user_id);
CREATE INDEX ON day (user_id);
SELECT tide.track('plan', scope => 'user_id');
SELECT tide.track('day', scope => 'user_id');
SET request.jwt.claims = '{"sub": "ann"}';
CREATE FUNCTION seen(since text, client text, acks text[] DEFAULT NULL, OUT rows text, OUT gone text) LANGUAGE sql AS $$
	SELECT (SELECT string_agg(t || ' ' || (r->>'id'), ', ' ORDER BY t, r->>'id') FROM json_each(p->'changesByType') j(t, rs), json_array_elements(rs) r),
		(SELECT string_agg(t || ' ' || (r->>'id'), ', ' ORDER BY t, r->>'id') FROM json_each(p->'deletedByType') j(t, rs), json_array_elements(rs) r)
	FROM tide.pull(since, client_id => client, acks => acks) p $$;
CREATE FUNCTION push(client text, body jsonb) RETURNS SETOF text LANGUAGE sql AS $$
	SELECT s->>'status' FROM json_array_elements(tide.push(jsonb_build_object('clientId', client, 'changes', body))->'succeeded') s $$;
CREATE FUNCTION ack(client text, body jsonb) RETURNS text LANGUAGE sql AS $$
	SELECT tide.push(jsonb_build_object('clientId', client, 'changes', body))->>'ack' $$;
SELECT tide.cursor() AS c0 \gset

SELECT ack('phone', '{"plan": [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}], "day": [{"id": 10, "plan_id": 1}]}') AS a1 \gset
SELECT length(:'a1');
-- clientId leaves out nothing, an ack just what that push stored, for any client of this user that shows its reply
SELECT who, seen.* FROM unnest('{phone,tablet,"",ann,PHONE}'::text[]) who, seen(:'c0', who);
SELECT who, seen.* FROM unnest('{phone,NULL}'::text[]) who, seen(:'c0', who, ARRAY[:'a1']);
-- never in a first pull, nor in one since a time
SELECT seen.* FROM seen(NULL, 'phone', ARRAY[:'a1']);
SELECT seen.* FROM seen('2001-01-01T00:00:00Z', 'phone', ARRAY[:'a1']);
-- what is no ack is refused; one of another start of the server is not looked at
SELECT tide.pull(:'c0', acks => ARRAY['taaaaaaaaaaaaaaaaaaaaaaaaaaa']);
SELECT tide.pull(:'c0', acks => ARRAY['aaaaaaaaaaaaaaaaaaaaaaaaaaa=']);
SELECT tide.pull(:'c0', acks => ARRAY[:'a1' || 'A']);
SELECT tide.pull(:'c0', acks => ARRAY[NULL::text]);
SELECT tide.pull(:'c0', acks => array_fill(:'a1'::text, ARRAY[33]));
SELECT seen.* FROM seen(:'c0', 'phone', array_fill(:'a1'::text, ARRAY[32]));
SELECT seen.* FROM seen(:'c0', 'phone', ARRAY[overlay(:'a1' PLACING 'AAAA' FROM 5)]);
-- two pushes of one transaction have two names
BEGIN;
SELECT ack('phone', '{"plan": [{"id": 31, "name": "x"}]}') AS b1 \gset
SELECT ack('phone', '{"plan": [{"id": 32, "name": "y"}]}') AS b2 \gset
COMMIT;
SELECT seen.* FROM seen(:'c0', 'phone', ARRAY[:'a1', :'b2']);
-- a receipt returns the first ack
SELECT tide.push('{"batchId": "b", "changes": {"plan": [{"id": 33, "name": "z"}]}}')->>'ack' AS r1 \gset
SELECT tide.push('{"batchId": "b", "changes": {"plan": [{"id": 33, "name": "z"}]}}')->>'ack' = :'r1' AS same;
DELETE FROM plan WHERE id > 30;

-- changed since by another client, by plain SQL, even in the name of the client
SELECT push('tablet', '{"plan": [{"id": 1, "name": "a2"}]}');
SET pg_tide.client_id = 'phone';
UPDATE plan SET name = 'b2' WHERE id = 2;
RESET pg_tide.client_id;
SELECT seen.* FROM seen(:'c0', 'phone', ARRAY[:'a1']);
-- and changed again by the client itself, which has seen that in the reply
SELECT tide.cursor() AS c1 \gset
SELECT push('tablet', '{"plan": [{"id": 1, "name": "a3"}]}');
SELECT ack('phone', '{"plan": [{"id": 1, "name": "a4"}]}') AS a2 \gset
SELECT who, seen.* FROM unnest('{phone,tablet}'::text[]) who, seen(:'c1', who, CASE who WHEN 'phone' THEN ARRAY[:'a2'] END);
-- a replay is not what stored the row: its ack alone leaves nothing out
SELECT tide.cursor() AS c2 \gset
SELECT ack('phone', '{"plan": [{"id": 4, "name": "d", "lastModifiedAt": "2020-01-01T00:00:00Z"}]}') AS a3 \gset
SELECT ack('phone', '{"plan": [{"id": 4, "name": "d", "lastModifiedAt": "2020-01-01T00:00:00Z"}]}') AS a4 \gset
SELECT seen.* FROM seen(:'c2', 'phone', ARRAY[:'a4']);
SELECT seen.* FROM seen(:'c2', 'phone', ARRAY[:'a3', :'a4']);
-- superseded: sent again, though the client may have ignored the reply, to that client and no other
SELECT tide.cursor() AS c3 \gset
SELECT ack('phone', '{"plan": [{"id": 4, "name": "old", "lastModifiedAt": "2019-01-01T00:00:00Z"}]}') AS a5 \gset
SELECT seen.* FROM seen(:'c3', 'phone', ARRAY[:'a5']);
SELECT seen.* FROM seen(:'c3', NULL);
SELECT seen.* FROM seen(:'c3', 'tablet');
-- an older delete likewise; and an older upsert of a deleted row is told of the deletion
SELECT tide.cursor() AS c3 \gset
SELECT tide.push('{"clientId": "phone", "changes": [{"entityType": "plan", "entityId": 4, "action": "delete", "lastModifiedAt": "2018-01-01T00:00:00Z"}]}')->'succeeded'->0->>'status' AS status;
SELECT seen.* FROM seen(:'c3', 'phone');
DELETE FROM plan WHERE id = 4;
SELECT tide.cursor() AS c4 \gset
SELECT push('phone', '{"plan": [{"id": 4, "name": "older than the delete", "lastModifiedAt": "2020-01-02T00:00:00Z"}]}');
SELECT seen.* FROM seen(:'c4', 'phone');

-- what a push causes is sent: cascades of its own delete, and what a trigger does
SELECT tide.cursor() AS c5 \gset
SELECT tide.push('{"clientId": "phone", "changes": [{"entityType": "plan", "entityId": 1, "action": "delete"}]}')->>'ack' AS a6 \gset
SELECT seen.* FROM seen(:'c5', 'phone', ARRAY[:'a6']);
SELECT seen.* FROM seen(:'c5', 'tablet');
CREATE FUNCTION also() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
	IF NEW.id < 100 THEN INSERT INTO plan VALUES (NEW.id + 100, NEW.user_id, 'also'); END IF; RETURN NULL; END $$;
CREATE TRIGGER also AFTER INSERT ON plan FOR EACH ROW EXECUTE FUNCTION also();
SELECT tide.cursor() AS c6 \gset
SELECT ack('phone', '{"plan": [{"id": 5, "name": "e"}]}') AS a7 \gset
SELECT seen.* FROM seen(:'c6', 'phone', ARRAY[:'a7']);
-- also where the trigger writes a row that the push names too
SELECT tide.cursor() AS c7 \gset
CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE plan SET name = upper(NEW.name) WHERE id = NEW.id AND name <> upper(name); RETURN NULL; END $$;
CREATE TRIGGER shout AFTER UPDATE ON plan FOR EACH ROW EXECUTE FUNCTION shout();
SELECT ack('phone', '{"plan": [{"id": 5, "name": "loud"}]}') AS a8 \gset
SELECT seen.* FROM seen(:'c7', 'phone', ARRAY[:'a8']);
-- left-out rows do not hold up pages
DROP TRIGGER also ON plan;
SELECT tide.cursor() AS c8 \gset
SELECT ack('phone', (SELECT jsonb_build_object('plan', jsonb_agg(jsonb_build_object('id', i))) FROM generate_series(1000, 1500) i)) AS a9 \gset
INSERT INTO plan VALUES (2000, 'ann', 'last');
SELECT p->'stats' AS stats, p->'hasMore' AS "hasMore" FROM tide.pull(:'c8', acks => ARRAY[:'a9'], max_rows => 3) p;

-- nor on a page that ends the reading of tables: the client may drop what did not come
SELECT tide.pull(entity_types => '{plan}', max_rows => 490)->>'cursor' AS c \gset
SELECT ack('phone', '{"plan": [{"id": -1, "name": "behind where the reading is"}]}') AS a11 \gset
SELECT p->'changesByType'->'plan'->-1->>'id' AS last, p->'hasMore' AS "hasMore"
FROM tide.pull(:'c', entity_types => '{plan}', acks => ARRAY[:'a11']) p;

-- shared rows: another user's push under the same clientId is no echo
CREATE TABLE word (id int PRIMARY KEY);
SELECT tide.track('word', shared => true);
SELECT tide.cursor() AS c9 \gset
SET request.jwt.claims = '{"sub": "bob"}';
SELECT ack('phone', '{"word": [{"id": 1}]}') AS a10 \gset
SET request.jwt.claims = '{"sub": "ann"}';
SELECT seen.* FROM seen(:'c9', 'phone', ARRAY[:'a10']);
SET request.jwt.claims = '{"sub": "bob"}';
-- and what ann's change lost against is no news to bob
SET request.jwt.claims = '{"sub": "ann"}';
SELECT tide.cursor() AS c10 \gset
SELECT ack('phone', '{"word": [{"id": 1, "lastModifiedAt": "2001-01-01T00:00:00Z"}]}') IS NOT NULL AS pushed;
SELECT seen.* FROM seen(:'c10', 'phone');
SET request.jwt.claims = '{"sub": "bob"}';
SELECT seen.* FROM seen(:'c10', 'phone');
DROP SCHEMA echo CASCADE;
