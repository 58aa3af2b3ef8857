-- A double of pg_tide's functions for tests of the gateway alone.
--
-- Replies tell what the gateway sent.  "since" of a pull, and fields of a
-- pushed body, make the double misbehave in the way a test needs.  To be run
-- in an empty database, by a superuser, in place of CREATE EXTENSION pg_tide.

CREATE SCHEMA tide;
GRANT USAGE ON SCHEMA tide TO PUBLIC;

CREATE TABLE tide.pushed (id serial PRIMARY KEY, body jsonb, client_id text,
						  who text DEFAULT current_user);
CREATE TABLE tide.parent (id int PRIMARY KEY);
CREATE TABLE tide.child (
	parent_id int REFERENCES tide.parent DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE tide.mark (at timestamptz);
-- calls of tide.register that were committed
CREATE TABLE tide.registered (who text);
-- what tide.maintain does, and the runs of it that were committed
CREATE TABLE tide.maintain_how (how text);
CREATE TABLE tide.maintained (
	id serial PRIMARY KEY, at timestamptz DEFAULT clock_timestamp(),
	alone boolean, echo jsonb DEFAULT jsonb_build_object(
		'application', current_setting('application_name'),
		'user', current_user, 'session', session_user,
		'role', current_setting('role'),
		'claims', coalesce(current_setting('request.jwt.claims', true), ''),
		'isolation', current_setting('transaction_isolation'),
		'readOnly', current_setting('transaction_read_only'),
		'statementTimeout', current_setting('statement_timeout')));
GRANT ALL ON ALL TABLES IN SCHEMA tide TO PUBLIC;
GRANT ALL ON ALL SEQUENCES IN SCHEMA tide TO PUBLIC;

-- End this session if it is older than tide.mark.  (A role sees and may end
-- only its own sessions, and this one is the gateway's.)
CREATE FUNCTION tide.end_marked_session() RETURNS void
LANGUAGE sql SECURITY DEFINER AS $$
	SELECT CASE WHEN pg_terminate_backend(pid) THEN pg_sleep(10) END FROM pg_stat_activity
	WHERE pid = pg_backend_pid() AND backend_start < (SELECT at FROM tide.mark)
$$;

-- 'raise:SQLSTATE:message:hint', 'sleep:seconds' ('wait:seconds' in a pull:
-- and then nothing, until something was pushed), 'conflict:n' (the first n
-- runs of a session fail with 40001), 'die' (sessions that are older than
-- tide.mark end themselves), 'unregistered:n' (until tide.register was called n
-- times), 'deallocate' (as if a pooler had handed the
-- session's statements to somebody else).  Counts in advisory locks of the session, because
-- nothing else outlives a rollback of a read-only transaction.
CREATE FUNCTION tide.misbehave(how text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
	word text := coalesce(split_part(how, ':', 1), '');
	argument text := split_part(how, ':', 2);
	runs bigint;
BEGIN
	IF word = 'raise' THEN
		RAISE EXCEPTION USING ERRCODE = argument,
			MESSAGE = split_part(how, ':', 3), HINT = split_part(how, ':', 4);
	ELSIF word = 'sleep' OR (word = 'wait' AND argument <> '') THEN
		PERFORM pg_sleep(argument::float8);
	ELSIF word = 'conflict' THEN
		SELECT count(*) INTO runs FROM pg_locks
			WHERE locktype = 'advisory' AND pid = pg_backend_pid();
		IF runs < argument::bigint THEN
			PERFORM pg_advisory_lock_shared(77, runs::int);
			RAISE EXCEPTION USING ERRCODE = '40001', MESSAGE = 'made-up conflict';
		END IF;
		PERFORM pg_advisory_unlock_all();
	ELSIF word = 'unregistered' THEN
		IF (SELECT count(*) FROM tide.registered) < argument::bigint THEN
			RAISE EXCEPTION USING ERRCODE = 'TD012', MESSAGE = 'made-up start';
		END IF;
	ELSIF word = 'deallocate' THEN
		DEALLOCATE ALL;
	ELSIF word = 'die' THEN
		PERFORM tide.end_marked_session();
	END IF;
END $$;

CREATE FUNCTION tide.echo() RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_build_object(
		'role', current_user,
		'claims', current_setting('request.jwt.claims'),
		'clientId', current_setting('pg_tide.client_id'),
		'times', current_setting('pg_tide.times'),
		'maxTimeRows', current_setting('pg_tide.max_time_rows'),
		'maxPushChanges', current_setting('pg_tide.max_push_changes'),
		'isolation', current_setting('transaction_isolation'),
		'readOnly', current_setting('transaction_read_only'),
		'statementTimeout', current_setting('statement_timeout'),
		'lockTimeout', current_setting('lock_timeout'),
		'idleTimeout', current_setting('idle_in_transaction_session_timeout'),
		'workMem', current_setting('work_mem'),
		'application', current_setting('application_name'))
$$;

-- since 'parent': reads that table; 'big:bytes': so much; since 'wait' or 'wait:seconds': nothing until something was pushed.
-- What is in the reply is told beside it alone: its text says the opposite.
CREATE FUNCTION tide.pull_page(since text DEFAULT NULL, scopes text[] DEFAULT NULL,
	entity_types text[] DEFAULT NULL, max_rows int DEFAULT 100,
	client_id text DEFAULT NULL, refresh text[] DEFAULT NULL,
	max_bytes int DEFAULT 8388608, acks text[] DEFAULT NULL,
	OUT reply json, OUT items int, OUT more bool, OUT news bool, OUT cursor text, OUT interest json) RETURNS record
LANGUAGE plpgsql AS $$
BEGIN
	items := 3;
	more := false;
	news := true;
	cursor := 'c';
	PERFORM tide.misbehave(since);
	IF split_part(since, ':', 1) = 'big' THEN
		reply := json_build_object('big', repeat('x', split_part(since, ':', 2)::int));
		RETURN;
	END IF;
	IF since = 'parent' THEN
		PERFORM FROM tide.parent;
	END IF;
	IF split_part(since, ':', 1) = 'wait' AND NOT EXISTS (SELECT FROM tide.pushed) THEN
		items := 0;
		news := false;
		cursor := since;
		interest := '{"changed":[],"server":"fake","remember":600,"byFunction":false,"scopes":["fake"],"types":[1]}';
		reply := '{"empty":true,"stats":{"x":{"count":9}},"hasMore":true,"reset":true,"revokedScopes":["x"]}';
		RETURN;
	END IF;
	reply := json_build_object('echo', tide.echo() || jsonb_build_object(
		'since', since, 'scopes', scopes, 'entityTypes', entity_types,
		'maxRows', max_rows, 'pullClientId', client_id, 'refresh', refresh,
		'maxBytes', max_bytes, 'acks', acks),
		'stats', json_build_object(), 'hasMore', false, 'reset', false, 'revokedScopes', json_build_array());
END $$;

-- since 'pages:n:seconds': so many pages, each of which takes so long; the last is no news
CREATE FUNCTION tide.pull_lines(since text DEFAULT NULL, scopes text[] DEFAULT NULL,
	entity_types text[] DEFAULT NULL, max_rows int DEFAULT 100,
	client_id text DEFAULT NULL, refresh text[] DEFAULT NULL,
	max_bytes int DEFAULT 8388608, acks text[] DEFAULT NULL, page_bytes int DEFAULT 1048576,
	OUT lines text, OUT items int, OUT news bool, OUT more bool, OUT opening text,
	OUT must_open bool, OUT cursor text, OUT tail text, OUT counts json, OUT interest json) RETURNS record
LANGUAGE plpgsql AS $$
DECLARE
	n int := split_part(since, ':', 2)::int;
	pause text := split_part(since, ':', 3);
BEGIN
	PERFORM pg_sleep(pause::float8);
	lines := format(E'{"left":%s,"maxRows":%s,"maxBytes":%s,"acks":%s}\n', n, max_rows, max_bytes, to_json(acks));
	items := 5;
	news := n > 1;
	more := n > 1;
	opening := format(E'{"begin":%s}\n', n / 2);
	must_open := n < 5;
	cursor := format('pages:%s:%s', n - 1, pause);
	tail := format('"tail":%s', n);
	counts := format('{"a":2,"A%s":3}', n % 2);
	interest := NULL;
END $$;

-- the mark: how much was pushed; with that, the scope of who waits has changed
CREATE FUNCTION tide.watch(since text, OUT mark text, OUT server text, OUT at bigint, OUT known boolean,
	OUT scopes text[], OUT types int[]) RETURNS record
LANGUAGE plpgsql AS $$
BEGIN
	mark := (SELECT count(*) FROM tide.pushed);
	server := 'fake';
	at := extract(epoch FROM clock_timestamp()) * 1000;
	known := since IS NOT NULL;
	scopes := CASE WHEN since <> mark THEN '{fake}' ELSE '{}' END;
	types := CASE WHEN since <> mark THEN '{1}' ELSE '{}' END;
END $$;

-- body: {"do": misbehaviour, "deferred": true}
CREATE FUNCTION tide.push(body jsonb, scopes text[] DEFAULT NULL,
	client_id text DEFAULT NULL, batch_id text DEFAULT NULL,
	atomic boolean DEFAULT NULL) RETURNS json
LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO tide.pushed (body, client_id)
		VALUES (body, current_setting('pg_tide.client_id'));
	PERFORM tide.misbehave(body->>'do');
	IF body ? 'deferred' THEN
		INSERT INTO tide.child VALUES (-1);
	END IF;
	RETURN json_build_object('echo', tide.echo(), 'body', body);
END $$;

CREATE FUNCTION tide.push_json(body bytea, scopes text[] DEFAULT NULL, client_id text DEFAULT NULL,
	batch_id text DEFAULT NULL, atomic boolean DEFAULT NULL, OUT reply json, OUT changes int) RETURNS record LANGUAGE sql AS $$
	SELECT tide.push(convert_from(body, 'UTF8')::jsonb), 4
$$;

CREATE FUNCTION tide.push_as(body bytea, role text, claims text, client_id text, times text,
	max_push_changes int, timeout int, lock_timeout int, OUT reply json, OUT changes int) RETURNS record LANGUAGE plpgsql AS $$
DECLARE
	wanted text := role;
BEGIN
	IF current_setting('transaction_isolation') <> 'read committed' OR current_setting('transaction_read_only') = 'on' THEN
		RAISE EXCEPTION USING ERRCODE = 'TD016', MESSAGE = 'made-up transaction';
	END IF;
	PERFORM set_config('request.jwt.claims', claims, true), set_config('pg_tide.client_id', coalesce(client_id, ''), true),
		set_config('pg_tide.times', times, true), set_config('pg_tide.max_push_changes', max_push_changes::text, true),
		set_config('pg_tide.max_time_rows', 'none', true), set_config('statement_timeout', timeout::text, true),
		set_config('idle_in_transaction_session_timeout', timeout::text, true), set_config('lock_timeout', lock_timeout::text, true);
	BEGIN
		PERFORM set_config('role', wanted, true);
	EXCEPTION WHEN invalid_parameter_value OR insufficient_privilege THEN
		RAISE EXCEPTION USING ERRCODE = 'TD015', MESSAGE = SQLERRM;
	END;
	SELECT p.reply, p.changes INTO reply, changes FROM tide.push_json(body) p;
END $$;

CREATE FUNCTION tide.push_grouped(body bytea, role text, claims text, client_id text, times text,
	max_push_changes int, timeout int, lock_timeout int, OUT reply json, OUT changes int) RETURNS record LANGUAGE sql AS $$
	SELECT p.reply, p.changes FROM tide.push_as(body, role, claims, client_id, times, max_push_changes, timeout, lock_timeout) p
$$;

CREATE FUNCTION tide.keys(scopes text[], entity_types text[], buckets int[]) RETURNS json LANGUAGE sql AS $$
	SELECT json_build_object('echo', json_build_object('scopes', scopes, 'types', entity_types, 'buckets', buckets))
$$;

CREATE FUNCTION tide.digest(since text, scopes text[], entity_types text[]) RETURNS json LANGUAGE plpgsql AS $$
BEGIN
	PERFORM tide.misbehave(since);
	RETURN json_build_object('echo', tide.echo() || jsonb_build_object('since', since, 'scopes', scopes, 'types', entity_types));
END $$;

CREATE FUNCTION tide.rows(body jsonb, scopes text[], max_rows int, max_bytes int) RETURNS json LANGUAGE sql AS $$
	SELECT json_build_object('echo', tide.echo() || jsonb_build_object('body', body, 'scopes', scopes, 'maxRows', max_rows, 'maxBytes', max_bytes))
$$;

CREATE FUNCTION tide.scopes() RETURNS text[] LANGUAGE sql AS $$
	SELECT ARRAY['a', current_setting('request.jwt.claims')]
$$;

CREATE FUNCTION tide.schema() RETURNS json LANGUAGE sql AS $$
	SELECT json_build_object('echo', tide.echo())
$$;

CREATE FUNCTION tide.register() RETURNS void LANGUAGE sql AS $$
	INSERT INTO tide.registered VALUES (current_user)
$$;

CREATE FUNCTION tide.protocol() RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION tide.timeline() RETURNS int LANGUAGE sql AS 'SELECT 1';

-- As the real one: nobody's but who is named.
CREATE FUNCTION tide.maintain() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	alone boolean := pg_try_advisory_xact_lock(88);
BEGIN
	PERFORM tide.misbehave((SELECT how FROM tide.maintain_how));
	INSERT INTO tide.maintained (alone) VALUES (alone);
	RETURN 7;
END $$;
REVOKE EXECUTE ON FUNCTION tide.maintain() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tide.maintain() TO tide_gateway;
