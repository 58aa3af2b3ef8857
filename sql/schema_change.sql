-- Tables change under their clients: nothing is lost, nothing leaks, and what
-- no longer fits says so.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA change;
SET search_path = change;
CREATE TABLE t (id int PRIMARY KEY, user_id text, body text, secret text, v int);
CREATE INDEX ON t (user_id);
SELECT tide.track('t', scope => 'user_id', exclude => '{secret}', version => 'v');
INSERT INTO t VALUES (1, 'ann', 'a', 'hush'), (2, 'ann', 'b', 'hush');
SET request.jwt.claims = '{"sub": "ann"}';
SELECT tide.pull()->>'cursor' AS c \gset
\set rows 'SELECT operation, data - $${lastModifiedAt,clientId,user_id,v}$$::text[] AS data FROM tide.changes(:''c'', entity_types => $${t}$$) ORDER BY key'
-- what is the matter, if anything; and can it be written and read?
CREATE FUNCTION health(OUT problem boolean, OUT writes text, OUT pulls text, OUT leaks boolean) LANGUAGE plpgsql AS $$
DECLARE p json;
BEGIN
	problem := (SELECT x.problem IS NOT NULL FROM tide.tracked x WHERE relation = 'change.t'::regclass);
	BEGIN
		UPDATE t SET body = coalesce(body, '') || '.';
		writes := 'ok';
	EXCEPTION WHEN OTHERS THEN writes := SQLSTATE;
	END;
	BEGIN
		p := tide.pull(entity_types => '{t}');
		pulls := CASE p->>'unavailableTypes' WHEN '["t"]' THEN 'unavailable' ELSE 'ok' END;
		leaks := p::text ~ 'hush';
	EXCEPTION WHEN OTHERS THEN pulls := SQLSTATE;
	END;
END $$;
SELECT * FROM health();

-- columns come, are renamed and go; old clients push what they know
ALTER TABLE t ADD mood text DEFAULT 'fine', ADD rank int;
UPDATE t SET rank = id;
:rows;
SELECT status, data->>'mood' AS mood FROM tide.upsert('t', '{"id": 3, "body": "of an old client"}');
ALTER TABLE t RENAME body TO text;
SELECT code, column_name FROM tide.upsert('t', '{"id": 3, "body": "of an old client"}');
SELECT status FROM tide.upsert('t', '{"id": 3, "text": "of a new one"}');
ALTER TABLE t DROP rank, DROP mood;
:rows;
SELECT code, column_name FROM tide.upsert('t', '{"id": 3, "rank": 1}');
ALTER TABLE t ALTER text TYPE varchar(5) USING left(text, 5), ADD CHECK (text <> 'no');
SELECT code FROM tide.upsert('t', '{"id": 3, "text": "too long"}');
SELECT code FROM tide.upsert('t', '{"id": 3, "text": "no"}');
ALTER TABLE t ALTER text TYPE text;
ALTER TABLE t RENAME text TO body;
ALTER TABLE t ALTER id TYPE bigint, ALTER user_id TYPE varchar(40);
SELECT * FROM health();
SELECT operation, key FROM tide.changes(:'c', entity_types => '{t}') ORDER BY key;

-- a renamed column of a setting: the setting follows or everything stops, but
-- what is excluded is never sent
BEGIN;
ALTER TABLE t RENAME secret TO "Secret 2";
SELECT leaks IS NOT TRUE AS "no leak" FROM health();
SELECT tide.schema()::text ~ 'Secret 2' AS leaks;
ROLLBACK;
BEGIN;
ALTER TABLE t DROP secret, ADD secret2 text;
SELECT leaks IS NOT TRUE AS "no leak" FROM health();
ROLLBACK;
-- nor is it sent when another column gets its name.  Seen to fail with renames not taken down.
BEGIN;
ALTER TABLE t RENAME secret TO formerly;
ALTER TABLE t ADD secret text;
SELECT problem, leaks FROM health();
SELECT problem FROM tide.tracked WHERE relation = 'change.t'::regclass;
ALTER TABLE t RENAME formerly TO long_ago;
SELECT problem, leaks FROM health();
SAVEPOINT s;
SELECT tide.track('t', scope => 'user_id', exclude => '{secret,long_ago}', version => 'v');
SELECT * FROM health();
ROLLBACK TO s;
-- the column itself may come back
ALTER TABLE t DROP secret;
ALTER TABLE t RENAME long_ago TO secret;
SELECT * FROM health();
SELECT pg_get_triggerdef(oid) ~ 'moved' AS "taken down" FROM pg_trigger WHERE tgrelid = 't'::regclass AND tgname = 'zz_tide_stamp';
ROLLBACK;
-- scopes and keys that are others by now: nobody was told
BEGIN;
ALTER TABLE t ADD other text DEFAULT 'bob';
ALTER TABLE t RENAME user_id TO "a:b";
ALTER TABLE t RENAME other TO user_id;
SELECT problem, leaks FROM health();
ALTER TABLE t RENAME user_id TO "7:other";
ALTER TABLE t RENAME "a:b" TO user_id;
SELECT * FROM health();
ALTER TABLE t DROP user_id, ADD user_id text DEFAULT 'bob';
SELECT problem, leaks FROM health();
ROLLBACK;
BEGIN;
ALTER TABLE t ALTER user_id TYPE varchar(40) USING user_id::varchar COLLATE "C", ALTER id TYPE bigint USING change.t.id;
SELECT problem, leaks FROM health();
SAVEPOINT s;
ALTER TABLE t ALTER user_id TYPE text USING upper(user_id);
SELECT problem, leaks FROM health();
ROLLBACK TO s;
ALTER TABLE t ALTER user_id TYPE varchar(2) USING user_id::varchar(2);
SELECT problem, leaks FROM health();
ROLLBACK TO s;
ALTER TABLE t ALTER id TYPE bigint USING -id;
SELECT problem, leaks FROM health();
ROLLBACK;
BEGIN;
ALTER TABLE t DROP id, ADD id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY;
SELECT problem FROM health();
ROLLBACK;
-- a column that is another one's name in JSON
BEGIN;
SELECT tide.track('t', scope => 'user_id', exclude => '{secret}', version => 'v', naming => 'camel');
ALTER TABLE t ADD "userId" text;
SELECT problem, leaks FROM health();
SELECT problem FROM tide.tracked WHERE relation = 'change.t'::regclass;
SELECT tide.track('t', scope => 'user_id', exclude => '{secret,userId}', version => 'v', naming => 'camel');
SELECT * FROM health();
ROLLBACK;
-- a column that has got the name of one that tide.track added is not dropped
BEGIN;
ALTER TABLE t RENAME "lastModifiedAt" TO mine;
ALTER TABLE t ADD "lastModifiedAt" timestamptz;
SELECT problem, leaks FROM health();
SELECT tide.untrack('t', drop_columns => true);
SELECT string_agg(attname, ' ' ORDER BY attnum) AS columns FROM pg_attribute WHERE attrelid = 't'::regclass AND attnum > 0 AND NOT attisdropped;
ROLLBACK;
-- for the others: either all is well, or there is a problem and an error, never half
CREATE FUNCTION half(ddl text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE h record;
BEGIN
	EXECUTE ddl;
	SELECT * INTO h FROM health();
	IF h.problem THEN
		-- tracking again mends it
		BEGIN
			PERFORM tide.track('change.t', scope => 'user_id', version => 'v');
		EXCEPTION WHEN OTHERS THEN
			NULL;
		END;
	END IF;
	RAISE 'done' USING ERRCODE = 'P0099', DETAIL = (NOT (h.problem IS FALSE AND h.writes = 'ok' AND h.pulls = 'ok') AND NOT (h.problem AND h.writes <> 'ok' AND h.pulls <> 'ok'))::text;
EXCEPTION WHEN SQLSTATE 'P0099' THEN
	GET STACKED DIAGNOSTICS ddl = PG_EXCEPTION_DETAIL;
	RETURN ddl;
END $$;
SELECT ddl, half(ddl) FROM unnest(ARRAY['ALTER TABLE t RENAME user_id TO owner', 'ALTER TABLE t RENAME id TO key', 'ALTER TABLE t RENAME v TO version', 'ALTER TABLE t RENAME "lastModifiedAt" TO at', 'ALTER TABLE t RENAME "clientId" TO by',
	'ALTER TABLE t DROP user_id', 'ALTER TABLE t DROP v', 'ALTER TABLE t DROP "lastModifiedAt"', 'ALTER TABLE t DROP CONSTRAINT t_pkey', 'ALTER TABLE t DROP id, ADD id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY',
	'ALTER TABLE t DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (id, user_id)', 'ALTER TABLE t ALTER "lastModifiedAt" TYPE text', 'ALTER TABLE t ALTER v TYPE numeric', 'ALTER TABLE t ALTER "clientId" TYPE int USING NULL',
	'ALTER TABLE t RENAME TO t_renamed; ALTER TABLE t_renamed RENAME TO t', 'ALTER TABLE t ADD COLUMN "lastModifiedAt2" timestamptz', 'ALTER TABLE t ALTER user_id SET NOT NULL']) ddl;
-- what tracking would have refused, later
ALTER TABLE t SET UNLOGGED;
SELECT problem, writes = 'ok' AS writes FROM health();
DELETE FROM t WHERE id = 1;
TRUNCATE t;
ALTER TABLE t SET LOGGED;
-- a crash would have emptied it, and clients would keep the rows.  Seen to fail with nothing taken down.
SELECT problem, writes = 'ok' AS writes FROM health();
SELECT problem FROM tide.tracked WHERE relation = 'change.t'::regclass;
SELECT tide.track('t', scope => 'user_id', exclude => '{secret}', version => 'v');
SELECT problem, writes = 'ok' AS writes FROM health();
CREATE TABLE heir () INHERITS (t);
SELECT problem FROM health();
DROP TABLE heir;
-- rows that come through the partitioned table would fire no statement trigger of t;
-- older minor releases refuse the ATTACH by themselves
BEGIN;
CREATE TABLE parts (LIKE t) PARTITION BY LIST (user_id);
CREATE FUNCTION pg_temp.attach() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	ALTER TABLE parts ATTACH PARTITION t DEFAULT;
	RETURN true;
EXCEPTION WHEN feature_not_supported THEN
	RETURN false;
END $$;
SELECT pg_temp.attach() AS attached \gset
SELECT problem, writes = 'ok' AS writes FROM health() WHERE :'attached'
UNION ALL SELECT 't', false WHERE NOT :'attached';
ROLLBACK;
SELECT problem, writes FROM health();

-- values of the scope or key that are equal in several spellings: refused later, too
DO $$ BEGIN
	CREATE COLLATION any_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
EXCEPTION WHEN feature_not_supported THEN
	CREATE COLLATION any_case FROM "C"; -- built without ICU
END $$;
SELECT NOT collisdeterministic AS has_icu FROM pg_collation WHERE collname = 'any_case' \gset
BEGIN;
ALTER TABLE t ALTER user_id TYPE text COLLATE any_case;
SELECT problem OR NOT :'has_icu' AS problem, writes <> 'ok' OR NOT :'has_icu' AS refused FROM health();
ROLLBACK;

-- a key whose index is made anew with the columns in another order: what the log and tombstones say stays true.  Seen to
-- fail with the order of the index.
CREATE TABLE pair (a int, b int, user_id text, s text, PRIMARY KEY (a, b));
CREATE INDEX ON pair (user_id);
SELECT tide.track('pair', scope => 'user_id');
INSERT INTO pair VALUES (1, 2, 'ann', 'x'), (2, 1, 'ann', 'y'), (3, 4, 'ann', 'z');
SELECT tide.pull(entity_types => '{pair}', max_rows => 2)->>'cursor' AS mid, tide.cursor() AS c \gset
DELETE FROM pair WHERE a = 1;
ALTER TABLE pair DROP CONSTRAINT pair_pkey, ADD PRIMARY KEY (b, a);
SELECT operation, key FROM tide.changes(:'c', entity_types => '{pair}');
SELECT operation, key FROM tide.changes(:'mid', entity_types => '{pair}') ORDER BY key::text;
SELECT status FROM tide.upsert('pair', '{"a": 1, "b": 2, "s": "late"}', modified_at => '2001-01-01');
SELECT status, data->>'s' AS s FROM tide.upsert('pair', '{"a": 2, "b": 1, "s": "edited"}');
DROP TABLE pair;

-- moved to another schema, given to another owner
CREATE SCHEMA change2;
SELECT tide.pull(entity_types => '{t}')->>'cursor' AS c \gset
ALTER TABLE t SET SCHEMA change2;
SELECT relation FROM tide.tracked WHERE entity_type = 't';
UPDATE change2.t SET body = 'moved' WHERE id = 1;
SELECT operation, key, data->>'body' AS body FROM tide.changes(:'c', entity_types => '{t}');
-- copies are not tracked, and disturb nothing
CREATE TABLE change.t (LIKE change2.t INCLUDING ALL);
INSERT INTO change.t SELECT * FROM change2.t;
SELECT relation FROM tide.tracked WHERE entity_type = 't';
DROP SCHEMA change, change2 CASCADE;
