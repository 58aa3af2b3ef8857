-- What plain statements and pushes of 1,000 changes are measured with, by bench.sql
-- and before.sql.

-- what the bulk statements write: 100,000 rows of 1,000 users
CREATE UNLOGGED TABLE bench_source AS
SELECT md5(n::text)::uuid AS id, 's' || n % 1000 AS user_id, 'Bench Press ' || n AS title,
       'five by five, two minutes of rest' AS notes, n % 100 AS position,
       (n % 200)::numeric(6,2) AS weight_kg, n % 2 = 0 AS done
FROM generate_series(1, 100000) AS n;
VACUUM ANALYZE bench_source;

-- pushes of 1,000 changes, clean and with seven that fail, each for a reason of its own
CREATE TABLE bench_plan (id int PRIMARY KEY);
INSERT INTO bench_plan SELECT generate_series(1, 10);
CREATE TABLE bench_checked (id uuid PRIMARY KEY, user_id text NOT NULL, title text NOT NULL CHECK (title <> ''),
	position int, code int UNIQUE, plan_id int REFERENCES bench_plan, day date);
CREATE INDEX ON bench_checked (user_id, id);
SELECT tide.track('bench_checked', scope => 'user_id');
INSERT INTO bench_checked (id, user_id, title, code) VALUES (gen_random_uuid(), 'v', 'taken', 0);
CREATE FUNCTION bench_body(salt text, bad boolean) RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_build_object('changes', jsonb_agg(jsonb_build_object('entityType', 'bench_checked',
		'entityId', md5(salt || n)::uuid, 'lastModifiedAt', '2026-01-01T00:00:00Z', 'data', jsonb_build_object(
			'user_id', 'u', 'title', CASE WHEN bad AND n = 100 THEN '' ELSE 'title ' || n END,
			'position', CASE WHEN bad AND n = 301 THEN '"third"'::jsonb ELSE to_jsonb(n) END,
			'code', CASE WHEN bad AND n IN (333, 771) THEN 0 ELSE hashtext(salt || n) END,
			'plan_id', CASE WHEN bad AND n IN (512, 513) THEN 99 ELSE 1 + n % 10 END,
			'day', CASE WHEN bad AND n = 999 THEN 'never' ELSE '2026-01-01' END))))
	FROM generate_series(1, 1000) n
$$;
