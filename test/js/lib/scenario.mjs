/*
 * One story of two devices of one user, told with each library. A device is
 *
 *   sync()                       once; resolves whatever came of it
 *   rows(table)                  what it shows, wire names
 *   insert(table, row), update(table, id, columns), remove(table, id)
 *   refused()                    [{type, key, code}]: edits that the server refused
 *   giveUp()                     discards them
 *   live()                       syncs by itself from now on
 *   close(), reopen()            what it stores stays
 *   network                      a Network
 *
 * and after each step both devices equal SELECT, column by column.
 */
import assert from 'node:assert/strict';
import { randomUUID as uuid } from 'node:crypto';
import { test } from 'node:test';

import { Gateway, Network, holding, normalized, selected, setup, sql, token, TYPES, waitFor } from './world.mjs';

/* what the gateway takes at most in one request */
const BODIES = ['--max-body-bytes', '1000000'];

export async function scenario(library, { policy, milliseconds = false, open, revives = false }) {
	const gateway = new Gateway();
	const session = { token: token('ana'), refreshes: 0 };

	function device(name) {
		return open({
			name, url: gateway.url, network: new Network(),
			getToken: () => session.token,
			refresh: async () => {
				session.refreshes++;
				return session.token = token('ana');
			},
		});
	}

	async function equal(one, what) {
		for (const table of TYPES) {
			const want = await selected(table, 'ana', { milliseconds });
			const have = normalized(table, await one.rows(table), { milliseconds });
			assert.equal(have.length, want.length, `${what}: number of ${table}`);
			assert.deepEqual(have, want, `${what}: ${table}`);
		}
	}

	/* What is wrong with the adapter itself is no state of the network. */
	function sound(status) {
		assert.notEqual(status?.error?.code, 'internal', status?.error?.message);
	}

	let a, b;

	/* Both hear of everything, and equal the database. */
	async function converged() {
		for (let round = 0; round < 2; round++) {
			sound(await a.sync());
			sound(await b.sync());
		}
		await equal(a, 'first device');
		await equal(b, 'second device');
	}

	const find = async (one, table, id) => (await one.rows(table)).find((row) => row.id === id);
	const stored = async (table, id, column = 'title') =>
		sql(`SELECT ${column} FROM ${table} WHERE id = '${id}'`);
	const task = (n) => md5s.get(n);
	const newTask = (project, columns) => ({ id: uuid(), team: 'red', project_id: project, title: 'New',
		priority: 2, hours: 1.25, due: null, done: false, note: null, ...columns });
	const md5s = new Map();

	test(library, { timeout: 570000 }, async (t) => {
		// a step begins where the one before ended: after a failure none can
		let failed = false;
		const step = (name, action) => t.test(name, { skip: failed && 'a step before failed' }, async () => {
			failed = true;
			await action();
			await converged();
			failed = false;
		});

		await sql(setup(policy));
		await gateway.start(...BODIES);
		for (const line of (await sql('SELECT n, md5(\'task\' || n)::uuid FROM generate_series(1, 100) AS n')).split('\n')) {
			const [n, id] = line.split('|');
			md5s.set(Number(n), id);
		}
		const project = await sql("SELECT md5('project1')::uuid");

		try {
			await step('the first sync brings 2,000 rows', async () => {
				a = await device('a');
				b = await device('b');
				await a.sync();
				assert.equal((await a.rows('tasks')).length, 2000);
			});

			await step('edits offline on both devices, and plain SQL', async () => {
				a.network.offline = b.network.offline = true;
				await a.update('tasks', task(1), { title: 'by a', done: true, hours: 2.5 });
				const made = newTask(project, { title: 'made by a', due: '2026-03-01T10:00:00.000Z' });
				await a.insert('tasks', made);
				await b.update('tasks', task(2), { title: 'by b', note: null });
				await a.sync();
				await b.sync();
				await sql(`UPDATE tasks SET title = 'by SQL' WHERE id = '${task(3)}'`);
				a.network.offline = b.network.offline = false;
				await converged();
				assert.equal(await stored('tasks', task(1)), 'by a');
				assert.equal(await stored('tasks', task(2)), 'by b');
				assert.equal(await stored('tasks', made.id), 'made by a');
				assert.equal((await find(b, 'tasks', task(3))).title, 'by SQL');
			});

			await step('both edit one row; the policy decides', async () => {
				a.network.offline = b.network.offline = true;
				await a.update('tasks', task(4), { title: 'earlier, by a', priority: 1 });
				await tick();
				await b.update('tasks', task(4), { title: 'later, by b' });
				b.network.offline = false;
				await b.sync();
				a.network.offline = false;
				await converged();
				assert.equal(await stored('tasks', task(4)), 'later, by b');
				// under merge the column that only a edited is a's
				assert.equal(await stored('tasks', task(4), 'priority'), policy === 'merge' ? '1' : '5');
			});

			await step('an edit against plain SQL', async () => {
				a.network.offline = true;
				await a.update('tasks', task(5), { title: 'by a before SQL' });
				await tick();
				await sql(`UPDATE tasks SET title = 'by SQL after a' WHERE id = '${task(5)}'`);
				a.network.offline = false;
				await converged();
				assert.equal(await stored('tasks', task(5)), 'by SQL after a');
			});

			await step('a delete, then a later edit: the row is back', async () => {
				a.network.offline = b.network.offline = true;
				await a.remove('tasks', task(6));
				await tick();
				await b.update('tasks', task(6), { title: 'edited after the delete' });
				a.network.offline = b.network.offline = false;
				await a.sync();
				await b.sync();
				await converged();
				assert.equal(await stored('tasks', task(6), 'deleted_at IS NULL'), 't');
			});

			await step('an edit, then a later delete: the row is gone', async () => {
				a.network.offline = b.network.offline = true;
				await a.update('tasks', task(7), { title: 'edited before the delete' });
				await tick();
				await b.remove('tasks', task(7));
				a.network.offline = b.network.offline = false;
				await a.sync();
				await b.sync();
				await converged();
				// where the server wins, the edit that came first stands against the delete
				assert.equal(await stored('tasks', task(7), 'deleted_at IS NULL'),
					policy === 'server_wins' ? 't' : 'f');
			});

			await step('a soft delete, and its undoing by SQL', async () => {
				await a.remove('tasks', task(8));
				await converged();
				assert.equal(await find(b, 'tasks', task(8)), undefined);
				assert.equal(await stored('tasks', task(8), 'deleted_at IS NULL'), 'f');
				await sql(`UPDATE tasks SET deleted_at = NULL WHERE id = '${task(8)}'`);
				await converged();
				assert.ok(await find(b, 'tasks', task(8)));
			});

			await step('hard deletes by SQL', async () => {
				await sql(`DELETE FROM tasks WHERE id = '${task(9)}'`);
				await sql("DELETE FROM projects WHERE name = 'Project 20'"); // cascades
				await converged();
				assert.equal(await find(a, 'tasks', task(9)), undefined);
			});

			await step('five good edits beside a CHECK and a foreign key violation', async () => {
				a.network.offline = true;
				const orphan = newTask(uuid(), { title: 'orphan' });
				for (let n = 10; n < 15; n++)
					await a.update('tasks', task(n), { title: `good ${n}` });
				await a.update('tasks', task(15), { title: 'bad', priority: 9 });
				await a.insert('tasks', orphan);
				a.network.offline = false;
				await a.sync();
				for (let n = 10; n < 15; n++)
					assert.equal(await stored('tasks', task(n)), `good ${n}`);
				assert.equal(await stored('tasks', task(15)), 'Task 15');
				const codes = (await a.refused()).map(({ key, code }) => [key, code]).sort();
				assert.deepEqual(codes, [[orphan.id, '23503'], [task(15), '23514']].sort());
				await a.giveUp();
				assert.equal((await find(a, 'tasks', task(15))).title, 'Task 15');
				assert.equal(await find(a, 'tasks', orphan.id), undefined);
				assert.deepEqual(await a.refused(), []);
			});

			await step('children made before their parents', async () => {
				b.network.offline = true;
				const parent = uuid();
				const children = [1, 2, 3].map((n) => newTask(parent, { title: `child ${n}` }));
				for (const child of children)
					await b.insert('tasks', child);
				await b.insert('projects', { id: parent, team: 'red', name: 'parent' });
				b.network.offline = false;
				await b.sync();
				assert.equal(await sql(`SELECT count(*) FROM tasks WHERE project_id = '${parent}'`), '3');
				assert.deepEqual(await b.refused(), []);
			});

			await step('an edit that is too long for the server, beside a good one', async () => {
				a.network.offline = true;
				await a.update('tasks', task(16), { note: 'x'.repeat(1500000) });
				await a.update('tasks', task(17), { note: 'short enough' });
				a.network.offline = false;
				await a.sync();
				assert.equal(await stored('tasks', task(17), 'note'), 'short enough');
				assert.deepEqual((await a.refused()).map(({ key, code }) => [key, code]), [[task(16), 'too_large']]);
				const pushes = () => a.network.requests.filter(({ path }) => path.endsWith('/sync/push')).length;
				const before = pushes();
				await a.sync();
				assert.equal(pushes(), before);
				await a.giveUp();
			});

			await step('a column that comes with a default: rows that are here have it, too', async () => {
				await sql("ALTER TABLE tasks ADD COLUMN colour text DEFAULT 'grey'");
				await a.update('tasks', task(18), { title: 'while the column came' });
				await a.sync();
				await b.sync();
				for (const one of [a, b])
					assert.deepEqual([...new Set((await one.rows('tasks')).map(({ colour }) => colour))], ['grey']);
			});

			await step('a reset while one table cannot be served: what is gone meanwhile goes when it can', async () => {
				const gone = await sql("SELECT md5('project18')::uuid");
				a.network.offline = true;
				await sql(`DELETE FROM projects WHERE id = '${gone}'`);
				await b.sync();
				await sql("SELECT tide.prune('0 s'); ALTER TABLE projects RENAME COLUMN team TO crew");
				a.network.offline = false;
				sound(await a.sync());
				assert.ok(await find(a, 'projects', gone));
				await sql('ALTER TABLE projects RENAME COLUMN crew TO team');
				await a.sync();
				assert.equal(await find(a, 'projects', gone), undefined);
			});

			await step('a reset after a prune, with unsent edits', async () => {
				a.network.offline = true;
				const made = newTask(project, { title: 'made before the prune' });
				await a.update('tasks', task(22), { title: 'edited before the prune' });
				await a.update('projects', await sql("SELECT md5('project19')::uuid"), { name: 'gone meanwhile' });
				await a.insert('tasks', made);
				await tick();
				await sql(`DELETE FROM projects WHERE id = md5('project19')::uuid`);
				await sql(`DELETE FROM tasks WHERE id = '${task(21)}'`);
				await sql("UPDATE tasks SET note = 'meanwhile' WHERE priority = 1");
				await b.sync();
				await sql("SELECT tide.prune('0 s')");
				a.network.offline = false;
				await a.sync();
				await a.sync();
				assert.equal(await stored('tasks', task(22)), 'edited before the prune');
				assert.equal(await stored('tasks', made.id), 'made before the prune');
				assert.equal(await find(a, 'tasks', task(21)), undefined);
				// the edit of a row that is gone does not bring it back, and its user hears of it
				const gone = await sql("SELECT md5('project19')::uuid");
				assert.equal(await stored('projects', gone, 'count(*)'), '0');
				assert.deepEqual((await a.refused()).map(({ key, code }) => [key, code]), [[gone, 'resync_required']]);
				await a.giveUp();
			});

			await step('a scope given, and taken', async () => {
				await sql("INSERT INTO members VALUES ('ana', 'blue')");
				await converged();
				assert.equal((await a.rows('tasks')).filter((row) => row.team === 'blue').length, 40);
				await sql("DELETE FROM members WHERE scope = 'blue'");
				await converged();
				assert.equal((await a.rows('tasks')).filter((row) => row.team === 'blue').length, 0);
				assert.equal((await a.rows('projects')).filter((row) => row.team === 'blue').length, 0);
			});

			await step('the token expires during a sync', async () => {
				await a.update('tasks', task(30), { title: 'with a fresh token' });
				const before = session.refreshes;
				a.network.after('/sync/pull', () => { session.token = token('ana', { ttl: -3600 }); });
				await a.sync();
				assert.equal(session.refreshes, before + 1);
				assert.equal(await stored('tasks', task(30)), 'with a fresh token');
			});

			await step('another user logs in on the device: nothing is sent as hers', async () => {
				a.network.offline = true;
				await a.update('tasks', task(34), { title: 'of the first user' });
				a.network.offline = false;
				const before = a.network.requests.length;
				session.token = token('ben');
				const { state, error } = await a.sync();
				assert.deepEqual([state, error.code], ['signed_out', 'other_user']);
				assert.equal(a.network.requests.length, before);
				session.token = token('ana');
				await a.sync();
				assert.equal(await stored('tasks', task(34)), 'of the first user');
			});

			await step('the gateway is killed in a push', async () => {
				const lock = await holding(`SELECT FROM tasks WHERE id = '${task(31)}' FOR UPDATE`);
				await a.update('tasks', task(31), { title: 'in the killed push' });
				await a.update('tasks', task(32), { title: 'in the killed push, too' });
				const synced = a.sync();
				await waitFor('the push waits for the row', async () => await sql(
					"SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()") > 0);
				await gateway.kill();
				await lock.end();
				await gateway.start(...BODIES);
				await synced;
				await a.sync();
				assert.equal(await stored('tasks', task(31)), 'in the killed push');
				assert.equal(await stored('tasks', task(32)), 'in the killed push, too');
			});

			await step('a reply is lost, and the push sent again after the app was reopened', async () => {
				const made = newTask(project, { title: 'made once' });
				a.network.offline = true;
				await a.update('tasks', task(33), { title: 'sent twice' });
				await a.insert('tasks', made);
				a.network.offline = false;
				a.network.loseReply('/sync/push');
				await a.sync();
				assert.equal(await stored('tasks', task(33)), 'sent twice');
				await a.close();
				await b.sync();
				await b.update('tasks', task(33), { title: 'by b, after it' });
				await b.sync();
				a = await a.reopen();
				await a.sync();
				assert.equal(await stored('tasks', task(33)), 'by b, after it');
				assert.equal(await sql("SELECT count(*) FROM tasks WHERE title = 'made once'"), '1');
			});

			await step('a change on one device is on the other at once', async () => {
				await a.live();
				await b.live();
				await waitFor('both are live', async () => await a.isLive() && await b.isLive());
				const started = Date.now();
				await a.update('tasks', task(40), { title: 'live' });
				await waitFor('it is there', async () => (await find(b, 'tasks', task(40))).title === 'live', 10);
				const edit = Date.now() - started;
				const sqlStarted = Date.now();
				await sql(`UPDATE tasks SET title = 'live by SQL' WHERE id = '${task(41)}'`);
				await waitFor('it is there', async () => (await find(a, 'tasks', task(41))).title === 'live by SQL', 10);
				t.diagnostic(`live: device to device ${edit} ms, SQL to device ${Date.now() - sqlStarted} ms`);
			});
		} finally {
			await a?.close().catch(() => {});
			await b?.close().catch(() => {});
			await gateway.kill('SIGTERM');
		}
	});
}

/* two edits in the same millisecond have no order */
function tick() {
	return new Promise((resolve) => setTimeout(resolve, 5));
}
