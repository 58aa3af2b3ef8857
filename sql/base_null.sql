-- base: null names the version without a stamp, that of rows from before they were
-- tracked: it stands under every policy, and no other base names it.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA base_null;
SET search_path = base_null, public;
CREATE FUNCTION keep(entity_type text, current jsonb, incoming jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT NULL::jsonb';
CREATE FUNCTION push(id int, body text, base jsonb) RETURNS TABLE (policy text, status text, body text) LANGUAGE sql AS $$
	SELECT p, coalesce(s->>'status', 'failed'), s->'entity'->>'body' FROM unnest('{last_write_wins,client_wins,server_wins,merge,resolver}'::text[]) p,
	LATERAL (SELECT tide.push(jsonb_build_object('changes', jsonb_build_array(jsonb_build_object('entityType', p, 'entityId', id, 'data', jsonb_build_object('body', body),
		'lastModifiedAt', '2020-01-01T00:00:00Z') || CASE WHEN base IS NULL THEN '{}' ELSE jsonb_build_object('base', base) END)))->'succeeded'->0 AS s) x $$;
DO $$ DECLARE p text; BEGIN
	FOREACH p IN ARRAY '{last_write_wins,client_wins,server_wins,merge,resolver}'::text[] LOOP
		EXECUTE format('CREATE TABLE %I (id int PRIMARY KEY, body text)', p);
		EXECUTE format('INSERT INTO %I SELECT i, %L FROM generate_series(1, 5) i', p, 'from before');
		PERFORM tide.track(p::regclass, shared => true, conflict => CASE p WHEN 'resolver' THEN 'base_null.keep' ELSE p END);
	END LOOP;
END $$;

-- without a base, the policy decides; with it, the change stands
SELECT * FROM push(1, 'no base', NULL);
SELECT * FROM push(2, 'null', 'null');
SELECT * FROM push(3, 'a time', '"2019-01-01T00:00:00Z"');
-- a row that has a stamp by now is another version
UPDATE last_write_wins SET body = 'stamped' WHERE id = 4;
UPDATE client_wins SET body = 'stamped' WHERE id = 4;
UPDATE server_wins SET body = 'stamped' WHERE id = 4;
UPDATE merge SET body = 'stamped' WHERE id = 4;
UPDATE resolver SET body = 'stamped' WHERE id = 4;
SELECT * FROM push(4, 'null', 'null');
-- where there is no row it is a new one, and says nothing
SELECT * FROM push(6, 'new', 'null');
DROP SCHEMA base_null CASCADE;
