-- Tracking by foreign keys: what is refused, what track puts on the tables of
-- the path, what untrack takes away, and what is noticed when a path breaks.
-- Seen to fail with: a change of a parent not invalidating its children's
-- settings; the owner of a path's tables not asked; row security forced on owners
-- when scopes are looked up, moved and filled in.
\set SHOW_CONTEXT never
CREATE SCHEMA pt;
SET search_path = pt;
SET client_min_messages = warning;
CREATE ROLE regress_tide_child;
CREATE ROLE regress_tide_parent;
GRANT EXECUTE ON FUNCTION tide.trusted() TO regress_tide_child;
GRANT USAGE, CREATE ON SCHEMA pt TO regress_tide_child, regress_tide_parent;
CREATE TABLE org (id int PRIMARY KEY, code text, tags text[], rate float8);
CREATE TABLE team (id int PRIMARY KEY, org_id int REFERENCES org, lead int, "Weird.Name" int);
CREATE TABLE member (id int PRIMARY KEY, team_id int REFERENCES team, boss int REFERENCES member, plain int, two int REFERENCES team REFERENCES org, made int GENERATED ALWAYS AS (boss) STORED REFERENCES team);
ALTER TABLE team ADD FOREIGN KEY (lead) REFERENCES member;
CREATE TABLE parted (id int PRIMARY KEY) PARTITION BY LIST (id);
CREATE TABLE of_parted (id int PRIMARY KEY, p int REFERENCES parted);
CREATE UNLOGGED TABLE fast (id int PRIMARY KEY, who text);
CREATE UNLOGGED TABLE of_fast (id int PRIMARY KEY, f int REFERENCES fast);
CREATE TABLE base (id int PRIMARY KEY, who text);
CREATE TABLE derived () INHERITS (base);
CREATE TABLE of_base (id int PRIMARY KEY, b int REFERENCES base);

-- what leads nowhere
SELECT tide.track('member', scope => 'nothing.code');
SELECT tide.track('member', scope => 'team_id.nothing');
SELECT tide.track('member', scope => 'team_id.org_id.nothing');
SELECT tide.track('member', scope => 'plain.code');
SELECT tide.track('member', scope => 'two.code');
SELECT tide.track('member', scope => 'boss.plain');
SELECT tide.track('member', scope => 'team_id.lead.plain');
SELECT tide.track('member', scope => 'team_id.lead.team_id.org_id');
SELECT tide.track('member', scope => 'team_id.');
SELECT tide.track('member', scope => '.');
SELECT tide.track('member', scope => 'team_id..code');
SELECT tide.track('member', scope => 'team_id.ctid');
SELECT tide.track('member', scope => 'made.org_id');
SELECT tide.track('of_parted', scope => 'p.id');
SELECT tide.track('of_fast', scope => 'f.who');
SELECT tide.track('of_base', scope => 'b.who');
SELECT tide.track('member', scope => 'team_id.org_id.tags');
SELECT tide.track('member', scope => 'team_id.org_id.rate');
-- which column
SELECT tide.track('member', scope => 'team_id.org_id.code', scope_column => 'plain');
SELECT tide.track('member', scope => 'team_id.org_id', scope_column => 'id');
SELECT tide.track('member', scope => 'team_id.org_id', scope_column => 'made');
SELECT tide.track('member', scope => 'team_id.org_id', scope_column => 'team_id');
SELECT tide.track('member', scope => 'team_id', scope_column => 'plain');
SELECT tide.track('org', shared => true, scope_column => 'code');
SELECT tide.track('member', scope => 'team_id.org_id.code', exclude => '{tide_scope}');
SELECT tide.track('member', scope => 'team_id.org_id.code', deleted_at => 'tide_scope');
-- nothing is left of a try
SELECT count(*) FROM pg_trigger WHERE tgname ~ '^zz_tide';

-- one's own migration
SELECT tide.track('member', scope => 'team_id.org_id.code', add_columns => false);
ALTER TABLE pt.member ADD COLUMN tide_scope text;
ALTER TABLE pt.member ADD COLUMN "lastModifiedAt" timestamptz, ADD COLUMN "clientId" text;
SELECT tide.track('member', scope => 'team_id.org_id.code', add_columns => false);
CREATE UNIQUE INDEX ON pt.team (id, org_id) WHERE org_id > 0;
SELECT tide.track('member', scope => 'team_id.org_id.code', add_columns => false);
CREATE UNIQUE INDEX ON pt.team (id, org_id);
SELECT tide.track('member', scope => 'team_id.org_id.code', add_columns => false);
CREATE UNIQUE INDEX ON pt.org (id, code);
SET client_min_messages = notice;
SELECT tide.track('member', scope => 'team_id.org_id.code', add_columns => false);
SET client_min_messages = warning;
CREATE INDEX ON member (team_id);
CREATE INDEX ON member (tide_scope, id);
CREATE INDEX ON team (org_id);
SELECT relation, scope, scope_column, problem FROM tide.tracked;
SELECT severity, object, problem FROM tide.check() WHERE severity <> 'info';

-- called again with what it says, and with another path; the column may become the user's again
INSERT INTO org VALUES (1, 'one'), (2, 'two');
INSERT INTO team VALUES (10, 1), (20, 2);
INSERT INTO member (id, team_id) VALUES (100, 10), (200, 20);
CREATE FUNCTION whose() RETURNS text LANGUAGE sql AS 'SELECT string_agg(concat(id, tide_scope), '' '' ORDER BY id) FROM pt.member';
SELECT registration AS r FROM tide.tracked \gset
SELECT tide.track(relation, scope => scope, scope_column => scope_column) FROM tide.tracked;
SELECT registration = :r AS same, scope, scope_column FROM tide.tracked;
-- rows that went wrong meanwhile are made right, and everybody reads anew
ALTER TABLE org DISABLE TRIGGER zz_tide_path_update;
UPDATE org SET code = 'zwei' WHERE id = 2;
SELECT whose();
SELECT severity, object, problem, hint FROM tide.check() WHERE severity <> 'info';
ALTER TABLE org ENABLE TRIGGER zz_tide_path_update;
SELECT tide.track('member', scope => 'team_id.org_id.code');
SELECT whose(), registration = :r AS same FROM tide.tracked;
DROP TRIGGER zz_tide_path_delete ON team;
DROP TRIGGER zz_tide_scope_late ON member;
DROP INDEX org_id_code_idx, team_org_id_idx;
SELECT severity, object, problem, hint FROM tide.check() WHERE severity <> 'info';
SELECT tide.track('member', scope => 'team_id.org_id.code');
SELECT severity, object, problem FROM tide.check() WHERE severity <> 'info';

-- a path that breaks: writes of the table are errors, and of its ancestors, which it could miss
ALTER TABLE org RENAME code TO label;
SELECT relation, scope, problem FROM tide.tracked;
SELECT severity, problem, hint FROM tide.check() WHERE severity = 'error';
INSERT INTO member (id, team_id) VALUES (300, 10);
UPDATE org SET label = 'eins' WHERE id = 1;
ALTER TABLE org RENAME label TO code;
SELECT problem FROM tide.tracked;
ALTER TABLE org ALTER code TYPE varchar(10);
SELECT problem FROM tide.tracked;
ALTER TABLE org ALTER code TYPE text;
ALTER TABLE member DROP CONSTRAINT member_team_id_fkey;
SELECT problem FROM tide.tracked;
ALTER TABLE member ADD FOREIGN KEY (team_id) REFERENCES team;
SELECT problem FROM tide.tracked;
CREATE TABLE crew (id int PRIMARY KEY, org_id int REFERENCES org);
ALTER TABLE member DROP CONSTRAINT member_team_id_fkey;
ALTER TABLE member ADD FOREIGN KEY (team_id) REFERENCES crew NOT VALID;
SELECT problem FROM tide.tracked;
ALTER TABLE member DROP CONSTRAINT member_team_id_fkey;
ALTER TABLE member ADD FOREIGN KEY (team_id) REFERENCES team;
SELECT problem FROM tide.tracked;
ALTER TABLE org RENAME TO organisation;
UPDATE organisation SET code = 'uno' WHERE id = 1;
SELECT whose();
ALTER TABLE organisation RENAME TO org;

-- two tables by one path, and one that begins where the other ends
CREATE TABLE badge (id int PRIMARY KEY, team_id int REFERENCES team, member_id int REFERENCES member);
SELECT tide.track('badge', scope => 'team_id.org_id.code');
CREATE TABLE mark (id int PRIMARY KEY, badge_id int REFERENCES badge, member_id int REFERENCES member ON DELETE CASCADE);
SELECT tide.track('mark', scope => 'member_id.tide_scope');
INSERT INTO badge VALUES (1, 10), (2, 20);
INSERT INTO mark VALUES (1, 1, 100), (2, 2, 200);
UPDATE team SET org_id = 2 WHERE id = 10;
SELECT (SELECT string_agg(concat(id, tide_scope), ' ' ORDER BY id) FROM badge) AS badges, (SELECT string_agg(concat(id, tide_scope), ' ' ORDER BY id) FROM mark) AS marks, whose();
UPDATE org SET code = 'duo' WHERE id = 2;
SELECT (SELECT string_agg(concat(id, tide_scope), ' ' ORDER BY id) FROM badge) AS badges, (SELECT string_agg(concat(id, tide_scope), ' ' ORDER BY id) FROM mark) AS marks, whose();
SELECT relation FROM tide.tracked;
SELECT tgrelid::regclass, tgname FROM pg_trigger WHERE tgname ~ 'zz_tide_path' ORDER BY 1, 2;
SELECT tide.untrack('badge', true);
UPDATE team SET org_id = 1 WHERE id = 10;
SELECT whose(), (SELECT string_agg(attname, ' ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'badge'::regclass AND attnum > 0 AND NOT attisdropped) AS columns;
-- another path: what the old one needed goes, and nothing that has only its name
CREATE INDEX org_code_tide_path9 ON org (code);
CREATE UNIQUE INDEX org_some_tide_path ON org (id) WHERE code = '';
CREATE UNIQUE INDEX org_lower_tide_path ON org (id, lower(code));
CREATE UNIQUE INDEX org_more_tide_path ON org (id) INCLUDE (code);
CREATE UNIQUE INDEX org_tide_path_idx ON org (id, code);
ALTER TABLE org ADD CONSTRAINT org_id_tide_path UNIQUE (id);
SELECT tide.track('member', scope => 'team_id.org_id', scope_column => 'plain');
SELECT tgrelid::regclass, tgname FROM pg_trigger WHERE tgname ~ 'zz_tide_path' ORDER BY 1, 2;
SELECT indexrelid::regclass FROM pg_index WHERE indexrelid::regclass::text ~ 'tide_path' ORDER BY 1;
SELECT tide.untrack('mark', true);
SELECT tide.untrack('member', true);
-- of the columns, those that were there stay
SELECT string_agg(attname, ' ' ORDER BY attnum) AS columns FROM pg_attribute WHERE attrelid = 'member'::regclass AND attnum > 0 AND NOT attisdropped;
SELECT count(*) FROM pg_trigger WHERE tgname ~ '^zz_tide';
SELECT indexrelid::regclass FROM pg_index WHERE indexrelid::regclass::text ~ 'tide_path' ORDER BY 1;

-- composite foreign keys, quoted names, types that need conversion, a domain as scope
CREATE DOMAIN who AS varchar(20);
CREATE TABLE "Plan" (athlete who, "Id" bigint, v int, PRIMARY KEY ("Id"), UNIQUE (athlete, "Id"));
CREATE TABLE "Set" (id int PRIMARY KEY, athlete who, "planId" int, FOREIGN KEY (athlete, "planId") REFERENCES "Plan" (athlete, "Id") ON UPDATE CASCADE);
CREATE TABLE rep (id int PRIMARY KEY, "setId" int REFERENCES "Set");
INSERT INTO "Plan" VALUES ('ann', 1), ('bob', 2);
INSERT INTO "Set" VALUES (1, 'ann', 1), (2, 'bob', 2), (3, NULL, 2);
INSERT INTO rep VALUES (1, 1), (2, 2), (3, 3);
SELECT tide.track('"Set"', scope => 'planId.athlete');
SELECT tide.track('rep', scope => 'setId.planId.athlete', naming => 'camel');
UPDATE "Plan" SET athlete = 'cyd' WHERE "Id" = 1;
INSERT INTO rep VALUES (4, 1);
UPDATE "Set" SET athlete = 'bob', "planId" = 2 WHERE id = 1;
SELECT (SELECT string_agg(concat(id, tide_scope), ' ' ORDER BY id) FROM "Set") AS sets, (SELECT string_agg(concat(id, tide_scope), ' ' ORDER BY id) FROM rep) AS reps;
SELECT pg_typeof(tide_scope), data->>'tideScope' AS wire FROM rep, tide.changes() WHERE id = 1 AND entity_type = 'rep' AND key->>'id' = '1';
SELECT tide.untrack('"Set"');

-- whose tables: track needs them all, and a trigger that somebody made by hand reads nothing for others
SET ROLE regress_tide_parent;
CREATE TABLE secret (id int PRIMARY KEY, word text);
INSERT INTO secret VALUES (1, 'xyzzy');
GRANT REFERENCES, SELECT (id) ON secret TO regress_tide_child;
SET ROLE regress_tide_child;
CREATE TABLE spy (id int PRIMARY KEY, s int REFERENCES secret, tide_scope text, "lastModifiedAt" timestamptz, "clientId" text);
SELECT tide.track('spy', scope => 's.word');
CREATE TRIGGER zz_tide_scope BEFORE INSERT ON spy FOR EACH ROW EXECUTE FUNCTION tide.scope();
CREATE TRIGGER zz_tide_stamp BEFORE INSERT ON spy FOR EACH ROW EXECUTE FUNCTION tide.stamp('reg=7', 'key=id', 'scope=tide_scope', 'scope_path=s.word', 'modified_at=lastModifiedAt', 'client_id=clientId');
INSERT INTO spy VALUES (1, 1);
SELECT tide_scope FROM spy;
RESET ROLE;
-- nor does it stop who owns the path's tables
UPDATE team SET org_id = 2 WHERE id = 10;
-- as a member of the parent's owner, one may
GRANT regress_tide_parent TO regress_tide_child;
SET ROLE regress_tide_child;
DROP TRIGGER zz_tide_scope ON spy;
DROP TRIGGER zz_tide_stamp ON spy;
SELECT tide.track('spy', scope => 's.word');
INSERT INTO spy VALUES (1, 1);
SELECT tide_scope FROM spy;
-- row security hides nothing from it, not even what it forces on the owner
ALTER TABLE secret ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE spy ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY in_only ON spy FOR INSERT WITH CHECK (true);
INSERT INTO spy VALUES (3, 1);
SELECT count(*) FROM spy;
RESET ROLE;
UPDATE secret SET word = 'plugh';
SELECT id, tide_scope FROM spy ORDER BY id;
SET ROLE regress_tide_child;
SELECT tide.untrack('spy');
RESET ROLE;
UPDATE spy SET tide_scope = NULL;
SET ROLE regress_tide_child;
SELECT tide.track('spy', scope => 's.word');
RESET ROLE;
SELECT id, tide_scope FROM spy ORDER BY id;
-- the functions are triggers, and only where they belong
SELECT tide.scope();
CREATE TRIGGER wrong AFTER INSERT ON spy FOR EACH ROW EXECUTE FUNCTION tide.scope();
INSERT INTO spy VALUES (2, 1);
DROP TRIGGER wrong ON spy;
CREATE TRIGGER wrong AFTER INSERT ON spy FOR EACH STATEMENT EXECUTE FUNCTION tide.path();
INSERT INTO spy VALUES (2, 1);
DROP TRIGGER wrong ON spy;
CREATE TRIGGER wrong BEFORE INSERT ON spy FOR EACH ROW EXECUTE FUNCTION tide.scope_late();
INSERT INTO spy VALUES (2, 1);
DROP SCHEMA pt CASCADE;
REVOKE EXECUTE ON FUNCTION tide.trusted() FROM regress_tide_child;
DROP ROLE regress_tide_child, regress_tide_parent;
