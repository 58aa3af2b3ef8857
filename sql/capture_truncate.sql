-- TRUNCATE of many rows: their tombstones are packed, and still say of each key
-- what one of its own would.  Seen failing without packed_read() in
-- tombstone_read(), and with the pack's stamp for rows that are ahead of it.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA capture_truncate;
SET search_path = capture_truncate;
CREATE TABLE note (id int PRIMARY KEY, user_id text, s text, at timestamptz, by text);
CREATE INDEX ON note (user_id);
SELECT tide.track('note', scope => 'user_id', modified_at => 'at', client_id => 'by');
INSERT INTO note SELECT i, 'u' || i % 3, 's' FROM generate_series(1, 5000) i;
SELECT (tide.upsert('note', '{"id": 5001, "user_id": "u1", "s": "ahead"}', now() + interval '50 s', 'phone')).status;
SELECT tide.pull(NULL, '{u1}', max_rows => 10000)->>'cursor' AS u1 \gset
TRUNCATE note;
SELECT count(*), sum(cardinality(hashes)), bool_and(cardinality(hashes) <= 1000) AS bounded,
	bool_and(lower(span) = hashes[1] AND upper(span) = hashes[cardinality(hashes)] + 1) AS spanned
FROM tide.tombstone_pack WHERE relid = 'note'::regclass;
SELECT count(*) FROM tide.tombstone WHERE relid = 'note'::regclass;

-- every row of the scope is told to be gone, with its time
SELECT operation, count(*), count(modified_at) FROM tide.changes(:'u1', '{u1}', max_rows => 10000) GROUP BY 1;

-- changes from before: of rows that were there they lose, others are as new
SELECT v.status, count(*) FROM generate_series(990, 1100) i,
	tide.upsert('note', jsonb_build_object('id', i, 'user_id', 'u1', 's', 'late'), now() - interval '1 h', 'phone') v
GROUP BY 1;
SELECT v.status, count(*) FROM generate_series(4900, 5000) i,
	tide.upsert('note', jsonb_build_object('id', i, 'user_id', 'u' || i % 3, 's', 'late'), now() - interval '1 h', 'phone') v
GROUP BY 1;
SELECT (tide.upsert('note', '{"id": 9000, "user_id": "u1", "s": "offline"}', now() - interval '1 h', 'phone')).status;
SELECT (tide.upsert('note', '{"id": 5001, "user_id": "u1", "s": "late"}', now() + interval '40 s', 'phone')).status;

-- a newer one brings its row back, which goes again
SELECT (tide.upsert('note', '{"id": 4999, "user_id": "u1", "s": "new"}', now() + interval '10 s', 'phone')).status;
DELETE FROM note WHERE id = 4999;
SELECT (tide.upsert('note', '{"id": 4999, "user_id": "u1", "s": "late"}', now() + interval '9 s', 'phone')).status;

-- what is in another scope is not the caller's to bring back
CREATE ROLE regress_capture_truncate;
GRANT USAGE ON SCHEMA capture_truncate TO regress_capture_truncate;
GRANT SELECT, INSERT, UPDATE, DELETE ON note TO regress_capture_truncate;
SET ROLE regress_capture_truncate;
SET request.jwt.claims = '{"sub": "u1"}';
SELECT status, code FROM tide.upsert('note', '{"id": 3000, "user_id": "u1", "s": "mine"}', now() + interval '20 s', 'phone');
SELECT status, code FROM tide.upsert('note', '{"id": 3001, "user_id": "u1", "s": "mine"}', now() + interval '20 s', 'phone');
RESET ROLE;
RESET request.jwt.claims;

-- where conflicts are merged each keeps the image of its row
CREATE TABLE plan (id int PRIMARY KEY, user_id text, s text);
CREATE INDEX ON plan (user_id);
SELECT tide.track('plan', scope => 'user_id', conflict => 'merge');
INSERT INTO plan SELECT i, 'u1', 's' || i FROM generate_series(1, 1500) i;
TRUNCATE plan;
SELECT count(*), count(image) FROM tide.tombstone WHERE relid = 'plan'::regclass;

DROP SCHEMA capture_truncate CASCADE;
DROP ROLE regress_capture_truncate;
