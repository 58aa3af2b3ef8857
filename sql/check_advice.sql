-- What works, but not as users may expect: tide.track says it in a NOTICE, and
-- tide.check in a row.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA advice;
SET search_path = advice;
\set look 'SELECT severity, object, problem, hint FROM tide.check() WHERE object ~ $$^advice$$ ORDER BY object COLLATE "C", problem COLLATE "C"'
CREATE TABLE coarse (id uuid PRIMARY KEY, at timestamp(0));
SET client_min_messages = notice;
SELECT tide.track('coarse', shared => true, modified_at => 'at');
SET client_min_messages = warning;
:look;
SELECT hint FROM tide.check() WHERE object = 'advice.coarse' \gexec
:look;
CREATE TABLE numbered (id serial PRIMARY KEY);
CREATE TABLE counted (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY);
CREATE TABLE chosen (id int PRIMARY KEY);
SELECT tide.track('numbered', shared => true), tide.track('counted', shared => true), tide.track('chosen', shared => true);
:look;
DROP TABLE numbered, counted, chosen;
-- a policy that hides what is deleted softly
CREATE TABLE soft (id uuid PRIMARY KEY, user_id text, deleted_at timestamptz);
CREATE INDEX ON soft (user_id, id);
SELECT tide.track('soft', scope => 'user_id', deleted_at => 'deleted_at');
CREATE POLICY own ON soft USING (user_id = CURRENT_USER);
:look;
CREATE POLICY alive ON soft USING (deleted_at IS NULL);
:look;
DROP TABLE soft;
-- stamps that no edit can be later than; the hint mends them
CREATE TABLE late (id uuid PRIMARY KEY, at timestamptz);
INSERT INTO late VALUES ('00000000-0000-0000-0000-000000000001', '2099-01-01'), ('00000000-0000-0000-0000-000000000002', 'infinity'), ('00000000-0000-0000-0000-000000000003', '2020-01-01');
SELECT tide.track('late', shared => true, modified_at => 'at');
:look;
SELECT unnest(string_to_array(hint, '; ')) FROM tide.check() WHERE object = 'advice.late' \gexec
SELECT id, at <= now() AS past FROM late ORDER BY id;
:look;
DROP TABLE late;
-- a counter cache
CREATE TABLE post (id uuid PRIMARY KEY, comments int DEFAULT 0);
CREATE TABLE comment (id uuid PRIMARY KEY, post_id uuid REFERENCES post);
CREATE FUNCTION count_comment() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE advice.post SET comments = comments + 1 WHERE id = NEW.post_id;
	RETURN NULL;
END $$;
CREATE TRIGGER count AFTER INSERT ON comment FOR EACH ROW EXECUTE FUNCTION count_comment();
SELECT tide.track('post', shared => true), tide.track('comment', shared => true);
:look;
SELECT tide.track('post', shared => true, conflict => 'merge');
:look;
-- rules and publications that came later
CREATE RULE "No more" AS ON DELETE TO post DO ALSO NOTHING;
:look;
-- its own changes fail then, others of the push do not
SELECT x->>'entityType' AS type, x->>'status' AS status, x->'errors'->0 AS error FROM (SELECT tide.push('{"changes": {"post": [{"id": "00000000-0000-0000-0000-00000000000a"},
	{"id": "00000000-0000-0000-0000-00000000000b"}], "comment": [{"id": "00000000-0000-0000-0000-00000000000c"}]}}')) AS p (p),
	LATERAL (SELECT json_array_elements(p->'succeeded') UNION ALL SELECT json_array_elements(p->'failed')) AS e (x) ORDER BY 1;
SELECT hint FROM tide.check() WHERE object = 'advice.post' \gexec
:look;
SET client_min_messages = error;
CREATE PUBLICATION regress_tide_all FOR ALL TABLES;
SELECT severity, object, problem, hint FROM tide.check() WHERE problem ~ 'regress_tide_all';
DROP PUBLICATION regress_tide_all;
DROP SCHEMA advice CASCADE;
