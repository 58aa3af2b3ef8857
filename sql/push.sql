-- Push: both shapes of the body, stamps, clients, base, folding, replies.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA push;
SET search_path = push;
SET timezone = 'America/Caracas';
CREATE TABLE plan (id uuid PRIMARY KEY, "athleteId" text, name text, "lastModifiedAt" timestamp(3), "clientId" text);
CREATE INDEX ON plan ("athleteId");
SELECT tide.track('plan', 'TrainingPlan', scope => 'athleteId');
CREATE TABLE seat (hall text, nr int, user_id text, who text, at timestamptz, v int, PRIMARY KEY (hall, nr));
CREATE INDEX ON seat (user_id);
SELECT tide.track('seat', scope => 'user_id', modified_at => 'at', version => 'v');
SET request.jwt.claims = '{"sub": "ann", "role": "tide_user"}';
-- a line for each change: those that succeeded, then those that failed
CREATE FUNCTION go(body jsonb) RETURNS TABLE (n bigint, what text, id json, change json, status text, entity jsonb, note text)
	LANGUAGE sql AS $$
	WITH p AS MATERIALIZED (SELECT tide.push(body) AS r)
	SELECT n, s->>'entityType', s->'entityId', s->'changeId', s->>'status', (s->'entity')::jsonb, s->>'note'
		FROM p, json_array_elements(r->'succeeded') WITH ORDINALITY AS x(s, n)
	UNION ALL SELECT n, f->>'entityType', f->'entityId', f->'changeId', 'failed', (f->'errors'->0)::jsonb, NULL
		FROM p, json_array_elements(r->'failed') WITH ORDINALITY AS x(f, n)
$$;

-- the map form; the scope that is not sent is the caller's; the client is sub
SELECT * FROM go('{"changes": {"TrainingPlan": [{"id": "00000000-0000-4000-8000-00000000000A", "name": "Plan", "lastModifiedAt": "2020-01-02T03:04:05.678Z", "deletedAt": null}]}}');
TABLE plan;
-- exactly the reply's members
SELECT (SELECT string_agg(k, ',') FROM json_object_keys(p) k) AS reply, (SELECT string_agg(k, ',') FROM json_object_keys(p->'succeeded'->0) k) AS item, p->'summary' AS summary
	FROM tide.push('{"changes": [{"id": 5, "entityType": "TrainingPlan", "entityId": "00000000-0000-4000-8000-00000000000a", "data": {"name": "Plan"}, "lastModifiedAt": "2020-01-02T03:04:05.678Z"}]}') p;

-- the list form: create and update are both upserts; changeId comes back as sent
SELECT n, what, id, change, status, entity->>'name' AS name, entity->>'clientId' AS client FROM go('{"clientId": "body", "changes": [
	{"id": "q-1", "entityType": "TrainingPlan", "action": "update", "entityId": "00000000-0000-4000-8000-00000000000b", "data": {"name": "B"}, "lastModifiedAt": "2020-01-01T00:00:01Z", "clientId": "change"},
	{"id": 2, "entityType": "TrainingPlan", "action": "create", "entityId": "00000000-0000-4000-8000-00000000000a", "data": {"name": "A2"}, "lastModifiedAt": "2020-01-03T00:00:01Z"},
	{"entityType": "TrainingPlan", "action": "delete", "entityId": "00000000-0000-4000-8000-00000000000c", "lastModifiedAt": "2020-01-03T00:00:01Z"},
	{"entityType": "seat", "entityId": {"hall": "x", "nr": 1}, "data": {"who": "me"}, "unknownEnvelopeField": 1, "retries": 3, "status": "pending"},
	{"entityType": "seat", "data": {"hall": "x", "nr": "2", "who": "you"}}]}');
-- the client that the caller names goes before the body's
SELECT p->'succeeded'->0->'entity'->>'clientId' AS client
	FROM tide.push('{"clientId": "body", "changes": {"TrainingPlan": [{"id": "00000000-0000-4000-8000-00000000000a", "name": "A3"}]}}', client_id => 'argument') p;

-- where the stamp is: the item's, else the column's, else the envelope's createdAt
SELECT n, entity->>'at' AS at FROM go('{"changes": [
	{"entityType": "seat", "data": {"hall": "s", "nr": 1, "at": "2001-01-01T00:00:00Z"}, "lastModifiedAt": "2002-01-01T00:00:00Z", "createdAt": "2003-01-01T00:00:00Z"},
	{"entityType": "seat", "data": {"hall": "s", "nr": 2, "at": "2001-01-01T00:00:00Z"}, "createdAt": "2003-01-01T00:00:00Z"},
	{"entityType": "seat", "data": {"hall": "s", "nr": 3}, "createdAt": "2003-01-01T00:00:00Z"},
	{"entityType": "seat", "data": {"hall": "s", "nr": 4, "lastModifiedAt": "2004-01-01T00:00:00Z"}},
	{"entityType": "seat", "data": {"hall": "s", "nr": 5, "lastModifiedAt": null, "at": null}, "lastModifiedAt": null, "createdAt": "2005-01-01T00:00:00Z"}]}');
-- the version counter may come back and is ignored
SELECT n, status, entity->>'v' AS v FROM go('{"changes": {"seat": [{"hall": "s", "nr": 1, "who": "w", "v": 99}, {"hall": "s", "nr": 6, "v": "garbage"}]}}');

-- base: causality beats clocks
SELECT n, status, entity->>'name' AS name, entity->>'lastModifiedAt' AS at FROM go('{"changes": {"TrainingPlan": [{"id": "00000000-0000-4000-8000-00000000000b", "name": "late clock", "lastModifiedAt": "1999-01-01T00:00:00Z", "_base": "2020-01-01T00:00:01Z"}]}}');
SELECT n, status, entity->>'name' AS name FROM go('{"changes": {"TrainingPlan": [{"id": "00000000-0000-4000-8000-00000000000b", "name": "wrong base", "lastModifiedAt": "1998-12-31T00:00:00Z", "_base": "2020-01-01T00:00:01Z"}]}}');
SELECT n, status, entity->>'name' AS name, entity->>'lastModifiedAt' AS at FROM go('{"changes": [{"entityType": "TrainingPlan", "entityId": "00000000-0000-4000-8000-00000000000b", "base": "2020-01-01T00:00:01.001Z",
	"data": {"name": "newer and based"}, "lastModifiedAt": "2020-06-01T00:00:00Z"}]}');
SELECT n, status, entity ? 'deletedAt' AS gone FROM go('{"changes": [{"entityType": "TrainingPlan", "action": "delete", "entityId": "00000000-0000-4000-8000-00000000000b", "base": "2020-06-01T00:00:00.000Z", "lastModifiedAt": "1999-01-03T00:00:00Z"}]}');

-- sent again, though its stamp was raised: no second effect, under what came since
SELECT n, status, entity->>'name' AS name FROM go('{"changes": {"TrainingPlan": [{"id": "00000000-0000-4000-8000-000000000b0b", "name": "base", "lastModifiedAt": "2020-01-01T00:00:00Z"}]}}');
SELECT n, status FROM go('{"changes": {"TrainingPlan": [{"id": "00000000-0000-4000-8000-000000000b0b", "name": "based", "lastModifiedAt": "1999-01-01T00:00:00Z", "_base": "2020-01-01T00:00:00Z"}]}}');
SELECT n, status, entity->>'lastModifiedAt' AS at FROM go('{"changes": {"TrainingPlan": [{"id": "00000000-0000-4000-8000-000000000b0b", "name": "based", "lastModifiedAt": "1999-01-01T00:00:00Z", "_base": "2020-01-01T00:00:00Z"}]}}');
SELECT n, status FROM go('{"changes": {"TrainingPlan": [{"id": "00000000-0000-4000-8000-000000000b0b", "name": "newer", "lastModifiedAt": "2020-01-02T00:00:00Z"}]}}');
SELECT n, status, entity->>'name' AS name FROM go('{"changes": {"TrainingPlan": [{"id": "00000000-0000-4000-8000-000000000b0b", "name": "based", "lastModifiedAt": "1999-01-01T00:00:00Z", "_base": "2020-01-01T00:00:00Z"}]}}');

-- several changes to one row: in the order of stamps, then of the request; the reply in the request's
SELECT n, status, entity->>'name' AS name FROM go('{"changes": [
	{"entityType": "TrainingPlan", "entityId": "00000000-0000-4000-8000-00000000000d", "data": {"name": "third"}, "lastModifiedAt": "2020-01-03T00:00:00Z"},
	{"entityType": "TrainingPlan", "entityId": "00000000-0000-4000-8000-00000000000d", "data": {"name": "first"}, "lastModifiedAt": "2020-01-01T00:00:00Z"},
	{"entityType": "TrainingPlan", "entityId": "00000000-0000-4000-8000-00000000000D", "data": {"name": "second"}, "lastModifiedAt": "2020-01-02T00:00:00Z"}]}');
SELECT n, status, entity->>'who' AS who, entity->>'v' AS v FROM go('{"changes": {"seat": [
	{"hall": "f", "nr": 1, "who": "a"}, {"hall": "f", "nr": 1, "who": "b"}, {"hall": "f", "nr": 1, "who": "c"}]}}');
SELECT who, v FROM seat WHERE hall = 'f';
-- created, deleted and created again in one push
SELECT n, status FROM go('{"changes": [
	{"entityType": "seat", "data": {"hall": "g", "nr": 1, "who": "1"}, "lastModifiedAt": 1000},
	{"entityType": "seat", "action": "delete", "entityId": {"hall": "g", "nr": 1}, "lastModifiedAt": 2000},
	{"entityType": "seat", "data": {"hall": "g", "nr": 1, "who": "3"}, "lastModifiedAt": 3000}]}');
SELECT who FROM seat WHERE hall = 'g';
-- the same again has no second effect
SELECT n, status FROM go('{"changes": [
	{"entityType": "seat", "data": {"hall": "g", "nr": 1, "who": "1"}, "lastModifiedAt": 1000},
	{"entityType": "seat", "action": "delete", "entityId": {"hall": "g", "nr": 1}, "lastModifiedAt": 2000},
	{"entityType": "seat", "data": {"hall": "g", "nr": 1, "who": "3"}, "lastModifiedAt": 3000}]}');
SELECT who FROM seat WHERE hall = 'g';
-- two edits 0.3 ms apart in a timestamp(3): the second is no replay
SELECT n, status, entity->>'name' AS name FROM go('{"changes": {"TrainingPlan": [{"id": "00000000-0000-4000-8000-00000000000e", "name": "one", "lastModifiedAt": "2020-01-01T00:00:00.0001Z"}]}}');
SELECT n, status, entity->>'name' AS "again" FROM go('{"changes": {"TrainingPlan": [{"id": "00000000-0000-4000-8000-00000000000e", "name": "one", "lastModifiedAt": "2020-01-01T00:00:00.0001Z"}]}}');
SELECT n, status, entity->>'name' AS name FROM go('{"changes": {"TrainingPlan": [{"id": "00000000-0000-4000-8000-00000000000e", "name": "two", "lastModifiedAt": "2020-01-01T00:00:00.0004Z"}]}}');
SELECT n, status, entity->>'name' AS name FROM go('{"changes": {"TrainingPlan": [{"id": "00000000-0000-4000-8000-00000000000e", "name": "two"}]}}');

-- deletes in the map form; of a delete's data only key and stamp count
SELECT n, id, status, entity FROM go('{"changes": {"seat": [{"hall": "z", "nr": 1, "nope": "not a column", "who": {"not": "text"}, "deletedAt": "2020-01-01T00:00:00Z", "lastModifiedAt": "2020-01-01T00:00:00Z"}]}}');
SELECT n, id, status, entity->>'deletedAt' IS NOT NULL AS gone FROM go('{"changes": {"seat": [{"hall": "x", "nr": 1, "who": {"not": "text"}, "deletedAt": 1577836800000}]}}');
-- a change that failed is named by its key, wherever that was
SELECT what, id, entity->>'code' AS code FROM go('{"changes": {"seat": [{"hall": "x", "nr": 9, "nope": 1}]}}');
SELECT what, id, entity->>'code' AS code FROM go('{"changes": [{"entityType": "TrainingPlan", "data": {"id": "00000000-0000-4000-8000-00000000000f", "nope": 1}}]}');
DROP SCHEMA push CASCADE;
