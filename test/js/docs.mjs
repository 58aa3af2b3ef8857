/* The programs of docs/clients.md, as they stand, each with its library. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';

import { config, Gateway, sql, token } from './lib/world.mjs';

const run = promisify(execFile);
const text = readFileSync(join(config.root, 'docs/clients.md'), 'utf8');
const programs = Object.fromEntries([...text.matchAll(/^```js\n\/\/ (\w+\.js)\n(.*?)^```$/gms)]
	.map(([, name, code]) => [name, code]));
const folder = join(config.root, 'test/js/node_modules/.docs');

const SETUP = `
	CREATE TABLE workouts (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id text NOT NULL,
		title text NOT NULL, minutes integer CHECK (minutes > 0));
	CREATE INDEX ON workouts (user_id, id);
	SELECT tide.track('workouts', scope => 'user_id', naming => 'camel');
	GRANT SELECT, INSERT, UPDATE, DELETE ON workouts TO tide_user;`;

/* What a browser has, a session that is logged in, and an end. */
const RUNNER = `
	import 'fake-indexeddb/auto';
	import { webcrypto } from 'node:crypto';
	import { createRequire } from 'node:module';
	const kept = { 'tide-session': JSON.stringify({ token: process.argv[2], userId: 'ana' }) };
	globalThis.crypto ??= webcrypto;
	globalThis.require = createRequire(process.cwd() + '/');
	globalThis.localStorage = { getItem: (name) => kept[name] ?? null, setItem: (name, value) => { kept[name] = value; } };
	await import(process.argv[1]);
	process.exit();`;

/* WatermelonDB is CommonJS without "exports": bundlers find these, Node does not. */
function forNode(code) {
	return code.replace(/^import (\{.*\}|\w+) from '(@nozbe\/[^']+)';$/gm, (_, what, name) => what.startsWith('{')
		? `const ${what} = require('${name}');` : `const { default: ${what} } = require('${name}');`);
}

test('the programs of docs/clients.md', { timeout: 120000 }, async (t) => {
	const names = Object.keys(programs);
	assert.deepEqual(names, ['session.js', 'store.js', 'tanstack.js', 'rxdb.js', 'watermelon.js']);
	const gateway = await new Gateway().start();
	try {
		await sql(SETUP);
		rmSync(folder, { recursive: true, force: true });
		mkdirSync(folder, { recursive: true });
		writeFileSync(join(folder, 'package.json'), '{"type": "module"}');
		for (const name of names) {
			writeFileSync(join(folder, name), forNode(programs[name]).replaceAll('https://sync.example', gateway.url));
			const lines = programs[name].trim().split('\n').filter((line) => line.trim()).length;
			await t.test(`${name}, ${lines} lines`, async () => {
				if (name === 'watermelon.js') {
					const [, statements] = /^```sql\n-- as the owner of the tables\n(.*?)^```$/ms.exec(text);
					await sql(statements);
				}
				if (name === 'session.js')
					return;
				await sql('DELETE FROM workouts');
				await run(process.execPath, ['--input-type=module', '-e', RUNNER, join(folder, name), token('ana')],
					{ cwd: join(config.root, 'test/js'), timeout: 60000 });
				assert.equal(await sql("SELECT count(*) || ' ' || min(title) FROM workouts"), '1 Push day');
			});
		}
	} finally {
		await gateway.kill('SIGTERM');
	}
});
