-- Push: batches that are sent twice, all or nothing, narrowed changes.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA batch;
SET search_path = batch;
CREATE TABLE note (id int PRIMARY KEY, user_id text, title text CHECK (title <> 'bad'), body text DEFAULT 'none', v int);
CREATE INDEX ON note (user_id);
SELECT tide.track('note', scope => 'user_id', version => 'v');
SET request.jwt.claims = '{"sub": "ann"}';

-- bad input
SELECT tide.push('{"changes": [], "batchId": 5}');
\echo :LAST_ERROR_SQLSTATE
SELECT tide.push('{"changes": [], "atomic": "yes"}');
\echo :LAST_ERROR_SQLSTATE
SELECT tide.push('{"changes": [], "cursor": 7}');
SELECT tide.push('{"changes": [], "cursor": "AQ"}');
\echo :LAST_ERROR_SQLSTATE
SELECT f->>'changeId' AS id, f->'errors'->0->>'code' AS code, f->'errors'->0->>'column' AS "column" FROM tide.push('{"changes": [
	{"id": "1", "entityType": "note", "entityId": 1, "data": {}, "changedFields": "title"},
	{"id": "2", "entityType": "note", "entityId": 1, "data": {"title": "x"}, "changedFields": [1]},
	{"id": "3", "entityType": "note", "entityId": 1, "data": {"title": "x"}, "changedFields": ["nope"]}]}') p, json_array_elements(p->'failed') f;

-- batchId: the first reply again, and nothing is written twice
SELECT tide.push('{"batchId": "b1", "changes": {"note": [{"id": 1, "title": "one"}, {"id": 2, "title": "bad"}]}}') AS first \gset
UPDATE note SET body = 'written since' WHERE id = 1;
SELECT tide.push('{"batchId": "b1", "changes": {"note": [{"id": 1, "title": "one"}, {"id": 2, "title": "bad"}]}}')::text = :'first' AS same;
SELECT id, title, body, v FROM note ORDER BY id;
-- named by the argument, which goes before the body's
SELECT tide.push('{"batchId": "b1", "changes": {"note": [{"id": 5, "title": "five"}]}}', batch_id => 'b5') AS first \gset
SELECT tide.push('{"batchId": "b1", "changes": {"note": [{"id": 5, "title": "five"}]}}', batch_id => 'b5')::text = :'first' AS same;
-- the same batch, whether its id is in the body or not
SELECT tide.push('{"changes": {"note": [{"id": 5, "title": "five"}]}}', batch_id => 'b5')::text = :'first' AS same;
-- another body under that id is an error, and writes nothing
SELECT tide.push('{"batchId": "b1", "changes": {"note": [{"id": 1, "title": "two"}]}}');
\echo :LAST_ERROR_SQLSTATE
-- it is each user's, and each role's
SET request.jwt.claims = '{"sub": "bob"}';
SELECT p->'summary' AS summary FROM tide.push('{"batchId": "b1", "changes": {"note": [{"id": 3, "title": "bob''s"}]}}') p;
SET request.jwt.claims = '{"sub": "ann"}';
-- rolled back: forgotten
BEGIN;
SELECT p->'summary' AS summary FROM tide.push('{"batchId": "b2", "changes": {"note": [{"id": 4, "title": "four"}]}}') p;
ROLLBACK;
SELECT p->'summary' AS summary FROM tide.push('{"batchId": "b2", "changes": {"note": [{"id": 4, "title": "another body"}]}}') p;
SELECT id, title FROM note ORDER BY id;

-- atomic: all or nothing
SELECT p->'summary' AS summary, f->>'entityId' AS id, f->'errors'->0->>'code' AS code FROM tide.push('{"atomic": true, "changes": {"note": [{"id": 10, "title": "good"}, {"id": 11, "title": "bad"}, {"id": 12, "title": "good"}]}}') p, json_array_elements(p->'failed') f
	ORDER BY f->>'entityId';
SELECT count(*) FROM note WHERE id >= 10;
SELECT p->'summary' AS summary FROM tide.push('{"atomic": true, "changes": {"note": [{"id": 10, "title": "good"}, {"id": 12, "title": "good"}]}}') p;
SELECT count(*) FROM note WHERE id >= 10;
-- a change that cannot even be read is one that failed; superseded is not
SELECT (p->'summary'->>'succeeded')::int AS succeeded FROM tide.push('{"atomic": true, "changes": {"note": [{"id": 20, "title": "good"}, {"id": "x"}]}}') p;
SELECT (p->'summary'->>'succeeded')::int AS succeeded FROM tide.push('{"changes": {"note": [{"id": 20, "title": "good"}, {"id": 21, "user_id": "bob"}]}}', atomic => true) p;
SELECT p->'summary' AS summary FROM tide.push('{"atomic": true, "changes": {"note": [{"id": 10, "title": "old", "lastModifiedAt": 0}, {"id": 22, "title": "good"}]}}') p;
SELECT id, title FROM note WHERE id >= 10 ORDER BY id;
-- nor is one that fails without an error: a row of somebody else's
RESET request.jwt.claims;
INSERT INTO note (id, user_id, title) VALUES (60, 'bob', 'his');
SET request.jwt.claims = '{"sub": "ann"}';
SELECT p->'summary' AS summary, f->>'entityId' AS id, f->'errors'->0->>'code' AS code FROM tide.push('{"atomic": true, "changes": {"note": [{"id": 59, "title": "good"}, {"id": 60, "title": "hers"}]}}') p, json_array_elements(p->'failed') f
	ORDER BY f->>'entityId';
SELECT id, user_id, title FROM note WHERE id IN (59, 60);
-- what stands only after the rest of it is no failure: 71 is there once it has been deleted and made again
CREATE TABLE link (id int PRIMARY KEY, user_id text, up int REFERENCES link);
CREATE INDEX ON link (user_id);
SELECT tide.track('link', scope => 'user_id');
SELECT p->'summary' AS summary FROM tide.push('{"atomic": true, "changes": {"link": [{"id": 70, "up": 71, "lastModifiedAt": 3}, {"id": 71, "lastModifiedAt": 1, "deletedAt": 1}, {"id": 71, "lastModifiedAt": 2}]}}') p;
SELECT id, up FROM link ORDER BY id;
-- the argument overrides the body
SELECT p->'summary' AS summary FROM tide.push('{"atomic": true, "changes": {"note": [{"id": 30, "title": "good"}, {"id": 31, "title": "bad"}]}}', atomic => false) p;
SELECT count(*) FROM note WHERE id = 30;

-- changedFields and _changed narrow what is written; the rest of the row may be stale
UPDATE note SET title = 't', body = 'newer than the phone''s' WHERE id = 1;
SELECT s->>'status' AS status, s->'entity'->>'title' AS title, s->'entity'->>'body' AS body FROM tide.push('{"changes": [{"entityType": "note", "entityId": 1, "data": {"id": 1, "title": "narrow", "body": "stale"}, "changedFields": ["title"]}]}') p, json_array_elements(p->'succeeded') s;
SELECT s->>'status' AS status, s->'entity'->>'title' AS title, s->'entity'->>'body' AS body FROM tide.push('{"changes": {"note": [{"id": 1, "title": "stale", "body": "narrow", "_changed": ["body"]}]}}') p, json_array_elements(p->'succeeded') s;
-- WatermelonDB's are one string
SELECT s->>'status' AS status, s->'entity'->>'title' AS title, s->'entity'->>'body' AS body FROM tide.push('{"changes": {"note": [{"id": 1, "title": "both", "body": "both", "_changed": "title,body"}]}}') p, json_array_elements(p->'succeeded') s;
-- an insert needs the whole row, whatever the client says it changed
SELECT s->'entity'->>'title' AS title, s->'entity'->>'body' AS body FROM tide.push('{"changes": [{"entityType": "note", "entityId": 40, "data": {"title": "new", "body": "whole"}, "changedFields": ["title"]}]}') p, json_array_elements(p->'succeeded') s;

-- a cursor that is good changes nothing; one from elsewhere stops the push
SELECT p->'summary' AS summary FROM tide.push(jsonb_build_object('cursor', tide.cursor(), 'changes', '{"note": [{"id": 50, "title": "fine"}]}'::jsonb)) p;
DROP SCHEMA batch CASCADE;
