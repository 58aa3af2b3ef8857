-- A table that is tracked again: when clients get its rows anew, because no cursor
-- of the registration so far would bring what they lack.
--
-- Seen failing: without entity_type in same_coverage(); without triggers_capture_all().
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA again;
SET search_path = again;
CREATE FUNCTION regs() RETURNS TABLE (entity_type text, registration int) LANGUAGE sql AS
	$$ SELECT entity_type, registration FROM tide.tracked WHERE relation::text ~ '^(again.)?(note|memo|part)' $$;
-- what a client at this cursor gets
CREATE FUNCTION told(since text, OUT again text[], OUT rows jsonb, OUT gone jsonb) LANGUAGE sql AS $$
	SELECT (SELECT array_agg(t) FROM json_array_elements_text(p->'resetTypes') t),
		(SELECT jsonb_object_agg(key, (SELECT jsonb_agg(r->'id' ORDER BY r->>'id') FROM jsonb_array_elements(value) r)) FROM jsonb_each(p::jsonb->'changesByType')),
		p::jsonb->'deletedByType'
	FROM tide.pull(since) p $$;
CREATE TABLE note (id int PRIMARY KEY, body text);
INSERT INTO note VALUES (1, 'a');
SELECT tide.track('note', shared => true);
SELECT registration AS r FROM regs() \gset
SELECT tide.pull()->>'cursor' AS c \gset

-- the same again: nothing is sent again
SELECT tide.track('note', shared => true), tide.track('note', 'note', shared => true, conflict => 'server_wins');
SELECT registration = :r AS same FROM regs();
SELECT * FROM told(:'c');
-- another name on the wire, given or by the table's
SELECT tide.track('note', 'memo', shared => true);
SELECT entity_type, registration = :r AS same FROM regs();
SELECT * FROM told(:'c');
SELECT tide.pull()->>'cursor' AS c \gset
ALTER TABLE note RENAME TO memo_2;
INSERT INTO memo_2 VALUES (2, 'b');
SELECT tide.track('memo_2', shared => true);
SELECT * FROM told(:'c');
ALTER TABLE memo_2 RENAME TO note;
SELECT tide.track('note', shared => true);

-- what was not captured while a trigger was missing, or off
SELECT tide.pull()->>'cursor' AS c \gset
DROP TRIGGER zz_tide_insert ON note;
INSERT INTO note VALUES (3, 'c');
SELECT hint FROM tide.check() WHERE problem ~ 'missing' \gexec
SELECT * FROM told(:'c');
SELECT tide.pull()->>'cursor' AS c \gset
ALTER TABLE note DISABLE TRIGGER ALL;
DELETE FROM note WHERE id = 3;
SELECT tide.track('note', shared => true);
SELECT * FROM told(:'c');
SELECT tide.pull()->>'cursor' AS c \gset
ALTER TABLE note ENABLE REPLICA TRIGGER zz_tide_truncate;
TRUNCATE note;
SELECT tide.track('note', shared => true);
SELECT * FROM told(:'c');
SELECT count(*) FROM tide.check() WHERE severity = 'error';
-- of a partition
CREATE TABLE part (id int PRIMARY KEY) PARTITION BY LIST (id);
CREATE TABLE part_1 PARTITION OF part FOR VALUES IN (1);
CREATE TABLE part_2 PARTITION OF part FOR VALUES IN (2);
SELECT tide.track('part', shared => true);
SELECT tide.pull()->>'cursor' AS c \gset
SELECT tide.track('part', shared => true);
SELECT * FROM told(:'c');
ALTER TABLE part_2 DISABLE TRIGGER zz_tide_row;
INSERT INTO part VALUES (1), (2);
SELECT tide.track('part', shared => true);
SELECT * FROM told(:'c');
DROP SCHEMA again CASCADE;
