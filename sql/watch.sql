-- tide.watch: which scopes and types changed since the last look.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA watched;
SET search_path = watched;
CREATE TABLE plan (id int PRIMARY KEY, owner text, v int);
CREATE TABLE item (id int PRIMARY KEY, owner uuid, v int);
CREATE TABLE word (id int PRIMARY KEY, v int);
CREATE INDEX ON plan (owner);
CREATE INDEX ON item (owner);
SELECT tide.track('plan', scope => 'owner');
SELECT tide.track('item', scope => 'owner');
SELECT tide.track('word', shared => true);

-- a look since the last one: what became visible
CREATE FUNCTION look() RETURNS TABLE (known boolean, changed text) LANGUAGE plpgsql AS $$
DECLARE
	l record;
BEGIN
	SELECT * INTO l FROM tide.watch(nullif(current_setting('look.mark', true), ''));
	PERFORM set_config('look.mark', l.mark, false);
	known := l.known;
	SELECT string_agg(t.entity_type || '@' || c.scope, ' ' ORDER BY t.entity_type, c.scope COLLATE "C") INTO changed
	FROM unnest(l.scopes, l.types) c(scope, reg) JOIN tide.tracked t ON t.registration = c.reg;
	RETURN NEXT;
END $$;

-- the first one knows nothing, and nothing has changed since
SELECT * FROM look();
SELECT * FROM look();
-- scopes as the log has them, each type once however many statements there were
INSERT INTO plan VALUES (1, 'ann', 1), (2, 'bob', 1), (3, NULL, 1);
UPDATE plan SET v = 2 WHERE id = 1;
INSERT INTO item VALUES (1, 'AAAAAAAA-0000-0000-0000-000000000001', 1);
SELECT * FROM look();
SELECT * FROM look();
-- a shared table: the empty scope
INSERT INTO word VALUES (1, 1);
SELECT * FROM look();
-- a row moves: both scopes
UPDATE plan SET owner = 'bob' WHERE id = 1;
SELECT * FROM look();
-- an update of no synced column, a rollback and a foreign table's write: nothing
UPDATE plan SET v = v;
BEGIN; DELETE FROM plan; ROLLBACK;
CREATE TABLE elsewhere (n int);
INSERT INTO elsewhere VALUES (1);
SELECT * FROM look();
-- within the transaction that writes, what it writes is not seen twice, and not missed
BEGIN;
SELECT * FROM look();
UPDATE plan SET v = 7 WHERE id = 2;
SELECT * FROM look();
COMMIT;
SELECT * FROM look();
SELECT * FROM look();
-- deletes, cascades and TRUNCATE, which packs keys by scope
INSERT INTO plan SELECT g, 'u' || g % 3, 1 FROM generate_series(10, 3000) g;
SELECT * FROM look();
DELETE FROM plan WHERE id = 2;
SELECT * FROM look();
TRUNCATE plan;
SELECT * FROM look();
-- touch
INSERT INTO plan VALUES (1, 'ann', 1);
SELECT * FROM look();
SELECT tide.touch('plan', '[1]');
SELECT * FROM look();

-- a table that is tracked, or tracked no more: anything may be asked for
CREATE TABLE late (id int PRIMARY KEY, n int);
SELECT tide.track('late', shared => true);
SELECT * FROM look();
SELECT * FROM look();
SELECT tide.untrack('late');
SELECT * FROM look();
-- what was forgotten cannot be told
INSERT INTO word VALUES (2, 1);
SELECT tide.prune('0 s') > 0 AS pruned;
SELECT * FROM look();
SELECT * FROM look();
-- more than can be named
INSERT INTO plan SELECT g, 's' || g, 1 FROM generate_series(20000, 30001) g;
SELECT * FROM look();
INSERT INTO plan SELECT g, 's' || g, 1 FROM generate_series(40000, 40099) g;
SELECT known, length(changed) > 100 AS many FROM look();

-- what makes a mark another server's: system and database, timeline, start, installation
SELECT server ~ '^[0-9a-f]{16}-[0-9a-f]+-[0-9a-f]{16}-[0-9]+$' AS form, mark LIKE server || ' %' AS in_mark FROM tide.watch();
SELECT known FROM tide.watch(current_setting('look.mark'));
SELECT known FROM tide.watch(overlay(current_setting('look.mark') PLACING '0000' FROM 1 FOR 4));
SELECT known FROM tide.watch(regexp_replace(current_setting('look.mark'), '^(\S+)-\d+ ', '\1-1 '));
-- the time is the database's, in Unix milliseconds
SELECT at BETWEEN floor(extract(epoch FROM now()) * 1000) AND extract(epoch FROM clock_timestamp()) * 1000 AS at FROM tide.watch();

-- no mark
SELECT tide.watch('');
SELECT tide.watch('x');
SELECT tide.watch('x 0');
SELECT tide.watch('x 0 3:5');
SELECT tide.watch('x 0 3:5:x');
SELECT tide.watch('x 0 3:5:4,');
SELECT tide.watch('x 0 3:5:4,4');
SELECT tide.watch('x 0 3:5:5');
SELECT known FROM tide.watch('x 0 3:5:3,4');
\echo :LAST_ERROR_SQLSTATE

-- a pull says what one that goes on from it would look at, in the same names
CREATE FUNCTION interest(since text DEFAULT NULL, entity_types text[] DEFAULT NULL, max_rows int DEFAULT 100000, OUT changed text, OUT scopes text, OUT types text, OUT unavailable text, OUT same_server boolean, OUT remember text, OUT cursor text)
LANGUAGE plpgsql AS $$
DECLARE
	p record;
BEGIN
	p := tide.pull_page(since, NULL, entity_types, max_rows);
	cursor := p.cursor;
	changed := p.interest->>'changed';
	scopes := p.interest->>'scopes';
	types := (SELECT string_agg(t.entity_type, ' ' ORDER BY t.entity_type) FROM json_array_elements_text(p.interest->'types') i(reg) JOIN tide.tracked t ON t.registration = i.reg::int);
	unavailable := p.interest->>'unavailable';
	same_server := p.interest->>'server' = (tide.watch()).server;
	remember := p.interest->>'remember';
END $$;
SET request.jwt.claims = '{"sub": "AAAAAAAA-0000-0000-0000-000000000001"}';
SELECT changed, scopes, types, unavailable, same_server, remember FROM interest();
SELECT cursor AS here FROM interest() \gset
SELECT changed, types FROM interest(:'here');
SELECT changed, types, unavailable FROM interest(:'here', '{item,none}');
UPDATE word SET v = 3;
SELECT changed, types, remember FROM interest(:'here');
-- of a page with more, or with anything else to be told, nothing but that
INSERT INTO item VALUES (2, 'aaaaaaaa-0000-0000-0000-000000000001', 1);
SELECT changed, types, scopes, remember FROM interest(:'here', max_rows => 1);
SELECT changed, types, remember FROM interest('now');
SELECT tide.untrack('word');
SELECT tide.track('word', shared => true);
SELECT changed, types, scopes, remember FROM interest(:'here');
-- a cursor is remembered for a tenth of the retention, less what it may have had
SET pg_tide.retention = '2h';
SELECT remember FROM interest('now');
SET pg_tide.retention = '1min';
SELECT remember FROM interest('now');
RESET pg_tide.retention;
-- scopes that a function makes may be others next time, unless it says that they are not
CREATE FUNCTION my_scopes(claims jsonb) RETURNS text[] LANGUAGE sql STABLE AS 'SELECT ARRAY[claims->>''sub'', ''bob'']';
SELECT interest->'byFunction' AS by_function FROM tide.pull_page('now');
SET pg_tide.scopes_function = 'watched.my_scopes';
SELECT interest->'byFunction' AS by_function FROM tide.pull_page('now');
ALTER FUNCTION my_scopes IMMUTABLE;
SELECT interest->'byFunction' AS by_function, interest->'scopes' AS scopes FROM tide.pull_page('now');
RESET pg_tide.scopes_function;
-- all scopes are not listed
RESET request.jwt.claims;
SELECT scopes, types FROM interest('now');

-- for the gateway's role alone
CREATE ROLE regress_tide_gateway;
CREATE ROLE regress_tide_somebody;
GRANT EXECUTE ON FUNCTION tide.watch(text) TO regress_tide_gateway;
SET ROLE regress_tide_somebody;
SELECT tide.watch();
SET ROLE regress_tide_gateway;
SELECT known FROM tide.watch();
SELECT count(*) FROM tide.log;
RESET ROLE;
REVOKE EXECUTE ON FUNCTION tide.watch(text) FROM regress_tide_gateway;

DROP ROLE regress_tide_gateway, regress_tide_somebody;
DROP SCHEMA watched CASCADE;
