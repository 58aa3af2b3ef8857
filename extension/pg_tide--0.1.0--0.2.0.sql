/* pg_tide 0.2.0: what came to 0.1.0, whose script is not changed any more. */

\echo Use "ALTER EXTENSION pg_tide UPDATE" to load this file. \quit

-- ---------------------------------------------------------------------
-- The library comes first: its packages are installed before a database is
-- updated, and a session goes on with the one that it has loaded.
-- ---------------------------------------------------------------------

DO $guard$
BEGIN
	CREATE FUNCTION tide.version()
	RETURNS text
	AS 'MODULE_PATHNAME', 'tide_version'
	LANGUAGE C STABLE PARALLEL SAFE;
EXCEPTION WHEN undefined_function THEN
	RAISE EXCEPTION USING
		ERRCODE = 'object_not_in_prerequisite_state',
		MESSAGE = 'pg_tide 0.2.0 does not run with the library of pg_tide 0.1.0 that this session has loaded',
		HINT = 'Install pg_tide 0.2.0 on the server, connect again, and repeat the command.';
END
$guard$;
COMMENT ON FUNCTION tide.version() IS 'version of the library that this session has loaded; that of the SQL objects is in pg_extension';

-- ---------------------------------------------------------------------
-- Hot standbys
-- ---------------------------------------------------------------------

CREATE FUNCTION tide.replayed(since text DEFAULT NULL, acks text[] DEFAULT NULL,
	OUT in_recovery boolean, OUT ready boolean, OUT reason text,
	OUT lag_bytes bigint, OUT lag_seconds double precision)
RETURNS record
AS 'MODULE_PATHNAME', 'tide_replayed'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION tide.replayed(text, text[])
IS 'has this standby replayed what a client has seen that pulls since there and shows these acks? If not, what is missing; a primary is always ready';

CREATE FUNCTION tide.timeline()
RETURNS integer
AS 'MODULE_PATHNAME', 'tide_timeline'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION tide.timeline()
IS 'the timeline that this server writes or, as a standby, replays: positions in the WAL are compared within one';

-- ---------------------------------------------------------------------
-- Pushes that share a transaction
-- ---------------------------------------------------------------------

CREATE FUNCTION tide.push_grouped(body bytea, role text, claims text, client_id text, times text,
	max_push_changes int, timeout int, lock_timeout int, OUT reply json, OUT changes int)
RETURNS record
AS 'MODULE_PATHNAME', 'tide_push_grouped'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION tide.push_grouped(bytea, text, text, text, text, int, int, int)
IS 'tide.push_as in a transaction that other users'' pushes share, for the gateway. An error is one of all of them: TD019 where a push must be alone, because of what its tables may run';

-- ---------------------------------------------------------------------
-- Columns of tracked tables that become others
-- ---------------------------------------------------------------------

-- These rename the columns of ordinary tables, too, and ALTER TYPE those of
-- tables that were made of the type.
CREATE EVENT TRIGGER tide_after_column_change ON ddl_command_end
	WHEN TAG IN ('ALTER VIEW', 'ALTER MATERIALIZED VIEW', 'ALTER FOREIGN TABLE', 'ALTER TYPE')
	EXECUTE FUNCTION tide.partition_change();
COMMENT ON EVENT TRIGGER tide_after_column_change IS 'pg_tide: columns that get another name by other commands than ALTER TABLE';

-- A column goes with its type, with the schema of that, with a function.
CREATE EVENT TRIGGER tide_after_drop ON sql_drop
	EXECUTE FUNCTION tide.partition_change();
COMMENT ON EVENT TRIGGER tide_after_drop IS 'pg_tide: columns that go, with whatever they depend on';

-- The rows of a table that is restored from a dump come before its triggers.
CREATE EVENT TRIGGER tide_after_trigger ON ddl_command_end
	WHEN TAG IN ('CREATE TRIGGER')
	EXECUTE FUNCTION tide.partition_change();
COMMENT ON EVENT TRIGGER tide_after_trigger IS 'pg_tide: tracked tables that were restored, of which clients have to read all';

-- Commands of a session that applies what others replicate count, too; what
-- logical replication applies by itself is no command.
ALTER EVENT TRIGGER tide_before_partition_change ENABLE ALWAYS;
ALTER EVENT TRIGGER tide_after_partition_change ENABLE ALWAYS;
ALTER EVENT TRIGGER tide_after_column_change ENABLE ALWAYS;
ALTER EVENT TRIGGER tide_after_drop ENABLE ALWAYS;
ALTER EVENT TRIGGER tide_after_trigger ENABLE ALWAYS;

-- ---------------------------------------------------------------------
-- Entries of many keys
-- ---------------------------------------------------------------------

-- Of a thousand UUIDs pglz makes nothing, and takes half of the time of a capture
-- for it.
DO $compress$
BEGIN
	ALTER TABLE tide.log ALTER COLUMN keys SET COMPRESSION lz4;
EXCEPTION WHEN feature_not_supported THEN
	NULL;						-- a server that was built without it
END
$compress$;
