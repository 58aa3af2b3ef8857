-- pg_tide.schema_claim: a schema per tenant. The same entity types, users and keys in
-- each of them; a caller sees those of the schema that its claims name.
-- Seen to fail with: all tables in the caller's list; no look at the schema where a
-- table is named in SQL; receipts and cursors of all schemas alike; a shared table not
-- hidden by the schema's own; claims that name nothing taken for all schemas; and with
-- the list of the whole database read for a caller of one schema.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE ROLE regress_tide_tenant;
CREATE SCHEMA tenancy;
SET search_path = tenancy;

-- a tenant: its users' notes, steps below them, and labels that are everybody's in it
CREATE FUNCTION found(tenant name) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE SCHEMA %I', tenant);
	EXECUTE format('GRANT USAGE ON SCHEMA %I TO regress_tide_tenant', tenant);
	EXECUTE format('CREATE TABLE %I.note (id int PRIMARY KEY, user_id text, body text)', tenant);
	EXECUTE format('CREATE TABLE %I.step (id int PRIMARY KEY, note_id int REFERENCES %I.note, user_id text)', tenant, tenant);
	EXECUTE format('CREATE TABLE %I.label (id int PRIMARY KEY, name text)', tenant);
	EXECUTE format('CREATE INDEX ON %I.note (user_id, id)', tenant);
	EXECUTE format('CREATE INDEX ON %I.step (user_id, id)', tenant);
	-- children first
	PERFORM tide.track(format('%I.step', tenant)::regclass, scope => 'user_id');
	PERFORM tide.track(format('%I.note', tenant)::regclass, scope => 'user_id', conflict => 'server_wins');
	PERFORM tide.track(format('%I.label', tenant)::regclass, shared => true);
	EXECUTE format('INSERT INTO %I.note VALUES (1, ''u1'', %L), (2, ''u2'', %L)', tenant, tenant || ' one', tenant || ' two');
	EXECUTE format('INSERT INTO %I.label VALUES (1, %L)', tenant, tenant || ' label');
	EXECUTE format('GRANT ALL ON ALL TABLES IN SCHEMA %I TO regress_tide_tenant', tenant);
END $$;
CREATE FUNCTION at(tenant text, sub text DEFAULT 'u1') RETURNS void LANGUAGE sql AS
	$$ SELECT set_config('request.jwt.claims', jsonb_strip_nulls(jsonb_build_object('sub', sub, 'tenant', tenant))::text, false) $$;
CREATE FUNCTION short(reply json) RETURNS text LANGUAGE sql AS $$
	SELECT concat_ws(' ', (SELECT string_agg(concat(k, rows), ' ' ORDER BY k) FROM json_each_text(reply->'changesByType') x(k, v),
			LATERAL (SELECT string_agg(concat(d->>'id', ':', coalesce(d->>'body', d->>'name')), ',' ORDER BY d->>'id') FROM json_array_elements(v::json) d) y(rows)),
		(SELECT string_agg(concat('-', k, ids), ' ' ORDER BY k) FROM json_each_text(reply->'deletedByType') x(k, v),
			LATERAL (SELECT string_agg(d->>'id', ',' ORDER BY d->>'id') FROM json_array_elements(v::json) d) y(ids)),
		reply->>'resetReason', 'resetTypes' || (reply->>'resetTypes'), 'unavailable' || (reply->>'unavailableTypes'),
		CASE WHEN (reply->>'hasMore')::boolean THEN 'more' END) $$;
CREATE FUNCTION result(body jsonb) RETURNS TABLE (type text, id text, result text, entity text) LANGUAGE sql AS $$
	WITH p AS MATERIALIZED (SELECT tide.push(body) AS r)
	SELECT s->>'entityType', s->>'entityId', s->>'status', s->'entity'->>'body' FROM p, json_array_elements(r->'succeeded') s
	UNION ALL SELECT s->>'entityType', s->>'entityId', s->'errors'->0->>'code', s->'entity'->>'body' FROM p, json_array_elements(r->'failed') s $$;

-- without the setting, two tables of one name are a conflict
SELECT found('ta');
SELECT found('tb');
-- who may set it
SET ROLE regress_tide_tenant;
SET pg_tide.schema_claim = 'tenant';
SET pg_tide.shared_schemas = 'ta';
RESET ROLE;
SET pg_tide.shared_schemas = 'no, list, ';
SET pg_tide.schema_claim = 'tenant';
DROP SCHEMA ta CASCADE;
DROP SCHEMA IF EXISTS tb CASCADE;
SELECT found('ta');
SELECT found('tb');
SELECT found('Tenant "C"');
GRANT USAGE ON SCHEMA tenancy TO regress_tide_tenant;

-- whom the claims name: with no claim, another type, no schema, one without tracked tables
SET ROLE regress_tide_tenant;
SET request.jwt.claims = '{"sub": "u1"}';
SELECT tide.pull();
\echo :LAST_ERROR_SQLSTATE
SET request.jwt.claims = '{"sub": "u1", "tenant": 7}';
SELECT tide.push('{"changes": []}');
SET request.jwt.claims = '{"sub": "u1", "tenant": ""}';
SELECT tide.keys();
SET request.jwt.claims = '{"sub": "u1", "tenant": ["ta"]}';
SELECT tide.scopes();
SET request.jwt.claims = '["ta"]';
SELECT tide.schema();
SET request.jwt.claims = '{"sub": "u1", "tenant": "nowhere"}';
SELECT tide.pull();
SET request.jwt.claims = '{"sub": "u1", "tenant": "tenancy"}';
SELECT tide.cursor();
SET request.jwt.claims = '{"sub": "u1", "tenant": "pg_catalog"}';
SELECT tide.schema();
SELECT set_config('request.jwt.claims', jsonb_build_object('sub', 'u1', 'tenant', rpad('ta', 70, 'a'))::text, false) IS NULL AS long;
SELECT tide.pull();
-- and without any claims, nothing
RESET request.jwt.claims;
SELECT tide.schema();
SELECT tide.pull();

-- pull, keys, rows, schema, scopes: a tenant's own
SELECT at('ta');
SELECT short(tide.pull());
SELECT at('tb');
SELECT short(tide.pull());
SELECT at('Tenant "C"', 'u2');
SELECT short(tide.pull());
SELECT tide.keys()->>'keysByType' AS keys, tide.rows('{"keys": {"note": [1, 2], "label": [1]}}')#>>'{rowsByType,note,0,body}' AS rows, tide.scopes();
SELECT json_object_keys(tide.schema()->'entityTypes');
SELECT tide.schema()->'entityTypes'->'step'->>'parents' AS parents, tide.schema()->'entityTypes'->'step'->'references'->0->>'entityType' AS refers_to;

-- a cursor goes on in its schema; in another one it is of no use
SELECT at('ta');
SELECT tide.pull()->>'cursor' AS a \gset
SELECT tide.cursor() AS a_now \gset
SELECT at('tb');
SELECT tide.pull()->>'cursor' AS b \gset
SELECT short(tide.pull(:'a')), short(tide.pull(:'a_now')), tide.pull(:'a')->>'revokedScopes' AS revoked;
SELECT tide.digest(:'a');
\echo :LAST_ERROR_SQLSTATE
SELECT tide.push(jsonb_build_object('cursor', :'a', 'changes', '[]'::jsonb));
\echo :LAST_ERROR_SQLSTATE
SELECT count(*) FROM tide.changes(:'a');
-- also one that claims to be of this schema: tide.cursor() of somebody who sees all, which lists ta's types
RESET ROLE;
RESET request.jwt.claims;
SELECT tide.cursor() AS of_all \gset
SET ROLE regress_tide_tenant;
SELECT at('tb');
SELECT short(tide.pull(:'of_all'));
-- and with that forged: ta's types are none here
CREATE FUNCTION pg_temp.bytes(c text) RETURNS bytea LANGUAGE sql AS
	$$ SELECT decode(rpad(translate(c, '-_', '+/'), (length(c) + 3) / 4 * 4, '='), 'base64') $$;
SELECT translate(encode(overlay(pg_temp.bytes(:'a') PLACING substr(pg_temp.bytes(:'b'), 3, 8) FROM 3 FOR 8), 'base64'), E'+/=\n', '-_') AS forged \gset
SELECT short(tide.pull(:'forged'));

-- push: the same key in two schemas is two rows, and so it is told
SELECT * FROM result('{"changes": {"note": [{"id": 1, "body": "pushed to tb"}, {"id": 3, "body": "new in tb"}], "step": [{"id": 1, "note_id": 3}], "label": [{"id": 2, "name": "tb"}]}}');
SELECT short(tide.pull(:'b'));
SELECT at('ta');
SELECT short(tide.pull(:'a'));
SELECT * FROM result('{"changes": {"note": [{"id": 3, "deletedAt": "2030-01-01T00:00:00Z"}, {"id": 1, "deletedAt": "2030-01-01T00:00:00Z"}]}}');
SELECT at('tb');
SELECT * FROM result('{"changes": {"note": [{"id": 3, "body": "still there"}, {"id": 1, "body": "still there"}]}}');
RESET ROLE;
SELECT 'ta' AS tenant, id, body FROM ta.note UNION ALL SELECT 'tb', id, body FROM tb.note ORDER BY 1, 2;

-- by its table, from SQL
SET ROLE regress_tide_tenant;
SELECT at('ta');
SELECT status FROM tide.upsert('ta.note', '{"id": 4, "body": "by upsert"}');
SELECT status FROM tide.upsert('tb.note', '{"id": 4, "body": "by upsert"}');
\echo :LAST_ERROR_SQLSTATE
SELECT status FROM tide.delete('tb.note', '1');
SELECT tide.touch('tb.note', '[1]');
SELECT tide.touch('ta.note', '[4]');

-- a batch is of its schema, too
SELECT tide.push('{"batchId": "b1", "changes": {"note": [{"id": 5, "body": "five of ta"}]}}')#>>'{succeeded,0,entity,body}' AS body;
SELECT tide.push('{"batchId": "b1", "changes": {"note": [{"id": 5, "body": "five of ta"}]}}')#>>'{succeeded,0,entity,body}' AS again;
SELECT at('tb');
SELECT tide.push('{"batchId": "b1", "changes": {"note": [{"id": 5, "body": "five of tb"}]}}')#>>'{succeeded,0,entity,body}' AS "of tb";

-- conflicts are seen where they were, and put back there
SELECT * FROM result('{"changes": {"note": [{"id": 5, "body": "lost in tb", "lastModifiedAt": "2001-01-01T00:00:00Z"}]}}');
SELECT lost->>'body' AS lost, relation FROM tide.conflicts;
SELECT id AS conflict FROM tide.conflicts WHERE lost->>'body' = 'lost in tb' \gset
SELECT at('ta');
\set VERBOSITY sqlstate
SELECT count(*) FROM tide.conflicts;
SELECT tide.restore(:conflict);
RESET ROLE;
SELECT count(*) FROM tide.conflicts;
SELECT tide.restore(:conflict);
\set VERBOSITY default
SET ROLE regress_tide_tenant;
SELECT at('tb');
SELECT status FROM tide.restore(:conflict);

-- what a poll waits for names the schema's own types, and the settings are part of what is remembered
SELECT at('ta');
SELECT count(*) AS types, count(*) FILTER (WHERE registration IN (SELECT registration FROM tide.tracked WHERE relation::text LIKE 'ta.%')) AS own
	FROM (SELECT json_array_elements_text((tide.pull_page(tide.cursor())).interest->'types')::int AS registration) x;
RESET ROLE;
SELECT (tide.watch()).server = (tide.pull_page(tide.cursor())).interest->>'server' AS same_server;
SELECT (tide.watch()).server AS before \gset
SET pg_tide.schema_claim = 'tenant_id';
SELECT (tide.watch()).server = :'before' AS same_server;
SET pg_tide.schema_claim = 'tenant';

-- without claims: tables by name are whole, entity types that several schemas have are not to be told apart
RESET request.jwt.claims;
SELECT status FROM tide.upsert('tb.note', '{"id": 6, "user_id": "u1"}');
SELECT short(tide.pull());
SELECT tide.push('{"changes": {"note": [{"id": 1, "body": "whose"}]}}');
\echo :LAST_ERROR_SQLSTATE
SELECT count(problem) AS problems FROM tide.tracked;

-- shared schemas: everybody's beside their own, which comes first
CREATE SCHEMA everybody;
CREATE TABLE everybody.exercise (id int PRIMARY KEY, name text);
CREATE TABLE everybody.label (id int PRIMARY KEY, name text);
GRANT USAGE ON SCHEMA everybody TO regress_tide_tenant;
GRANT SELECT ON ALL TABLES IN SCHEMA everybody TO regress_tide_tenant;
SELECT tide.track('everybody.exercise', shared => true);
SELECT tide.track('everybody.label', shared => true);
INSERT INTO everybody.exercise VALUES (1, 'squat');
INSERT INTO everybody.label VALUES (1, 'everybody''s label');
SET ROLE regress_tide_tenant;
SELECT at('ta');
SELECT short(tide.pull(NULL, entity_types => '{exercise,label}'));
RESET ROLE;
SET pg_tide.shared_schemas = 'not_there, everybody';
SET ROLE regress_tide_tenant;
SELECT short(tide.pull(NULL, entity_types => '{exercise,label}'));
SELECT short(tide.pull(:'a'));
-- once the tenant's own is gone, the shared one is there
RESET ROLE;
SELECT tide.untrack('ta.label');
SET ROLE regress_tide_tenant;
SELECT short(tide.pull(NULL, entity_types => '{exercise,label}'));
-- scopes that are found through a table of another schema, which knows nothing of this one
RESET ROLE;
RESET request.jwt.claims;
CREATE TABLE everybody.member (id int PRIMARY KEY, user_id text);
CREATE TABLE ta.visit (id int PRIMARY KEY, member_id int REFERENCES everybody.member);
CREATE INDEX ON ta.visit (member_id);
INSERT INTO everybody.member VALUES (1, 'u1');
INSERT INTO ta.visit VALUES (1, 1);
SELECT tide.track('ta.visit', scope => 'member_id.user_id');
UPDATE everybody.member SET user_id = 'u2';
SELECT tide_scope FROM ta.visit;
SELECT tide.untrack('ta.visit', drop_columns => true);
DROP TABLE ta.visit;
SET ROLE regress_tide_tenant;
-- nobody's own schema
SELECT at('everybody');
SELECT short(tide.pull());
SELECT at('tb');
SELECT short(tide.pull(NULL, entity_types => '{exercise,label}'));

-- a table that moves to another tenant takes its rows along
SELECT tide.pull()->>'cursor' AS b \gset
SELECT at('Tenant "C"');
SELECT tide.pull()->>'cursor' AS c \gset
RESET ROLE;
ALTER TABLE tb.step SET SCHEMA tenancy;
ALTER TABLE "Tenant ""C""".step RENAME TO steps;
SET ROLE regress_tide_tenant;
SELECT short(tide.pull(:'c')) AS "not touched by that";
SELECT at('tb');
SELECT short(tide.pull(:'b', entity_types => '{step}')) AS "not there any more";
RESET ROLE;
DROP TABLE "Tenant ""C""".steps;
ALTER TABLE tenancy.step SET SCHEMA "Tenant ""C""";
SET ROLE regress_tide_tenant;
SELECT at('Tenant "C"');
SELECT short(tide.pull(:'c'));
RESET ROLE;
RESET request.jwt.claims;

-- a schema made by a copy of another, triggers and all: two tables with one registration
CREATE SCHEMA copied;
CREATE TABLE copied.note (LIKE ta.note INCLUDING ALL);
-- where nobody notices triggers that tide.track did not make; else the table gets a number of its own
ALTER EVENT TRIGGER tide_after_trigger DISABLE;
DO $$
DECLARE
	trigger text;
BEGIN
	FOR trigger IN SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = 'ta.note'::regclass AND tgname LIKE 'zz_tide_%' LOOP
		EXECUTE replace(trigger, 'ta.note', 'copied.note');
	END LOOP;
END $$;
ALTER EVENT TRIGGER tide_after_trigger ENABLE ALWAYS;
GRANT USAGE ON SCHEMA copied TO regress_tide_tenant;
GRANT SELECT ON copied.note TO regress_tide_tenant;
INSERT INTO copied.note VALUES (1, 'u1', 'of the copy');
SET ROLE regress_tide_tenant;
SELECT at('ta');
SELECT tide.pull()->>'cursor' AS a \gset
SELECT at('copied');
SELECT short(tide.pull(:'a')), short(tide.pull(NULL, entity_types => '{note}'));
RESET ROLE;
UPDATE copied.note SET body = 'changed' WHERE id = 1;
DELETE FROM copied.note;
SET ROLE regress_tide_tenant;
SELECT at('ta');
SELECT short(tide.pull(:'a')) AS "nothing of the copy's";
RESET ROLE;
RESET request.jwt.claims;
SELECT severity, object, problem, hint FROM tide.check() WHERE problem ~ 'registration|schema' ORDER BY 1, 2, 3;
DROP SCHEMA copied CASCADE;
RESET pg_tide.schema_claim;
SELECT severity, object, problem, hint FROM tide.check() WHERE problem ~ 'shared_schemas|entity type' ORDER BY 2, 3;
SET pg_tide.schema_claim = 'tenant';

-- what other tenants are costs nothing: a pull and a push in a new session read as much
-- with two of them as with twenty-two.
CREATE FUNCTION costs(command text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	plan json;
BEGIN
	EXECUTE 'EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) ' || command INTO plan;
	RETURN (plan#>>'{0,Plan,Shared Hit Blocks}')::bigint + (plan#>>'{0,Plan,Shared Read Blocks}')::bigint;
END $$;
SELECT 'SET search_path = tenancy; SET pg_tide.schema_claim = ''tenant''; SET pg_tide.shared_schemas = ''everybody''; SET ROLE regress_tide_tenant; SELECT at(''tb'') IS NULL AS _ \gset' AS begin_here \gset
GRANT ALL ON ALL FUNCTIONS IN SCHEMA tenancy TO regress_tide_tenant;
\c -
:begin_here
SELECT costs('SELECT tide.pull()') AS first, costs('SELECT tide.pull()') AS second \gset
\c -
:begin_here
SELECT costs('SELECT tide.push(''{"changes": {"note": [{"id": 7}]}}'')') AS push \gset
\c -
SET client_min_messages = warning;
SET pg_tide.schema_claim = 'tenant';
SELECT count(tenancy.found('tenant_' || i)) FROM generate_series(1, 20) i;
VACUUM ANALYZE pg_catalog.pg_depend, pg_catalog.pg_class, pg_catalog.pg_trigger, pg_catalog.pg_attribute, pg_catalog.pg_namespace;
\c -
:begin_here
SELECT costs('SELECT tide.pull()') < 1.3 * :first AS "first pull", costs('SELECT tide.pull()') < 1.3 * :second + 10 AS "second pull";
\c -
:begin_here
SELECT costs('SELECT tide.push(''{"changes": {"note": [{"id": 8}]}}'')') < 1.3 * :push AS push;
\c -
SET client_min_messages = warning;
DO $$ BEGIN FOR i IN 1..20 LOOP EXECUTE format('DROP SCHEMA %I CASCADE', 'tenant_' || i); END LOOP; END $$;
DROP SCHEMA ta CASCADE;
DROP SCHEMA tb CASCADE;
DROP SCHEMA "Tenant ""C""" CASCADE;
DROP SCHEMA everybody CASCADE;
DROP SCHEMA tenancy CASCADE;
DROP ROLE regress_tide_tenant;
