-- A first sync plans a statement once for each table, however many scopes and pages
-- there are, and looks for rows of many scopes by one statement.
-- Seen to fail with a custom plan each time, and with a statement for each scope.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA planned;
SET search_path = planned;
CREATE ROLE regress_tide_planned;
GRANT USAGE ON SCHEMA planned TO regress_tide_planned;
CREATE TABLE t (id int PRIMARY KEY, user_id text, n int);
CREATE TABLE u (id int PRIMARY KEY, user_id text, n int);
CREATE TABLE everybodys (id int PRIMARY KEY, n int);
CREATE INDEX ON t (user_id, id);
SELECT tide.track('t', scope => 'user_id');
SELECT tide.track('u', scope => 'user_id');
SELECT tide.track('everybodys', shared => true);
INSERT INTO t SELECT i, 's' || i % 300, 0 FROM generate_series(1, 900) i WHERE i % 300 IN (7, 8, 299);
INSERT INTO t SELECT i, 's150', 0 FROM generate_series(1001, 1250) i;
INSERT INTO u SELECT i, 's' || i % 300, 0 FROM generate_series(1, 30) i;
INSERT INTO everybodys SELECT i, 0 FROM generate_series(1, 50) i;

-- what is IMMUTABLE is called when a statement is planned
CREATE SEQUENCE plans;
CREATE FUNCTION plan_of(name text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM nextval('planned.plans'); RETURN true; END $$;
GRANT ALL ON SEQUENCE plans TO regress_tide_planned;
ALTER TABLE t ENABLE ROW LEVEL SECURITY;
ALTER TABLE everybodys ENABLE ROW LEVEL SECURITY;
CREATE POLICY t ON t USING (plan_of('t'));
CREATE POLICY everybodys ON everybodys USING (plan_of('everybodys'));
GRANT SELECT ON t, u, everybodys TO regress_tide_planned;
GRANT EXECUTE ON FUNCTION tide.unrestricted() TO regress_tide_planned;
SET ROLE regress_tide_planned;

CREATE FUNCTION pg_temp.sync(scopes text[], size int, OUT rows int, OUT pages int, OUT plans bigint) LANGUAGE plpgsql AS $$
DECLARE
	reply json;
	since text;
	before bigint := nextval('planned.plans');
BEGIN
	rows := 0;
	pages := 0;
	LOOP
		reply := tide.pull(since, scopes, max_rows => size);
		since := reply->>'cursor';
		pages := pages + 1;
		rows := rows + (SELECT coalesce(sum(json_array_length(value)), 0) FROM json_each(reply->'changesByType'));
		EXIT WHEN NOT (reply->>'hasMore')::boolean;
	END LOOP;
	plans := nextval('planned.plans') - before - 1;
END $$;
SELECT array_agg('s' || i)::text AS scopes FROM generate_series(0, 299) i \gset
SELECT rows, pages, plans < 10 AS "few plans" FROM pg_temp.sync(:'scopes', 10);
SELECT rows, pages, plans FROM pg_temp.sync(:'scopes', 10);
-- pages that end in the middle of a scope, at its end, and with the scope after it empty
SELECT size, s.* FROM unnest('{1,3,50,1000}'::int[]) size, pg_temp.sync(:'scopes', size) s;
-- few scopes, one, none, and all
SELECT s.* FROM pg_temp.sync('{s7,s9,s150}', 100) s;
SELECT s.* FROM pg_temp.sync('{s299}', 1) s;
SELECT s.* FROM pg_temp.sync('{}', 20) s;
SELECT rows, pages, plans < 6 AS "few plans" FROM pg_temp.sync(NULL, 100);
SELECT rows, pages, plans FROM pg_temp.sync(NULL, 100);
RESET ROLE;
DROP SCHEMA planned CASCADE;
DROP OWNED BY regress_tide_planned;
DROP ROLE regress_tide_planned;
