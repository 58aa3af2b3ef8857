-- Whose tables are synced: those of owners who may execute tide.trusted().
-- Who may not claims nothing, whatever trigger is put on a table.  Seen failing
-- without names_is_trusted() in registry_problem(), check_trusted() in track.c,
-- and the look at trusted in registry_find().
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE ROLE regress_tide_mallory;
CREATE ROLE regress_tide_group;
CREATE SCHEMA trust;
GRANT ALL ON SCHEMA trust TO regress_tide_mallory;
SET search_path = trust;
CREATE TABLE note (id int PRIMARY KEY, user_id text, body text);
CREATE INDEX ON note (user_id, id);
SELECT tide.track('note', scope => 'user_id');
SELECT registration AS reg FROM tide.tracked \gset
INSERT INTO note VALUES (1, 'ann', 'the victim''s');

-- an owner who is not trusted tracks nothing
SET ROLE regress_tide_mallory;
CREATE TABLE evil (id int PRIMARY KEY, user_id text, body text, at timestamptz, by text);
CREATE INDEX ON evil (user_id, id);
INSERT INTO evil VALUES (1, 'ann', 'mallory''s');
SELECT tide.track('evil', scope => 'user_id');
SELECT tide.untrack('evil');

-- nor does a trigger with another table's name and number help,
-- where nobody notices triggers that tide.track did not make; else the table gets a number of its own
RESET ROLE;
ALTER EVENT TRIGGER tide_after_trigger DISABLE;
SET ROLE regress_tide_mallory;
\set stamp 'reg=':reg
CREATE TRIGGER zz_tide_stamp BEFORE INSERT OR UPDATE ON evil FOR EACH ROW EXECUTE FUNCTION
	tide.stamp(:'stamp', 'entity_type=note', 'key=id', 'scope=user_id', 'modified_at=at', 'client_id=by');
RESET ROLE;
ALTER EVENT TRIGGER tide_after_trigger ENABLE ALWAYS;
SET request.jwt.claims = '{"sub": "ann"}';
SELECT tide.pull(entity_types => '{note}')->'changesByType'->'note'->0->>'body' AS body;
SELECT tide.pull()->'changesByType'->'note'->0->>'body' AS body;
SELECT tide.pull()->>'cursor' AS c \gset
UPDATE note SET body = 'changed';
SELECT p->'reset' AS reset, p->'changesByType'->'note'->0->>'body' AS body FROM tide.pull(:'c') p;
SELECT p->'summary'->>'succeeded' AS succeeded FROM tide.push('{"changes": {"note": [{"id": 2, "body": "pushed"}]}}') p;
SELECT id, body FROM note ORDER BY id;
SELECT id, body FROM evil ORDER BY id;
SELECT array_agg(k) AS types FROM json_object_keys(tide.schema()->'entityTypes') k;
-- both say what is the matter: not the victim's
SELECT relation, registration = :reg AS same, problem FROM tide.tracked ORDER BY relation::text COLLATE "C";
SELECT severity, object, problem, hint FROM tide.check() WHERE object ~ 'trust' ORDER BY object, problem;
-- the owner can take the trigger off, and track it again once trusted
GRANT EXECUTE ON FUNCTION tide.trusted() TO regress_tide_group;
GRANT regress_tide_group TO regress_tide_mallory;
-- two trusted tables with one number: neither is served
SELECT relation, problem FROM tide.tracked ORDER BY relation::text COLLATE "C";
SELECT p->'changesByType' AS nothing FROM tide.pull() p;
SELECT tide.pull(entity_types => '{note}')->'unavailableTypes' AS unavailable;
SELECT p->'failed'->0->'errors'->0->>'code' AS code, p->'failed'->0->'errors'->0->>'message' AS message FROM tide.push('{"changes": {"note": [{"id": 3}]}}') p;
SET ROLE regress_tide_mallory;
SELECT tide.track('evil', scope => 'user_id', modified_at => 'at', client_id => 'by');
RESET ROLE;
SELECT relation, entity_type, registration = :reg AS same, problem FROM tide.tracked ORDER BY relation::text COLLATE "C";
SELECT array_agg(k) AS types FROM json_object_keys(tide.pull()->'changesByType') k;

-- trust that is taken away: the table is captured, but not synced, and keeps its
-- place for when it is given again
SELECT tide.pull()->>'cursor' AS c \gset
REVOKE regress_tide_group FROM regress_tide_mallory;
INSERT INTO evil VALUES (5, 'ann', 'meanwhile');
SELECT problem FROM tide.tracked WHERE relation = 'evil'::regclass;
SELECT tide.pull(entity_types => '{evil}')->'unavailableTypes' AS unavailable;
SELECT p->'failed'->0->'errors'->0->>'code' AS code, p->'failed'->0->'errors'->0->>'message' AS message FROM tide.push('{"changes": {"evil": [{"id": 3}]}}') p;
GRANT regress_tide_group TO regress_tide_mallory;
SELECT p->'reset' AS reset, p->'changesByType'->'evil'->0->>'body' AS body FROM tide.pull(:'c') p;
-- a superuser's table is trusted, also after it changed hands
REVOKE regress_tide_group FROM regress_tide_mallory;
ALTER TABLE evil OWNER TO CURRENT_USER;
SELECT problem FROM tide.tracked WHERE relation = 'evil'::regclass;

RESET request.jwt.claims;
DROP SCHEMA trust CASCADE;
REVOKE EXECUTE ON FUNCTION tide.trusted() FROM regress_tide_group;
DROP ROLE regress_tide_mallory, regress_tide_group;
