-- What `make bench-before` measures: in a database of the commit before, and in
-- one of this. Nothing that the older one may not have.

\ir rows.sql
CREATE TABLE bench_tracked (LIKE bench_plain INCLUDING ALL);

CREATE EXTENSION pg_tide;
SELECT tide.track('bench_tracked', scope => 'user_id');
-- who waits for changes asks for it; a commit before the first that has it has no such function
DO $$
BEGIN
	GRANT EXECUTE ON FUNCTION tide.watch(text) TO tide_gateway;
EXCEPTION WHEN undefined_function THEN
END $$;
GRANT SELECT, INSERT, UPDATE, DELETE ON bench_tracked TO tide_user;

\ir statements.sql
