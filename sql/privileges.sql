-- Who may do what: grants, claims, row security, scopes.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA priv;
SET search_path = priv;
CREATE ROLE regress_tide_user;
CREATE ROLE regress_tide_owner;
CREATE TABLE note (id int PRIMARY KEY, user_id text NOT NULL, body text, secret text, locked boolean DEFAULT false);
CREATE TABLE hidden (id int PRIMARY KEY);
CREATE TABLE readonly (id int PRIMARY KEY, n int);
CREATE INDEX ON note (user_id);
SELECT tide.track('note', scope => 'user_id', exclude => '{secret}');
SELECT tide.track('hidden', shared => true);
SELECT tide.track('readonly', shared => true);
INSERT INTO note VALUES (1, 'ann', 'a'), (2, 'bob', 'b');
INSERT INTO hidden VALUES (1);
INSERT INTO readonly VALUES (1, 1);
GRANT USAGE ON SCHEMA priv TO regress_tide_user;
GRANT SELECT, INSERT, UPDATE, DELETE ON note TO regress_tide_user;
GRANT SELECT ON readonly TO regress_tide_user;
CREATE FUNCTION result(body jsonb) RETURNS TABLE (id text, result text) LANGUAGE sql AS $$
	WITH p AS MATERIALIZED (SELECT tide.push(body) AS r)
	SELECT s->>'entityId', s->>'status' FROM p, json_array_elements(r->'succeeded') s
	UNION ALL SELECT s->>'entityId', concat_ws(' ', s->'errors'->0->>'code', s->'errors'->0->>'column') FROM p, json_array_elements(r->'failed') s $$;

SET ROLE regress_tide_user;
-- tide's own tables are readable by nobody but their owner
SELECT count(*) FROM tide.log;
SELECT count(*) FROM tide.tombstone;
SELECT count(*) FROM tide.sample;
INSERT INTO tide.log VALUES ('3', 1, 1, 1, 'ann', NULL, '{1}');
DELETE FROM tide.tombstone;
SELECT nextval('tide.log_seq');
SELECT string_agg(entity_type, ' ' ORDER BY entity_type) FROM tide.tracked;

-- no claims: an error, never everything; the empty string is none
SELECT tide.pull();
\echo :LAST_ERROR_SQLSTATE
SELECT tide.pull(scopes => '{ann}');
SELECT * FROM tide.changes();
SELECT tide.cursor();
SELECT tide.push('{"changes": []}');
SELECT tide.push('{"changes": {"note": [{"id": 9}]}}', scopes => '{ann}');
SELECT tide.upsert('note', '{"id": 9}');
SELECT tide.delete('note', '1');
SET request.jwt.claims = '';
SELECT tide.pull();
\echo :LAST_ERROR_SQLSTATE
-- claims that name nobody
SET request.jwt.claims = '{}';
SELECT tide.pull();
\echo :LAST_ERROR_SQLSTATE
SET request.jwt.claims = '{"sub": ""}';
SELECT tide.pull();
SET request.jwt.claims = '{"sub": true}';
SELECT tide.pull();
SET request.jwt.claims = '{"sub": null, "role": "x"}';
SELECT tide.pull();
SET request.jwt.claims = '["ann"]';
SELECT tide.pull();
SET request.jwt.claims = 'null';
SELECT tide.pull();
SET request.jwt.claims = 'not json';
SELECT tide.pull();
-- settings that decide who may what are not the user's
SET pg_tide.max_clock_skew = '1y';
SELECT tide.unrestricted();
SELECT tide.track('note', scope => 'user_id');

SET request.jwt.claims = '{"sub": "ann"}';
-- pull: what may be selected; asked for by name, an error
SELECT j.t, json_array_length(rs) AS n FROM tide.pull() p, json_each(p->'changesByType') j(t, rs);
SELECT string_agg(k, ' ' ORDER BY k) FROM json_object_keys(tide.schema()->'entityTypes') k;
SELECT tide.pull(entity_types => '{hidden}');
\echo :LAST_ERROR_SQLSTATE
-- push: the grants of the table
SELECT * FROM result('{"changes": [{"entityType": "note", "entityId": 3, "data": {"body": "c"}}, {"entityType": "hidden", "entityId": 2, "data": {}}, {"entityType": "readonly", "entityId": 1, "data": {"n": 2}},
	{"entityType": "readonly", "entityId": 1, "action": "delete"}, {"entityType": "note", "entityId": 4, "data": {"body": "d"}}]}');
-- another user's rows: neither read, nor overwritten, nor deleted, nor taken
SELECT * FROM result('{"changes": {"note": [{"id": 2, "body": "mine now"}, {"id": 2, "user_id": "ann"}, {"id": 2, "deletedAt": "2030-01-01T00:00:00Z"}, {"id": 5, "user_id": "bob"}, {"id": 1, "user_id": "bob"}, {"id": 6, "user_id": null}, {"id": 7, "user_id": "ann"}]}}');
SELECT status, code, data FROM tide.upsert('note', '{"id": 2, "body": "x"}');
SELECT status, code, data FROM tide.delete('note', '2', '1999-01-01');
RESET ROLE;
SELECT id, user_id, body FROM note ORDER BY id;
DELETE FROM note WHERE id = 2;
SET ROLE regress_tide_user;
-- nor do tombstones of another scope say anything, or give way
SELECT status, code, data FROM tide.upsert('note', '{"id": 2, "body": "x"}', '2019-01-01');
SELECT status, code, data FROM tide.delete('note', '2');
SELECT * FROM tide.changes() WHERE key->>'id' = '2';

-- unrestricted: everything, without claims
RESET ROLE;
RESET request.jwt.claims;
GRANT EXECUTE ON FUNCTION tide.unrestricted() TO regress_tide_user;
SET ROLE regress_tide_user;
SELECT json_array_length(tide.pull()->'changesByType'->'note') AS all;
SELECT * FROM result('{"changes": {"note": [{"id": 8, "user_id": "cyd"}, {"id": 10}]}}');
SELECT json_array_length(tide.pull(scopes => '{cyd}')->'changesByType'->'note') AS cyds;
-- but claims bind also those who may do without
SET request.jwt.claims = '{"sub": "cyd"}';
SELECT json_array_length(tide.pull()->'changesByType'->'note') AS cyds;
SELECT tide.pull(scopes => '{ann}');
RESET ROLE;
REVOKE EXECUTE ON FUNCTION tide.unrestricted() FROM regress_tide_user;

-- the owner of a table tracks it, without being a superuser
GRANT CREATE, USAGE ON SCHEMA priv TO regress_tide_owner;
SET ROLE regress_tide_owner;
CREATE TABLE own (id int PRIMARY KEY, user_id text);
CREATE INDEX ON own (user_id);
SELECT tide.track('own', scope => 'user_id');
INSERT INTO own VALUES (1, 'cyd');
TRUNCATE own;
INSERT INTO own VALUES (2, 'cyd');
DELETE FROM own;
INSERT INTO own VALUES (3, 'cyd');
SELECT j.t, json_array_length(rs) AS n FROM tide.pull() p, json_each(p->'changesByType') j(t, rs);
SELECT tide.untrack('own', true);
RESET ROLE;
DROP SCHEMA priv CASCADE;
DROP ROLE regress_tide_user, regress_tide_owner;
