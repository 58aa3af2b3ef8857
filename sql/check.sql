-- tide.check: what keeps sync from being right or fast.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA "check";
SET search_path = "check";
CREATE TABLE note (id int PRIMARY KEY, user_id text, body text);
CREATE INDEX note_scope ON note (user_id, id);
CREATE TABLE "Odd ""Table" (id int PRIMARY KEY);
SELECT tide.track('note', scope => 'user_id');
SELECT tide.track('"Odd ""Table"', shared => true);
-- what is said of these tables
\set look 'SELECT severity, object, problem, hint FROM tide.check() WHERE object ~ $$^"?check"?\.$$ ORDER BY problem COLLATE "C"'
:look;
-- and of the log: never a time or a size that a test could not know
SELECT severity, object, regexp_replace(problem, '\d+|never pruned|pruned at.*', '...') AS problem FROM tide.check() WHERE object !~ '"check"' ORDER BY length(problem);
SELECT count(*) FROM tide.check() WHERE severity NOT IN ('error', 'warning', 'info') OR problem IS NULL OR object IS NULL;

-- triggers that are disabled, in replica role, missing, renamed
ALTER TABLE note DISABLE TRIGGER zz_tide_update;
:look;
ALTER TABLE note ENABLE REPLICA TRIGGER zz_tide_update;
SELECT severity, problem ~ 'zz_tide_update' AS named FROM tide.check() WHERE object ~ 'note';
ALTER TABLE note ENABLE ALWAYS TRIGGER zz_tide_update;
SELECT count(*) AS fine FROM tide.check() WHERE object ~ 'note';
ALTER TABLE note ENABLE TRIGGER zz_tide_update;
ALTER TABLE "Odd ""Table" DISABLE TRIGGER ALL;
SELECT DISTINCT severity, object, hint ~ '"Odd ""Table"' AS quoted FROM tide.check() WHERE object ~ 'Odd';
ALTER TABLE "Odd ""Table" ENABLE TRIGGER ALL;
DROP TRIGGER zz_tide_delete ON note;
:look;
SELECT tide.track('note', scope => 'user_id');
ALTER TABLE note DISABLE TRIGGER zz_tide_stamp;
:look;
ALTER TABLE note ENABLE TRIGGER zz_tide_stamp;
-- a trigger of the user's that comes after ours
CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER zzz_mine BEFORE UPDATE ON note FOR EACH ROW EXECUTE FUNCTION f();
:look;
DROP TRIGGER zzz_mine ON note;
CREATE TRIGGER zzz_after AFTER UPDATE ON note FOR EACH ROW EXECUTE FUNCTION f();
CREATE TRIGGER a_before BEFORE UPDATE ON note FOR EACH ROW EXECUTE FUNCTION f();
:look;

-- the index of the scope: none, partial, of another column, without the key
DROP INDEX note_scope;
:look;
CREATE INDEX note_partial ON note (user_id) WHERE id > 0;
SELECT severity FROM tide.check() WHERE object ~ 'note';
CREATE INDEX note_second ON note (body, user_id);
SELECT severity FROM tide.check() WHERE object ~ 'note';
CREATE INDEX note_third ON note (user_id, body);
:look;
CREATE INDEX note_scope ON note (user_id, id, body);
SELECT count(*) AS fine FROM tide.check() WHERE object ~ 'note';

-- settings that do not fit any more
ALTER TABLE note DROP "lastModifiedAt";
:look;
SELECT tide.track('note', scope => 'user_id');
SELECT count(*) AS fine FROM tide.check() WHERE object ~ 'note';

-- anybody may look, and sees no row of anybody's
CREATE ROLE regress_tide_check;
SET ROLE regress_tide_check;
SELECT count(*) > 0 AS looks FROM tide.check();
RESET ROLE;
DROP ROLE regress_tide_check;
DROP SCHEMA "check" CASCADE;
