-- Objects that a user plants change nothing, and none of the user's code runs
-- with more rights than the user's.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE ROLE regress_tide_planter;
GRANT EXECUTE ON FUNCTION tide.trusted() TO regress_tide_planter;
CREATE SCHEMA planted AUTHORIZATION regress_tide_planter;
GRANT CREATE ON SCHEMA public TO regress_tide_planter;
SET ROLE regress_tide_planter;
-- functions and operators in public and in the search_path's first schema that
-- fit better than pg_catalog's, for the types that tide's statements use
DO $$
DECLARE s text; o text; t text; n int := 0;
BEGIN
	FOREACH s IN ARRAY '{public,planted}'::text[] LOOP
		FOREACH t IN ARRAY '{text,uuid,int4,int8,timestamptz,xid8,"\"char\"",name,oid}'::text[] LOOP
			EXECUTE format('CREATE FUNCTION %I.trap(%s, %2$s) RETURNS bool LANGUAGE plpgsql AS ''BEGIN RAISE ''''trapped in %2$s as %%'''', current_user; END''', s, t);
			FOREACH o IN ARRAY '{=,<>,<,>,<=,>=}'::text[] LOOP
				EXECUTE format('CREATE OPERATOR %I.%s (LEFTARG = %s, RIGHTARG = %3$s, FUNCTION = %1$I.trap)', s, o, t);
			END LOOP;
		END LOOP;
		EXECUTE format('CREATE FUNCTION %I.trap(text, text[]) RETURNS bool LANGUAGE plpgsql AS ''BEGIN RAISE ''''trapped as %%'''', current_user; END''', s);
		EXECUTE format('CREATE OPERATOR %I.= (LEFTARG = text, RIGHTARG = text[], FUNCTION = %1$I.trap)', s);
		EXECUTE format('CREATE FUNCTION %I.unnest(text[]) RETURNS SETOF text LANGUAGE plpgsql AS ''BEGIN RAISE ''''trapped as %%'''', current_user; END''', s);
		EXECUTE format('CREATE FUNCTION %I.max(timestamptz) RETURNS timestamptz LANGUAGE plpgsql AS ''BEGIN RAISE ''''trapped as %%'''', current_user; END''', s);
		EXECUTE format('CREATE FUNCTION %I.nextval(regclass) RETURNS bigint LANGUAGE plpgsql AS ''BEGIN RAISE ''''trapped as %%'''', current_user; END''', s);
		EXECUTE format('CREATE FUNCTION %I.now() RETURNS timestamptz LANGUAGE plpgsql AS ''BEGIN RAISE ''''trapped as %%'''', current_user; END''', s);
		EXECUTE format('CREATE FUNCTION %I.clock_timestamp() RETURNS timestamptz LANGUAGE plpgsql AS ''BEGIN RAISE ''''trapped as %%'''', current_user; END''', s);
		EXECUTE format('CREATE FUNCTION %I.pg_current_xact_id() RETURNS xid8 LANGUAGE plpgsql AS ''BEGIN RAISE ''''trapped as %%'''', current_user; END''', s);
		EXECUTE format('CREATE FUNCTION %I.pg_current_snapshot() RETURNS pg_snapshot LANGUAGE plpgsql AS ''BEGIN RAISE ''''trapped as %%'''', current_user; END''', s);
	END LOOP;
END $$;
CREATE TABLE planted.log (xid xid8, seq bigint, relid oid, reg int, scope text, client_id text, keys text[]);
CREATE TABLE planted.tombstone (relid oid, key text);
CREATE TABLE planted.tide_new (id int);
CREATE TABLE planted.tide_batch (id int);
CREATE VIEW planted.pg_class AS SELECT 1 AS oid;
-- types, domains, casts: they run as whoever writes
CREATE TABLE planted.whoami (at text, who name);
GRANT INSERT ON planted.whoami TO PUBLIC;
CREATE FUNCTION planted.note_user(place text) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN INSERT INTO planted.whoami VALUES (place, current_user); RETURN true; END $$;
CREATE DOMAIN planted.spy AS text CHECK (planted.note_user('domain'));
CREATE DOMAIN planted.spykey AS int CHECK (planted.note_user('key domain'));
CREATE TYPE planted.pair AS (a int, b int);
CREATE FUNCTION planted.spy_cast(planted.pair) RETURNS text LANGUAGE sql AS $$ SELECT CASE WHEN planted.note_user('cast') THEN $1.a::text END $$;
CREATE CAST (planted.pair AS text) WITH FUNCTION planted.spy_cast(planted.pair) AS IMPLICIT;
SET search_path = planted, public, pg_catalog;
CREATE TABLE victim (id planted.spykey PRIMARY KEY, user_id uuid, body planted.spy, p planted.pair, n int DEFAULT length(current_user), CHECK (planted.note_user('check')));
CREATE INDEX ON victim (user_id);
CREATE INDEX ON victim ((planted.note_user('index') IS NULL)) WHERE user_id IS NULL;
SELECT tide.track('victim', scope => 'user_id');
CREATE TABLE child (id int PRIMARY KEY, victim_id planted.spykey REFERENCES victim ON DELETE CASCADE, note text);
CREATE INDEX ON child (victim_id);
INSERT INTO victim VALUES (90, '00000000-0000-0000-0000-000000000001');
INSERT INTO child VALUES (90, 90);
SELECT tide.track('child', scope => 'victim_id.user_id');
CREATE INDEX ON child (tide_scope);
DELETE FROM victim;
RESET ROLE;
-- superuser and others, with the trapped search_path
CREATE ROLE regress_tide_other;
GRANT USAGE ON SCHEMA planted TO regress_tide_other;
GRANT ALL ON planted.victim, planted.child TO regress_tide_other;
SET search_path = planted, public, pg_catalog;
SET ROLE regress_tide_other;
-- the traps are set
SELECT 1 = 1;
SELECT 'a'::text = 'b'::text;
SET request.jwt.claims = '{"sub": "00000000-0000-0000-0000-000000000001"}';
SELECT p->'summary'->>'succeeded' AS succeeded, p->'failed' AS failed FROM tide.push('{"changes": {"victim": [
	{"id": 1, "body": "x", "p": {"a": 1, "b": 2}, "lastModifiedAt": "2020-01-01T00:00:00Z"}, {"id": 2, "body": "y"}, {"id": 1, "body": "z", "lastModifiedAt": "2020-01-02T00:00:00Z"}]}}') p;
SELECT p->'summary'->>'succeeded' AS succeeded, p->'failed' AS failed FROM tide.push('{"changes": [{"entityType": "victim", "entityId": 2, "action": "delete"}, {"entityType": "victim", "entityId": 3, "action": "delete"}, {"entityType": "victim", "entityId": 1, "data": {"body": "w"}}]}') p;
SELECT tide.pull() AS p \gset
RESET search_path;
SELECT :'p'::json->'changesByType'->'victim'->0->>'body' AS body;
SET search_path = planted, public, pg_catalog;
SELECT tide.cursor() AS c \gset
INSERT INTO victim (id, user_id, body) VALUES (4, '00000000-0000-0000-0000-000000000001', 'q');
UPDATE victim SET body = 'qq';
INSERT INTO child VALUES (1, 4), (2, NULL);
UPDATE victim SET user_id = '00000000-0000-0000-0000-000000000002';
UPDATE victim SET user_id = '00000000-0000-0000-0000-000000000001';
DELETE FROM victim;
SELECT tide.pull(:'c') AS p, tide.pull('2020-01-01T00:00:00Z') AS p2 \gset
SELECT operation, key FROM tide.changes(:'c');
SELECT status FROM tide.upsert('victim', '{"id": 5, "body": "upsert"}');
SELECT status FROM tide.delete('victim', '5');
RESET ROLE;
TRUNCATE victim, child;
SELECT tide.untrack('child', true);
SELECT tide.untrack('victim');
SELECT tide.track('victim', scope => 'user_id', entity_type => 'again');
RESET search_path;
-- whose rights did the owner's code see? never the extension owner's
SELECT at, who FROM planted.whoami WHERE who NOT IN ('regress_tide_other', 'regress_tide_planter') GROUP BY 1, 2;
SELECT count(*) > 0 AS "it was run" FROM planted.whoami WHERE who = 'regress_tide_other' AND at = 'domain';
DROP SCHEMA planted CASCADE;
DROP OWNED BY regress_tide_planter;
DROP ROLE regress_tide_planter, regress_tide_other;
