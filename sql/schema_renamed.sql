-- Columns that the settings name become others, by all the ways in which a column can: the settings do not fit the table
-- until it is tracked again.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA renamed;
SET search_path = renamed;
SET request.jwt.claims = '{"sub": "ann"}';
-- a table whose scope is u, and that excludes secret
CREATE FUNCTION make(name text, definition text DEFAULT '(id int PRIMARY KEY, u text, secret text, body text)', s text DEFAULT 'u') RETURNS void LANGUAGE plpgsql AS $$ BEGIN
	EXECUTE format('CREATE TABLE %I %s', name, definition);
	EXECUTE format('CREATE INDEX ON %I (%I)', name, s);
	PERFORM tide.track(name::regclass, scope => s, exclude => CASE WHEN definition ~ 'secret' THEN '{secret}'::name[] END);
END $$;
-- what is the matter, and is what it excludes sent?
CREATE FUNCTION health(name text, OUT problem text, OUT leaks boolean) LANGUAGE plpgsql AS $$ BEGIN
	problem := (SELECT x.problem FROM tide.tracked x WHERE relation = name::regclass);
	leaks := tide.pull(entity_types => ARRAY[name])::text ~ 'hush';
EXCEPTION WHEN object_not_in_prerequisite_state THEN
	leaks := false;
END $$;

-- by commands for other things, which rename the columns of tables, too.  Seen to fail with ALTER TABLE alone looked at.
SELECT make('v');
INSERT INTO v VALUES (1, 'ann', 'hush', 'b');
ALTER VIEW v RENAME secret TO x;
SELECT * FROM health('v');
ALTER VIEW v RENAME body TO secret;
SELECT * FROM health('v');
SELECT tide.track('v', scope => 'u', exclude => '{x}');
SELECT * FROM health('v');
ALTER MATERIALIZED VIEW v RENAME x TO y;
ALTER FOREIGN TABLE v RENAME secret TO x;
SELECT * FROM health('v');
ALTER FOREIGN TABLE v RENAME y TO x2;
ALTER VIEW v RENAME x2 TO z;
ALTER TYPE v RENAME ATTRIBUTE x TO y;
ALTER TABLE v RENAME y TO x;
SELECT * FROM health('v');
DROP TABLE v;
-- by the type that the table is made of
CREATE TYPE ty AS (id int, u text, secret text, body text, "lastModifiedAt" timestamptz, "clientId" text);
SELECT make('typed', 'OF ty (PRIMARY KEY (id)) /* secret */');
INSERT INTO typed VALUES (1, 'ann', 'hush', 'b');
ALTER TYPE ty RENAME ATTRIBUTE secret TO x CASCADE;
ALTER TYPE ty RENAME ATTRIBUTE body TO secret CASCADE;
SELECT * FROM health('typed');
SELECT tide.track('typed', scope => 'u', exclude => '{x}');
SELECT * FROM health('typed');

DROP SCHEMA renamed CASCADE;
