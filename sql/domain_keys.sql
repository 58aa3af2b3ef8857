-- Keys and scopes are older than what their types say today: a constraint that
-- a domain gets later, a column that is made shorter.  What the log, tombstones
-- and cursors have of them is read as it was.  With keys read through the
-- domain's input a pull raised 23514 for all entity types, and so did
-- tide.changes and tide.digest; with scopes read so, deletions in such a scope
-- never came.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE FUNCTION pushed(body jsonb, scopes text[] DEFAULT NULL) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	reply jsonb := tide.push(body, scopes);
	x jsonb;
BEGIN
	FOR x IN SELECT jsonb_array_elements(reply -> 'succeeded') LOOP
		RETURN NEXT format('%s %s', x ->> 'status', x ->> 'entityId');
	END LOOP;
	FOR x IN SELECT jsonb_array_elements(reply -> 'failed') LOOP
		RETURN NEXT format('failed %s %s %s', x ->> 'entityId', x -> 'errors' -> 0 ->> 'code', x -> 'errors' -> 0 ->> 'column');
	END LOOP;
END $$;

-- a key in the log
CREATE DOMAIN name_of AS text;
CREATE TABLE thing (id name_of PRIMARY KEY, u text, n int);
CREATE TABLE pair (a int, id name_of, u text, PRIMARY KEY (a, id));
SELECT tide.track('thing', scope => 'u'), tide.track('pair', scope => 'u');
INSERT INTO thing VALUES ('bad', 'u1', 0), ('ok1', 'u1', 0);
INSERT INTO pair VALUES (1, 'bad', 'u1'), (1, 'ok1', 'u1');
SELECT tide.cursor() AS cursor \gset
DELETE FROM thing WHERE id = 'bad';
DELETE FROM pair WHERE id = 'bad';
ALTER DOMAIN name_of ADD CHECK (value LIKE 'ok%');
SELECT entity_type, operation, key FROM tide.changes(:'cursor');
SELECT tide.pull(:'cursor')::jsonb #> '{deletedByType,thing,0,id}' AS deleted,
	tide.digest(:'cursor') IS NOT NULL AS has_digest;
-- nobody knows it, and a new one is refused
SELECT tide.rows('{"keys": {"thing": ["bad", "ok1"]}}')::jsonb #> '{rowsByType,thing,0,id}' AS found;
SELECT pushed('{"changes": {"thing": [{"id": "bad", "u": "u1", "n": 1}, {"id": "ok1", "n": 1}, {"id": "ok2", "u": "u1"}],
	"pair": [{"a": 2, "id": "bad", "u": "u1"}, {"a": 2, "id": "ok2", "u": "u1"}]}}');

-- a row that the constraint has not been asked about can be read, changed and deleted
ALTER DOMAIN name_of DROP CONSTRAINT name_of_check;
INSERT INTO thing VALUES ('bad', 'u1', 0), ('bad2', 'u1', 0);
SELECT tide.cursor() AS cursor \gset
ALTER DOMAIN name_of ADD CHECK (value LIKE 'ok%') NOT VALID;
SELECT tide.touch('thing', '["bad"]');
SELECT operation, key FROM tide.changes(:'cursor');
SELECT key FROM tide.changes(NULL, NULL, '{thing}', 1);
SELECT tide.rows('{"keys": {"thing": ["bad"]}}')::jsonb #> '{rowsByType,thing,0,id}' AS found;
SELECT pushed('{"changes": [{"entityType": "thing", "entityId": "bad", "action": "update", "data": {"n": 5}},
	{"entityType": "thing", "entityId": "bad2", "action": "delete"},
	{"entityType": "thing", "entityId": "bad3", "action": "delete"},
	{"entityType": "thing", "entityId": "bad4", "action": "create", "data": {"u": "u1"}}]}');
SELECT id, n FROM thing ORDER BY id;

-- a key that its column has no room for any more
CREATE TABLE code (id varchar(10) PRIMARY KEY, u text);
SELECT tide.track('code', scope => 'u');
INSERT INTO code VALUES ('abcdefgh', 'u1'), ('abc', 'u1');
SELECT tide.cursor() AS cursor \gset
DELETE FROM code WHERE id = 'abcdefgh';
ALTER TABLE code ALTER id TYPE varchar(4);
SELECT operation, key FROM tide.changes(:'cursor');

-- a scope: what left it is told to those who had it
CREATE DOMAIN owner AS text;
CREATE TABLE note (id int PRIMARY KEY, u owner, n int);
CREATE TABLE tag (id int PRIMARY KEY, u varchar(10));
SELECT tide.track('note', scope => 'u'), tide.track('tag', scope => 'u');
INSERT INTO note VALUES (1, 'bad', 0), (2, 'bad', 0), (3, 'bad', 0);
INSERT INTO tag VALUES (1, 'badbadbad');
SELECT tide.pull(NULL, '{bad,badbadbad}', '{note,tag}') ->> 'cursor' AS cursor \gset
DELETE FROM note WHERE id = 1;
UPDATE note SET u = 'ok' WHERE id = 2;
DELETE FROM tag;
ALTER DOMAIN owner ADD CHECK (value LIKE 'ok%') NOT VALID;
ALTER TABLE tag ALTER u TYPE varchar(3);
UPDATE note SET n = 1 WHERE id = 3;
SELECT entity_type, operation, key FROM tide.changes(:'cursor', '{bad,badbadbad}', '{note,tag}');
-- its rows can be changed, and no new ones come into it
SELECT pushed('{"changes": {"note": [{"id": 3, "n": 2}, {"id": 4, "n": 2}]}}', '{bad}');
SELECT pushed('{"changes": {"note": [{"id": 5, "n": 2, "u": "bad"}], "tag": [{"id": 2}]}}', '{badbadbad}');
SELECT id, u, n FROM note ORDER BY id;
SELECT * FROM tag;

DROP TABLE thing, pair, code, note, tag;
DROP DOMAIN name_of, owner;
DROP FUNCTION pushed;
