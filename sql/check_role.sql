-- tide.check('a_role'): what a role cannot do, and why its pulls are empty.  Each
-- hint is run, and the row it stands in is gone then.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE ROLE regress_tide_reader;
SELECT * FROM tide.check('regress_tide_nobody');
-- nothing is tracked
SELECT * FROM tide.check('regress_tide_reader');
CREATE SCHEMA shop;
CREATE TABLE shop.note (id uuid PRIMARY KEY, user_id text, body text, hidden text);
CREATE INDEX ON shop.note (user_id);
CREATE TABLE shop."Soft" (id uuid PRIMARY KEY, user_id int, deleted_at timestamptz);
CREATE INDEX ON shop."Soft" (user_id);
SELECT tide.track('shop.note', scope => 'user_id', exclude => '{hidden}');
SELECT tide.track('shop."Soft"', scope => 'user_id', deleted_at => 'deleted_at');
\set look 'SELECT * FROM tide.check($$regress_tide_reader$$) ORDER BY object COLLATE "C", problem COLLATE "C"'
:look;
SELECT hint FROM tide.check('regress_tide_reader') \gexec
:look;
-- columns are enough, but all that are synced
REVOKE SELECT ON shop.note FROM regress_tide_reader;
GRANT SELECT (id, user_id) ON shop.note TO regress_tide_reader;
:look;
GRANT SELECT (body, "lastModifiedAt", "clientId") ON shop.note TO regress_tide_reader;
:look;
-- a change writes its stamp, too, and under merge those of the columns
REVOKE INSERT, UPDATE ON shop.note FROM regress_tide_reader;
GRANT INSERT (id, user_id, body), UPDATE (body) ON shop.note TO regress_tide_reader;
:look;
GRANT INSERT ("lastModifiedAt", "clientId"), UPDATE ("lastModifiedAt", "clientId") ON shop.note TO regress_tide_reader;
:look;
SELECT tide.track('shop.note', scope => 'user_id', exclude => '{hidden}', conflict => 'merge');
:look;
SELECT hint FROM tide.check('regress_tide_reader') \gexec
:look;
SELECT tide.track('shop.note', scope => 'user_id', exclude => '{hidden}');
-- row security without a policy for it
ALTER TABLE shop.note ENABLE ROW LEVEL SECURITY;
CREATE POLICY others ON shop.note FOR SELECT TO pg_monitor USING (true);
CREATE POLICY writes ON shop.note FOR INSERT TO regress_tide_reader WITH CHECK (true);
:look;
CREATE POLICY own ON shop.note TO regress_tide_reader USING (true);
:look;
-- claims of a session that match nobody
SET request.jwt.claims = '{"sub": "ann"}';
:look;
INSERT INTO shop.note VALUES ('00000000-0000-0000-0000-000000000001', 'ann');
:look;
SET pg_tide.scopes_function = 'shop.scopes';
:look;
CREATE FUNCTION shop.scopes(claims jsonb) RETURNS text[] LANGUAGE sql IMMUTABLE AS $$SELECT '{7}'::text[]$$;
REVOKE EXECUTE ON FUNCTION shop.scopes(jsonb) FROM PUBLIC;
:look;
INSERT INTO shop."Soft" VALUES ('00000000-0000-0000-0000-000000000001', 7);
GRANT EXECUTE ON FUNCTION shop.scopes(jsonb) TO regress_tide_reader;
:look;
RESET pg_tide.scopes_function;
RESET request.jwt.claims;
-- tide's own functions
REVOKE USAGE ON SCHEMA tide FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION tide.keys(text[], text[], integer[]) FROM PUBLIC;
:look;
GRANT USAGE ON SCHEMA tide TO PUBLIC;
GRANT EXECUTE ON FUNCTION tide.keys(text[], text[], integer[]) TO PUBLIC;
:look;
DROP SCHEMA shop CASCADE;
DROP ROLE regress_tide_reader;
