-- tide.track, tide.untrack and tide.tracked: columns, settings, indexes.
\set SHOW_CONTEXT never
CREATE SCHEMA tracked;
SET search_path = tracked;
\set settings 'SELECT relation, entity_type, scope, shared, conflict, modified_at, client_id, version, deleted_at, naming, utc, exclude, problem FROM tide.tracked WHERE relation = $$t$$::regclass'
\set columns 'SELECT attname, format_type(atttypid, atttypmod) AS type, attnotnull, atthasdef, atthasmissing FROM pg_attribute WHERE attrelid = $$t$$::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum'

-- columns are added, nullable, without a default and without a rewrite
CREATE TABLE t (id bigint PRIMARY KEY, user_id text NOT NULL, body text);
INSERT INTO t VALUES (1, 'ann', 'old');
SELECT pg_relation_filenode('t') AS filenode \gset
SELECT tide.track('t', scope => 'user_id');
SELECT pg_relation_filenode('t') = :filenode AS not_rewritten;
:columns;
:settings;
-- a row from before has no stamp
TABLE t;

-- tracked again: settings are replaced, registration and so cursors stay
CREATE INDEX ON t (user_id);
SELECT tide.track('t', 'Thing', scope => 'user_id');
SELECT registration AS reg FROM tide.tracked WHERE relation = 't'::regclass \gset
SELECT tide.track('t', 'Thing', scope => 'user_id', version => 'version',
	deleted_at => 'deleted_at', naming => 'camel', utc => false, exclude => '{body}');
:settings;
:columns;
SELECT registration = :reg AS same_registration FROM tide.tracked WHERE relation = 't'::regclass;
SELECT tide.track('t', scope => 'user_id');
:settings;
-- another scope is another registration: cursors read the type again
SELECT tide.track('t', shared => true);
SELECT registration > :reg AS new_registration FROM tide.tracked WHERE relation = 't'::regclass;
:settings;

-- settings follow renamed columns and tables
SELECT tide.track('t', 'Thing', scope => 'user_id');
ALTER TABLE t RENAME COLUMN body TO text;
ALTER TABLE t RENAME TO t2;
INSERT INTO t2 (id, user_id, text) VALUES (2, 'ann', 'new');
SELECT id, text, "lastModifiedAt" IS NOT NULL AS stamped FROM t2 ORDER BY id;
ALTER TABLE t2 RENAME TO t;
-- a column that is gone: writes and pulls say so, and tracked names the problem
BEGIN;
ALTER TABLE t DROP COLUMN "clientId";
SELECT problem IS NOT NULL AS has_problem FROM tide.tracked WHERE relation = 't'::regclass;
INSERT INTO t (id, user_id) VALUES (3, 'ann');
ROLLBACK;

-- untrack leaves the columns, or drops them
SELECT tide.untrack('t');
:settings;
SELECT count(*) FROM pg_trigger WHERE tgrelid = 't'::regclass;
UPDATE t SET text = 'x' RETURNING id, "lastModifiedAt" IS NULL AS unstamped;
SELECT tide.untrack('t');
SELECT tide.track('t', scope => 'user_id');
SELECT registration > :reg AS new_registration FROM tide.tracked WHERE relation = 't'::regclass;
SELECT tide.untrack('t', drop_columns => true);
:columns;
DROP TABLE t;

-- columns that are there are adopted, whatever their type
CREATE TABLE prisma (id text PRIMARY KEY, "athleteId" text, "clientId" varchar(40),
	"lastModifiedAt" timestamp(3) NOT NULL);
CREATE INDEX ON prisma ("athleteId");
CREATE TABLE rails (id int PRIMARY KEY, user_id int, last_modified_at timestamp, client_id text,
	updated_at timestamp(0));
CREATE INDEX ON rails (user_id);
CREATE TABLE twice (id int PRIMARY KEY, "lastModifiedAt" timestamptz, last_modified_at timestamptz);
SELECT tide.track('prisma', scope => 'athleteId', add_columns => false);
SELECT tide.track('rails', scope => 'user_id', add_columns => false);
SELECT tide.track('twice', shared => true, naming => 'as_is');
SELECT relation, modified_at, client_id FROM tide.tracked
	WHERE relation::text IN ('prisma', 'rails', 'twice') ORDER BY relation::text COLLATE "C";
SELECT tide.track('rails', scope => 'user_id', modified_at => 'updated_at', add_columns => false);
SELECT relation, modified_at, client_id FROM tide.tracked WHERE relation = 'rails'::regclass;
-- camel: what is added is named in SQL's way
CREATE TABLE bare (id int PRIMARY KEY);
SELECT tide.track('bare', shared => true, naming => 'camel');
SELECT relation, modified_at, client_id FROM tide.tracked WHERE relation = 'bare'::regclass;

-- the index NOTICE: only where none serves the scope
CREATE TABLE i (id int PRIMARY KEY, user_id int, k int);
CREATE INDEX ON i (k, user_id);
CREATE INDEX ON i (user_id) WHERE k > 0;
CREATE INDEX ON i ((user_id + 0));
CREATE INDEX ON i USING brin (user_id);
CREATE INDEX ON i USING hash (user_id);
SELECT tide.track('i', scope => 'user_id');
CREATE INDEX ON i (user_id, k);
SELECT tide.track('i', scope => 'user_id');
CREATE TABLE scopekey (user_id int, id int, PRIMARY KEY (user_id, id));
SELECT tide.track('scopekey', scope => 'user_id');
CREATE TABLE "Odd ""Table" ("The Id" int PRIMARY KEY, "The User" int);
SELECT tide.track('"Odd ""Table"', scope => 'The User');

-- tracking is transactional
BEGIN;
SELECT tide.untrack('i', drop_columns => true);
ROLLBACK;
SELECT count(*) FROM tide.tracked WHERE relation = 'i'::regclass;
-- and goes with the table
DROP TABLE i;
SELECT string_agg(relation::text, ' ' ORDER BY relation::text COLLATE "C") FROM tide.tracked
	WHERE relation::text !~ '\.';
SET client_min_messages = warning;
DROP SCHEMA tracked CASCADE;
