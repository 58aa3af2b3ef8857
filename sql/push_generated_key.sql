-- A key that is generated from other columns.  It was named by the INSERT of a
-- push, which raised 428C9, and nothing of the whole push was stored.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE FUNCTION pushed(body jsonb) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	reply jsonb := tide.push(body);
	x jsonb;
BEGIN
	FOR x IN SELECT jsonb_array_elements(reply -> 'succeeded') LOOP
		RETURN NEXT format('%s %s %s', x ->> 'status', x ->> 'entityId', x #>> '{entity,name}');
	END LOOP;
	FOR x IN SELECT jsonb_array_elements(reply -> 'failed') LOOP
		RETURN NEXT format('failed %s %s %s %s', x ->> 'entityId', x #>> '{errors,0,code}',
			x #>> '{errors,0,column}', x #>> '{errors,0,message}');
	END LOOP;
END $$;
CREATE TABLE plain (id int PRIMARY KEY, u text);
CREATE TABLE page (name text, u text, slug text GENERATED ALWAYS AS (lower(name)) STORED PRIMARY KEY);
CREATE TABLE line (n int, u text, owner text GENERATED ALWAYS AS (u) STORED, a int, PRIMARY KEY (owner, n));
SELECT tide.track('plain', scope => 'u'), tide.track('page', scope => 'u'), tide.track('line', scope => 'owner');
-- both ways of inserting: without and with a look whether the rows exist
SELECT pushed('{"changes": {"plain": [{"id": 1, "u": "u1"}], "page": [{"slug": "abc", "name": "ABC", "u": "u1"}],
	"line": [{"owner": "u1", "n": 1, "u": "u1", "a": 1}]}}');
SELECT pushed('{"changes": {"page": [{"slug": "def", "name": "Def", "u": "u1"}, {"slug": "ghi", "name": "Ghi", "u": "u1"}, {"slug": "abc", "name": "aBC"}]}}');
-- keys that two rows would have of each other
SELECT pushed('{"changes": {"page": [{"slug": "v", "name": "W", "u": "u1"}, {"slug": "w", "name": "V", "u": "u1"}]}}');
-- a key that the row would not have
SELECT pushed('{"changes": {"plain": [{"id": 2, "u": "u1"}],
	"page": [{"slug": "zzz", "name": "Q", "u": "u1"}, {"slug": "none"}, {"slug": "jkl", "name": "JKL", "u": "u1"}, {"slug": "yyy", "name": "abc", "u": "u1"}],
	"line": [{"owner": "u1", "n": 2, "u": "u2"}, {"owner": "u1", "n": 3}]}}');
SELECT pushed('{"changes": {"page": [{"slug": "abc", "name": "other"}, {"slug": "def", "name": "DEF"}]}}');
SELECT pushed('{"changes": [{"entityType": "page", "entityId": "def", "action": "delete"}]}');
SELECT pushed('{"changes": {"page": [{"slug": "def", "name": "dEF", "u": "u1"}]}}');
SELECT name, slug FROM page ORDER BY slug COLLATE "C";
SELECT owner, n, a FROM line;

-- with triggers of the table: before a row is inserted there is no key yet
CREATE FUNCTION sign_page() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.u := 'u1'; RETURN NEW; END $$;
CREATE TRIGGER sign_page BEFORE INSERT OR UPDATE ON page FOR EACH ROW EXECUTE FUNCTION sign_page();
SELECT pushed('{"changes": {"page": [{"slug": "mno", "name": "MNO", "lastModifiedAt": "2026-01-02T00:00:00Z"}, {"slug": "abc", "name": "Abc"}, {"slug": "def", "name": "no"}]}}');
SELECT name, slug, u, "lastModifiedAt" = '2026-01-02T00:00:00Z' AS stamped FROM page WHERE slug IN ('abc', 'mno') ORDER BY slug COLLATE "C";

-- rights to the columns that are written are enough
CREATE ROLE regress_page;
GRANT SELECT, UPDATE, INSERT (name, u, "lastModifiedAt", "clientId") ON page TO regress_page;
SET ROLE regress_page;
SET request.jwt.claims = '{"sub": "u1"}';
SELECT pushed('{"changes": {"page": [{"slug": "pqr", "name": "PQR", "u": "u1"}]}}');
RESET ROLE;
DROP TABLE plain, page, line;
DROP FUNCTION pushed, sign_page;
DROP ROLE regress_page;
