-- tide.upsert and tide.delete: one row and its verdict.
\set SHOW_CONTEXT never
\set VERBOSITY default
SET client_min_messages = warning;
CREATE SCHEMA upsert;
SET search_path = upsert;
SET timezone = 'UTC';
CREATE TABLE team (id int PRIMARY KEY);
CREATE TABLE athlete (id int PRIMARY KEY, user_id text NOT NULL, name text NOT NULL CHECK (name <> 'bad'),
	email text UNIQUE, team_id int REFERENCES team, age smallint DEFAULT 18, at timestamptz, by text);
CREATE INDEX ON athlete (user_id);
SELECT tide.track('athlete', scope => 'user_id', modified_at => 'at', client_id => 'by');
CREATE TABLE plain (id int);
INSERT INTO team VALUES (1);

-- bad input raises
SELECT tide.upsert(NULL, '{}');
SELECT tide.upsert('athlete', NULL);
SELECT tide.upsert('athlete', '[1]');
SELECT tide.upsert('athlete', '"x"');
SELECT tide.upsert('plain', '{"id": 1}');
SELECT tide.delete('plain', '1');
SELECT tide.delete('athlete', NULL);
SELECT tide.upsert('athlete', '{"id": 1, "user_id": "ann", "name": "A"}', 'infinity');
SELECT tide.delete('athlete', '1', '-infinity');

-- what cannot be stored is a verdict: code, message, constraint, column
CREATE FUNCTION up(data jsonb, at timestamptz DEFAULT NULL, by text DEFAULT NULL) RETURNS SETOF tide.verdict
	LANGUAGE sql AS $$ SELECT v.status, v.data - 'id' - 'user_id', v.code, v.message, v.constraint_name, v.column_name, v.note
		FROM tide.upsert('athlete', $1, $2, $3) v $$;
SELECT code, column_name, message FROM up('{}');
SELECT code, column_name, message FROM up('{"id": null, "name": "x"}');
SELECT code, column_name, message FROM up('{"id": "one", "name": "x"}');
SELECT code, column_name FROM up('{"id": 1.5, "name": "x"}');
SELECT code, column_name FROM up('{"id": 3000000000, "name": "x"}');
SELECT code, column_name, message FROM up('{"id": 1, "user_id": "ann"}');
SELECT code, column_name FROM up('{"id": 1, "user_id": "ann", "name": null}');
SELECT code, constraint_name, column_name FROM up('{"id": 1, "user_id": "ann", "name": "bad"}');
SELECT code, constraint_name FROM up('{"id": 1, "user_id": "ann", "name": "a", "team_id": 9}');
SELECT code, column_name FROM up('{"id": 1, "user_id": "ann", "name": "a", "age": 99999}');
SELECT code, column_name FROM up('{"id": 1, "user_id": "ann", "name": ["a"], "age": {"x": 1}}');
SELECT code, column_name, message FROM up('{"id": 1, "user_id": "ann", "name": "a", "nickname": "b"}');
SELECT code, message FROM up('{"id": 1, "user_id": "ann", "name": "a", "at": "yesterday-ish"}');
SELECT code FROM up('{"id": 1, "user_id": "ann", "name": "a", "at": "infinity"}');
SELECT count(*) FROM athlete;

-- applied, unchanged, superseded
SELECT * FROM up('{"id": 1, "user_id": "ann", "name": "A", "email": "a@x"}', '2020-01-01 00:00:10Z', 'phone');
SELECT * FROM up('{"id": 1, "user_id": "ann", "name": "A", "email": "a@x"}', '2020-01-01 00:00:10Z', 'phone');
SELECT * FROM up('{"id": 1, "name": "A"}', '2020-01-01 00:00:10Z', 'phone');
SELECT * FROM up('{"id": 1, "name": "old"}', '2020-01-01 00:00:09.999999Z', 'phone');
SELECT * FROM up('{"id": 1, "name": "new"}', '2020-01-01 00:00:10.000001Z', 'phone');
-- equal times: by clientId as bytes, the server first
SELECT status, data->>'name' AS name FROM up('{"id": 1, "name": "phom"}', '2020-01-01 00:00:10.000001Z', 'phom');
SELECT status, data->>'name' AS name FROM up('{"id": 1, "name": "phonf"}', '2020-01-01 00:00:10.000001Z', 'phonf');
SELECT status, data->>'name' AS name FROM up('{"id": 1, "name": "phonf"}', '2020-01-01 00:00:10.000001Z', 'Zoe');
SELECT status, data->>'name' AS name FROM up('{"id": 1, "name": "server"}', '2020-01-01 00:00:10.000001Z');
-- equal stamp, other values: in order of arrival, and the note says so
SELECT status, data->>'name' AS name, (data->>'at')::timestamptz AT TIME ZONE 'UTC' AS raised, note
	FROM up('{"id": 1, "name": "liar"}', '2020-01-01 00:00:10.000001Z', 'phonf');
-- without a stamp: on arrival
UPDATE athlete SET at = clock_timestamp() + interval '50 s';
SELECT status, data->>'name' AS name, note FROM up('{"id": 1, "name": "now"}');
-- an unique key that another row has
SELECT status, data->>'email' AS email FROM up('{"id": 2, "user_id": "ann", "name": "B", "email": "b@x"}');
SELECT status, code, constraint_name FROM up('{"id": 2, "email": "a@x"}');
-- a patch: only what is sent is written; on insert the rest has its DEFAULT, unless null is sent
SELECT status, data->>'age' AS age, data->>'email' AS email FROM up('{"id": 2, "age": 30}');
SELECT status, data->>'age' AS age, data->>'email' AS email FROM up('{"id": 2, "email": null}');
SELECT data->>'age' AS age FROM up('{"id": 3, "user_id": "ann", "name": "C", "age": null}');

-- the future is brought back to now
SELECT status, (data->>'at')::timestamptz <= clock_timestamp() AS back, note
	FROM up('{"id": 4, "user_id": "ann", "name": "D"}', now() + interval '10 years', 'phone');
SELECT status, (data->>'at')::timestamptz > clock_timestamp() AS ahead, note
	FROM up('{"id": 4, "name": "DD"}', now() + interval '30 s', 'phone');
-- the data may carry stamp and client itself
SELECT status, data->>'at' AS at, data->>'by' AS by
	FROM up('{"id": 5, "user_id": "ann", "name": "E", "lastModifiedAt": "2019-05-06T07:08:09Z", "clientId": "tab"}');
SELECT status, data->>'at' AS at, data->>'by' AS by
	FROM up('{"id": 6, "user_id": "ann", "name": "F", "at": "2019-05-06T07:08:09Z", "by": "tab"}');
-- no client: the setting
SET pg_tide.client_id = 'setting';
SELECT data->>'by' AS by FROM up('{"id": 7, "user_id": "ann", "name": "G"}');
SELECT data->>'by' AS by FROM up('{"id": 8, "user_id": "ann", "name": "H"}', NULL, 'argument');
RESET pg_tide.client_id;
DROP SCHEMA upsert CASCADE;
