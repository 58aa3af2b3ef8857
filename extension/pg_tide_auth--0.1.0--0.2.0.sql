/* pg_tide_auth 0.2.0: what came to 0.1.0, whose script is not changed any more. */

\echo Use "ALTER EXTENSION pg_tide_auth UPDATE" to load this file. \quit

CREATE OR REPLACE FUNCTION tide_auth.login(username text, password text) RETURNS jsonb
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
	IF asked.id IS NULL OR octet_length(password) > 72 OR given IS DISTINCT FROM known THEN
		RETURN NULL;
	END IF;
	-- Another password may have been set while this one was checked, or the account disabled. Whoever
	-- does that from now on waits, and then ends the session that begins.
	PERFORM FROM tide_auth.account AS a
		WHERE a.id = asked.id AND a.password_hash = known AND NOT a.disabled FOR NO KEY UPDATE;
	IF NOT FOUND THEN
		RETURN NULL;
	END IF;
	-- the setting was raised since
	IF substr(known, 5, 2)::integer < cost THEN
		UPDATE tide_auth.account SET password_hash = tide_auth.bcrypt(password, tide_auth.bcrypt_salt(cost))
			WHERE account.id = asked.id;
	END IF;
	RETURN tide_auth.account_claims(asked);
END $$;
