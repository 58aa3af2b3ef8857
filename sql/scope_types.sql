-- Every value of a type can be a scope: in the claims, asked for, pulled by
-- tables and by the log, pushed to.
--
-- Seen failing: with fewer digits in read_integer(), or digits only; without its
-- limits (an int4 of 2^32 + 5 would be the user 5's); with
-- uuids of the usual form only; without input_alters().
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA whose;
SET search_path = whose;
SET timezone = 'Asia/Kathmandu';
SET datestyle = 'SQL, DMY';
CREATE TYPE team AS ENUM ('red', 'so "blue"');
CREATE DOMAIN handle AS varchar(8) CHECK (VALUE <> 'root');
CREATE TABLE cases (type text, stored text, sub text);
INSERT INTO cases VALUES
	('bigint', '123456789012345678', '123456789012345678'), ('bigint', '9223372036854775807', '9223372036854775807'), ('bigint', '-9223372036854775808', '-9223372036854775808'), ('bigint', '7', '+7'), ('bigint', '0', '-0'),
	('int', '2147483647', '2147483647'), ('int', '-2147483648', '-2147483648'), ('int', '-5', '-5'), ('smallint', '-32768', '-32768'), ('smallint', '32767', '32767'),
	('numeric(30,2)', '5.00', '5'), ('numeric(30,0)', '123456789012345678901234567890', '123456789012345678901234567890'), ('numeric(4,1)', 'NaN', 'NaN'),
	('uuid', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'), ('uuid', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{a0eebc999c0b4ef8bb6d6bb9bd380a11}'),
	('text', ' A b', ' A b'), ('text', 'é"\,{}', 'é"\,{}'), ('varchar(3)', 'abc', 'abc'), ('char(5)', 'ab', 'ab'), ('char(5)', 'ab', 'ab   '), ('name', 'x', 'x'), ('handle', 'h', 'h'),
	('team', 'so "blue"', 'so "blue"'), ('date', '2024-02-29', '2024-02-29'), ('timestamptz', '2024-02-29 12:00:00+00', '2024-02-29T12:00:00Z'), ('boolean', 'true', 'true'), ('oid', '4294967295', '4294967295');
-- and no value of theirs, or another's
INSERT INTO cases VALUES ('int', '5', '4294967301'), ('smallint', '5', '65541'), ('bigint', '5', '18446744073709551621'), ('int', '5', '5.0'), ('int', '5', '5 '), ('int', '5', ''' OR true'), ('int', '5', '-'), ('int', '0', '+'),
	('numeric(30,2)', '5', 'five'), ('uuid', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'a0eebc99'), ('varchar(3)', 'abc', 'abcd'), ('team', 'red', 'Red'), ('date', '2024-02-29', '2024-02-30'), ('handle', 'h', 'root'), ('numeric(30,2)', '5', '5.004'), ('name', repeat('n', 63), repeat('n', 64)), ('"char"', 'a', 'anna'), ('boolean', 'true', 'false');
CREATE FUNCTION try(type text, stored text, sub text, OUT pulled int, OUT asked int, OUT pushed text, OUT changed int) LANGUAGE plpgsql AS $$
DECLARE cursor text; r json; BEGIN
	EXECUTE format('CREATE TABLE t (id int PRIMARY KEY, owner %s, s text)', type);
	PERFORM tide.track('whose.t', scope => 'owner');
	EXECUTE format('INSERT INTO t VALUES (1, %L)', stored);
	PERFORM set_config('request.jwt.claims', json_build_object('sub', sub)::text, true);
	cursor := (tide.pull()->>'cursor');
	pulled := json_array_length(tide.pull()->'changesByType'->'t');
	asked := json_array_length(tide.pull(scopes => ARRAY[sub])->'changesByType'->'t');
	r := tide.push('{"changes": {"t": [{"id": 1, "s": "x"}, {"id": 2, "s": "y"}]}}');
	pushed := coalesce(r->'failed'->0->'errors'->0->>'code', r->'succeeded'->1->>'status');
	UPDATE t SET s = 'z' WHERE id = 1;
	DELETE FROM t WHERE id = 2;
	r := tide.pull(cursor);
	changed := coalesce(json_array_length(r->'changesByType'->'t'), 0) + coalesce(json_array_length(r->'deletedByType'->'t'), 0);
	PERFORM set_config('request.jwt.claims', '', true);
	PERFORM tide.untrack('whose.t');
	DROP TABLE t;
END $$;
SELECT type, stored, sub, x.* FROM cases, try(type, stored, sub) x;
DROP SCHEMA whose CASCADE;
