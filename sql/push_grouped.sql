-- tide.push_grouped: pushes of several users in one transaction.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA grouped;
SET search_path = grouped;
CREATE ROLE tide_grouped_user;
CREATE ROLE tide_grouped_gateway NOINHERIT;
GRANT tide_grouped_user TO tide_grouped_gateway;
GRANT USAGE ON SCHEMA grouped TO tide_grouped_user, tide_grouped_gateway;
CREATE TYPE mood AS ENUM ('sad', 'glad');
CREATE TABLE t (id int PRIMARY KEY, user_id text NOT NULL, n int CHECK (n < 100), who text DEFAULT current_user,
	claims text DEFAULT current_setting('request.jwt.claims'), made timestamptz DEFAULT now(), mood mood, tags text[]);
CREATE INDEX ON t (user_id, id);
SELECT tide.track('t', scope => 'user_id');
GRANT SELECT, INSERT, UPDATE, DELETE ON t TO tide_grouped_user;

CREATE FUNCTION go(sub text, body text, client_id text DEFAULT 'phone') RETURNS json LANGUAGE sql AS $$
	SELECT p.reply FROM tide.push_grouped(convert_to(body, 'UTF8'), 'tide_grouped_user',
		json_build_object('sub', sub)::text, client_id, 'iso', 5000, 60000, 20) p
$$;
CREATE FUNCTION verdicts(reply json) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(v, ', ') FROM (
		SELECT format('%s %s %s/%s', s->>'status', s->>'entityId', s->'entity'->>'who', (s->'entity'->>'claims')::json->>'sub')
		FROM json_array_elements(reply->'succeeded') s
		UNION ALL SELECT format('failed %s %s', f->>'entityId', f->'errors'->0->>'code') FROM json_array_elements(reply->'failed') f) r (v)
$$;

-- each in its own identity, in one transaction; entries of the log say whose they are
SET SESSION AUTHORIZATION tide_grouped_gateway;
BEGIN;
SELECT verdicts(go('ann', '{"changes": {"t": [{"id": 1, "n": 1, "tags": ["a"]}, {"id": 2, "mood": "glad"}]}}'));
SELECT verdicts(go('ben', '{"clientId": "tablet", "changes": {"t": [{"id": 3, "n": 3}]}}'));
-- another's row stays another's, whoever's transaction wrote it
SELECT verdicts(go('cem', '{"changes": {"t": [{"id": 1, "n": 9}, {"id": 4, "n": 4}]}}'));
COMMIT;
RESET SESSION AUTHORIZATION;
SELECT id, user_id, n, who, "clientId" FROM t ORDER BY id;
SELECT count(DISTINCT xid) AS transactions FROM tide.log WHERE relid = 't'::regclass;
SELECT l.scope, l.subject, l.client_id, l.keys, l.push FROM tide.log l WHERE relid = 't'::regclass ORDER BY seq;

-- an ack is one push's, although others have its transaction id
SELECT set_config('request.jwt.claims', '{"sub": "ann"}', false);
SELECT tide.cursor() AS since \gset
SET SESSION AUTHORIZATION tide_grouped_gateway;
BEGIN;
SELECT go('ann', '{"changes": {"t": [{"id": 1, "n": 11}]}}')->>'ack' AS ann \gset
SELECT go('ben', '{"changes": {"t": [{"id": 3, "n": 13}]}}')->>'ack' AS ben \gset
COMMIT;
RESET SESSION AUTHORIZATION;
SELECT :'ann' <> :'ben' AS differ;
SELECT json_array_length(tide.pull(:'since', acks => ARRAY[:'ben'])->'changesByType'->'t') AS with_another_ack,
	tide.pull(:'since', acks => ARRAY[:'ann'])->'changesByType'->'t' AS with_own_ack;
RESET request.jwt.claims;

-- a receipt is the user's, and a replay is known
SET SESSION AUTHORIZATION tide_grouped_gateway;
BEGIN;
SELECT go('ann', '{"batchId": "b", "changes": {"t": [{"id": 5, "n": 5}]}}')->>'ack' AS first \gset
SELECT verdicts(go('ben', '{"batchId": "b", "changes": {"t": [{"id": 6, "n": 6}]}}'));
COMMIT;
BEGIN;
SELECT go('ann', '{"batchId": "b", "changes": {"t": [{"id": 5, "n": 5}]}}')->>'ack' = :'first' AS same;
COMMIT;
SELECT verdicts(go('ben', '{"changes": {"t": [{"id": 7, "n": 7, "lastModifiedAt": "2026-01-01T00:00:00Z"}]}}'));
SELECT verdicts(go('ben', '{"changes": {"t": [{"id": 7, "n": 7, "lastModifiedAt": "2026-01-01T00:00:00Z"}]}}'));

-- what fails fails the transaction: no push of it has a subtransaction
BEGIN;
SELECT verdicts(go('ann', '{"changes": {"t": [{"id": 8, "n": 8}]}}'));
\set VERBOSITY terse
SELECT verdicts(go('ben', '{"changes": {"t": [{"id": 9, "n": 100}]}}'));
\set VERBOSITY default
ROLLBACK;
BEGIN;
SELECT verdicts(go('ann', '{"changes": {"t": [{"id": 8, "n": "eight"}]}}'));
ROLLBACK;
BEGIN;
SELECT verdicts(go('ann', '{"atomic": true, "changes": {"t": [{"id": 8, "n": 8}, {"id": 1, "nothing": 1}]}}'));
ROLLBACK;
-- but what fails without an error is a verdict
BEGIN;
SELECT verdicts(go('ann', '{"changes": {"t": [{"id": 8, "n": 8}, {"id": 3, "n": 1}], "nothing": [{"id": 1}]}}'));
COMMIT;

-- no two of one user, whatever the claims call her, and no user whose scopes a function says
BEGIN;
SELECT verdicts(go('7', '{"changes": {"t": [{"id": 70}]}}'));
SELECT (tide.push_grouped('{"changes": {"t": [{"id": 71}]}}', 'tide_grouped_user', '{"sub": 7}', NULL, 'iso', 5000, 60000, 20)).changes;
ROLLBACK;
RESET SESSION AUTHORIZATION;
CREATE FUNCTION scopes(claims jsonb) RETURNS text[] LANGUAGE sql AS $$ SELECT ARRAY['ann'] $$;
SET pg_tide.scopes_function = 'grouped.scopes';
SELECT go('ann', '{"changes": {"t": [{"id": 8, "n": 8}]}}');
RESET pg_tide.scopes_function;

-- what the table may run
CREATE FUNCTION try(ddl text, body text DEFAULT '{"changes": {"t": [{"id": 50}]}}') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	detail text;
	reply json;
BEGIN
	EXECUTE ddl;
	reply := grouped.go('ann', body);
	RAISE EXCEPTION USING ERRCODE = 'TX000', MESSAGE = 'grouped: ' || grouped.verdicts(reply);
EXCEPTION
	WHEN SQLSTATE 'TX000' THEN
		RETURN SQLERRM;
	WHEN OTHERS THEN
		GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
		RETURN SQLSTATE || ': ' || coalesce(nullif(detail, ''), SQLERRM);
END $$;
CREATE FUNCTION f(anyelement) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$ SELECT true $$;
CREATE FUNCTION number() RETURNS int LANGUAGE sql AS $$ SELECT 1 $$;
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE FUNCTION resolve(entity_type text, current jsonb, incoming jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT incoming $$;
CREATE DOMAIN small AS int CHECK (VALUE < 1000);
CREATE TABLE parent (id int PRIMARY KEY);
CREATE TABLE child (id int PRIMARY KEY, user_id text, t_id int REFERENCES t ON DELETE CASCADE);
CREATE TYPE size AS ENUM ('small', 'large');
CREATE FUNCTION size_number(size) RETURNS int LANGUAGE sql AS $$ SELECT 1 $$;
CREATE CAST (size AS int) WITH FUNCTION size_number(size) AS IMPLICIT;
CREATE TABLE numbered (number int PRIMARY KEY);
CREATE TABLE named (name varchar(9) PRIMARY KEY, mood mood UNIQUE);
\t on
\set ECHO queries
SELECT format('SELECT grouped.try(%L)', ddl) FROM (VALUES
	('SELECT 1'),
	('ALTER TABLE t ADD x uuid DEFAULT gen_random_uuid()'),
	('ALTER TABLE t ADD x timestamp DEFAULT (now() AT TIME ZONE ''utc'')'),
	('ALTER TABLE t ADD x int GENERATED ALWAYS AS (id + 1) STORED'),
	('ALTER TABLE t ADD CHECK (lower(who) <> '''' AND tags <> ''{}'' OR CASE WHEN n > 0 THEN true ELSE mood <> ''sad'' END)'),
	('ALTER TABLE t ADD p int REFERENCES parent'),
	('ALTER TABLE t ADD p smallint REFERENCES parent'),
	('ALTER TABLE t ADD x text REFERENCES named'),
	('ALTER TABLE t ADD x mood REFERENCES named (mood)'),
	('ALTER TABLE t ADD x size REFERENCES numbered'),
	('CREATE UNIQUE INDEX ON t (lower(who), id)'),
	('ALTER TABLE t ADD x int DEFAULT grouped.number()'),
	('ALTER TABLE t ADD x text DEFAULT pg_current_xact_id()::text'),
	('ALTER TABLE t ADD x text DEFAULT set_config(''a.b'', ''c'', false)'),
	('ALTER TABLE t ADD x boolean GENERATED ALWAYS AS (grouped.f(id)) STORED'),
	('ALTER TABLE t ADD CHECK (grouped.f(id))'),
	('ALTER TABLE t ADD x grouped.small'),
	('ALTER TABLE t ADD CHECK (n::grouped.small > 0)'),
	('CREATE INDEX ON t (grouped.f(id))'),
	('CREATE INDEX ON t (id) WHERE grouped.f(id)'),
	('ALTER TABLE t ADD EXCLUDE (id WITH =)'),
	('CREATE TRIGGER note BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION grouped.note()'),
	('CREATE TRIGGER zz_tide_a AFTER DELETE ON t FOR EACH ROW EXECUTE FUNCTION grouped.note()'),
	('ALTER TABLE t ADD p int REFERENCES parent DEFERRABLE'),
	('ALTER TABLE child DROP CONSTRAINT child_t_id_fkey, ADD FOREIGN KEY (t_id) REFERENCES t DEFERRABLE'),
	('ALTER TABLE child DROP CONSTRAINT child_t_id_fkey, ADD FOREIGN KEY (t_id) REFERENCES t ON UPDATE CASCADE'),
	('ALTER TABLE t ENABLE ROW LEVEL SECURITY'),
	('CREATE RULE r AS ON DELETE TO t DO ALSO SELECT 1'),
	('CREATE TABLE heir () INHERITS (t)'),
	('SELECT tide.track(''grouped.t'', scope => ''user_id'', conflict => ''grouped.resolve'')'),
	('SELECT tide.track(''grouped.t'', scope => ''user_id'', conflict => ''merge'')'),
	('SELECT tide.track(''grouped.t'', shared => true)')) AS d (ddl)
\gexec
\t off
\set ECHO all
-- a delete may cascade where an upsert does not
SELECT try('', '{"changes": {"t": [{"id": 1, "deletedAt": "2026-01-01T00:00:00Z"}]}}');
SELECT try('DROP TABLE child', '{"changes": {"t": [{"id": 1, "deletedAt": "2026-01-01T00:00:00Z"}]}}');
-- or looks for rows that refer to it by way of a cast
CREATE TABLE coded (id int PRIMARY KEY, user_id text, code int UNIQUE);
CREATE INDEX ON coded (user_id, id);
CREATE TABLE of_code (id int PRIMARY KEY, size size REFERENCES coded (code));
SELECT tide.track('coded', scope => 'user_id');
GRANT SELECT, INSERT, UPDATE, DELETE ON coded TO tide_grouped_user;
SELECT try('', '{"changes": {"coded": [{"id": 1, "code": 1}]}}');
SELECT try('', '{"changes": {"coded": [{"id": 1, "deletedAt": "2026-01-01T00:00:00Z"}]}}');
-- what was settled for a table is settled again when it changes
SELECT try('CREATE TRIGGER note BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION grouped.note()');
SELECT try('SELECT 1');
-- each of a push's tables counts
SELECT tide.track('child', scope => 'user_id');
GRANT SELECT, INSERT, UPDATE, DELETE ON child TO tide_grouped_user;
SELECT try('ALTER TABLE child ENABLE ROW LEVEL SECURITY', '{"changes": {"t": [{"id": 50}], "child": [{"id": 51}]}}');
DROP SCHEMA grouped CASCADE;
DROP ROLE tide_grouped_user, tide_grouped_gateway;
