-- Who stands: client_wins and server_wins beside last_write_wins.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA policy;
SET search_path = policy;
SET timezone = 'UTC';
CREATE TABLE lww (id int PRIMARY KEY, body text, extra text, at timestamptz, by text);
CREATE TABLE cw (LIKE lww INCLUDING ALL);
CREATE TABLE sw (LIKE lww INCLUDING ALL);
SELECT tide.track('lww', shared => true, modified_at => 'at', client_id => 'by');
SELECT tide.track('cw', shared => true, modified_at => 'at', client_id => 'by', conflict => 'client_wins');
SELECT tide.track('sw', shared => true, modified_at => 'at', client_id => 'by', conflict => 'server_wins');
SELECT entity_type, conflict FROM tide.tracked WHERE entity_type IN ('lww', 'cw', 'sw') ORDER BY 1;
-- the same change under each policy: verdict, row as it stands (times of now are "now")
CREATE FUNCTION go(change jsonb) RETURNS TABLE (policy text, status text, body text, at text, by text, gone boolean, note text) LANGUAGE sql AS $$
	SELECT t, coalesce(s->>'status', f->'errors'->0->>'code'), s->'entity'->>'body', CASE WHEN s->'entity'->>'at' > '2026' THEN 'now' ELSE s->'entity'->>'at' END, s->'entity'->>'by', (s->'entity')::jsonb ? 'deletedAt', s->>'note'
	FROM unnest('{lww,cw,sw}'::text[]) WITH ORDINALITY AS x(t, n), LATERAL (SELECT tide.push(jsonb_build_object('changes', jsonb_build_array(change || jsonb_build_object('entityType', t)))) AS p OFFSET 0) y,
		LATERAL (SELECT p->'succeeded'->0 AS s, p->'failed'->0 AS f) z ORDER BY n $$;
CREATE FUNCTION up(id int, body text, at text, by text, base text DEFAULT NULL) RETURNS TABLE (policy text, status text, body text, at text, by text, gone boolean, note text) LANGUAGE sql AS $$
	SELECT * FROM go(jsonb_strip_nulls(jsonb_build_object('entityId', id, 'data', jsonb_build_object('body', body), 'lastModifiedAt', at, 'clientId', by, 'base', base))) $$;

-- a new row stands
SELECT * FROM up(1, 'first', '2020-01-01T00:00:10Z', 'p');
-- newer, older, equal in time
SELECT * FROM up(1, 'newer', '2020-01-01T00:00:20Z', 'p');
SELECT * FROM up(1, 'older', '2020-01-01T00:00:05Z', 'q');
-- a replay has no second effect, not even of the one that was raised
SELECT * FROM up(1, 'older', '2020-01-01T00:00:05Z', 'q');
SELECT * FROM up(1, 'first', '2020-01-01T00:00:10Z', 'p');
SELECT * FROM up(1, 'other device', '2020-01-01T00:00:30Z', 'r');
SELECT * FROM up(1, 'older', '2020-01-01T00:00:05Z', 'q');
SELECT 'lww' AS t, body FROM lww WHERE id = 1 UNION ALL SELECT 'cw', body FROM cw WHERE id = 1 UNION ALL SELECT 'sw', body FROM sw WHERE id = 1;

-- base: no conflict, under every policy and every clock
SELECT * FROM up(2, 'first', '2020-01-01T00:00:10Z', 'p');
SELECT * FROM up(2, 'based', '2020-01-01T00:00:09Z', 'q', '2020-01-01T00:00:10Z');
SELECT * FROM up(2, 'wrong base', '2020-01-01T00:00:08Z', 'q', '2020-01-01T00:00:10Z');
-- without a stamp, and ahead of all clocks
SELECT * FROM go('{"entityId": 3, "data": {"body": "first"}, "lastModifiedAt": "2020-01-01T00:00:10Z"}');
SELECT * FROM go('{"entityId": 3, "data": {"body": "unstamped"}}');
SELECT * FROM go('{"entityId": 4, "data": {"body": "first"}, "lastModifiedAt": "2020-01-01T00:00:10Z"}');
SELECT * FROM go('{"entityId": 4, "data": {"body": "ahead"}, "lastModifiedAt": "2999-01-01T00:00:00Z", "clientId": "p"}');
-- ... sent again: no second effect
SELECT * FROM go('{"entityId": 4, "data": {"body": "ahead"}, "lastModifiedAt": "2999-01-01T00:00:00Z", "clientId": "p"}');

-- deletes by the same rule; a deleted row is none that could stand
SELECT * FROM up(5, 'first', '2020-01-01T00:00:10Z', 'p');
SELECT * FROM go('{"entityId": 5, "action": "delete", "lastModifiedAt": "2020-01-01T00:00:05Z", "clientId": "q"}');
SELECT * FROM go('{"entityId": 5, "action": "delete", "lastModifiedAt": "2020-01-01T00:00:20Z", "clientId": "q"}');
SELECT * FROM up(5, 'after the delete', '2020-01-01T00:00:30Z', 'p');
SELECT * FROM up(6, 'first', '2020-01-01T00:00:10Z', 'p');
DELETE FROM lww WHERE id = 6;
DELETE FROM cw WHERE id = 6;
DELETE FROM sw WHERE id = 6;
SELECT * FROM up(6, 'late', '2020-01-01T00:00:20Z', 'p');
SELECT * FROM go('{"entityId": 6, "data": {"body": "of now"}, "clientId": "p"}');

-- plain SQL is bound by no policy
UPDATE sw SET body = 'by the backend' WHERE id = 1;
UPDATE cw SET body = 'by the backend' WHERE id = 1;
SELECT body FROM sw WHERE id = 1 UNION ALL SELECT body FROM cw WHERE id = 1;
SELECT * FROM up(1, 'from the phone', '2020-01-01T00:00:40Z', 'p');
-- a stored stamp is never below the one it replaces
CREATE TEMP TABLE was AS SELECT at FROM cw WHERE id = 1;
SELECT status FROM tide.upsert('cw', '{"id": 1, "body": "old and winning"}', '2001-01-01', 'p');
SELECT cw.at > was.at AS above FROM cw, was WHERE id = 1;
-- another policy from now on
SELECT tide.track('cw', shared => true, modified_at => 'at', client_id => 'by');
SELECT status, data->>'body' AS body FROM tide.upsert('cw', '{"id": 1, "body": "old and losing"}', '2001-01-02', 'q');
-- who sent the version that stands knows it by the stamp it had then
SELECT status, data->>'body' AS body FROM tide.upsert('cw', '{"id": 1, "body": "older still"}', '2000-12-31', 'p');
SELECT status, data->>'body' AS body FROM tide.upsert('cw', '{"id": 1, "body": "later of its own"}', '2001-01-02', 'p');
-- what is none
SELECT tide.track('cw', shared => true, modified_at => 'at', client_id => 'by', conflict => 'newest');
DROP SCHEMA policy CASCADE;
