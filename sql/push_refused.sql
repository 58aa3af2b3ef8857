-- Pushes that are refused as a whole, and changes that are refused one by one.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA pushno;
SET search_path = pushno;
CREATE TABLE note (id int PRIMARY KEY, user_id text, body text, made date GENERATED ALWAYS AS ('2020-01-01'::date) STORED);
CREATE INDEX ON note (user_id);
SELECT tide.track('note', scope => 'user_id');

-- the whole body
SELECT tide.push(NULL);
SELECT tide.push('null');
SELECT tide.push('[]');
SELECT tide.push('"changes"');
SELECT tide.push('{}');
SELECT tide.push('{"changes": null}');
SELECT tide.push('{"changes": "note"}');
SELECT tide.push('{"changes": 1}');
SELECT tide.push('{"changes": {"note": {"id": 1}}}');
SELECT tide.push('{"changes": {"note": null}}');
SELECT tide.push('{"changes": [], "clientId": 7}');
\echo :LAST_ERROR_SQLSTATE
-- too many
SET pg_tide.max_push_changes = 2;
SELECT tide.push('{"changes": {"note": [{"id": 1}, {"id": 2}, {"id": 3}]}}');
\echo :LAST_ERROR_SQLSTATE
RESET pg_tide.max_push_changes;
SET pg_tide.max_push_changes = 0;
-- scopes
SET request.jwt.claims = '{"sub": "ann"}';
SELECT tide.push('{"changes": []}', scopes => '{bob}');
\echo :LAST_ERROR_SQLSTATE
SELECT tide.push('{"changes": []}', scopes => '{ann,NULL}');
\echo :LAST_ERROR_SQLSTATE
RESET request.jwt.claims;

-- what is no error: nothing to do, and members that mean nothing here
SELECT p->'succeeded' AS s, p->'failed' AS f, p->'summary' AS summary, p->>'serverTime' ~ '^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$' AS time
	FROM tide.push('{"changes": [], "atomic": false, "batchId": null, "cursor": null, "device": {"os": 1}}') p;
SELECT p->'summary' AS summary FROM tide.push('{"changes": {}}') p;
SELECT p->'summary' AS summary FROM tide.push('{"changes": {"note": []}}', atomic => false) p;

-- changes that fail by themselves; the others are stored
CREATE FUNCTION failures(body jsonb) RETURNS TABLE (type text, id json, change json, code text, "column" text, message text)
	LANGUAGE sql AS $$
	SELECT f->>'entityType', f->'entityId', f->'changeId', e->>'code', e->>'column', e->>'message'
	FROM tide.push(body) p, json_array_elements(p->'failed') WITH ORDINALITY AS fs(f, n), json_array_elements(f->'errors') e ORDER BY n
$$;
SELECT * FROM failures('{"changes": [
	1, null, "x", [], {},
	{"id": "q1", "entityType": null},
	{"id": "q2", "entityType": 5, "entityId": 1},
	{"id": "q3", "entityType": "nothing", "entityId": 1, "data": {}},
	{"id": "q4", "entityType": "NOTE", "entityId": 1, "data": {}},
	{"id": "q5", "entityType": "note", "entityId": 1},
	{"id": "q6", "entityType": "note", "entityId": 1, "data": []},
	{"id": "q7", "entityType": "note", "entityId": 1, "data": {}, "action": "destroy"},
	{"id": "q8", "entityType": "note", "entityId": 1, "data": {}, "action": 7},
	{"id": "q9", "entityType": "note", "data": {"body": "keyless"}},
	{"id": "q10", "entityType": "note", "entityId": null, "data": {"body": "keyless"}},
	{"id": "q11", "entityType": "note", "entityId": 1, "data": {"id": 2}},
	{"id": "q12", "entityType": "note", "entityId": {"id": 1, "x": 2}, "data": {"user_id": "ann", "body": "an object is a key too"}},
	{"id": "q13", "entityType": "note", "entityId": 1, "data": {}, "clientId": 7},
	{"id": "q14", "entityType": "note", "entityId": 1, "data": {}, "lastModifiedAt": "soon"},
	{"id": "q15", "entityType": "note", "entityId": 1, "data": {}, "lastModifiedAt": true},
	{"id": "q16", "entityType": "note", "entityId": 1, "data": {}, "lastModifiedAt": "infinity"},
	{"id": "q17", "entityType": "note", "entityId": 1, "data": {}, "lastModifiedAt": 1e300},
	{"id": "q18", "entityType": "note", "entityId": 1, "data": {}, "base": "never"},
	{"id": "q19", "entityType": "note", "entityId": 1, "data": {"nope": 1, "_private": 2, "isDirty": true, "lastSyncedAt": 3}}, "changedFields": ["body"]},
	{"id": {"any": ["json"]}, "entityType": "note", "entityId": 1, "data": {"deletedAt": "tomorrow?"}},
	{"id": "q21", "entityType": "note", "entityId": 21, "data": {"user_id": "ann", "body": "good"}}
]}');
SELECT * FROM failures('{"changes": {"unknown": [{"id": 1}, {"id": "x"}],
	"note": [5, {"id": 1, "_base": "x"}, {"body": 1}, {"id": 22, "user_id": "ann", "_status": "ok", "isDirty": 1}]}}');
SELECT id, user_id, body FROM note ORDER BY id;
-- the list of ignored names is a setting; generated columns are ignored whatever they say
SET pg_tide.ignored_fields = 'draft, isNew';
SELECT code, "column" FROM failures('{"changes": {"note": [{"id": 23, "user_id": "ann", "draft": 1, "isNew": 2, "made": "garbage"},
	{"id": 24, "isDirty": true}]}}');
SELECT id, made = '2020-01-01' AS made FROM note WHERE id > 22;
DROP SCHEMA pushno CASCADE;
