-- The extension's catalog entries keep the rules: nothing for PUBLIC by
-- accident, no function with more rights than its caller, all of it explained.
\set SHOW_CONTEXT never
CREATE TEMP VIEW members AS SELECT classid, objid FROM pg_depend
	WHERE refclassid = 'pg_extension'::regclass AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'pg_tide') AND deptype = 'e';

SELECT extname, n.nspname AS schema, extrelocatable AS relocatable, extconfig IS NULL AS "nothing dumped" FROM pg_extension e JOIN pg_namespace n ON n.oid = extnamespace WHERE extname = 'pg_tide';
SELECT DISTINCT trusted, superuser, requires FROM pg_available_extension_versions WHERE name = 'pg_tide';
-- every object is in the schema tide, and all of tide's objects are members
SELECT p.oid::regprocedure FROM members JOIN pg_proc p ON classid = 'pg_proc'::regclass AND objid = p.oid WHERE pronamespace <> 'tide'::regnamespace;
SELECT c.oid::regclass FROM members JOIN pg_class c ON classid = 'pg_class'::regclass AND objid = c.oid WHERE relnamespace <> 'tide'::regnamespace;
SELECT p.oid::regprocedure FROM pg_proc p WHERE pronamespace = 'tide'::regnamespace AND NOT EXISTS (SELECT FROM members WHERE classid = 'pg_proc'::regclass AND objid = p.oid);
-- no SECURITY DEFINER without a fixed search_path
SELECT p.oid::regprocedure, proconfig FROM members JOIN pg_proc p ON classid = 'pg_proc'::regclass AND objid = p.oid
	WHERE prosecdef AND NOT coalesce('search_path=pg_catalog, pg_temp' = ANY (proconfig), false);
-- functions in languages that look up names when they run have one too (one-line SQL without names may do without)
SELECT p.oid::regprocedure FROM members JOIN pg_proc p ON classid = 'pg_proc'::regclass AND objid = p.oid JOIN pg_language l ON l.oid = prolang
	WHERE lanname NOT IN ('c', 'internal') AND proconfig IS NULL AND p.proname NOT IN ('trusted', 'unrestricted');
-- all public objects have a comment
SELECT pg_describe_object(classid, objid, 0) FROM members
	WHERE classid IN ('pg_proc'::regclass, 'pg_class'::regclass, 'pg_type'::regclass, 'pg_operator'::regclass)
	AND obj_description(objid, (SELECT relname FROM pg_class c WHERE c.oid = classid)) IS NULL
	-- the row types of tables and what belongs to them need none
	AND NOT (classid = 'pg_type'::regclass AND EXISTS (SELECT FROM pg_type t LEFT JOIN pg_class c ON c.oid = t.typrelid WHERE t.oid = objid AND (c.relkind <> 'c' OR t.typelem <> 0)))
	AND NOT (classid = 'pg_class'::regclass AND EXISTS (SELECT FROM pg_class c WHERE c.oid = objid AND c.relkind IN ('i', 't', 'c')));
-- tables and sequences: nothing for anybody but the owner; views may be read
SELECT c.oid::regclass, c.relkind, a.privilege_type, a.grantee::regrole FROM members JOIN pg_class c ON classid = 'pg_class'::regclass AND objid = c.oid,
	aclexplode(coalesce(c.relacl, acldefault(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", c.relowner))) a
	WHERE a.grantee <> c.relowner AND NOT (c.relkind = 'v' AND a.privilege_type = 'SELECT');
SELECT c.oid::regclass, c.relkind FROM members JOIN pg_class c ON classid = 'pg_class'::regclass AND objid = c.oid
	WHERE has_table_privilege('public', c.oid, 'SELECT') AND relkind <> 'S' ORDER BY c.oid::regclass::text COLLATE "C";
-- the schema: USAGE for all, CREATE for none
SELECT has_schema_privilege('public', 'tide', 'USAGE') AS usage, has_schema_privilege('public', 'tide', 'CREATE') AS "create";
-- functions: what is not for everybody
SELECT p.oid::regprocedure AS "not for everybody" FROM members JOIN pg_proc p ON classid = 'pg_proc'::regclass AND objid = p.oid
	WHERE NOT has_function_privilege('public', p.oid, 'EXECUTE') ORDER BY p.oid::regprocedure::text COLLATE "C";
-- volatility, strictness and parallel safety are stated as they are
SELECT p.proname, provolatile AS volatile, proparallel AS parallel, proisstrict AS strict, proretset AS set FROM members JOIN pg_proc p ON classid = 'pg_proc'::regclass AND objid = p.oid
	WHERE p.proname IN ('track', 'untrack', 'upsert', 'delete', 'push', 'pull', 'changes', 'cursor', 'schema', 'protocol', 'register', 'stamp', 'capture', 'unrestricted') ORDER BY p.proname::text COLLATE "C";
-- the settings: who may set them
LOAD 'pg_tide';
SELECT name, context, vartype, boot_val FROM pg_settings WHERE name LIKE 'pg\_tide.%' ORDER BY name::text COLLATE "C";

-- each script refuses to be run by hand, and has no CREATE OR REPLACE
SELECT count(*) > 1 AS several, sum(guard) = count(*) AS guarded, sum(replaces) AS replaces, sum(definers) AS definers
	FROM (SELECT sum((line ~ '^\\echo Use "(CREATE EXTENSION pg_tide|ALTER EXTENSION pg_tide UPDATE)" to load this file. \\quit$')::int) AS guard,
			sum((line ~* 'or\s+replace')::int) AS replaces, sum((line ~* 'security\s+definer')::int) AS definers
		FROM (SELECT setting || '/extension' AS directory FROM pg_config WHERE name = 'SHAREDIR') d,
			pg_ls_dir(directory) AS script, regexp_split_to_table(pg_read_file(directory || '/' || script), '\n') line
		WHERE script ~ '^pg_tide--.*\.sql$' GROUP BY script) scripts;
-- an object that is in the way is not taken over
CREATE DATABASE regress_pg_tide_lint TEMPLATE template0;
SELECT current_database() AS home \gset
\c regress_pg_tide_lint
CREATE SCHEMA tide;
CREATE FUNCTION tide.unrestricted() RETURNS boolean LANGUAGE sql AS 'SELECT true';
CREATE EXTENSION pg_tide;
DROP SCHEMA tide CASCADE;
CREATE EXTENSION pg_tide SCHEMA public;
CREATE EXTENSION pg_tide;
ALTER EXTENSION pg_tide SET SCHEMA public;
-- dropped with nothing left, and tracked tables only with CASCADE; the tables stay
CREATE TABLE t (id int PRIMARY KEY, n int);
SELECT tide.track('t', shared => true);
DROP EXTENSION pg_tide;
SET client_min_messages = warning;
DROP EXTENSION pg_tide CASCADE;
INSERT INTO t VALUES (1, 1);
SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal;
SELECT count(*) FROM pg_class WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = 'tide');
-- and installed again: nothing is tracked, and it can be
CREATE EXTENSION pg_tide;
SELECT count(*) FROM tide.tracked;
SELECT tide.track('t', shared => true);
UPDATE t SET n = 2;
SELECT operation, data->>'n' AS n FROM tide.changes();
\c :home
DROP DATABASE regress_pg_tide_lint;
