-- tide.keys: which rows there are, for a client that cannot tell which of its own are gone
CREATE SCHEMA listed;
SET search_path = listed, public;
SET client_min_messages = warning;

CREATE TABLE note (id int PRIMARY KEY, owner text);
CREATE TABLE pair (a int, b text, owner text, PRIMARY KEY (a, b));
CREATE TABLE common (id uuid PRIMARY KEY);
SELECT tide.track('note', scope => 'owner'), tide.track('pair', scope => 'owner'), tide.track('common', shared => true);
INSERT INTO note VALUES (1, 'ann'), (2, 'bob'), (3, NULL);
INSERT INTO pair VALUES (1, 'k "q"', 'ann');
CREATE FUNCTION keys(scopes text[] DEFAULT NULL, types text[] DEFAULT NULL) RETURNS TABLE (type text, keys jsonb)
LANGUAGE sql AS $$ SELECT key, value FROM jsonb_each((tide.keys(scopes, types)::jsonb)->'keysByType') ORDER BY key COLLATE "C" $$;

-- bad input
SELECT tide.keys(entity_types => '{nope}');
SELECT tide.keys(scopes => ARRAY[NULL]);
SET request.jwt.claims = '{"sub": "ann"}';
SELECT tide.keys(scopes => '{bob}');
SET pg_tide.max_time_rows = 1;
SELECT tide.keys();
RESET pg_tide.max_time_rows;

-- long keys: few, but more bytes than anybody should have in memory
-- Seen failing without LARGEST in list_table(): 80 MB, and of more keys "out of memory".
CREATE TABLE long (id text PRIMARY KEY, owner text);
SELECT tide.track('long', scope => 'owner');
INSERT INTO long SELECT repeat('k', 200000) || n, 'ann' FROM generate_series(1, 400) AS n;
SELECT length(tide.keys(entity_types => '{long}')::text);
DELETE FROM long WHERE id NOT LIKE '%1';
SELECT length(tide.keys(entity_types => '{long}')::text);
SELECT tide.untrack('long');
DROP TABLE long;

-- a user's, narrowed, and another's; a type without rows is there
SELECT * FROM keys();
SELECT * FROM keys(types => '{note}');
SET request.jwt.claims = '{"sub": "bob"}';
SELECT * FROM keys();

-- without claims: everybody's, but nobody's
RESET request.jwt.claims;
SELECT * FROM keys();
SELECT * FROM keys(scopes => '{bob}');
DELETE FROM note;
SELECT * FROM keys(types => '{note,common}');

-- row level security holds
CREATE ROLE regress_listed;
GRANT USAGE ON SCHEMA listed TO regress_listed;
GRANT SELECT ON pair TO regress_listed;
ALTER TABLE pair ENABLE ROW LEVEL SECURITY;
SET ROLE regress_listed;
SET request.jwt.claims = '{"sub": "ann"}';
SELECT * FROM keys();
\set VERBOSITY terse
SELECT * FROM keys(types => '{note}');
\set VERBOSITY default
RESET ROLE;
CREATE POLICY mine ON pair USING (owner = current_setting('request.jwt.claims')::json->>'sub');
SET ROLE regress_listed;
SELECT * FROM keys();
RESET ROLE;
RESET request.jwt.claims;
SET client_min_messages = warning;
DROP SCHEMA listed CASCADE;
DROP ROLE regress_listed;
