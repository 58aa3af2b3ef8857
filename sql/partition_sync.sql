-- Push, pull and the rest of a partitioned table.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA part_sync;
SET search_path = part_sync;
CREATE TABLE t (id uuid, kind text, user_id text, title text, deleted_at timestamptz, PRIMARY KEY (kind, id)) PARTITION BY LIST (kind);
CREATE TABLE t_a PARTITION OF t FOR VALUES IN ('a');
CREATE TABLE t_b (title text, gone int, kind text NOT NULL, id uuid NOT NULL, deleted_at timestamptz, user_id text);
ALTER TABLE t_b DROP COLUMN gone;
ALTER TABLE t ATTACH PARTITION t_b FOR VALUES IN ('b');
CREATE TABLE h (id int, kind text, user_id text, v int, PRIMARY KEY (kind, id)) PARTITION BY HASH (id);
CREATE TABLE h_0 PARTITION OF h FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE h_1 PARTITION OF h FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE INDEX ON t (user_id);
CREATE INDEX ON h (user_id);
SELECT tide.track('t', scope => 'user_id', deleted_at => 'deleted_at');
SELECT tide.track('h', scope => 'user_id', version => 'version');
SET request.jwt.claims = '{"sub": "ann"}';
SELECT tide.cursor() AS c0 \gset
CREATE TABLE acks (ack text);
CREATE FUNCTION push(body jsonb) RETURNS TABLE (key json, status text, note text) LANGUAGE sql AS $$
	WITH r AS MATERIALIZED (SELECT tide.push(body, client_id => 'phone') r), a AS (INSERT INTO acks SELECT r->>'ack' FROM r)
	SELECT e->'entityId', coalesce(e->>'status', 'failed'), coalesce(e->>'note', e->'errors'->0->>'code')
	FROM r, LATERAL (SELECT * FROM json_array_elements(r->'succeeded') WITH ORDINALITY x(e)
		UNION ALL SELECT * FROM json_array_elements(r->'failed') WITH ORDINALITY) s
$$;
-- inserts, updates, a kind that has no partition, the same again
SELECT * FROM push('{"changes": {"h": [
	{"id": 1, "kind": "x", "v": 1, "lastModifiedAt": "2020-01-01T00:00:01Z"}, {"id": 2, "kind": "x", "v": 1, "lastModifiedAt": "2020-01-01T00:00:01Z"},
	{"id": 3, "kind": "y", "v": 1, "lastModifiedAt": "2020-01-01T00:00:01Z"}],
	"t": [{"id": "00000000-0000-0000-0000-000000000001", "kind": "a", "title": "one", "lastModifiedAt": "2020-01-01T00:00:01Z"},
	{"id": "00000000-0000-0000-0000-000000000002", "kind": "b", "title": "two", "lastModifiedAt": "2020-01-01T00:00:01Z"},
	{"id": "00000000-0000-0000-0000-000000000003", "kind": "c", "title": "three", "lastModifiedAt": "2020-01-01T00:00:01Z"}]}}');
SELECT * FROM push('{"changes": {"h": [{"id": 1, "kind": "x", "v": 1, "lastModifiedAt": "2020-01-01T00:00:01Z"}, {"id": 2, "kind": "x", "v": 2, "lastModifiedAt": "2020-01-01T00:00:02Z"}]}}');
SELECT id, kind, v, version, "lastModifiedAt" AT TIME ZONE 'UTC' AS at, "clientId" FROM h ORDER BY 1;
-- who shows both replies knows, the others are told
SELECT count(*) FROM json_each(tide.pull(:'c0', acks => (SELECT array_agg(ack) FROM acks))->'changesByType');
SELECT entity_type, operation, key FROM tide.changes(:'c0') ORDER BY 1, 3::text;
-- deletes: hard, soft, of what was never seen; late edits, newer ones
SELECT * FROM push('{"changes": [
	{"entityType": "h", "action": "delete", "entityId": {"id": 1, "kind": "x"}, "lastModifiedAt": "2020-01-01T00:00:05Z"},
	{"entityType": "h", "action": "delete", "entityId": {"id": 9, "kind": "z"}, "lastModifiedAt": "2020-01-01T00:00:05Z"},
	{"entityType": "t", "action": "delete", "entityId": {"id": "00000000-0000-0000-0000-000000000002", "kind": "b"}, "lastModifiedAt": "2020-01-01T00:00:05Z"}]}');
SELECT * FROM push('{"changes": {"h": [
	{"id": 1, "kind": "x", "v": 4, "lastModifiedAt": "2020-01-01T00:00:04Z"}, {"id": 9, "kind": "z", "v": 4, "lastModifiedAt": "2020-01-01T00:00:04Z"}]}}');
SELECT * FROM push('{"changes": {"h": [
	{"id": 1, "kind": "x", "v": 6, "lastModifiedAt": "2020-01-01T00:00:06Z"}, {"id": 9, "kind": "z", "v": 6, "lastModifiedAt": "2020-01-01T00:00:06Z"}]}}');
SELECT id, v FROM h ORDER BY 1;
SELECT kind, title, deleted_at IS NOT NULL AS deleted FROM t ORDER BY 1;
-- the older edit of a row whose partition was detached and attached empty
ALTER TABLE h DETACH PARTITION h_1;
CREATE TABLE h_1b PARTITION OF h FOR VALUES WITH (MODULUS 2, REMAINDER 1);
SELECT * FROM push('{"changes": {"h": [{"id": 1, "kind": "x", "v": 7, "lastModifiedAt": "2020-01-01T00:00:07Z"}, {"id": 2, "kind": "x", "v": 7, "lastModifiedAt": "2020-01-01T00:00:07Z"},
	{"id": 3, "kind": "y", "v": 7, "lastModifiedAt": "2020-01-01T00:00:07Z"}]}}') ORDER BY key::text;
-- upsert, delete, touch, keys, pages of the first pull
SELECT (tide.upsert('h', '{"id": 20, "kind": "x", "v": 1}')).status;
SELECT (tide.upsert('h', '{"id": 20, "kind": "x", "v": 2}')).data - 'lastModifiedAt' AS data;
SELECT (tide.delete('h', '{"id": 20, "kind": "x"}')).status;
INSERT INTO h_0 (id, kind, user_id) SELECT i, 'k', 'ann' FROM generate_series(100, 120) i
	WHERE satisfies_hash_partition('h'::regclass, 2, 0, i);
INSERT INTO h (id, kind, user_id) SELECT i, 'k', 'ann' FROM generate_series(100, 120) i ON CONFLICT DO NOTHING;
SELECT tide.touch('h', '[{"id": 100, "kind": "k"}, {"id": 101, "kind": "k"}, {"id": 999, "kind": "k"}]');
SELECT json_array_length(tide.keys(entity_types => '{h}')->'keysByType'->'h') = count(*) AS all FROM h;
CREATE FUNCTION read_all() RETURNS TABLE (pages int, rows int, same boolean) LANGUAGE plpgsql AS $$
DECLARE
	reply jsonb;
	all_rows jsonb := '[]';
BEGIN
	pages := 0;
	LOOP
		reply := tide.pull(reply->>'cursor', entity_types => '{h}', max_rows => 4);
		pages := pages + 1;
		all_rows := all_rows || coalesce(reply->'changesByType'->'h', '[]');
		EXIT WHEN NOT (reply->>'hasMore')::boolean;
	END LOOP;
	rows := jsonb_array_length(all_rows);
	same := (SELECT array_agg(h.id ORDER BY kind, id) FROM h) = (SELECT array_agg((e->>'id')::int) FROM jsonb_array_elements(all_rows) e);
	RETURN NEXT;
END $$;
SELECT rows = (SELECT count(*) FROM h) AS whole, same FROM read_all();
-- what a trigger makes of an own push is in its reply, what comes after is not
CREATE FUNCTION again() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.v = 50 THEN UPDATE h_1b SET v = 51 WHERE id = NEW.id; UPDATE h_0 SET v = 51 WHERE id = NEW.id; END IF;
	RETURN NULL;
END $$;
CREATE TRIGGER again AFTER INSERT OR UPDATE ON h FOR EACH ROW EXECUTE FUNCTION again();
SELECT tide.cursor() AS c1 \gset
SELECT tide.push('{"changes": {"h": [
	{"id": 50, "kind": "x", "v": 50}, {"id": 51, "kind": "x", "v": 50}, {"id": 52, "kind": "x", "v": 1}]}}', client_id => 'phone') AS reply \gset
SELECT e->'entity'->>'id' AS id, e->'entity'->>'v' AS v FROM json_array_elements(:'reply'::json->'succeeded') e;
SELECT e->>'id' AS id, e->>'v' AS v FROM json_array_elements(tide.pull(:'c1', acks => ARRAY[:'reply'::json->>'ack'])->'changesByType'->'h') e ORDER BY 1;
UPDATE h_1b SET v = 52 WHERE id = 51;
UPDATE h_0 SET v = 52 WHERE id = 51;
BEGIN;
SELECT (tide.upsert('h', '{"id": 53, "kind": "x", "v": 1}', client_id => 'phone')).status;
UPDATE h_1b SET v = 2 WHERE id = 53;
UPDATE h_0 SET v = 2 WHERE id = 53;
COMMIT;
SELECT e->>'id' AS id, e->>'v' AS v FROM json_array_elements(tide.pull(:'c1', acks => ARRAY[:'reply'::json->>'ack'])->'changesByType'->'h') e ORDER BY 1;
-- merged column by column, with a trigger that writes one beside, where columns have other numbers
CREATE TABLE m (id int, kind text, user_id text, title text, note text, beside text, PRIMARY KEY (kind, id)) PARTITION BY LIST (kind);
CREATE TABLE m_a (beside text, gone int, gone2 int, note text, title text, kind text NOT NULL, id int NOT NULL, user_id text);
ALTER TABLE m_a DROP COLUMN gone, DROP COLUMN gone2;
ALTER TABLE m ATTACH PARTITION m_a FOR VALUES IN ('a');
CREATE FUNCTION beside() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.beside := NEW.title; RETURN NEW; END $$;
CREATE TRIGGER beside BEFORE INSERT OR UPDATE ON m FOR EACH ROW EXECUTE FUNCTION beside();
CREATE INDEX ON m (user_id);
SELECT tide.track('m', scope => 'user_id', conflict => 'merge');
SELECT * FROM push('{"changes": {"m": [{"id": 1, "kind": "a", "title": "t1", "note": "n1", "lastModifiedAt": "2020-01-01T00:00:01Z"}]}}');
SELECT * FROM push('{"changes": {"m": [{"id": 1, "kind": "a", "title": "t5", "lastModifiedAt": "2020-01-01T00:00:05Z"}]}}');
SELECT tide_clocks FROM m;
SELECT * FROM push('{"changes": {"m": [{"id": 1, "kind": "a", "title": "t3", "note": "n3", "beside": "b4", "lastModifiedAt": "2020-01-01T00:00:04Z"}]}}');
SELECT title, note, beside, tide_clocks FROM m;
SELECT * FROM push('{"changes": {"m": [{"id": 1, "kind": "a", "note": "n4.5", "lastModifiedAt": "2020-01-01T00:00:04.5Z"}]}}');
SELECT title, note, beside, tide_clocks FROM m;
SELECT * FROM push('{"changes": [{"entityType": "m", "action": "delete", "entityId": {"id": 1, "kind": "a"}, "lastModifiedAt": "2020-01-01T00:00:06Z"}]}');
SELECT * FROM push('{"changes": {"m": [{"id": 1, "kind": "a", "note": "n7", "lastModifiedAt": "2020-01-01T00:00:07Z"}]}}');
SELECT title, note, beside FROM m;
DROP SCHEMA part_sync CASCADE;
