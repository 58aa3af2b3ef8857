-- The policy "merge": column by column the later writer stands.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA merge;
SET search_path = merge;
SET timezone = 'UTC';
CREATE TABLE plan (id int PRIMARY KEY, name text, sets int DEFAULT 3, note text, at timestamptz, by text);
CREATE TABLE soft (LIKE plan INCLUDING ALL, deleted_at timestamptz);
SELECT tide.track('plan', shared => true, modified_at => 'at', client_id => 'by', conflict => 'merge');
SELECT tide.track('soft', shared => true, modified_at => 'at', client_id => 'by', conflict => 'merge', deleted_at => 'deleted_at');
SELECT entity_type, conflict, exclude FROM tide.tracked WHERE relation IN ('plan'::regclass, 'soft'::regclass) ORDER BY 1;

-- s seconds past a fixed time
CREATE FUNCTION s(seconds int) RETURNS timestamptz LANGUAGE sql AS $$ SELECT '2020-01-01Z'::timestamptz + make_interval(secs => seconds) $$;
CREATE FUNCTION up(relation regclass, id int, data jsonb, seconds int, by text) RETURNS TABLE (status text, name text, sets text, note text, sec text, "by" text, gone boolean, remark text) LANGUAGE sql AS $$
	SELECT v.status, v.data->>'name', v.data->>'sets', v.data->>'note', CASE WHEN v.data->>'at' < '2021' THEN (extract(epoch FROM (v.data->>'at')::timestamptz - s(0))::int)::text ELSE 'now' END,
		v.data->>'by', coalesce(v.data->>'deletedAt', v.data->>'deleted_at') IS NOT NULL, coalesce(v.note, v.message)
	FROM tide.upsert(relation, data || jsonb_build_object('id', id), s(seconds), by) v $$;
CREATE FUNCTION del(relation regclass, id int, seconds int, by text) RETURNS TABLE (status text, gone boolean) LANGUAGE sql AS $$
	SELECT v.status, coalesce(v.data->>'deletedAt', v.data->>'deleted_at') IS NOT NULL FROM tide.delete(relation, jsonb_build_object('id', id), s(seconds), by) v $$;

-- two devices, different columns, both edits stay; whichever comes first
SELECT * FROM up('plan', 1, '{"name": "first", "sets": 1, "note": "n"}', 1, 'p');
SELECT * FROM up('plan', 1, '{"sets": 5}', 30, 'q');
SELECT * FROM up('plan', 1, '{"name": "late"}', 20, 'p');
SELECT * FROM plan WHERE id = 1;
SELECT * FROM up('plan', 2, '{"name": "first", "sets": 1, "note": "n"}', 1, 'p');
SELECT * FROM up('plan', 2, '{"name": "late"}', 20, 'p');
SELECT * FROM up('plan', 2, '{"sets": 5}', 30, 'q');
SELECT * FROM plan WHERE id = 2;
-- a column that both wrote: the later one stands; the loser is remembered
SELECT * FROM up('plan', 1, '{"sets": 4, "note": "later"}', 25, 'p');
SELECT kind, lost, lost_modified_at, lost_client_id, stood::json->'sets' AS stood_sets FROM tide.conflict WHERE relid = 'plan'::regclass ORDER BY id;
-- all of it older
SELECT * FROM up('plan', 1, '{"sets": 3, "name": "x"}', 10, 'r');
-- replays have no second effect, nor a second record
SELECT count(*) FROM tide.conflict WHERE relid = 'plan'::regclass;
SELECT * FROM up('plan', 1, '{"name": "late"}', 20, 'p');
SELECT * FROM up('plan', 1, '{"sets": 4, "note": "later"}', 25, 'p');
SELECT * FROM up('plan', 1, '{"sets": 3, "name": "x"}', 10, 'r');
SELECT * FROM up('plan', 1, '{"sets": 5}', 30, 'q');
SELECT count(*) FROM tide.conflict WHERE relid = 'plan'::regclass;
SELECT * FROM plan WHERE id = 1;
-- and what lost can be put back
SELECT status, data->>'sets' AS sets, data->>'note' AS note FROM tide.restore((SELECT max(id) FROM tide.conflicts WHERE relation = 'plan'::regclass AND lost->>'sets' = '4'));

-- not on the wire, and not to be written
SELECT data ? 'tide_clocks' FROM tide.changes(NULL, NULL, '{plan}') WHERE key->>'id' = '2';
SELECT * FROM up('plan', 2, '{"tide_clocks": null}', 99, 'p');

-- one of the edits is plain SQL
INSERT INTO plan VALUES (3, 'plain', 1, 'n', s(1), NULL);
UPDATE plan SET note = 'by sql', at = s(40) WHERE id = 3;
SELECT * FROM up('plan', 3, '{"name": "offline", "note": "offline"}', 30, 'p');
SELECT * FROM plan WHERE id = 3;
-- of which an edit that changes nothing, and one of the stamp alone, take no column
UPDATE plan SET note = note WHERE id = 3;
UPDATE plan SET at = s(50) WHERE id = 3;
SELECT * FROM up('plan', 3, '{"name": "again"}', 45, 'p');
SELECT * FROM plan WHERE id = 3;
-- whoever writes the stamps of columns themselves is not heard
UPDATE plan SET tide_clocks = '{"name": "rubbish"}', note = 'n2', at = s(60) WHERE id = 3;
SELECT tide_clocks FROM plan WHERE id = 3;

-- a column that got its default was written by nobody: any time is later
SELECT * FROM up('plan', 4, '{"name": "short"}', 50, 'p');
SELECT tide_clocks FROM plan WHERE id = 4;
SELECT * FROM up('plan', 4, '{"sets": 9}', 10, 'q');
-- rows from before the table was tracked are older than any, too
ALTER TABLE plan DISABLE TRIGGER ALL;
INSERT INTO plan VALUES (5, 'old', 1, 'old', NULL, NULL);
ALTER TABLE plan ENABLE TRIGGER ALL;
SELECT * FROM up('plan', 5, '{"name": "q"}', 1, 'q');
SELECT * FROM up('plan', 5, '{"note": "p"}', 0, 'p');
SELECT * FROM plan WHERE id = 5;

-- base: no conflict, whatever the clocks say
SELECT status, data->>'name' AS name FROM (SELECT (json_array_elements(tide.push(jsonb_build_object('changes', jsonb_build_array(jsonb_build_object('entityType', 'plan', 'entityId', 2,
	'data', '{"name": "based", "sets": 2}'::jsonb, 'lastModifiedAt', s(5), 'base', s(30), 'clientId', 'p'))))->'succeeded')) AS v) x, LATERAL (SELECT v->>'status' AS status, (v->'entity')::jsonb AS data) y;
SELECT name, sets, at > s(30) AS raised, tide_clocks ? 'name' AS own FROM plan WHERE id = 2;

-- a delete takes the row, its tombstone keeps the columns and who wrote them
SELECT * FROM up('plan', 6, '{"name": "a", "sets": 1, "note": "x"}', 1, 'p');
SELECT * FROM up('plan', 6, '{"sets": 2}', 5, 'q');
SELECT * FROM del('plan', 6, 10, 'p');
SELECT image, clocks FROM tide.tombstone WHERE relid = 'plan'::regclass AND key = '6';
-- an older change goes into that, one that all lost does not
SELECT * FROM up('plan', 6, '{"note": "late", "sets": 1}', 4, 'r');
SELECT * FROM up('plan', 6, '{"note": "lost"}', 2, 'r');
SELECT image, clocks FROM tide.tombstone WHERE relid = 'plan'::regclass AND key = '6';
SELECT count(*) FROM plan WHERE id = 6;
-- an older delete changes nothing, a newer one keeps the image
SELECT * FROM del('plan', 6, 7, 'z');
SELECT * FROM del('plan', 6, 11, 'z');
SELECT image, clocks FROM tide.tombstone WHERE relid = 'plan'::regclass AND key = '6';
-- a newer change brings the row back, with all it had
SELECT * FROM up('plan', 6, '{"name": "back"}', 20, 'p');
SELECT * FROM plan WHERE id = 6;
SELECT * FROM up('plan', 6, '{"note": "later still"}', 15, 'r');
SELECT * FROM plan WHERE id = 6;

-- a delete of a row that was never seen, then what came before it
SELECT * FROM del('plan', 7, 10, 'p');
SELECT * FROM up('plan', 7, '{"sets": 7}', 5, 'q');
SELECT * FROM up('plan', 7, '{"sets": 6, "note": "m"}', 4, 'r');
SELECT image, clocks FROM tide.tombstone WHERE relid = 'plan'::regclass AND key = '7';
SELECT * FROM up('plan', 7, '{"name": "on"}', 12, 'p');
SELECT * FROM plan WHERE id = 7;

-- deleted by plain SQL, and by TRUNCATE
UPDATE plan SET note = 'z' WHERE id = 7;
DELETE FROM plan WHERE id = 7;
SELECT image::json->'note' AS note, clocks->'sets' AS sets FROM tide.tombstone WHERE relid = 'plan'::regclass AND key = '7';
TRUNCATE plan;
SELECT count(*) FROM tide.tombstone WHERE relid = 'plan'::regclass AND image IS NOT NULL;

-- soft deletes: the row itself is the image
SELECT * FROM up('soft', 1, '{"name": "a", "sets": 1, "note": "x"}', 1, 'p');
SELECT * FROM del('soft', 1, 10, 'p');
SELECT * FROM up('soft', 1, '{"note": "late"}', 5, 'q');
SELECT id, name, note, at, deleted_at, tide_clocks FROM soft;
SELECT * FROM up('soft', 1, '{"name": "back"}', 20, 'p');
SELECT id, name, note, at, deleted_at, tide_clocks FROM soft;
SELECT * FROM del('soft', 1, 15, 'q');

-- who merged gets the row again, although it is the one that pushed
SELECT tide.cursor() AS since \gset
SELECT * FROM up('soft', 1, '{"sets": 8}', 18, 'p');
SELECT tide.pull(:'since', client_id => 'p')->'changesByType'->'soft'->0->'sets' AS sets;

-- a user's trigger that changes another column, and one that is older on its own
CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.note := upper(NEW.name); RETURN NEW; END $$;
CREATE TRIGGER shout BEFORE UPDATE ON soft FOR EACH ROW EXECUTE FUNCTION shout();
SELECT * FROM up('soft', 1, '{"name": "loud"}', 30, 'p');
SELECT * FROM up('soft', 1, '{"note": "silent"}', 25, 'q');
SELECT name, note, tide_clocks ? 'note' AS own FROM soft;

-- another policy forgets the columns' stamps: they would be wrong by the time that it merges again
SELECT tide.track('soft', shared => true, modified_at => 'at', client_id => 'by', deleted_at => 'deleted_at');
SELECT tide_clocks IS NULL AS none FROM soft;
UPDATE soft SET sets = 11;
SELECT tide_clocks IS NULL AS none FROM soft;
SELECT exclude FROM tide.tracked WHERE relation = 'soft'::regclass;
SELECT tide.untrack('soft', drop_columns => true);
SELECT attname FROM pg_attribute WHERE attrelid = 'soft'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum;
-- without its column there is no merging
ALTER TABLE plan DROP COLUMN tide_clocks;
INSERT INTO plan (id) VALUES (1);
SELECT tide.track('plan', shared => true, modified_at => 'at', client_id => 'by', conflict => 'merge', add_columns => false);
ALTER TABLE plan ADD COLUMN tide_clocks text;
SELECT tide.track('plan', shared => true, modified_at => 'at', client_id => 'by', conflict => 'merge');
DROP SCHEMA merge CASCADE;
