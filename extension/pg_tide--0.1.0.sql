/* pg_tide: offline-first sync. docs/reference.md explains each object. */

\echo Use "CREATE EXTENSION pg_tide" to load this file. \quit

GRANT USAGE ON SCHEMA tide TO PUBLIC;

-- ---------------------------------------------------------------------
-- What pg_tide remembers. Nobody but the owner reads or writes these, and
-- none of it is dumped: it is bound to the transaction ids of this database.
-- ---------------------------------------------------------------------

CREATE SEQUENCE tide.log_seq AS bigint NO CYCLE;
COMMENT ON SEQUENCE tide.log_seq IS 'orders the entries of tide.log within a transaction';

CREATE SEQUENCE tide.reg_seq AS integer NO CYCLE;
COMMENT ON SEQUENCE tide.reg_seq IS 'numbers the registrations of tracked tables';

-- A restored database has tables that were numbered elsewhere: no number of
-- theirs may come again once the table is gone, so each installation begins
-- somewhere of its own.
SELECT pg_catalog.setval('tide.reg_seq',
	CAST(pg_catalog.floor(pg_catalog.random() OPERATOR(pg_catalog.*) 1000000000) AS bigint) OPERATOR(pg_catalog.+) 1);

CREATE TABLE tide.log (
	xid			pg_catalog.xid8 NOT NULL,
	seq			bigint NOT NULL,
	relid		oid NOT NULL,
	reg			integer NOT NULL,
	scope		text COLLATE "C" NOT NULL,
	push		integer,
	subject		text COLLATE "C",
	client_id	text COLLATE "C",
	keys		text[] NOT NULL,
	for_subject	text COLLATE "C",
	for_client	text COLLATE "C"
) WITH (toast_tuple_target = 5000);	-- compressing some 100 keys costs more than it saves
ALTER TABLE tide.log REPLICA IDENTITY FULL;	-- where the database is published, entries can be forgotten
CREATE INDEX log_scope ON tide.log (scope, xid, seq);
-- for readers of every scope; partial, so that a reader of one is never planned to go through it
CREATE UNIQUE INDEX log_all ON tide.log (xid, seq) WHERE reg > 0;
COMMENT ON TABLE tide.log IS 'the change log: which rows changed, an entry for a statement and a scope';
COMMENT ON COLUMN tide.log.xid IS 'top-level transaction that made the change';
COMMENT ON COLUMN tide.log.reg IS 'registration of the table: tracked anew is another one';
COMMENT ON COLUMN tide.log.scope IS 'whose rows; empty for tables that are everybody''s';
COMMENT ON COLUMN tide.log.push IS 'which push of the transaction stored just this, and has shown it in its reply';
COMMENT ON COLUMN tide.log.subject IS 'the user who pushed, where there is a push';
COMMENT ON COLUMN tide.log.client_id IS 'the client that pushed, where there is a push';
COMMENT ON COLUMN tide.log.for_client IS 'with for_subject: whom alone this entry is for, because a change of theirs lost to these rows; NULL: everybody';
COMMENT ON COLUMN tide.log.keys IS 'keys of the rows; none: the table was tracked, all its rows are new, or untracked';

CREATE TABLE tide.tombstone (
	relid		oid NOT NULL,
	key			text COLLATE "C" NOT NULL,
	binds		text COLLATE "C" NOT NULL,
	scopes		text[],
	modified_at	timestamptz,
	client_id	text COLLATE "C",
	scope		text COLLATE "C",
	xid			pg_catalog.xid8 NOT NULL,
	image		text,
	clocks		jsonb,
	PRIMARY KEY (relid, key, binds)
);
COMMENT ON TABLE tide.tombstone IS 'deleted rows: key, scope and the stamp of the delete';
COMMENT ON COLUMN tide.tombstone.key IS 'the row''s key, or, where that is long, a hash of it';
COMMENT ON COLUMN tide.tombstone.binds IS 'empty where the delete binds everybody; else the scopes, in one text, or a hash of that';
COMMENT ON COLUMN tide.tombstone.scopes IS 'the scopes that alone the delete of a row binds that nobody has seen';
COMMENT ON COLUMN tide.tombstone.image IS 'where conflicts are merged: the row as it was, for changes that come late or bring it back; JSON of the texts of its columns';
COMMENT ON COLUMN tide.tombstone.clocks IS 'where conflicts are merged: stamps of the columns that were not the delete''s';

CREATE INDEX tombstone_xid ON tide.tombstone (xid);

CREATE TABLE tide.tombstone_pack (
	id			bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	relid		oid NOT NULL,
	span		pg_catalog.int8range NOT NULL,
	hashes		bigint[] NOT NULL,
	scopes		text[] COLLATE "C" NOT NULL,
	modified_at	timestamptz NOT NULL,
	client_id	text COLLATE "C",
	xid			pg_catalog.xid8 NOT NULL
);
COMMENT ON SEQUENCE tide.tombstone_pack_id_seq IS 'numbers packs of tombstones';
COMMENT ON TABLE tide.tombstone_pack IS 'rows that one TRUNCATE deleted, up to a thousand in each of these';
COMMENT ON COLUMN tide.tombstone_pack.span IS 'from the least to the greatest of the hashes';
COMMENT ON COLUMN tide.tombstone_pack.hashes IS 'hashes of the keys, ascending';
COMMENT ON COLUMN tide.tombstone_pack.scopes IS 'the scope of each, or one for all';

-- A key is looked up in few of them: those of one statement do not overlap.
CREATE INDEX tombstone_pack_span ON tide.tombstone_pack USING gist (span);
CREATE INDEX tombstone_pack_xid ON tide.tombstone_pack (xid);

CREATE TABLE tide.conflict (
	id			bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	relid		oid NOT NULL,
	reg			integer NOT NULL,
	key			text COLLATE "C" NOT NULL,
	scope		text COLLATE "C",
	kind		text NOT NULL,
	lost		text,
	lost_is_delete boolean NOT NULL,
	lost_modified_at timestamptz,
	lost_client_id text COLLATE "C",
	stood		text,
	stood_modified_at timestamptz,
	stood_client_id text COLLATE "C",
	role		name NOT NULL,
	subject		text,
	at			timestamptz NOT NULL,
	xid			pg_catalog.xid8 NOT NULL
);
COMMENT ON SEQUENCE tide.conflict_id_seq IS 'numbers conflicts, for tide.restore';
CREATE INDEX conflict_xid ON tide.conflict (xid);
COMMENT ON TABLE tide.conflict IS 'versions that lost';
COMMENT ON COLUMN tide.conflict.kind IS 'superseded: a pushed version lost; overruled: a stored one did; merged: a pushed version stands in part';
COMMENT ON COLUMN tide.conflict.lost IS 'JSON, as text: jsonb cannot hold all that a row can';

CREATE TABLE tide.sent (
	relid		oid NOT NULL,
	mark		bigint NOT NULL,
	key			text COLLATE "C" NOT NULL,
	sent_at		timestamptz NOT NULL,
	client_id	text COLLATE "C",
	subject		text COLLATE "C",
	digest		bytea NOT NULL,
	image		text,
	stored_at	timestamptz,
	stored_client_id text COLLATE "C",
	in_part		boolean NOT NULL,
	raised_to	timestamptz,
	known_as	timestamptz,
	xid			pg_catalog.xid8 NOT NULL
);
-- no unique key to name rows by where the database is published: none is needed
ALTER TABLE tide.sent REPLICA IDENTITY FULL;
CREATE INDEX sent_mark ON tide.sent (relid, mark);
CREATE INDEX sent_raised ON tide.sent (relid, key, raised_to) WHERE raised_to IS NOT NULL;
CREATE INDEX sent_xid ON tide.sent (xid);
COMMENT ON TABLE tide.sent IS 'pushed changes that the row does not tell of, for when one is sent again';
COMMENT ON COLUMN tide.sent.mark IS 'hash of key, stamp as sent and client';
COMMENT ON COLUMN tide.sent.key IS 'the row''s key, or, where that is long, a hash of it';
COMMENT ON COLUMN tide.sent.digest IS 'of all that was sent, and who sent it';
COMMENT ON COLUMN tide.sent.image IS 'the row, as JSON, where only that is known of what was sent';
COMMENT ON COLUMN tide.sent.stored_at IS 'the row''s stamp once it was stored; NULL: it lost';
COMMENT ON COLUMN tide.sent.in_part IS 'stored, but not all of it, because it was merged';
COMMENT ON COLUMN tide.sent.raised_to IS 'the time that it was stored with instead of its own, if that is a later one';
COMMENT ON COLUMN tide.sent.known_as IS 'the time that such a version counts by for who sent it';

CREATE TABLE tide.receipt (
	id			bytea PRIMARY KEY,
	role		name NOT NULL,
	subject		text COLLATE "C",
	batch_id	text COLLATE "C" NOT NULL,
	body_hash	bytea NOT NULL,
	reply		text NOT NULL,
	xid			pg_catalog.xid8 NOT NULL
);
CREATE INDEX receipt_xid ON tide.receipt (xid);
COMMENT ON TABLE tide.receipt IS 'replies to pushes that had a batchId, for when one is sent again';
COMMENT ON COLUMN tide.receipt.id IS 'hash of role, user and batchId, which together can be longer than an index takes';

CREATE TABLE tide.horizon (
	xid			pg_catalog.xid8 NOT NULL,
	at			timestamptz NOT NULL,
	pruned_at	timestamptz NOT NULL
);
ALTER TABLE tide.horizon REPLICA IDENTITY FULL;
CREATE INDEX horizon_xid ON tide.horizon (xid);
COMMENT ON TABLE tide.horizon IS 'what is older than this has been forgotten; one row once tide.prune has run';

CREATE TABLE tide.sample (
	at			timestamptz NOT NULL,
	snapshot	pg_catalog.pg_snapshot NOT NULL
);
ALTER TABLE tide.sample REPLICA IDENTITY FULL;
CREATE INDEX sample_at ON tide.sample (at);
COMMENT ON TABLE tide.sample IS 'which transactions were visible at a time, about one a minute while there are writes';

CREATE TABLE tide.generation (
	id			bigint NOT NULL,
	position	pg_catalog.pg_lsn NOT NULL,
	first_xid	pg_catalog.xid8 NOT NULL,
	started_at	timestamptz NOT NULL,
	xid			pg_catalog.xid8 PRIMARY KEY
);
COMMENT ON TABLE tide.generation IS 'starts of the server, by which cursors of another copy of the database are told';
COMMENT ON COLUMN tide.generation.id IS 'random; in cursors. It can be there more than once, with the same contents';
COMMENT ON COLUMN tide.generation.position IS 'no WAL of this start is before it; 0: not known';
COMMENT ON COLUMN tide.generation.first_xid IS 'cursors of earlier starts have seen no transaction from this one on';
COMMENT ON COLUMN tide.generation.xid IS 'transaction that registered it: generations are in this order';

-- ---------------------------------------------------------------------
-- Tracking
-- ---------------------------------------------------------------------

CREATE FUNCTION tide.track(
	relation	regclass,
	entity_type	text DEFAULT NULL,
	scope		text DEFAULT NULL,
	shared		boolean DEFAULT false,
	conflict	text DEFAULT 'last_write_wins',
	modified_at	name DEFAULT NULL,
	client_id	name DEFAULT NULL,
	version		name DEFAULT NULL,
	deleted_at	name DEFAULT NULL,
	naming		text DEFAULT 'as_is',
	utc			boolean DEFAULT true,
	exclude		name[] DEFAULT '{}',
	scope_column name DEFAULT NULL,
	add_columns	boolean DEFAULT true,
	replicated	boolean DEFAULT false)
RETURNS void
AS 'MODULE_PATHNAME', 'tide_track'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION tide.track(regclass, text, text, boolean, text, name, name, name, name, text, boolean, name[], name, boolean, boolean)
IS 'sync this table: each row belongs to the scope that a column names, or to everybody (shared)';

CREATE FUNCTION tide.untrack(relation regclass, drop_columns boolean DEFAULT false)
RETURNS void
AS 'MODULE_PATHNAME', 'tide_untrack'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION tide.untrack(regclass, boolean)
IS 'stop syncing this table; drop_columns also drops the columns that tide.track added';

CREATE FUNCTION tide.tracked_tables(
	OUT relation regclass, OUT entity_type text, OUT scope text, OUT shared boolean,
	OUT conflict text, OUT modified_at name, OUT client_id name, OUT version name,
	OUT deleted_at name, OUT naming text, OUT utc boolean, OUT exclude name[],
	OUT replicated boolean, OUT registration integer, OUT problem text, OUT scope_column name)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'tide_tracked_tables'
LANGUAGE C STABLE PARALLEL RESTRICTED;
COMMENT ON FUNCTION tide.tracked_tables() IS 'what the view tide.tracked shows';

CREATE VIEW tide.tracked AS SELECT * FROM tide.tracked_tables();
GRANT SELECT ON tide.tracked TO PUBLIC;
COMMENT ON VIEW tide.tracked IS 'the tracked tables and their settings, parents before children';

CREATE FUNCTION tide.stamp()
RETURNS trigger
AS 'MODULE_PATHNAME', 'tide_stamp'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION tide.stamp() IS 'stamps each changed row; its arguments are the settings of the tracked table';

CREATE FUNCTION tide.scope()
RETURNS trigger
AS 'MODULE_PATHNAME', 'tide_scope'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION tide.scope() IS 'finds the scope of each written row by the foreign keys that the table is tracked by';

CREATE FUNCTION tide.scope_late()
RETURNS trigger
AS 'MODULE_PATHNAME', 'tide_scope_late'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION tide.scope_late() IS 'finds, at the end of the transaction, the scope of rows that were written before what they refer to';

CREATE FUNCTION tide.path()
RETURNS trigger
AS 'MODULE_PATHNAME', 'tide_path'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION tide.path() IS 'on a table that scopes are found by: moves the rows below one that leads elsewhere now';

CREATE FUNCTION tide.capture()
RETURNS trigger
AS 'MODULE_PATHNAME', 'tide_capture'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION tide.capture() IS 'writes what a statement changed to the change log';

CREATE FUNCTION tide.capture_row()
RETURNS trigger
AS 'MODULE_PATHNAME', 'tide_capture_row'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION tide.capture_row() IS 'likewise, row by row: of partitioned tables and of those that logical replication writes to';

CREATE FUNCTION tide.partition_change()
RETURNS event_trigger
AS 'MODULE_PATHNAME', 'tide_partition_change'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION tide.partition_change() IS 'writes the rows of a partition that comes or goes to the change log';

-- Rows of a partition come with ATTACH and go with DETACH and DROP, and no
-- table's trigger fires.
CREATE EVENT TRIGGER tide_before_partition_change ON ddl_command_start
	WHEN TAG IN ('ALTER TABLE', 'DROP TABLE', 'DROP SCHEMA', 'DROP OWNED', 'DROP EXTENSION',
		'DROP TYPE', 'DROP DOMAIN', 'DROP FUNCTION', 'DROP ROUTINE', 'DROP COLLATION',
		'DROP ACCESS METHOD', 'DROP OPERATOR CLASS', 'DROP OPERATOR FAMILY', 'DROP SERVER',
		'DROP FOREIGN DATA WRAPPER')
	EXECUTE FUNCTION tide.partition_change();
COMMENT ON EVENT TRIGGER tide_before_partition_change IS 'pg_tide: rows that go with a partition';
CREATE EVENT TRIGGER tide_after_partition_change ON ddl_command_end
	WHEN TAG IN ('CREATE TABLE', 'CREATE SCHEMA', 'ALTER TABLE', 'DROP TABLE', 'DROP SCHEMA', 'DROP OWNED',
		'DROP EXTENSION', 'DROP TYPE', 'DROP DOMAIN', 'DROP FUNCTION', 'DROP ROUTINE', 'DROP COLLATION',
		'DROP ACCESS METHOD', 'DROP OPERATOR CLASS', 'DROP OPERATOR FAMILY', 'DROP SERVER',
		'DROP FOREIGN DATA WRAPPER')
	EXECUTE FUNCTION tide.partition_change();
COMMENT ON EVENT TRIGGER tide_after_partition_change IS 'pg_tide: triggers of new partitions, rows that come or go with one';

-- ---------------------------------------------------------------------
-- Writing
-- ---------------------------------------------------------------------

CREATE TYPE tide.verdict AS (
	status			text,
	data			jsonb,
	code			text,
	message			text,
	constraint_name	text,
	column_name		text,
	note			text
);
COMMENT ON TYPE tide.verdict IS 'what became of a change: applied, unchanged, superseded or failed, and the row as it now stands';

CREATE FUNCTION tide.upsert(relation regclass, data jsonb,
	modified_at timestamptz DEFAULT NULL, client_id text DEFAULT NULL)
RETURNS tide.verdict
AS 'MODULE_PATHNAME', 'tide_upsert'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION tide.upsert(regclass, jsonb, timestamptz, text)
IS 'insert or patch one row, unless a newer version stands';

CREATE FUNCTION tide.delete(relation regclass, key jsonb,
	modified_at timestamptz DEFAULT NULL, client_id text DEFAULT NULL)
RETURNS tide.verdict
AS 'MODULE_PATHNAME', 'tide_delete'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION tide.delete(regclass, jsonb, timestamptz, text)
IS 'delete one row, unless a newer version stands';

CREATE FUNCTION tide.push(body jsonb, scopes text[] DEFAULT NULL, client_id text DEFAULT NULL,
	batch_id text DEFAULT NULL, atomic boolean DEFAULT NULL)
RETURNS json
AS 'MODULE_PATHNAME', 'tide_push'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION tide.push(jsonb, text[], text, text, boolean)
IS 'apply a batch of changes; what cannot be stored is named and harms no other change';

CREATE FUNCTION tide.push_json(body bytea, scopes text[] DEFAULT NULL, client_id text DEFAULT NULL,
	batch_id text DEFAULT NULL, atomic boolean DEFAULT NULL,
	OUT reply json, OUT changes integer)
RETURNS record
AS 'MODULE_PATHNAME', 'tide_push_json'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION tide.push_json(bytea, text[], text, text, boolean)
IS 'tide.push, for the gateway: of a body that is JSON text in UTF-8, so that a change that jsonb or the encoding of the database does not take fails, and no other; also how many changes there are';

CREATE FUNCTION tide.push_as(body bytea, role text, claims text, client_id text, times text,
	max_push_changes int, timeout int, lock_timeout int, OUT reply json, OUT changes int)
RETURNS record
AS 'MODULE_PATHNAME', 'tide_push_as'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION tide.push_as(bytea, text, text, text, text, int, int, int)
IS 'tide.push_json as this role, with these claims, settings and timeouts in milliseconds, until the end of the transaction: for the gateway, whose push is this statement alone. It takes no rights but those of tide.push_json and of setting these';

CREATE FUNCTION tide.push_grouped(body bytea, role text, claims text, client_id text, times text,
	max_push_changes int, timeout int, lock_timeout int, OUT reply json, OUT changes int)
RETURNS record
AS 'MODULE_PATHNAME', 'tide_push_grouped'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION tide.push_grouped(bytea, text, text, text, text, int, int, int)
IS 'tide.push_as in a transaction that other users'' pushes share, for the gateway. An error is one of all of them: TD017 where a push must be alone, because of what its tables may run';

CREATE FUNCTION tide.conflict_is_visible(relid oid, scope text, subject text)
RETURNS boolean
AS 'MODULE_PATHNAME', 'tide_conflict_is_visible'
LANGUAGE C STABLE PARALLEL UNSAFE;
COMMENT ON FUNCTION tide.conflict_is_visible(oid, text, text)
IS 'may the caller see a conflict of this table and scope, which this user has pushed? for the view tide.conflicts';

CREATE FUNCTION tide.as_jsonb(version json)
RETURNS jsonb
AS 'MODULE_PATHNAME', 'tide_as_jsonb'
LANGUAGE C STABLE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION tide.as_jsonb(json)
IS 'a row as jsonb, NULL if it is too large for that; for the view tide.conflicts';

CREATE VIEW tide.conflicts WITH (security_barrier) AS
SELECT c.id, c.at, CAST(c.relid AS pg_catalog.regclass) AS relation, c.key, c.scope, c.kind,
	tide.as_jsonb(CAST(c.lost AS pg_catalog.json)) AS lost, c.lost_is_delete, c.lost_modified_at, c.lost_client_id,
	tide.as_jsonb(CAST(c.stood AS pg_catalog.json)) AS stood, c.stood_modified_at, c.stood_client_id, c.role, c.subject
FROM tide.conflict c WHERE tide.conflict_is_visible(c.relid, c.scope, c.subject);
GRANT SELECT ON tide.conflicts TO PUBLIC;
COMMENT ON VIEW tide.conflicts IS 'versions that lost, each with the one that stood, until they are pruned: those of the scopes that the caller may sync; a version too large for jsonb is NULL here, and kept';

CREATE FUNCTION tide.restore(conflict_id bigint)
RETURNS tide.verdict
AS 'MODULE_PATHNAME', 'tide_restore'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION tide.restore(bigint)
IS 'put a version that lost back, as a change of now and with the caller''s rights on the table';

-- ---------------------------------------------------------------------
-- Reading
-- ---------------------------------------------------------------------

CREATE FUNCTION tide.pull(since text DEFAULT NULL, scopes text[] DEFAULT NULL,
	entity_types text[] DEFAULT NULL, max_rows int DEFAULT 100, client_id text DEFAULT NULL,
	refresh text[] DEFAULT NULL, max_bytes int DEFAULT 8388608, acks text[] DEFAULT NULL)
RETURNS json
AS 'MODULE_PATHNAME', 'tide_pull'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION tide.pull(text, text[], text[], int, text, text[], int, text[])
IS 'what changed since a cursor, a time or now, as the JSON document that the gateway sends';

CREATE FUNCTION tide.pull_page(since text DEFAULT NULL, scopes text[] DEFAULT NULL,
	entity_types text[] DEFAULT NULL, max_rows int DEFAULT 100, client_id text DEFAULT NULL,
	refresh text[] DEFAULT NULL, max_bytes int DEFAULT 8388608, acks text[] DEFAULT NULL,
	OUT reply json, OUT items integer, OUT more boolean, OUT news boolean, OUT cursor text,
	OUT interest json)
RETURNS record
AS 'MODULE_PATHNAME', 'tide_pull_page'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION tide.pull_page(text, text[], text[], int, text, text[], int, text[])
IS 'as tide.pull, for the gateway: also how many rows and deletions the reply has, whether there are more, whether the reply tells the client anything that it must not wait for, the cursor, and what a pull that goes on from there is about';

CREATE FUNCTION tide.pull_lines(since text DEFAULT NULL, scopes text[] DEFAULT NULL,
	entity_types text[] DEFAULT NULL, max_rows int DEFAULT 100, client_id text DEFAULT NULL,
	refresh text[] DEFAULT NULL, max_bytes int DEFAULT 8388608, acks text[] DEFAULT NULL,
	page_bytes int DEFAULT 1048576,
	OUT lines text, OUT items integer, OUT news boolean, OUT more boolean,
	OUT opening text, OUT must_open boolean, OUT cursor text, OUT tail text, OUT counts json,
	OUT interest json)
RETURNS record
AS 'MODULE_PATHNAME', 'tide_pull_lines'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION tide.pull_lines(text, text[], text[], int, text, text[], int, text[], int)
IS 'as tide.pull, for the gateway''s streams: a page as lines, each of them a JSON object, the line that has to go before them in any case at the beginning of a stream, and else if the page begins something, and what the last line of all is made of';

CREATE FUNCTION tide.changes(since text DEFAULT NULL, scopes text[] DEFAULT NULL,
	entity_types text[] DEFAULT NULL, max_rows int DEFAULT 100)
RETURNS TABLE (entity_type text, operation text, key jsonb, data jsonb,
	modified_at timestamptz, client_id text, cursor text)
AS 'MODULE_PATHNAME', 'tide_changes'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION tide.changes(text, text[], text[], int)
IS 'what changed since a cursor or a time, a row a changed row; continue after a row with its cursor; data is NULL of an upsert that is too large for jsonb';

CREATE FUNCTION tide.cursor()
RETURNS text
AS 'MODULE_PATHNAME', 'tide_cursor'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION tide.cursor()
IS 'a cursor that says "from now on", for every scope that the caller may see and every entity type';

CREATE FUNCTION tide.scopes()
RETURNS text[]
AS 'MODULE_PATHNAME', 'tide_scopes'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION tide.scopes()
IS 'the scopes that the caller may sync; NULL: every scope';

CREATE FUNCTION tide.keys(scopes text[] DEFAULT NULL, entity_types text[] DEFAULT NULL,
	buckets int[] DEFAULT NULL)
RETURNS json
AS 'MODULE_PATHNAME', 'tide_keys'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION tide.keys(text[], text[], int[])
IS 'the keys of all rows that the caller may sync, for a client that cannot tell which of its rows are gone; of some buckets of tide.digest, with their stamps';

CREATE FUNCTION tide.digest(since text, scopes text[] DEFAULT NULL, entity_types text[] DEFAULT NULL)
RETURNS json
AS 'MODULE_PATHNAME', 'tide_digest'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION tide.digest(text, text[], text[])
IS 'counts and sums of the rows that the caller may sync, in 256 buckets a type, to compare a copy with that was pulled up to this cursor';

CREATE FUNCTION tide.rows(body jsonb, scopes text[] DEFAULT NULL,
	max_rows int DEFAULT 500, max_bytes int DEFAULT 8388608)
RETURNS json
AS 'MODULE_PATHNAME', 'tide_rows'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION tide.rows(jsonb, text[], int, int)
IS 'the rows of these keys as the caller''s pulls would send them, as far as there are such rows';

CREATE FUNCTION tide.schema()
RETURNS json
AS 'MODULE_PATHNAME', 'tide_schema'
LANGUAGE C STABLE PARALLEL RESTRICTED;
COMMENT ON FUNCTION tide.schema() IS 'the entity types that the caller may read: columns, keys, what refers to what, conflict policies';

CREATE FUNCTION tide.touch(relation regclass, keys jsonb)
RETURNS bigint
AS 'MODULE_PATHNAME', 'tide_touch'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION tide.touch(regclass, jsonb)
IS 'send these rows again, because who may see them changed elsewhere; returns how many there are';

-- ---------------------------------------------------------------------
-- Upkeep
-- ---------------------------------------------------------------------

CREATE FUNCTION tide.prune(keep interval DEFAULT '30 days')
RETURNS bigint
AS 'MODULE_PATHNAME', 'tide_prune'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
REVOKE EXECUTE ON FUNCTION tide.prune(interval) FROM PUBLIC;
COMMENT ON FUNCTION tide.prune(interval)
IS 'forget changes and tombstones that are older than this; cursors from before start over. Returns how many rows went';

CREATE FUNCTION tide.maintain()
RETURNS bigint
AS 'MODULE_PATHNAME', 'tide_maintain'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
REVOKE EXECUTE ON FUNCTION tide.maintain() FROM PUBLIC;
COMMENT ON FUNCTION tide.maintain()
IS 'prune what is older than pg_tide.retention, a bounded piece at a time; for a timer, such as the gateway''s';

CREATE FUNCTION tide.register()
RETURNS void
AS 'MODULE_PATHNAME', 'tide_register'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION tide.register()
IS 'take note of this start of the server, so that a read-only transaction can pull; who writes does it anyhow';

CREATE FUNCTION tide.watch(since text DEFAULT NULL,
	OUT mark text, OUT server text, OUT at bigint, OUT known boolean,
	OUT scopes text[], OUT types int[])
RETURNS record
AS 'MODULE_PATHNAME', 'tide_watch'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
REVOKE EXECUTE ON FUNCTION tide.watch(text) FROM PUBLIC;
COMMENT ON FUNCTION tide.watch(text)
IS 'for the gateway: which types (numbers as in tide.tracked) changed in which scopes since an earlier call''s mark; not known: anything may have';

CREATE FUNCTION tide.check(role name DEFAULT NULL)
RETURNS TABLE (severity text, object text, problem text, hint text)
AS 'MODULE_PATHNAME', 'tide_check'
LANGUAGE C STABLE PARALLEL RESTRICTED;
COMMENT ON FUNCTION tide.check(name)
IS 'what keeps sync from being right or fast here: error, warning, info; of a role: what it cannot do, and why its pulls are empty';

-- ---------------------------------------------------------------------
-- Privileges
-- ---------------------------------------------------------------------

CREATE FUNCTION tide.unrestricted()
RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS 'SELECT true';
REVOKE EXECUTE ON FUNCTION tide.unrestricted() FROM PUBLIC;
COMMENT ON FUNCTION tide.unrestricted()
IS 'who may execute this may sync every scope when no claims are set';

CREATE FUNCTION tide.trusted()
RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS 'SELECT true';
REVOKE EXECUTE ON FUNCTION tide.trusted() FROM PUBLIC;
COMMENT ON FUNCTION tide.trusted()
IS 'whose owner may execute this, that table can be synced: every pull runs its policies with the claims of whoever pulls';

CREATE FUNCTION tide.protocol()
RETURNS integer
AS 'MODULE_PATHNAME', 'tide_protocol'
LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION tide.protocol() IS 'major version of the wire protocol that this extension speaks';

-- whoever pulls first may be read-only
SELECT tide.register();
