/* pg_tide_auth: what the gateway's /auth/login, /auth/refresh and /auth/logout call. docs/login.md is the guide. */

\echo Use "CREATE EXTENSION pg_tide_auth" to load this file. \quit

-- ---------------------------------------------------------------------
-- Tables. Nobody but the owner reads or writes them. Accounts are dumped;
-- sessions are not: a restored database must not take tokens back that were
-- replaced since.
-- ---------------------------------------------------------------------

CREATE TABLE tide_auth.account (
	id				text COLLATE "C" PRIMARY KEY CHECK (id <> ''),
	username		text NOT NULL CHECK (username <> ''),
	password_hash	text NOT NULL,
	user_type		text,
	role			name CHECK (role <> 'none'),
	claims			jsonb NOT NULL DEFAULT '{}' CHECK (pg_catalog.jsonb_typeof(claims) = 'object'),
	disabled		boolean NOT NULL DEFAULT false,
	created_at		timestamptz NOT NULL DEFAULT pg_catalog.now(),
	password_set_at	timestamptz NOT NULL DEFAULT pg_catalog.now()
);
CREATE UNIQUE INDEX account_username ON tide_auth.account (pg_catalog.lower(username));
SELECT pg_catalog.pg_extension_config_dump('tide_auth.account', '');
COMMENT ON TABLE tide_auth.account IS 'who may log in by tide_auth.login()';
COMMENT ON COLUMN tide_auth.account.id IS 'the user: sub of the token, the value in the scope column';
COMMENT ON COLUMN tide_auth.account.username IS 'upper and lower case are the same';
COMMENT ON COLUMN tide_auth.account.password_hash IS 'bcrypt';
COMMENT ON COLUMN tide_auth.account.user_type IS 'userType of the reply and the token';
COMMENT ON COLUMN tide_auth.account.role IS 'database role of the token; none: the gateway''s default-role';
COMMENT ON COLUMN tide_auth.account.claims IS 'further claims of the token';

CREATE TABLE tide_auth.session (
	id			uuid PRIMARY KEY,
	account		text COLLATE "C" REFERENCES tide_auth.account ON DELETE CASCADE,
	sub			text COLLATE "C" NOT NULL,
	username	bytea NOT NULL,
	address		text COLLATE "C" NOT NULL,
	claims		jsonb NOT NULL,
	live		bytea[] NOT NULL,
	previous	bytea,
	started_at	timestamptz NOT NULL DEFAULT pg_catalog.now(),
	rotated_at	timestamptz NOT NULL DEFAULT pg_catalog.now(),
	expires_at	timestamptz NOT NULL
);
CREATE INDEX session_account ON tide_auth.session (account);
CREATE INDEX session_sub ON tide_auth.session (sub);
CREATE INDEX session_username ON tide_auth.session (username, address);
CREATE INDEX session_expires_at ON tide_auth.session (expires_at);
COMMENT ON TABLE tide_auth.session IS 'devices that are logged in: a family of refresh tokens each';
COMMENT ON COLUMN tide_auth.session.id IS 'the part of a refresh token that finds its family';
COMMENT ON COLUMN tide_auth.session.account IS 'its account, if tide_auth.account has it';
COMMENT ON COLUMN tide_auth.session.username IS 'digest of the name that logged in, as in tide_auth.attempt';
COMMENT ON COLUMN tide_auth.session.address IS 'where it logged in or refreshed last';
COMMENT ON COLUMN tide_auth.session.claims IS 'what the login function returned';
COMMENT ON COLUMN tide_auth.session.live IS 'SHA-256 of the refresh tokens that were given for the previous one; none has been used yet';
COMMENT ON COLUMN tide_auth.session.previous IS 'SHA-256 of the refresh token that was used last';
COMMENT ON COLUMN tide_auth.session.rotated_at IS 'when it was used first';

-- lost in a crash, and nothing is lost by that
CREATE UNLOGGED TABLE tide_auth.attempt (
	username	bytea NOT NULL,
	address		text COLLATE "C" NOT NULL,
	failures	integer NOT NULL,
	since		timestamptz NOT NULL,
	PRIMARY KEY (username, address)
);
CREATE INDEX attempt_since ON tide_auth.attempt (since);
COMMENT ON TABLE tide_auth.attempt IS 'logins that did not succeed, counted by name and address, by name (address empty), and by address (name empty)';
COMMENT ON COLUMN tide_auth.attempt.username IS 'digest of the name: people type passwords there';
COMMENT ON COLUMN tide_auth.attempt.since IS 'beginning of the time over which is counted';

REVOKE ALL ON tide_auth.account, tide_auth.session, tide_auth.attempt FROM PUBLIC;

-- ---------------------------------------------------------------------
-- Passwords. The bodies in the SQL standard's form are read here and now,
-- with pgcrypto's schema in the path, and refer to its functions whatever is
-- planted or moved later.
-- ---------------------------------------------------------------------

CREATE FUNCTION tide_auth.bcrypt(password text, salt text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
	SELECT crypt(password, salt);
END;
COMMENT ON FUNCTION tide_auth.bcrypt(text, text) IS 'pgcrypto''s crypt()';

CREATE FUNCTION tide_auth.bcrypt_salt(cost integer) RETURNS text
LANGUAGE sql VOLATILE STRICT PARALLEL SAFE
BEGIN ATOMIC
	SELECT gen_salt('bf', cost);
END;
COMMENT ON FUNCTION tide_auth.bcrypt_salt(integer) IS 'pgcrypto''s gen_salt()';

CREATE FUNCTION tide_auth.bcrypt_cost() RETURNS integer
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$ SELECT greatest(4, least(31, coalesce(nullif(current_setting('pg_tide_auth.bcrypt_cost', true), ''), '10')::integer)) $$;
COMMENT ON FUNCTION tide_auth.bcrypt_cost() IS 'the setting pg_tide_auth.bcrypt_cost: each one more doubles the time that a password takes';

CREATE FUNCTION tide_auth.hash_password(password text) RETURNS text
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF password IS NULL OR length(password) < 8 THEN
		RAISE EXCEPTION 'the password is too short' USING
			ERRCODE = 'invalid_parameter_value', HINT = 'It must have at least 8 characters.';
	END IF;
	-- what is beyond counts nothing to bcrypt
	IF octet_length(password) > 72 THEN
		RAISE EXCEPTION 'the password is too long' USING
			ERRCODE = 'invalid_parameter_value', HINT = 'It may have at most 72 bytes.';
	END IF;
	RETURN tide_auth.bcrypt(password, tide_auth.bcrypt_salt(tide_auth.bcrypt_cost()));
END $$;
COMMENT ON FUNCTION tide_auth.hash_password(text) IS 'hash of a new password, or an error that says why it will not do';

-- ---------------------------------------------------------------------
-- Accounts: for those who have no table of users yet. By the owner, or by
-- those to whom it grants these functions.
-- ---------------------------------------------------------------------

CREATE FUNCTION tide_auth.find_account(username text) RETURNS tide_auth.account
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	found_account tide_auth.account;
BEGIN
	SELECT * INTO found_account FROM tide_auth.account AS a
		WHERE lower(a.username) = lower(find_account.username);
	IF NOT FOUND THEN
		RAISE EXCEPTION 'there is no account "%"', username USING
			ERRCODE = 'undefined_object', HINT = 'tide_auth.create_account() makes one.';
	END IF;
	RETURN found_account;
END $$;
COMMENT ON FUNCTION tide_auth.find_account(text) IS 'the account of this name, or an error';

CREATE FUNCTION tide_auth.create_account(username text, password text, user_id text DEFAULT NULL,
	user_type text DEFAULT NULL, role name DEFAULT NULL, claims jsonb DEFAULT '{}') RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	chosen text := coalesce(user_id, gen_random_uuid()::text);
BEGIN
	IF coalesce(username, '') = '' OR chosen = '' THEN
		RAISE EXCEPTION 'an account needs a username, and its user id must not be empty' USING
			ERRCODE = 'invalid_parameter_value';
	END IF;
	IF role = 'none' OR jsonb_typeof(claims) IS DISTINCT FROM 'object' THEN
		RAISE EXCEPTION 'role must not be none, and claims must be a JSON object' USING
			ERRCODE = 'invalid_parameter_value';
	END IF;
	IF EXISTS (SELECT FROM tide_auth.account AS a WHERE lower(a.username) = lower(create_account.username) OR a.id = chosen) THEN
		RAISE EXCEPTION 'there is an account "%", or one with its user id, already', username USING
			ERRCODE = 'unique_violation', HINT = 'tide_auth.set_password() gives it another password.';
	END IF;
	INSERT INTO tide_auth.account (id, username, password_hash, user_type, role, claims)
		VALUES (chosen, username, tide_auth.hash_password(password), user_type, role, claims);
	RETURN chosen;
END $$;
COMMENT ON FUNCTION tide_auth.create_account(text, text, text, text, name, jsonb) IS 'make an account; returns its user id';

CREATE FUNCTION tide_auth.set_password(username text, password text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	changed tide_auth.account := tide_auth.find_account(username);
BEGIN
	UPDATE tide_auth.account SET password_hash = tide_auth.hash_password(password), password_set_at = now()
		WHERE account.id = changed.id;
	DELETE FROM tide_auth.session WHERE account = changed.id;
END $$;
COMMENT ON FUNCTION tide_auth.set_password(text, text) IS 'give an account another password, and end its sessions';

CREATE FUNCTION tide_auth.disable_account(username text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	changed tide_auth.account := tide_auth.find_account(username);
BEGIN
	UPDATE tide_auth.account SET disabled = true WHERE account.id = changed.id;
	DELETE FROM tide_auth.session WHERE account = changed.id;
END $$;
COMMENT ON FUNCTION tide_auth.disable_account(text) IS 'let an account log in no more, and end its sessions; tokens it has run on until they expire';

CREATE FUNCTION tide_auth.enable_account(username text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	changed tide_auth.account := tide_auth.find_account(username);
BEGIN
	UPDATE tide_auth.account SET disabled = false WHERE account.id = changed.id;
END $$;
COMMENT ON FUNCTION tide_auth.enable_account(text) IS 'let a disabled account log in again';

CREATE FUNCTION tide_auth.drop_account(username text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	dropped tide_auth.account := tide_auth.find_account(username);
BEGIN
	DELETE FROM tide_auth.account WHERE account.id = dropped.id;
END $$;
COMMENT ON FUNCTION tide_auth.drop_account(text) IS 'drop an account with its sessions; the rows of its user stay';

CREATE FUNCTION tide_auth.account_claims(account tide_auth.account) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT account.claims || jsonb_build_object('sub', account.id, 'userType', account.user_type)
		|| CASE WHEN account.role IS NULL THEN '{}' ELSE jsonb_build_object('role', account.role) END
$$;
COMMENT ON FUNCTION tide_auth.account_claims(tide_auth.account) IS 'the claims of an account''s token';

CREATE FUNCTION tide_auth.login(username text, password text) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	asked	tide_auth.account;
	cost	integer := tide_auth.bcrypt_cost();
	known	text;
	given	text;
BEGIN
	SELECT * INTO asked FROM tide_auth.account AS a WHERE lower(a.username) = lower(login.username);
	-- whoever is unknown takes as long as a wrong password does
	known := coalesce(asked.password_hash, '$2a$' || lpad(cost::text, 2, '0') || '$......................');
	given := tide_auth.bcrypt(password, known);
	IF asked.id IS NULL OR asked.disabled OR octet_length(password) > 72 OR given IS DISTINCT FROM known THEN
		RETURN NULL;
	END IF;
	-- the setting was raised since
	IF substr(known, 5, 2)::integer < cost THEN
		UPDATE tide_auth.account SET password_hash = tide_auth.bcrypt(password, tide_auth.bcrypt_salt(cost))
			WHERE account.id = asked.id;
	END IF;
	RETURN tide_auth.account_claims(asked);
END $$;
COMMENT ON FUNCTION tide_auth.login(text, text) IS 'claims of the account whose name and password these are, else NULL: for the gateway''s --login-function';

-- ---------------------------------------------------------------------
-- What the gateway calls, with the login function of its settings. It makes
-- the refresh tokens and shows us their digests alone.
-- ---------------------------------------------------------------------

CREATE FUNCTION tide_auth.digest_username(username text) RETURNS bytea
LANGUAGE sql STABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$ SELECT sha256(convert_to(lower(username), 'UTF8')) $$;
COMMENT ON FUNCTION tide_auth.digest_username(text) IS 'under which attempts are counted';

CREATE FUNCTION tide_auth.admit(username text, address text, most integer, most_by_address integer,
	most_by_username integer, window_seconds integer) RETURNS integer
LANGUAGE plpgsql VOLATILE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	who		bytea := tide_auth.digest_username(username);
	length	interval := make_interval(secs => window_seconds);
	known	boolean;
	counted	record;
	wait	interval := '0';
BEGIN
	-- one whose device is logged in at this address is not held up by what others try elsewhere
	known := EXISTS (SELECT FROM tide_auth.session AS s
		WHERE s.username = who AND s.address = admit.address AND s.expires_at > now());

	DELETE FROM tide_auth.attempt AS a USING (
		SELECT o.username, o.address FROM tide_auth.attempt AS o WHERE o.since < now() - length
			ORDER BY o.since LIMIT 20 FOR UPDATE SKIP LOCKED) AS old
		WHERE a.username = old.username AND a.address = old.address;

	-- what is refused here is not counted: the time until it ends does not grow by trying
	SELECT max(a.since) + length - now() INTO wait FROM tide_auth.attempt AS a
		WHERE a.since >= now() - length
		AND ((a.username = who AND a.address = admit.address AND a.failures >= most)
			OR (a.username = '' AND a.address = admit.address AND a.failures >= most_by_address)
			OR (a.username = who AND a.address = '' AND a.failures >= most_by_username AND NOT known));
	IF wait IS NOT NULL THEN
		RETURN greatest(1, ceil(extract(epoch FROM wait)));
	END IF;

	-- Counted before it is tried, and taken back if it succeeds: a thousand at
	-- once are no more than one after the other. In one order: no deadlocks.
	FOR counted IN
		INSERT INTO tide_auth.attempt AS a (username, address, failures, since)
			VALUES ('', admit.address, 1, now()), (who, '', 1, now()), (who, admit.address, 1, now())
			ON CONFLICT ON CONSTRAINT attempt_pkey DO UPDATE SET
				failures = CASE WHEN a.since < now() - length THEN 1 ELSE a.failures + 1 END,
				since = CASE WHEN a.since < now() - length THEN now() ELSE a.since END
			RETURNING a.failures, a.since, CASE WHEN a.username = '' THEN most_by_address
				WHEN a.address <> '' THEN most WHEN NOT known THEN most_by_username END AS most
	LOOP
		IF counted.failures > counted.most THEN
			wait := greatest(wait, counted.since + length - now());
		END IF;
	END LOOP;
	RETURN CASE WHEN wait IS NULL THEN 0 ELSE greatest(1, ceil(extract(epoch FROM wait))) END;
END $$;
COMMENT ON FUNCTION tide_auth.admit(text, text, integer, integer, integer, integer) IS 'count an attempt to log in; returns 0, or for how many seconds there may be no more';

CREATE FUNCTION tide_auth.start_session(claims jsonb, username text, address text, session uuid,
	token bytea, lifetime_seconds integer) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	who bytea := tide_auth.digest_username(username);
BEGIN
	IF claims IS NULL THEN
		RETURN NULL;
	END IF;
	IF jsonb_typeof(claims) <> 'object' OR coalesce(jsonb_typeof(claims->'sub'), '') <> 'string' OR claims->>'sub' = '' THEN
		RAISE EXCEPTION 'the login function returned claims without a sub' USING
			ERRCODE = 'invalid_parameter_value', HINT = 'It must return NULL or an object like {"sub": "u1", "userType": "athlete"}.';
	END IF;

	-- these are the gateway's to set
	claims := claims - '{exp,iat,nbf}'::text[];

	DELETE FROM tide_auth.session AS s USING (
		SELECT o.id FROM tide_auth.session AS o WHERE o.expires_at <= now()
			ORDER BY o.expires_at LIMIT 20 FOR UPDATE SKIP LOCKED) AS old
		WHERE s.id = old.id;
	INSERT INTO tide_auth.session (id, account, sub, username, address, claims, live, expires_at)
		VALUES (session, (SELECT a.id FROM tide_auth.account AS a WHERE a.id = start_session.claims->>'sub'), claims->>'sub',
			who, address, claims, ARRAY[token], now() + make_interval(secs => lifetime_seconds));

	-- this attempt was none that failed; in the order of admit()
	UPDATE tide_auth.attempt AS a SET failures = greatest(0, a.failures - 1)
		WHERE a.username = '' AND a.address = start_session.address;
	UPDATE tide_auth.attempt AS a SET failures = greatest(0, a.failures - 1)
		WHERE a.username = who AND a.address = '';
	DELETE FROM tide_auth.attempt AS a WHERE a.username = who AND a.address = start_session.address;
	RETURN claims;
END $$;
COMMENT ON FUNCTION tide_auth.start_session(jsonb, text, text, uuid, bytea, integer) IS 'remember a device that has logged in; returns its claims, NULL for NULL';

CREATE FUNCTION tide_auth.refresh(session uuid, token bytea, fresh bytea, address text,
	lifetime_seconds integer, grace_seconds integer) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	-- of replies that got lost in a row, so many are kept
	most_live constant integer := 10;
	family	tide_auth.session;
	owner	tide_auth.account;
BEGIN
	SELECT * INTO family FROM tide_auth.session AS s WHERE s.id = refresh.session FOR UPDATE;
	IF NOT FOUND OR family.expires_at <= now() THEN
		RETURN '["unknown", null]';
	END IF;
	SELECT * INTO owner FROM tide_auth.account AS a WHERE a.id = family.account;
	IF owner.disabled THEN
		DELETE FROM tide_auth.session AS s WHERE s.id = family.id;
		RETURN jsonb_build_array('disabled', family.sub);
	END IF;

	IF token = ANY (family.live) THEN
		family.previous := token;
		family.live := ARRAY[fresh];
		family.rotated_at := now();
	ELSIF token = family.previous
		AND family.rotated_at + make_interval(secs => grace_seconds) > now()
	THEN
		-- its reply may have been lost; whichever is used first ends the others
		family.live := family.live[greatest(1, cardinality(family.live) - most_live + 2):] || fresh;
	ELSE
		-- used twice: one of the two who have it is not who logged in
		DELETE FROM tide_auth.session AS s WHERE s.id = family.id;
		RETURN jsonb_build_array('reused', family.sub);
	END IF;

	-- what is known of the account now goes before what was known at the login
	IF owner.id IS NOT NULL THEN
		family.claims := (family.claims - 'role') || (tide_auth.account_claims(owner) - '{exp,iat,nbf}'::text[]);
	END IF;
	UPDATE tide_auth.session AS s SET live = family.live, previous = family.previous,
			rotated_at = family.rotated_at, address = refresh.address,
			expires_at = now() + make_interval(secs => lifetime_seconds)
		WHERE s.id = family.id;
	RETURN family.claims;
END $$;
COMMENT ON FUNCTION tide_auth.refresh(uuid, bytea, bytea, text, integer, integer) IS 'put a fresh token in the place of one that has not been used, and return the claims; one that has been ends its family: then, and when it is not good, an array of the reason and the user';

CREATE FUNCTION tide_auth.logout(session uuid) RETURNS boolean
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	WITH ended AS (DELETE FROM tide_auth.session AS s WHERE s.id = logout.session RETURNING s.id)
	SELECT EXISTS (SELECT FROM ended)
$$;
COMMENT ON FUNCTION tide_auth.logout(uuid) IS 'end a family of refresh tokens';

-- ---------------------------------------------------------------------
-- For the people who run it.
-- ---------------------------------------------------------------------

CREATE FUNCTION tide_auth.end_sessions(user_id text) RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	WITH ended AS (DELETE FROM tide_auth.session AS s WHERE s.sub = end_sessions.user_id RETURNING s.id)
	SELECT count(*) FROM ended
$$;
COMMENT ON FUNCTION tide_auth.end_sessions(text) IS 'end all sessions of a user; returns how many';

CREATE FUNCTION tide_auth.forget_attempts(username text) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$ DELETE FROM tide_auth.attempt AS a WHERE a.username = tide_auth.digest_username(forget_attempts.username) $$;
COMMENT ON FUNCTION tide_auth.forget_attempts(text) IS 'let a user try again at once';

CREATE FUNCTION tide_auth.allow(role regrole) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	EXECUTE format('GRANT USAGE ON SCHEMA tide_auth TO %s', role);
	EXECUTE format('GRANT EXECUTE ON FUNCTION tide_auth.login(text, text),'
		' tide_auth.admit(text, text, integer, integer, integer, integer),'
		' tide_auth.start_session(jsonb, text, text, uuid, bytea, integer),'
		' tide_auth.refresh(uuid, bytea, bytea, text, integer, integer),'
		' tide_auth.logout(uuid) TO %s', role);
END $$;
COMMENT ON FUNCTION tide_auth.allow(regrole) IS 'grant the gateway''s --auth-role what it needs';

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA tide_auth FROM PUBLIC;
