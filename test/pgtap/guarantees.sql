-- The guarantees G1 to G8, as far as one session can show them. Each statement
-- is a transaction of its own: what is guaranteed is guaranteed at COMMIT.
\set QUIET on
\set ON_ERROR_STOP on
SET client_min_messages = warning;
-- a cursor of another history, for G6
SELECT current_database() AS home, current_database() || '_other' AS other \gset
CREATE DATABASE :"other" TEMPLATE template0;
\c :"other"
SET client_min_messages = warning;
CREATE EXTENSION pg_tide;
CREATE TABLE account (id int PRIMARY KEY);
SELECT tide.track('account', shared => true) IS NULL AS ok \gset
SELECT tide.cursor() AS foreign_cursor \gset
\c :"home"
SET client_min_messages = warning;
DROP DATABASE :"other";
SELECT no_plan();

CREATE TABLE account (id int PRIMARY KEY, user_id text, amount int NOT NULL, note text, at timestamptz, by text);
CREATE INDEX ON account (user_id, id);
SELECT tide.track('account', scope => 'user_id', modified_at => 'at', client_id => 'by') IS NULL AS ok \gset
-- a device: its rows and its cursor
CREATE TABLE device (name text, id int, amount int, PRIMARY KEY (name, id));
CREATE TABLE device_cursor (name text PRIMARY KEY, cursor text);
CREATE FUNCTION page(device text, page_size int) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	p json := tide.pull((SELECT cursor FROM device_cursor c WHERE c.name = device), max_rows => page_size);
BEGIN
	INSERT INTO device SELECT device, (r->>'id')::int, (r->>'amount')::int FROM json_array_elements(p->'changesByType'->'account') r
		ON CONFLICT (name, id) DO UPDATE SET amount = excluded.amount;
	DELETE FROM device d USING json_array_elements(p->'deletedByType'->'account') r WHERE d.name = device AND d.id = (r->>'id')::int;
	INSERT INTO device_cursor VALUES (device, p->>'cursor') ON CONFLICT (name) DO UPDATE SET cursor = excluded.cursor;
	RETURN (p->>'hasMore')::boolean;
END $$;
CREATE FUNCTION in_step(device text) RETURNS boolean LANGUAGE sql AS $$
	SELECT NOT EXISTS ((SELECT id, amount FROM device d WHERE d.name = device EXCEPT SELECT id, amount FROM account WHERE user_id = 'ann')
		UNION ALL (SELECT id, amount FROM account WHERE user_id = 'ann' EXCEPT SELECT id, amount FROM device d WHERE d.name = device)) $$;
CREATE PROCEDURE pull_all(device text, page_size int) LANGUAGE plpgsql AS $$
BEGIN
	LOOP
		EXIT WHEN NOT page(device, page_size);
		COMMIT;
	END LOOP;
END $$;
SET request.jwt.claims = '{"sub": "ann"}';

-- G1 no loss: devices that pull now and then, in pages of any size, in the
-- middle of writing or after it, always end with the table
INSERT INTO account SELECT i, CASE WHEN i % 4 = 0 THEN 'bob' ELSE 'ann' END, i FROM generate_series(1, 60) i;
DO $$
DECLARE
	seed float := 0.2026;
	device text;
BEGIN
	PERFORM setseed(seed);
	FOR step IN 1..150 LOOP
		CASE floor(random() * 6)::int
			WHEN 0 THEN INSERT INTO account VALUES (1000 + step, 'ann', step);
			WHEN 1 THEN UPDATE account SET amount = amount + 1 WHERE id % 7 = step % 7;
			WHEN 2 THEN DELETE FROM account WHERE id = (SELECT id FROM account ORDER BY md5(id::text || step) LIMIT 1);
			WHEN 3 THEN UPDATE account SET user_id = CASE user_id WHEN 'ann' THEN 'bob' ELSE 'ann' END WHERE id % 11 = step % 11;
			WHEN 4 THEN
				BEGIN
					UPDATE account SET amount = -amount WHERE id % 5 = step % 5;
					INSERT INTO account VALUES (2000 + step, 'ann', step);
					IF random() < 0.5 THEN RAISE 'undone'; END IF;
				EXCEPTION WHEN raise_exception THEN NULL;
				END;
			ELSE PERFORM tide.push(jsonb_build_object('changes', jsonb_build_object('account', jsonb_build_array(jsonb_build_object('id', 3000 + step % 20, 'amount', step)))));
		END CASE;
		device := (ARRAY['phone', 'tablet', 'watch'])[1 + floor(random() * 3)::int];
		PERFORM page(device, (ARRAY[1, 3, 10, 100])[1 + floor(random() * 4)::int]);
		IF random() < 0.6 THEN COMMIT; END IF;
	END LOOP;
END $$;
CALL pull_all('phone', 7);
CALL pull_all('tablet', 100);
CALL pull_all('watch', 1);
SELECT ok(in_step(d), format('G1: the %s has every committed change, and no other', d)) FROM unnest('{phone,tablet,watch}'::text[]) d;
CALL pull_all('new', 13);
SELECT ok(in_step('new'), 'G1: and so has a new device');

-- G2 no stall: a prepared transaction delays nothing else
SELECT current_setting('max_prepared_transactions')::int > 0 AS prepares \gset
\if :prepares
BEGIN;
UPDATE account SET amount = 777 WHERE id = (SELECT min(id) FROM account WHERE user_id = 'ann');
INSERT INTO account VALUES (9001, 'ann', 1);
PREPARE TRANSACTION 'pgtap_tide';
INSERT INTO account VALUES (9002, 'ann', 2);
CALL pull_all('phone', 100);
SELECT ok(EXISTS (SELECT FROM device WHERE name = 'phone' AND id = 9002), 'G2: what commits after it arrives at once');
SELECT ok(NOT EXISTS (SELECT FROM device WHERE name = 'phone' AND id = 9001), 'G2: what is in doubt does not');
COMMIT PREPARED 'pgtap_tide';
CALL pull_all('phone', 100);
SELECT ok(in_step('phone'), 'G2: and arrives once it is committed');
\else
SELECT skip('max_prepared_transactions = 0', 3);
\endif

-- G3 consistent cut: money moved between two pages is on one account, not two
INSERT INTO account SELECT 5000 + i, 'ann', 100 FROM generate_series(1, 40) i;
SELECT sum(amount) AS total FROM account WHERE user_id = 'ann' \gset
SELECT page('bank', 10) AS more \gset
UPDATE account SET amount = amount + CASE id WHEN (SELECT min(id) FROM account WHERE user_id = 'ann') THEN 50 ELSE -50 END
	WHERE id IN ((SELECT min(id) FROM account WHERE user_id = 'ann'), 5040);
SELECT page('bank', 10) AS more \gset
UPDATE account SET amount = amount + CASE id WHEN 5001 THEN 30 ELSE -30 END WHERE id IN (5001, 5039);
CALL pull_all('bank', 10);
SELECT is((SELECT sum(amount) FROM device WHERE name = 'bank'), :total::bigint, 'G3: after the last page the sum is right');

-- G4 push: replays have no second effect
CREATE TABLE replay AS SELECT '{"changes": [
	{"id": "1", "entityType": "account", "entityId": 8001, "data": {"amount": 1}, "lastModifiedAt": "2026-01-01T00:00:01Z"},
	{"id": "2", "entityType": "account", "entityId": 8002, "data": {"amount": 2}, "lastModifiedAt": "2026-01-01T00:00:02Z"},
	{"id": "3", "entityType": "account", "entityId": 8002, "action": "delete", "lastModifiedAt": "2026-01-01T00:00:03Z"}]}'::jsonb AS body;
SELECT is((SELECT (tide.push(body)->'summary')::jsonb FROM replay), '{"total": 3, "succeeded": 3, "failed": 0, "superseded": 0}', 'G4: a push');
SELECT format('%s %s', max(at), max(xmin::text::bigint)) AS before FROM account \gset
SELECT is((SELECT (tide.push(body)->'summary'->>'failed')::int FROM replay), 0, 'G4: sent again, nothing fails');
SELECT is((SELECT format('%s %s', max(at), max(xmin::text::bigint)) FROM account), :'before', 'G4: and nothing is written');
UPDATE account SET amount = 99 WHERE id = 8001;
SELECT is((SELECT tide.push(body)->'succeeded'->0->>'status' FROM replay), 'superseded', 'G4: after a newer edit it is superseded');
SELECT is((SELECT amount FROM account WHERE id = 8001), 99, 'G4: and the edit stands');
SELECT is((SELECT count(*) FROM account WHERE id = 8002), 0::bigint, 'G4: what was deleted stays deleted');

-- G5 convergence: whatever the order of arrival, the same row
CREATE FUNCTION outcome(id int, changes jsonb[]) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	change jsonb;
BEGIN
	FOREACH change IN ARRAY changes LOOP
		PERFORM tide.push(jsonb_build_object('changes', jsonb_build_array(change || jsonb_build_object('entityType', 'account', 'entityId', id))));
	END LOOP;
	RETURN coalesce((SELECT format('%s %s %s %s', amount, note, at AT TIME ZONE 'UTC', by) FROM account a WHERE a.id = outcome.id), 'deleted');
END $$;
CREATE TABLE versions AS SELECT n, v FROM unnest(ARRAY[
	'{"data": {"amount": 1, "note": "a"}, "clientId": "p", "lastModifiedAt": "2026-01-01T00:00:01Z"}',
	'{"data": {"amount": 2, "note": "b"}, "clientId": "q", "lastModifiedAt": "2026-01-01T00:00:01Z"}',
	'{"action": "delete", "clientId": "p", "lastModifiedAt": "2026-01-01T00:00:02Z"}',
	'{"data": {"amount": 4, "note": null}, "clientId": "a", "lastModifiedAt": "2026-01-01T00:00:02.000001Z"}',
	'{"data": {"amount": 5, "note": "e"}, "clientId": "Z", "lastModifiedAt": "2026-01-01T00:00:02.000001Z"}']::jsonb[]) WITH ORDINALITY AS x(v, n);
CREATE TABLE outcomes (orders text, keep int, result text);
DO $$
DECLARE
	r record;
	id int := 100000;
BEGIN
	FOR r IN WITH RECURSIVE p(used, vs) AS (SELECT '{}'::bigint[], '{}'::jsonb[] UNION ALL SELECT used || n, vs || v FROM p, versions WHERE n <> ALL (used))
		SELECT used, vs, cardinality(used) AS k, (SELECT array_agg(u ORDER BY u) FROM unnest(used) u) AS members FROM p WHERE cardinality(used) >= 2 LOOP
		id := id + 1;
		INSERT INTO outcomes VALUES (r.members::text, r.k, outcome(id, r.vs || r.vs[1:1]));
	END LOOP;
END $$;
SELECT is(count(DISTINCT result), 1::bigint, format('G5: all %s orders of changes %s end alike', count(*), orders)) FROM outcomes GROUP BY orders, keep ORDER BY keep, orders;
SELECT is((SELECT DISTINCT result FROM outcomes WHERE keep = 5), '4  2026-01-01 00:00:02.000001 a', 'G5: and with the greatest stamp''s version');
SELECT is((SELECT DISTINCT result FROM outcomes WHERE orders = '{1,2,3}'), 'deleted', 'G5: be it a deletion');
DELETE FROM account WHERE id >= 100000;

-- G6 no silent divergence: a cursor from elsewhere is no cursor here
SELECT is(tide.pull(:'foreign_cursor')->>'reset', 'true', 'G6: another history''s cursor is reset');
SELECT isnt(tide.pull(:'foreign_cursor')->>'resetReason', NULL, 'G6: with a reason');
SELECT is((SELECT count(*) FROM json_array_elements(tide.pull(:'foreign_cursor', max_rows => 100000)->'changesByType'->'account')), (SELECT count(*) FROM account WHERE user_id = 'ann'), 'G6: and everything comes again');
SELECT is(tide.pull('1999-01-01T00:00:00Z')->>'reset', 'true', 'G6: so does a time before all that is remembered');
SELECT throws_ok($$SELECT tide.pull('tampered-with')$$, 'TD002', NULL, 'G6: what is no cursor is an error, not an empty reply');

-- G7 isolation: no row, key or tombstone of another scope
SELECT tide.cursor() AS c \gset
SET request.jwt.claims = '{"sub": "eve"}';
SELECT is((SELECT count(*) FROM tide.changes(:'c', max_rows => 100000)), 0::bigint, 'G7: with another one''s cursor');
SELECT is((SELECT count(*) FROM tide.changes(max_rows => 100000)), 0::bigint, 'G7: nor in a first pull');
SELECT is((SELECT count(*) FROM tide.changes(:'foreign_cursor', max_rows => 100000)), 0::bigint, 'G7: nor after a reset');
SELECT is((SELECT count(*) FROM tide.changes('1999-01-01', max_rows => 100000)), 0::bigint, 'G7: nor since a time');
SELECT ok(tide.push('{"changes": {"account": [{"id": 8001, "amount": 0}]}}')->'failed'->0->'errors'->0->>'code' = 'scope_not_allowed', 'G7: nor is one written');
SELECT ok(tide.push('{"changes": {"account": [{"id": 8002, "amount": 0}]}}')->'failed'->0->'errors'->0->>'code' = 'scope_not_allowed', 'G7: nor a tombstone');
SELECT ok((tide.push('{"changes": {"account": [{"id": 8001, "amount": 0}]}}')->'failed'->0)::text !~ 'ann|99', 'G7: and the refusal tells nothing of the row');
UPDATE account SET user_id = 'eve' WHERE id = 8001;
SELECT is((SELECT string_agg(operation || ' ' || (key->>'id'), ',') FROM tide.changes(max_rows => 100000)), 'upsert 8001', 'G7: until it is hers');
SET request.jwt.claims = '{"sub": "ann"}';
SELECT is((SELECT string_agg(operation || ' ' || (key->>'id'), ',') FROM tide.changes(:'c', max_rows => 100000)), 'delete 8001', 'G7: and then it leaves the other');

-- G8 a pull after an acknowledged push sees it
SELECT tide.cursor() AS c \gset
SELECT is(tide.push('{"changes": {"account": [{"id": 8100, "amount": 8}]}}')->'succeeded'->0->>'status', 'applied', 'G8: pushed');
SELECT is(tide.pull(:'c')->'changesByType'->'account'->0->>'id', '8100', 'G8: and seen from a cursor');
SELECT ok((tide.pull(tide.pull()->>'serverTime')->'changesByType'->'account')::text ~ '"id":8100\y', 'G8: and since a time');
SELECT * FROM finish();
