-- What tide.track refuses, and what it tells people to do instead.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA refused;
SET search_path = refused;
-- the SQLSTATE of what must fail, whatever it says
CREATE FUNCTION refusal(command text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE command;
	RETURN 'not refused';
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE;
END $$;
CREATE TABLE note (id uuid PRIMARY KEY, user_id text, title text, tags text[]);
CREATE INDEX ON note (user_id);

-- arguments
SELECT tide.track(NULL, shared => true);
SELECT tide.track('refused.absent', shared => true);
SELECT tide.track('note');
SELECT tide.track('note', scope => 'user_id', shared => true);
SELECT tide.track('note', scope => 'owner_id');
SELECT tide.track('note', scope => 'USER_ID');
SELECT tide.track('note', scope => '');
SELECT tide.track('note', scope => 'tags');
SELECT tide.track('note', scope => 'ctid');
SELECT tide.track('note', entity_type => '', scope => 'user_id');
SELECT tide.track('note', scope => 'user_id', conflict => 'newest');
SELECT tide.track('note', scope => 'user_id', naming => 'snake');

-- scopes that follow foreign keys have a test of their own
SELECT tide.track('note', scope => 'plan_id.athlete_id');
SELECT tide.track('note', scope => 'user_id', scope_column => 'tide_scope');
SELECT tide.track('note', scope => 'user_id', conflict => 'refused.my_resolver');

-- columns of the wrong kind, and missing ones with add_columns => false
SELECT tide.track('note', scope => 'user_id', modified_at => 'title');
SELECT tide.track('note', scope => 'user_id', client_id => 'id');
SELECT tide.track('note', scope => 'user_id', version => 'title');
SELECT tide.track('note', scope => 'user_id', deleted_at => 'title');
SELECT tide.track('note', scope => 'user_id', exclude => '{secret}');
SELECT tide.track('note', scope => 'user_id', exclude => '{id}');
SELECT tide.track('note', scope => 'user_id', exclude => '{user_id}');
SELECT tide.track('note', scope => 'user_id', add_columns => false);
SELECT tide.track('note', scope => 'user_id', naming => 'camel', add_columns => false);
SELECT tide.track('note', scope => 'user_id', modified_at => 'Changed At', add_columns => false);
ALTER TABLE note ADD "lastModifiedAt" timestamptz;
SELECT tide.track('note', scope => 'user_id', add_columns => false);
ALTER TABLE note ADD "clientId" text;
SELECT tide.track('note', scope => 'user_id', version => 'version', add_columns => false);
SELECT tide.track('note', scope => 'user_id', deleted_at => 'deleted_at', add_columns => false);
CREATE TABLE ranks (id int PRIMARY KEY, made timestamptz NOT NULL, who text NOT NULL,
	up int GENERATED ALWAYS AS (id + 1) STORED,
	at timestamp GENERATED ALWAYS AS ('2020-01-01'::timestamp) STORED);
SELECT tide.track('ranks', shared => true, version => 'up');
SELECT tide.track('ranks', shared => true, modified_at => 'at');
SELECT tide.track('ranks', shared => true, client_id => 'who');
SELECT tide.track('ranks', shared => true, deleted_at => 'made');

-- one column in two roles
ALTER TABLE ranks ADD t1 timestamptz;
SELECT refusal($$SELECT tide.track('ranks', shared => true, modified_at => 't1', deleted_at => 't1')$$);
SELECT refusal($$SELECT tide.track('note', scope => 'user_id', client_id => 'user_id')$$);

-- relations of the wrong kind
CREATE TABLE keyless (user_id text);
SELECT tide.track('keyless', scope => 'user_id');
CREATE TABLE arraykey (id int[] PRIMARY KEY);
SELECT tide.track('arraykey', shared => true);
CREATE VIEW note_view AS SELECT * FROM note;
SELECT tide.track('note_view', scope => 'user_id');
CREATE MATERIALIZED VIEW note_matview AS SELECT * FROM note;
SELECT tide.track('note_matview', scope => 'user_id');
CREATE SEQUENCE seq;
SELECT tide.track('seq', shared => true);
SELECT tide.track('note_pkey', shared => true);
CREATE TEMP TABLE temporary (id int PRIMARY KEY);
SELECT tide.track('temporary', shared => true);
CREATE UNLOGGED TABLE unlogged (id int PRIMARY KEY);
SELECT tide.track('unlogged', shared => true);
CREATE TABLE parent (id int PRIMARY KEY);
CREATE TABLE child (PRIMARY KEY (id)) INHERITS (parent);
SELECT tide.track('parent', shared => true);
SELECT tide.track('child', shared => true);
CREATE TABLE parts (id int PRIMARY KEY) PARTITION BY RANGE (id);
CREATE TABLE part1 PARTITION OF parts FOR VALUES FROM (0) TO (10) PARTITION BY RANGE (id);
CREATE TABLE part2 PARTITION OF part1 FOR VALUES FROM (0) TO (10);
SELECT tide.track('part2', shared => true);
SELECT tide.track('part1', shared => true);
CREATE UNLOGGED TABLE part3 PARTITION OF parts FOR VALUES FROM (10) TO (20);
SELECT tide.track('parts', shared => true);
-- PostgreSQL has no primary key over foreign partitions: the reason comes first
CREATE FOREIGN DATA WRAPPER refused_wrapper;
CREATE SERVER refused_server FOREIGN DATA WRAPPER refused_wrapper;
CREATE TABLE elsewhere (id int) PARTITION BY RANGE (id);
CREATE FOREIGN TABLE elsewhere1 PARTITION OF elsewhere FOR VALUES FROM (0) TO (10) SERVER refused_server;
SELECT tide.track('elsewhere', shared => true);
DROP FOREIGN DATA WRAPPER refused_wrapper CASCADE;
SELECT tide.track('elsewhere', shared => true);
-- a key of the root alone is none yet
CREATE TABLE half (id int NOT NULL) PARTITION BY RANGE (id);
CREATE TABLE half1 PARTITION OF half FOR VALUES FROM (0) TO (10);
ALTER TABLE ONLY half ADD PRIMARY KEY (id);
SELECT tide.track('half', shared => true);
-- texts that depend on search_path, on lc_monetary, or on a name
CREATE TABLE by_class (id regclass PRIMARY KEY, price money, who regrole);
SELECT tide.track('by_class', shared => true);
ALTER TABLE by_class DROP CONSTRAINT by_class_pkey, ADD PRIMARY KEY (price);
SELECT tide.track('by_class', shared => true);
ALTER TABLE by_class ADD n int, DROP CONSTRAINT by_class_pkey, ADD PRIMARY KEY (n);
SELECT tide.track('by_class', scope => 'who');
SELECT tide.track('pg_catalog.pg_class', shared => true);
SELECT refusal($$SELECT tide.track('tide.log', shared => true)$$);
SELECT refusal($$SELECT tide.track('tide.tombstone', shared => true)$$);
SELECT refusal($$SELECT tide.track('tide.sample', shared => true, add_columns => true)$$);

-- only the owner tracks and untracks
CREATE ROLE refused_stranger;
GRANT ALL ON SCHEMA refused TO refused_stranger;
GRANT ALL ON note TO refused_stranger;
SET ROLE refused_stranger;
SELECT tide.track('note', scope => 'user_id');
SELECT tide.untrack('note');
RESET ROLE;

-- untrack
SELECT tide.untrack('note');
SELECT tide.untrack('note_view');
SELECT tide.untrack(NULL) IS NULL AS strict;

-- after all that nothing is tracked, and nothing was added
SELECT count(*) FROM tide.tracked JOIN pg_class ON oid = relation
	WHERE relnamespace IN ('refused'::regnamespace, 'tide'::regnamespace);
SELECT count(*) FROM pg_trigger g JOIN pg_class c ON c.oid = tgrelid
	WHERE relnamespace = 'refused'::regnamespace AND NOT tgisinternal;
SELECT string_agg(attname, ',' ORDER BY attnum) FROM pg_attribute
	WHERE attrelid = 'note'::regclass AND attnum > 0;

DROP SCHEMA refused CASCADE;
DROP ROLE refused_stranger;
