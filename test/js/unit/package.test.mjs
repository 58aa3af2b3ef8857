/* The package as it is published. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, '../../..');
const installed = join(here, '../node_modules/pg-tide');
const manifest = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8'));

test('it has what its users need, and nothing else', () => {
	assert.deepEqual(readdirSync(installed).sort(), ['LICENSE', 'README.md', 'package.json', 'src', 'types']);
	assert.equal(readFileSync(join(installed, 'LICENSE'), 'utf8'), readFileSync(join(root, 'LICENSE'), 'utf8'));
	assert.equal(manifest.license, 'PostgreSQL');
	assert.equal(manifest.dependencies, undefined);
	for (const { types, default: file } of Object.values(manifest.exports).filter((one) => one.types)) {
		assert.ok(existsSync(join(installed, file)), file);
		assert.ok(existsSync(join(installed, types)), types);
	}
});

test('the core imports nothing, each entry point only its own library', () => {
	const allowed = { 'rxdb.js': ['rxdb/plugins/replication', 'rxjs'] };
	for (const file of readdirSync(join(installed, 'src'))) {
		const source = readFileSync(join(installed, 'src', file), 'utf8');
		const foreign = [...source.matchAll(/^(?:import|export|\}) .*from '([^.'][^']*)';/gm)].map(([, name]) => name);
		assert.deepEqual(foreign, allowed[file] ?? [], file);
	}
});

test('what the types say is exported is exported, and the other way round', async () => {
	for (const [entry, types] of [['pg-tide', 'index.d.ts'], ['pg-tide/rxdb', 'rxdb.d.ts'],
		['pg-tide/watermelon', 'watermelon.d.ts'], ['pg-tide/tanstack', 'tanstack.d.ts']]) {
		const text = readFileSync(join(installed, 'types', types), 'utf8');
		const declared = [...text.matchAll(/^export (?:class|function|const) (\w+)/gm)].map(([, name]) => name);
		assert.deepEqual(Object.keys(await import(entry)).sort(), [...new Set(declared)].sort(), entry);
	}
});

test('a program in TypeScript is checked against them', () => {
	const directory = mkdtempSync(join(here, 'types-'));
	try {
		writeFileSync(join(directory, 'app.ts'), `
			import { openStore, TideClient, TideError, TideSession, type PendingEdit } from 'pg-tide';
			import { replicateTide } from 'pg-tide/rxdb';
			import { tideCollectionOptions, tideMutationFn } from 'pg-tide/tanstack';
			import { TideWatermelon } from 'pg-tide/watermelon';
			import 'pg-tide/status-element';
			import { createCollection } from '@tanstack/db';

			interface Task { id: string; title: string }
			const session = new TideSession({ url: 'https://sync.example' });
			const client = new TideClient({ url: 'https://sync.example', session });
			const store = await openStore({ client, name: 'app' });
			const tasks = createCollection(tideCollectionOptions<Task>({ store, type: 'Task' }));
			tasks.insert({ id: '1', title: 'x' });
			const title: string | undefined = (await store.get<Task>('Task', '1'))?.title;
			const edits: PendingEdit[] = await store.pending();
			store.status.subscribe(({ state }) => state === 'offline');
			document.querySelector('tide-status')!.source = store;
			const error: TideError | null = null;
			// @ts-expect-error there is no such state
			store.status.value.state === 'nonsense';
			export { edits, error, replicateTide, TideWatermelon, tideMutationFn, title };
		`);
		execFileSync(process.execPath, [join(here, '../node_modules/typescript/bin/tsc'), '--noEmit', '--strict',
			'--skipLibCheck', '--target', 'es2022', '--module', 'nodenext', '--moduleResolution', 'nodenext',
			'--lib', 'es2023,dom,dom.iterable', join(directory, 'app.ts')], { encoding: 'utf8', stdio: 'pipe' });
	} catch (error) {
		assert.fail(error.stdout ?? error.message);
	} finally {
		rmSync(directory, { recursive: true });
	}
});
