-- Row security and column grants of the user's tables bind push and pull.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA rls;
SET search_path = rls;
CREATE ROLE regress_tide_rls;
GRANT USAGE ON SCHEMA rls TO regress_tide_rls;
CREATE TABLE note (id int PRIMARY KEY, user_id text, body text, state text DEFAULT 'open');
CREATE INDEX ON note (user_id);
SELECT tide.track('note', scope => 'user_id');
INSERT INTO note VALUES (1, 'ann', 'a', 'open'), (2, 'ann', 'b', 'hidden'), (3, 'ann', 'c', 'frozen'), (4, 'bob', 'd', 'open');
GRANT SELECT, INSERT, UPDATE, DELETE ON note TO regress_tide_rls;
ALTER TABLE note ENABLE ROW LEVEL SECURITY;
-- written as for PostgREST
CREATE POLICY own ON note USING (user_id = current_setting('request.jwt.claims')::json->>'sub');
CREATE POLICY hide ON note AS RESTRICTIVE FOR SELECT USING (state <> 'hidden');
CREATE POLICY ice ON note AS RESTRICTIVE FOR UPDATE USING (state <> 'frozen') WITH CHECK (state <> 'forbidden');
CREATE POLICY birth ON note AS RESTRICTIVE FOR INSERT WITH CHECK (state = 'open');
CREATE POLICY keep ON note AS RESTRICTIVE FOR DELETE USING (state = 'open');
CREATE FUNCTION result(body jsonb) RETURNS TABLE (id text, result text) LANGUAGE sql AS $$
	WITH p AS MATERIALIZED (SELECT tide.push(body) AS r)
	SELECT s->>'entityId', s->>'status' FROM p, json_array_elements(r->'succeeded') s
	UNION ALL SELECT s->>'entityId', s->'errors'->0->>'code' FROM p, json_array_elements(r->'failed') s $$;
SET ROLE regress_tide_rls;
SET request.jwt.claims = '{"sub": "ann"}';

-- pull: what the policies show, from the tables and from the log
SELECT r->>'id' AS id FROM json_array_elements(tide.pull()->'changesByType'->'note') r;
SELECT tide.cursor() AS c1 \gset
RESET ROLE;
UPDATE note SET body = body || '!';
SET ROLE regress_tide_rls;
SELECT operation, key->>'id' AS id FROM tide.changes(:'c1') ORDER BY id;
-- a row that becomes visible is a row, one that becomes invisible a deletion
RESET ROLE;
UPDATE note SET state = CASE id WHEN 1 THEN 'hidden' WHEN 2 THEN 'open' ELSE state END;
SET ROLE regress_tide_rls;
SELECT operation, key->>'id' AS id FROM tide.changes(:'c1') ORDER BY id;

-- push: INSERT and UPDATE policies, USING and WITH CHECK
SELECT * FROM result('{"changes": {"note": [{"id": 10, "body": "fine"}, {"id": 11, "state": "closed"}, {"id": 2, "state": "forbidden"}, {"id": 3, "body": "thaw"}, {"id": 2, "body": "fine"}, {"id": 12, "body": "fine"}]}}');
-- an invisible row of one's own: its key is taken, nothing of it is told
SELECT status, code, data FROM tide.upsert('note', '{"id": 1, "body": "over it"}');
SELECT status, code, data FROM tide.delete('note', '3');
SELECT * FROM result('{"changes": [{"entityType": "note", "entityId": 10, "action": "delete"}, {"entityType": "note", "entityId": 3, "action": "delete"}, {"entityType": "note", "entityId": 12, "data": {"state": "closed"}}]}');
RESET ROLE;
SELECT id, user_id, body, state FROM note ORDER BY id;
-- an INSERT policy must not hold back the patch of a row that is there
SET ROLE regress_tide_rls;
SELECT * FROM result('{"changes": {"note": [{"id": 12, "body": "patched though it is closed"}]}}');
-- capture and tombstones work all the same for a role that row security binds
SELECT operation, key->>'id' AS id FROM tide.changes(:'c1') WHERE key->>'id' IN ('10', '12') ORDER BY id;
RESET ROLE;
ALTER TABLE note FORCE ROW LEVEL SECURITY;
TRUNCATE note;
SET ROLE regress_tide_rls;
SELECT operation, key->>'id' AS id FROM tide.changes(:'c1') ORDER BY (key->>'id')::int;
RESET ROLE;

-- column grants
CREATE TABLE card (id int PRIMARY KEY, user_id text, face text, pin text);
CREATE INDEX ON card (user_id);
SELECT tide.track('card', scope => 'user_id', exclude => '{pin}');
INSERT INTO card VALUES (1, 'ann', 'x', '1234');
-- all that is synced may be read; the excluded column may not
GRANT SELECT (id, user_id, face, "lastModifiedAt", "clientId"), INSERT (id, user_id, face, "lastModifiedAt", "clientId"), UPDATE (face, "lastModifiedAt", "clientId") ON card TO regress_tide_rls;
SET ROLE regress_tide_rls;
SELECT (r->0)::jsonb - '{lastModifiedAt,clientId}'::text[] AS row FROM (SELECT tide.pull()->'changesByType'->'card' AS r) x;
SELECT * FROM result('{"changes": {"card": [{"id": 2, "face": "y"}, {"id": 1, "pin": "0000"}, {"id": 3, "face": "z"}]}}');
RESET ROLE;
GRANT UPDATE (user_id) ON card TO regress_tide_rls;
SET ROLE regress_tide_rls;
SELECT * FROM result('{"changes": {"card": [{"id": 1, "face": "yy"}]}}');
SELECT * FROM result('{"changes": [{"entityType": "card", "entityId": 1, "action": "delete"}]}');
RESET ROLE;
-- a synced column that may not be read: an error that names it, not a hole
REVOKE SELECT (face) ON card FROM regress_tide_rls;
SET ROLE regress_tide_rls;
SELECT tide.pull(entity_types => '{card}');
\echo :LAST_ERROR_SQLSTATE
RESET ROLE;
SELECT id, user_id, face, pin FROM card ORDER BY id;
DROP SCHEMA rls CASCADE;
DROP ROLE regress_tide_rls;
