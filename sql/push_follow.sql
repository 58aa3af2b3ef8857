-- Changes of one row stand and fall in their turn, and what is said of a change
-- is true of what is stored.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA follow;
SET search_path = follow;
CREATE TABLE t (id int PRIMARY KEY, user_id text, s text CHECK (s <> 'bad'), n int, day date);
CREATE INDEX ON t (user_id);
SELECT tide.track('t', scope => 'user_id');
SET request.jwt.claims = '{"sub": "u1"}';
CREATE FUNCTION go(changes jsonb) RETURNS TABLE (id text, result text, s text, n text) LANGUAGE sql AS $$
	WITH p AS MATERIALIZED (SELECT tide.push(jsonb_build_object('changes', changes)) AS r)
	SELECT x->>'entityId', x->>'status', x->'entity'->>'s', x->'entity'->>'n' FROM p, json_array_elements(r->'succeeded') x
	UNION ALL SELECT x->>'entityId', concat_ws(' ', x->'errors'->0->>'code', x->'errors'->0->>'column', x->'errors'->0->>'message'), NULL, NULL FROM p, json_array_elements(r->'failed') x
$$;
-- a change that cannot be read, of whatever kind and wherever it is, shadows no other
CREATE TABLE bad (what text, change jsonb);
INSERT INTO bad VALUES ('key', '{"id": "x"}'), ('value', '{"id": 99, "n": "many"}'), ('column', '{"id": 99, "nr": 1}'), ('stamp', '{"id": 99, "lastModifiedAt": "never"}'),
	('scope', '{"id": 99, "user_id": "u2"}'), ('no key', '{"s": "x"}'), ('no object', '7'), ('changed', '{"id": 99, "_changed": 7}');
CREATE FUNCTION in_turn(bad jsonb, at int, OUT good text, OUT failed text, OUT stored text) LANGUAGE plpgsql AS $$
DECLARE
	rows jsonb := '[{"id": 7, "s": "a"}, {"id": 7, "s": "b", "n": 1}, {"id": 7, "n": 2}, {"id": 8, "deletedAt": 1577836800000}]';
	p json;
BEGIN
	DELETE FROM follow.t;
	rows := jsonb_insert(rows, ARRAY[at::text], bad);
	p := tide.push(jsonb_build_object('changes', jsonb_build_object('t', rows)));
	good := string_agg(x->>'status', ' ') FROM json_array_elements(p->'succeeded') x;
	failed := string_agg(x->'errors'->0->>'code', ' ') FROM json_array_elements(p->'failed') x;
	stored := string_agg(concat_ws(' ', id, s, n), ', ' ORDER BY id) FROM follow.t;
END $$;
SELECT what, count(DISTINCT good) AS goods, min(good) AS good, count(DISTINCT failed) AS faileds, min(failed) AS failed, count(DISTINCT stored) AS storeds, min(stored) AS stored
	FROM bad, generate_series(0, 4) at, LATERAL in_turn(change, at) GROUP BY what ORDER BY what;
SELECT count(*) FROM go('[{"entityType": "t", "entityId": 20, "data": {"s": "old"}}]');
SELECT * FROM go('[{"entityType": "t", "entityId": 20, "action": "delete"}, {"entityType": "t", "entityId": 20, "data": {"s": "new"}}, {"entityType": "t", "entityId": 21, "data": {"n": "bad"}}]');

-- what follows a failed change of a row fails with it: no half of a row is stored
SELECT * FROM go('{"t": [{"id": 30, "s": "bad", "lastModifiedAt": "2020-01-01T00:00:01Z"}, {"id": 30, "n": 1, "lastModifiedAt": "2020-01-01T00:00:02Z"}, {"id": 31, "s": "fine"}]}');
SELECT * FROM go('{"t": [{"id": 30, "day": "someday", "s": "x", "lastModifiedAt": "2020-01-01T00:00:01Z"}, {"id": 30, "n": 2, "lastModifiedAt": "2020-01-01T00:00:02Z"}]}');
-- in the order of the stamps; and of the request, where the stamp is what cannot be read
SELECT * FROM go('{"t": [{"id": 30, "n": 3, "lastModifiedAt": "2020-01-01T00:00:02Z"}, {"id": 30, "day": "someday", "lastModifiedAt": "2020-01-01T00:00:01Z"}]}');
SELECT * FROM go('{"t": [{"id": 33, "n": 4, "lastModifiedAt": "2020-01-01T00:00:02Z"}, {"id": 33, "s": "x", "lastModifiedAt": "soon"}, {"id": 33, "n": 5, "lastModifiedAt": "2020-01-01T00:00:03Z"}]}');
SELECT * FROM go('[{"entityType": "t", "entityId": 30, "data": {"s": "bad"}}, {"entityType": "t", "entityId": 30, "data": {"n": 5}}, {"entityType": "t", "entityId": 30, "action": "delete"}]');
SELECT id, s, n FROM t WHERE id >= 30 ORDER BY id;
-- mended, all of it comes
SELECT * FROM go('{"t": [{"id": 30, "s": "good", "lastModifiedAt": "2020-01-01T00:00:01Z"}, {"id": 30, "n": 1, "lastModifiedAt": "2020-01-01T00:00:02Z"}]}');
-- and with what is mended within the push: a child before its parent, and what follows it
CREATE TABLE node (id int PRIMARY KEY, parent int REFERENCES node, v text NOT NULL, w int);
SELECT tide.track('node', shared => true);
SELECT * FROM go('{"node": [{"id": 1, "parent": 9, "v": "x", "lastModifiedAt": "2020-01-01T00:00:01Z"}, {"id": 1, "w": 1, "lastModifiedAt": "2020-01-01T00:00:02Z"},
	{"id": 9, "v": "y", "lastModifiedAt": "2020-01-01T00:00:01Z"}, {"id": 5, "lastModifiedAt": "2020-01-01T00:00:01Z", "parent": 77, "v": "z"}, {"id": 5, "lastModifiedAt": "2020-01-01T00:00:02Z", "w": 6}]}');
SELECT id, parent, v, w FROM node ORDER BY id;
-- a patch of a row that is not there is judged for what it lacks
SELECT * FROM go('{"node": [{"id": 40, "w": 1}]}');

-- a trigger that gives a new row, or one that is there, another key: nothing of it is left
CREATE TABLE moved (id int PRIMARY KEY, s text);
CREATE FUNCTION move() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.s LIKE 'move%' THEN NEW.id := substr(NEW.s, 6)::int; END IF; RETURN NEW; END $$;
CREATE TRIGGER move BEFORE INSERT OR UPDATE ON moved FOR EACH ROW EXECUTE FUNCTION move();
SELECT tide.track('moved', shared => true);
SELECT id, result FROM go('{"moved": [{"id": 1, "s": "move 100"}, {"id": 2, "s": "stay"}, {"id": 3, "s": "move 4"}, {"id": 4, "s": "four"}, {"id": 5, "s": "move 2"}]}');
SELECT id, s FROM moved ORDER BY id;
SELECT id, result FROM go('{"moved": [{"id": 2, "s": "move 101"}, {"id": 4, "s": "four and more"}]}');
SELECT id, s FROM moved ORDER BY id;

-- triggers that undo what was sent: all of it, one column, a soft delete; what one makes of it stands
CREATE TABLE kept (id int PRIMARY KEY, s text, n int, gone timestamptz);
CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.n = 13 OR OLD.s = 'fixed' THEN RETURN OLD; END IF;
	IF NEW.s = 'SHOUT' THEN NEW.s := 'shout'; ELSIF NEW.s = 'no' THEN NEW.s := OLD.s; END IF;
	RETURN NEW;
END $$;
CREATE TRIGGER keep BEFORE UPDATE ON kept FOR EACH ROW EXECUTE FUNCTION keep();
SELECT tide.track('kept', shared => true, deleted_at => 'gone');
INSERT INTO kept VALUES (1, 'a', 1), (2, 'b', 2), (3, 'c', 3), (4, 'd', 4), (5, 'fixed', 5), (6, 'f', 6);
SELECT * FROM go('{"kept": [{"id": 1, "n": 13}, {"id": 2, "s": "no"}, {"id": 3, "s": "no", "n": 33}, {"id": 4, "s": "SHOUT"}, {"id": 5, "deletedAt": "2020-01-01T00:00:00Z"}, {"id": 6, "s": "f"}]}');
SELECT id, s, n, gone FROM kept ORDER BY id;

-- a new row without a scope, where its user has several
CREATE FUNCTION athletes(claims jsonb) RETURNS text[] LANGUAGE sql AS $$ SELECT ARRAY['a1', 'a2'] $$;
CREATE TABLE run (id int PRIMARY KEY, owner text NOT NULL, km int);
CREATE TABLE maybe (id int PRIMARY KEY, owner text, km int);
CREATE INDEX ON run (owner);
CREATE INDEX ON maybe (owner);
SELECT tide.track('run', scope => 'owner');
SELECT tide.track('maybe', scope => 'owner');
SET pg_tide.scopes_function = 'follow.athletes';
SELECT * FROM go('{"run": [{"id": 1, "km": 5}, {"id": 2, "km": 6, "owner": "a2"}, {"id": 3, "owner": null}, {"id": 4, "owner": "a3"}], "maybe": [{"id": 1, "km": 5}, {"id": 2, "owner": "a1"}]}');
SELECT * FROM go('{"run": [{"id": 2, "km": 7}], "maybe": [{"id": 2, "km": 7}]}');
-- a trigger may know whose it is
CREATE FUNCTION of_a1() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.owner := coalesce(NEW.owner, 'a1'); RETURN NEW; END $$;
CREATE TRIGGER of_a1 BEFORE INSERT ON run FOR EACH ROW EXECUTE FUNCTION of_a1();
SELECT id, result FROM go('{"run": [{"id": 1, "km": 5}]}');
RESET pg_tide.scopes_function;

-- what no change can be to blame for raises; the rest is a closed list
CREATE TABLE storm (id int PRIMARY KEY, code text);
CREATE FUNCTION storm() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.code IS NOT NULL THEN RAISE 'storm' USING ERRCODE = NEW.code; END IF; RETURN NEW; END $$;
CREATE TRIGGER storm BEFORE INSERT ON storm FOR EACH ROW EXECUTE FUNCTION storm();
SELECT tide.track('storm', shared => true);
CREATE FUNCTION blame(code text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	RETURN 'failed ' || (tide.push(jsonb_build_object('changes', jsonb_build_object('storm', jsonb_build_array(jsonb_build_object('id', 1), jsonb_build_object('id', 2, 'code', code)))))
		->'failed'->0->'errors'->0->>'code');
EXCEPTION WHEN query_canceled OR OTHERS THEN RETURN 'raised ' || SQLSTATE;
END $$;
SELECT code, blame(code) FROM unnest('{22012,23514,23000,42501,P0001,P0002,54000,40001,40P01,53200,55P03,57014,58030,XX000,42P01,42883,0A000,55000,2F002,TD006}'::text[]) code;
DROP SCHEMA follow CASCADE;
