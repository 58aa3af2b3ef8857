-- The SQL interface as a table of promises: names, arguments, defaults,
-- results, and what each function may do.
\set QUIET on
\set ON_ERROR_STOP on
BEGIN;
SELECT no_plan();

SELECT has_extension('pg_tide');
SELECT has_schema('tide');
SELECT is((SELECT extnamespace::regnamespace::text FROM pg_extension WHERE extname = 'pg_tide'), 'tide', 'the extension lives in the schema tide');
SELECT ok((SELECT NOT extrelocatable FROM pg_extension WHERE extname = 'pg_tide'), 'and stays there');

-- each function: arguments with names, types and defaults in order, result,
-- whether PUBLIC may execute it
CREATE TEMP TABLE promised (name name, args text, result text, everybody boolean);
INSERT INTO promised VALUES
	('track', 'relation regclass, entity_type text DEFAULT NULL::text, scope text DEFAULT NULL::text, shared boolean DEFAULT false, conflict text DEFAULT ''last_write_wins''::text, modified_at name DEFAULT NULL::name, client_id name DEFAULT NULL::name, version name DEFAULT NULL::name, deleted_at name DEFAULT NULL::name, naming text DEFAULT ''as_is''::text, utc boolean DEFAULT true, exclude name[] DEFAULT ''{}''::name[], scope_column name DEFAULT NULL::name, add_columns boolean DEFAULT true, replicated boolean DEFAULT false', 'void', true),
	('untrack', 'relation regclass, drop_columns boolean DEFAULT false', 'void', true),
	('upsert', 'relation regclass, data jsonb, modified_at timestamp with time zone DEFAULT NULL::timestamp with time zone, client_id text DEFAULT NULL::text', 'tide.verdict', true),
	('delete', 'relation regclass, key jsonb, modified_at timestamp with time zone DEFAULT NULL::timestamp with time zone, client_id text DEFAULT NULL::text', 'tide.verdict', true),
	('push', 'body jsonb, scopes text[] DEFAULT NULL::text[], client_id text DEFAULT NULL::text, batch_id text DEFAULT NULL::text, atomic boolean DEFAULT NULL::boolean', 'json', true),
	('pull', 'since text DEFAULT NULL::text, scopes text[] DEFAULT NULL::text[], entity_types text[] DEFAULT NULL::text[], max_rows integer DEFAULT 100, client_id text DEFAULT NULL::text, refresh text[] DEFAULT NULL::text[], max_bytes integer DEFAULT 8388608, acks text[] DEFAULT NULL::text[]', 'json', true),
	('changes', 'since text DEFAULT NULL::text, scopes text[] DEFAULT NULL::text[], entity_types text[] DEFAULT NULL::text[], max_rows integer DEFAULT 100', 'TABLE(entity_type text, operation text, key jsonb, data jsonb, modified_at timestamp with time zone, client_id text, cursor text)', true),
	('cursor', '', 'text', true),
	('scopes', '', 'text[]', true),
	('keys', 'scopes text[] DEFAULT NULL::text[], entity_types text[] DEFAULT NULL::text[], buckets integer[] DEFAULT NULL::integer[]', 'json', true),
	('digest', 'since text, scopes text[] DEFAULT NULL::text[], entity_types text[] DEFAULT NULL::text[]', 'json', true),
	('rows', 'body jsonb, scopes text[] DEFAULT NULL::text[], max_rows integer DEFAULT 500, max_bytes integer DEFAULT 8388608', 'json', true),
	('touch', 'relation regclass, keys jsonb', 'bigint', true),
	('prune', 'keep interval DEFAULT ''30 days''::interval', 'bigint', false),
	('maintain', '', 'bigint', false),
	('restore', 'conflict_id bigint', 'tide.verdict', true),
	('check', 'role name DEFAULT NULL::name', 'TABLE(severity text, object text, problem text, hint text)', true),
	('schema', '', 'json', true),
	('protocol', '', 'integer', true),
	('register', '', 'void', true),
	('unrestricted', '', 'boolean', false);
SELECT is((SELECT count(*) FROM pg_proc WHERE pronamespace = 'tide'::regnamespace AND proname = p.name), 1::bigint, format('there is one tide.%s()', p.name)) FROM promised p;
SELECT is(pg_get_function_arguments(f.oid), p.args, format('tide.%s() takes what it promises', p.name)) FROM promised p JOIN pg_proc f ON f.pronamespace = 'tide'::regnamespace AND f.proname = p.name;
SELECT is(pg_get_function_result(f.oid), p.result, format('tide.%s() returns %s', p.name, p.result)) FROM promised p JOIN pg_proc f ON f.pronamespace = 'tide'::regnamespace AND f.proname = p.name;
SELECT is(has_function_privilege('public', f.oid, 'EXECUTE'), p.everybody, format('tide.%s() is %sfor everybody', p.name, CASE WHEN p.everybody THEN '' ELSE 'not ' END)) FROM promised p JOIN pg_proc f ON f.pronamespace = 'tide'::regnamespace AND f.proname = p.name;
SELECT ok(NOT prosecdef, format('%s runs with its caller''s rights', oid::regprocedure)) FROM pg_proc WHERE pronamespace = 'tide'::regnamespace;
SELECT isnt(obj_description(oid, 'pg_proc'), NULL, format('%s has a comment', oid::regprocedure)) FROM pg_proc WHERE pronamespace = 'tide'::regnamespace;
-- what reads and writes inside must not be moved about by the planner
SELECT volatility_is('tide', name, 'volatile') FROM unnest('{track,untrack,upsert,delete,push,pull,changes,cursor,keys,digest,rows}'::name[]) name;
SELECT is(prorettype::regtype::text, 'trigger', format('tide.%s() is a trigger function', proname)) FROM pg_proc WHERE pronamespace = 'tide'::regnamespace AND proname IN ('stamp', 'capture', 'capture_row');

-- the verdict, and the view of tracked tables
SELECT is((SELECT string_agg(attname || ' ' || atttypid::regtype, ', ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'tide.verdict'::regclass AND attnum > 0),
	'status text, data jsonb, code text, message text, constraint_name text, column_name text, note text', 'tide.verdict has what it promises');
SELECT has_view('tide', 'tracked', 'there is the view tide.tracked');
SELECT has_column('tide', 'tracked', name, format('tide.tracked shows %s', name))
	FROM unnest('{relation,entity_type,scope,shared,conflict,modified_at,client_id,version,deleted_at,naming,utc,exclude}'::name[]) name;
SELECT ok(has_table_privilege('public', 'tide.tracked', 'SELECT'), 'everybody may read tide.tracked');
SELECT has_view('tide', 'conflicts', 'there is the view tide.conflicts');
SELECT ok(has_table_privilege('public', 'tide.conflicts', 'SELECT'), 'everybody may read tide.conflicts, which shows the caller''s scopes');

-- tide's own tables are readable by nobody but their owner
SELECT ok(NOT has_any_column_privilege('public', c.oid, 'SELECT') AND NOT has_table_privilege('public', c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER'), format('nobody reads or writes %s', c.oid::regclass))
	FROM pg_class c WHERE relnamespace = 'tide'::regnamespace AND relkind = 'r';
SELECT ok(NOT has_sequence_privilege('public', c.oid, 'USAGE, SELECT, UPDATE'), format('nobody uses %s', c.oid::regclass))
	FROM pg_class c WHERE relnamespace = 'tide'::regnamespace AND relkind = 'S';
SELECT ok(has_schema_privilege('public', 'tide', 'USAGE') AND NOT has_schema_privilege('public', 'tide', 'CREATE'), 'everybody may use the schema, nobody may add to it');
SELECT is((SELECT count(*) FROM pg_extension e WHERE extname = 'pg_tide' AND extconfig IS NOT NULL), 0::bigint, 'nothing of it is dumped: it is bound to transaction ids');

-- settings
SELECT is(tide.protocol(), 1, 'the protocol''s major version is 1');
SELECT is(current_setting('pg_tide.max_clock_skew'), '1min', 'a client''s clock may be a minute ahead');
SELECT is(current_setting('pg_tide.ignored_fields'), 'isDirty,lastSyncedAt', 'the seeds'' local fields are ignored');
SELECT is(current_setting('pg_tide.client_id'), '', 'plain SQL is the server');
SELECT is(current_setting('pg_tide.times'), 'iso', 'times are ISO 8601');
SELECT is(current_setting('pg_tide.max_time_rows'), '50000', 'a whole reply has up to 50,000 rows');
SELECT is(current_setting('pg_tide.max_push_changes'), '5000', 'a push has up to 5,000 changes');
SELECT is((SELECT context FROM pg_settings WHERE name = 'pg_tide.max_clock_skew'), 'superuser', 'the skew is not a user''s to set');

-- a push, a pull and their replies' members
CREATE TABLE plan (id text PRIMARY KEY, "athleteId" text, name text);
CREATE INDEX ON plan ("athleteId");
SELECT lives_ok($$SELECT tide.track('plan', 'TrainingPlan', scope => 'athleteId')$$, 'a table is tracked with one call');
SELECT set_config('request.jwt.claims', '{"sub": "ann"}', true) IS NOT NULL AS claims \gset
CREATE TEMP TABLE reply AS SELECT tide.push('{"changes": {"TrainingPlan": [{"id": "p1", "name": "Plan", "lastModifiedAt": "2026-01-02T03:04:05.678Z", "deletedAt": null}, {"id": "p2", "nope": 1}]}}') AS push;
SELECT is((SELECT array_agg(k ORDER BY k) FROM reply, json_object_keys(push) k), '{ack,failed,serverTime,succeeded,summary}', 'members of a push''s reply');
SELECT is((SELECT push->'succeeded'->0 FROM reply)::jsonb, '{"entityType": "TrainingPlan", "entityId": "p1", "status": "applied", "entity": {"id": "p1", "athleteId": "ann", "name": "Plan", "lastModifiedAt": "2026-01-02T03:04:05.678Z", "clientId": "ann"}}', 'a change that was applied');
SELECT is((SELECT push->'failed'->0 FROM reply)::jsonb #- '{errors,0,message}', '{"entityType": "TrainingPlan", "entityId": "p2", "entity": null, "errors": [{"code": "unknown_column", "column": "nope"}]}', 'a change that failed');
SELECT is((SELECT push->'summary' FROM reply)::jsonb, '{"total": 2, "succeeded": 1, "failed": 1, "superseded": 0}', 'the summary');
SELECT is((SELECT array_agg(k ORDER BY k) FROM json_object_keys(tide.pull()) k), '{changesByType,cursor,deletedByType,hasMore,reset,revokedScopes,serverTime,stats,syncTimestamp}', 'members of a pull''s reply');
SELECT is((tide.pull()->'changesByType')::jsonb, '{"TrainingPlan": [{"id": "p1", "athleteId": "ann", "name": "Plan", "lastModifiedAt": "2026-01-02T03:04:05.678Z", "clientId": "ann"}]}', 'what a pull sends');
SELECT is((SELECT array_agg(k ORDER BY k) FROM json_object_keys(tide.digest(tide.cursor())) k), '{cursor,digestByType,moved}', 'members of a digest');
SELECT is((SELECT array_agg(k ORDER BY k) FROM json_object_keys(tide.digest(tide.cursor())->'digestByType'->'TrainingPlan') k), '{counts,sums}', 'of a type');
SELECT is((SELECT sum(c::int) FROM json_array_elements_text(tide.digest(tide.cursor())->'digestByType'->'TrainingPlan'->'counts') c), 1::bigint, 'which counts rows');
SELECT throws_ok($$SELECT tide.digest('now')$$, 'TD001', NULL, 'a digest is since a cursor');
SELECT throws_ok($$SELECT tide.digest(tide.pull(entity_types => '{}')->>'cursor')$$, 'TD014', NULL, 'of all that is asked for');
SELECT is(tide.keys(buckets => ARRAY[get_byte(sha256('p1'), 0)])::jsonb, '{"keysByType": {"TrainingPlan": [{"id": "p1", "lastModifiedAt": "2026-01-02T03:04:05.678Z", "clientId": "ann"}]}}', 'keys of a bucket, with stamps');
SELECT is(tide.rows('{"keys": {"TrainingPlan": ["p1", "p2"]}}')::jsonb, '{"rowsByType": {"TrainingPlan": [{"id": "p1", "athleteId": "ann", "name": "Plan", "lastModifiedAt": "2026-01-02T03:04:05.678Z", "clientId": "ann"}]}, "remaining": {}}', 'rows by key');
SELECT ok(length(tide.cursor()) < 100, 'a cursor for one scope is under 100 bytes');
SELECT throws_ok(format($$SELECT tide.pull(%L)$$, substr(tide.cursor(), 1, 9)), 'TD002', NULL, 'half a cursor is refused');
SELECT is((tide.pull(entity_types => '{plan}')->'unavailableTypes')::jsonb, '["plan"]', 'an unknown entity type is named');
SELECT throws_ok($$SELECT tide.pull(scopes => '{bob}')$$, 'TD005', NULL, 'another one''s scope is refused');
SELECT set_config('request.jwt.claims', '', true) IS NOT NULL AS claims \gset
CREATE ROLE pgtap_tide_user;
SET LOCAL ROLE pgtap_tide_user;
SELECT throws_ok($$SELECT tide.pull()$$, 'TD006', NULL, 'without claims nothing is allowed');
SELECT throws_ok($$SELECT tide.push('{"changes": []}')$$, 'TD006', NULL, 'nor written');
SELECT throws_ok($$SELECT tide.track('plan', shared => true)$$, '42501', NULL, 'only the owner tracks a table');
RESET ROLE;

-- a scope by foreign keys
SELECT throws_ok(q, '22023', NULL, q || ' is refused') FROM unnest(ARRAY[
	$$SELECT tide.track('plan', scope => 'a.b.c')$$, $$SELECT tide.track('plan', scope => 'athleteId', scope_column => 's')$$]) q;
CREATE TABLE step (id int PRIMARY KEY, "planId" text REFERENCES plan ON DELETE CASCADE);
SELECT lives_ok($$SELECT tide.track('step', scope => 'planId.athleteId')$$, 'a scope by foreign keys');
SELECT results_eq($$SELECT scope, scope_column FROM tide.tracked WHERE entity_type = 'step'$$, $$VALUES ('planId.athleteId', 'tide_scope'::name)$$, 'and the view says so');
RESET request.jwt.claims;
INSERT INTO plan (id, "athleteId") VALUES ('of ann', 'ann');
INSERT INTO step VALUES (1, 'of ann');
SELECT is(tide_scope, 'ann', 'the row has its parent''s') FROM step;
UPDATE plan SET "athleteId" = 'bob' WHERE id = 'of ann';
SELECT is(tide_scope, 'bob', 'and goes where the parent goes') FROM step;
SELECT * FROM finish();
ROLLBACK;
