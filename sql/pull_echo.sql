-- clientId leaves out what a client itself has pushed, and nothing else.
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
CREATE FUNCTION seen(since text, client text, OUT rows text, OUT gone text) LANGUAGE sql AS $$
	SELECT (SELECT string_agg(t || ' ' || (r->>'id'), ', ' ORDER BY t, r->>'id') FROM json_each(p->'changesByType') j(t, rs), json_array_elements(rs) r),
		(SELECT string_agg(t || ' ' || (r->>'id'), ', ' ORDER BY t, r->>'id') FROM json_each(p->'deletedByType') j(t, rs), json_array_elements(rs) r)
	FROM tide.pull(since, client_id => client) p $$;
CREATE FUNCTION push(client text, body jsonb) RETURNS SETOF text LANGUAGE sql AS $$
	SELECT s->>'status' FROM json_array_elements(tide.push(jsonb_build_object('clientId', client, 'changes', body))->'succeeded') s $$;
SELECT tide.cursor() AS c0 \gset

SELECT push('phone', '{"plan": [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}], "day": [{"id": 10, "plan_id": 1}]}');
SELECT who, seen.* FROM unnest('{phone,tablet,"",ann,PHONE}'::text[]) who, seen(:'c0', who);
SELECT seen.* FROM seen(:'c0', NULL);
-- never in a first pull, nor in one since a time
SELECT seen.* FROM seen(NULL, 'phone');
SELECT seen.* FROM seen('2001-01-01T00:00:00Z', 'phone');
-- the change's clientId counts, not the body's
SELECT tide.push('{"clientId": "phone", "changes": [{"entityType": "plan", "entityId": 3, "data": {"name": "c"}, "clientId": "tablet"}]}')->'summary'->>'succeeded' AS n;
SELECT who, seen.* FROM unnest('{phone,tablet}'::text[]) who, seen(:'c0', who);

-- changed since by another client, by plain SQL, even in the name of the client
SELECT push('tablet', '{"plan": [{"id": 1, "name": "a2"}]}');
SET pg_tide.client_id = 'phone';
UPDATE plan SET name = 'b2' WHERE id = 2;
RESET pg_tide.client_id;
SELECT who, seen.* FROM unnest('{phone,tablet}'::text[]) who, seen(:'c0', who);
-- and changed again by the client itself, which has seen that in the reply
SELECT tide.pull(:'c0', client_id => 'phone')->>'cursor' AS c1 \gset
SELECT push('tablet', '{"plan": [{"id": 1, "name": "a3"}]}');
SELECT push('phone', '{"plan": [{"id": 1, "name": "a4"}]}');
SELECT who, seen.* FROM unnest('{tablet}'::text[]) who, seen(:'c1', who);
-- unchanged, by a replay: left out as well
SELECT tide.cursor() AS c2 \gset
SELECT push('phone', '{"plan": [{"id": 4, "name": "d", "lastModifiedAt": "2020-01-01T00:00:00Z"}]}');
SELECT push('phone', '{"plan": [{"id": 4, "name": "d", "lastModifiedAt": "2020-01-01T00:00:00Z"}]}');
SELECT seen.* FROM seen(:'c2', 'phone');
-- superseded: sent again, though the client may have ignored the reply
SELECT push('phone', '{"plan": [{"id": 4, "name": "old", "lastModifiedAt": "2019-01-01T00:00:00Z"}]}');
SELECT seen.* FROM seen(:'c2', 'phone');
SELECT tide.cursor() AS c3 \gset
-- an older delete likewise; and an older upsert of a deleted row is told of the deletion
SELECT tide.push('{"clientId": "phone", "changes": [{"entityType": "plan", "entityId": 4, "action": "delete", "lastModifiedAt": "2018-01-01T00:00:00Z"}]}')->'succeeded'->0->>'status' AS status;
SELECT seen.* FROM seen(:'c3', 'phone');
DELETE FROM plan WHERE id = 4;
SELECT tide.cursor() AS c4 \gset
SELECT push('phone', '{"plan": [{"id": 4, "name": "older than the delete", "lastModifiedAt": "2020-01-02T00:00:00Z"}]}');
SELECT seen.* FROM seen(:'c4', 'phone');

-- what a push causes is sent: cascades of its own delete, and what a trigger does
SELECT tide.cursor() AS c5 \gset
SELECT tide.push('{"clientId": "phone", "changes": [{"entityType": "plan", "entityId": 1, "action": "delete"}]}')->'summary'->>'succeeded' AS n;
SELECT seen.* FROM seen(:'c5', 'phone');
SELECT seen.* FROM seen(:'c5', 'tablet');
CREATE FUNCTION also() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
	IF NEW.id < 100 THEN INSERT INTO plan VALUES (NEW.id + 100, NEW.user_id, 'also'); END IF; RETURN NULL; END $$;
CREATE TRIGGER also AFTER INSERT ON plan FOR EACH ROW EXECUTE FUNCTION also();
SELECT tide.cursor() AS c6 \gset
SELECT push('phone', '{"plan": [{"id": 5, "name": "e"}]}');
SELECT seen.* FROM seen(:'c6', 'phone');
-- also where the trigger writes a row that the push names too
SELECT tide.cursor() AS c7 \gset
CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE plan SET name = upper(NEW.name) WHERE id = NEW.id AND name <> upper(name); RETURN NULL; END $$;
CREATE TRIGGER shout AFTER UPDATE ON plan FOR EACH ROW EXECUTE FUNCTION shout();
SELECT s->'entity'->>'name' AS "the reply shows it" FROM json_array_elements(tide.push('{"clientId": "phone", "changes": {"plan": [{"id": 5, "name": "loud"}]}}')->'succeeded') s;
SELECT seen.* FROM seen(:'c7', 'tablet');
-- by default the client is the user: every pull of ann's without clientId has it all
SELECT tide.cursor() AS c8 \gset
SELECT tide.push('{"changes": {"plan": [{"id": 6, "name": "f"}]}}')->'summary'->>'succeeded' AS n;
SELECT who, seen.* FROM unnest('{phone,ann}'::text[]) who, seen(:'c8', who);
-- left-out rows do not hold up pages
DROP TRIGGER also ON plan;
SELECT count(*) FROM push('phone', (SELECT jsonb_build_object('plan', jsonb_agg(jsonb_build_object('id', i))) FROM generate_series(1000, 1500) i));
INSERT INTO plan VALUES (2000, 'ann', 'last');
SELECT p->'stats' AS stats, p->'hasMore' AS "hasMore" FROM tide.pull(:'c8', client_id => 'phone', max_rows => 3) p;
DROP SCHEMA echo CASCADE;
