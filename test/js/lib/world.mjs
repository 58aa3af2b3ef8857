/*
 * What the scenarios share: the database that the .t file made, a gateway of
 * their own that they may kill, tokens, and a network that can be taken away.
 */
import { spawn, execFile } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';

import { waitFor } from './wait.mjs';

const run = promisify(execFile);
const given = JSON.parse(process.env.TIDE_JS);

export const config = given;

export { waitFor };

/* Runs SQL as the superuser; unaligned tuples. */
export async function sql(text) {
	const { stdout } = await run('psql', ['-X', '-q', '-A', '-t', '-v', 'ON_ERROR_STOP=1',
		'-d', given.conninfo, '-c', text], { maxBuffer: 1 << 28 });
	return stdout.trim();
}

/* A statement that stays open in a transaction until end() is called. */
export async function holding(text) {
	const psql = spawn('psql', ['-X', '-q', '-A', '-t', '-v', 'ON_ERROR_STOP=1', '-d', given.conninfo],
		{ stdio: ['pipe', 'pipe', 'inherit'] });
	const held = new Promise((resolve) => psql.stdout.on('data', (data) => {
		if (String(data).includes('held'))
			resolve();
	}));
	psql.stdin.write(`BEGIN; ${text}; SELECT 'held';\n`);
	await held;
	return {
		end() {
			const ended = new Promise((resolve) => psql.on('exit', resolve));
			psql.stdin.end('ROLLBACK;\n');
			return ended;
		},
	};
}

export function token(sub, { ttl = 3600, role } = {}) {
	const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
	const now = Math.floor(Date.now() / 1000);
	const text = encode({ alg: 'HS256', typ: 'JWT' }) + '.'
		+ encode({ sub, iat: now - 100, exp: now + ttl, ...(role ? { role } : {}) });
	const secret = readFileSync(given.secretFile, 'utf8').replace(/\n$/, '');
	return text + '.' + createHmac('sha256', secret).update(text).digest('base64url');
}

/* A gateway that can be killed, and comes back at the same address. */
export class Gateway {
	#process = null;
	#port = 0;

	async start(...more) {
		this.#process = spawn(given.gateway, [
			'--listen', `127.0.0.1:${this.#port}`, '--jwt-secret-file', given.secretFile,
			'--database-url', given.gatewayUrl, '--cors-origins', '*', ...more,
		], { stdio: ['ignore', 'ignore', 'pipe'] });
		let log = '';
		this.#process.stderr.on('data', (data) => { log += data; });
		this.#port = await waitFor('the gateway listens', () => {
			if (this.#process.exitCode !== null)
				throw new Error(`the gateway ended:\n${log}`);
			return Number(/listening address=\S+ port=(\d+)/.exec(log)?.[1] ?? 0);
		});
		this.url = `http://127.0.0.1:${this.#port}`;
		await waitFor('the gateway is ready', async () =>
			(await fetch(`${this.url}/ready`).catch(() => ({}))).ok);
		return this;
	}

	async kill(signal = 'SIGKILL') {
		const process = this.#process;
		if (!process || process.exitCode !== null || process.signalCode !== null)
			return;
		const ended = new Promise((resolve) => process.on('exit', resolve));
		process.kill(signal);
		await ended;
	}
}

/*
 * A device's network: fetch, which can be taken away, can lose replies, and
 * counts what it carried.
 */
export class Network {
	offline = false;
	requests = [];
	#loss = null;
	#after = null;

	/* The server does what is asked next of the path, and the answer is lost. */
	loseReply(path) {
		this.#loss = path;
	}

	/* Something happens after the next answer of the path. */
	after(path, action) {
		this.#after = { path, action };
	}

	fetch = async (url, options = {}) => {
		const { pathname } = new URL(url);
		if (this.offline)
			throw new TypeError('fetch failed');
		this.requests.push({ path: pathname, method: options.method ?? 'GET', body: options.body });
		const response = await fetch(url, options);
		if (this.#loss && pathname.endsWith(this.#loss)) {
			this.#loss = null;
			await response.text();
			throw new TypeError('fetch failed');
		}
		if (this.offline)
			throw new TypeError('fetch failed');
		if (this.#after && pathname.endsWith(this.#after.path)) {
			const { action } = this.#after;
			this.#after = null;
			action();
		}
		return response;
	};
}

/* ---- the tables of the scenarios ---- */

export const TYPES = ['projects', 'tasks'];

export function setup(policy) {
	return `
		CREATE TABLE members (sub text, scope text, PRIMARY KEY (sub, scope));
		CREATE FUNCTION scopes_of(claims jsonb) RETURNS text[] LANGUAGE sql STABLE AS
			$$ SELECT array_agg(scope) FROM public.members WHERE sub = claims->>'sub' $$;
		DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET pg_tide.scopes_function = %L',
			current_database(), 'public.scopes_of'); END $$;
		CREATE TABLE projects (
			id uuid PRIMARY KEY, team text NOT NULL, name text NOT NULL,
			updated_at timestamptz);
		CREATE INDEX ON projects (team, id);
		CREATE TABLE tasks (
			id uuid PRIMARY KEY, team text NOT NULL,
			project_id uuid NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
			title text NOT NULL CHECK (length(title) <= 60),
			priority integer NOT NULL DEFAULT 3 CHECK (priority BETWEEN 1 AND 5),
			hours numeric(8,2), due timestamptz, done boolean NOT NULL DEFAULT false,
			note text, version integer NOT NULL DEFAULT 1,
			updated_at timestamptz, deleted_at timestamptz);
		CREATE INDEX ON tasks (team, id);
		CREATE INDEX ON tasks (project_id);
		SELECT tide.track('projects', scope => 'team', modified_at => 'updated_at',
			client_id => 'client_id', conflict => '${policy}');
		SELECT tide.track('tasks', scope => 'team', modified_at => 'updated_at',
			client_id => 'client_id', version => 'version', deleted_at => 'deleted_at', conflict => '${policy}');
		GRANT SELECT, INSERT, UPDATE, DELETE ON projects, tasks TO tide_user;
		GRANT SELECT ON members TO tide_user;
		INSERT INTO members VALUES ('ana', 'red');
		INSERT INTO projects (id, team, name)
			SELECT md5('project' || n)::uuid, CASE WHEN n <= 20 THEN 'red' ELSE 'blue' END, 'Project ' || n
			FROM generate_series(1, 25) AS n;
		INSERT INTO tasks (id, team, project_id, title, priority, hours, due, note)
			SELECT md5('task' || n)::uuid, 'red', md5('project' || n % 20 + 1)::uuid, 'Task ' || n, n % 5 + 1,
				CASE WHEN n % 3 > 0 THEN n / 4.0 END,
				CASE WHEN n % 2 > 0 THEN timestamptz '2026-01-01 00:00Z' + n * interval '1 hour' END,
				CASE WHEN n % 7 = 0 THEN 'a note, "quoted" — ümlaut' END
			FROM generate_series(1, 2000) AS n;
		INSERT INTO tasks (id, team, project_id, title)
			SELECT md5('blue' || n)::uuid, 'blue', md5('project' || 20 + n % 5 + 1)::uuid, 'Blue ' || n
			FROM generate_series(1, 40) AS n;`;
}

const COLUMNS = {
	projects: ['id', 'team', 'name', 'updated_at', 'client_id'],
	tasks: ['id', 'team', 'project_id', 'title', 'priority', 'hours', 'due', 'done', 'note', 'version',
		'updated_at', 'client_id'],
};
const TIMES = new Set(['updated_at', 'due']);

/* The rows that a user should have, from the tables themselves. */
export async function selected(table, sub, { milliseconds }) {
	const columns = COLUMNS[table].map((name) => TIMES.has(name)
		? `to_char(date_trunc('${milliseconds ? 'milliseconds' : 'microseconds'}', ${name} AT TIME ZONE 'UTC'), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS ${name}`
		: name === 'hours' ? 'hours::float8 AS hours' : name);
	const text = await sql(`SELECT coalesce(json_agg(r ORDER BY r.id), '[]') FROM (SELECT ${columns.join(', ')}
		FROM ${table} WHERE team IN (SELECT scope FROM members WHERE sub = '${sub}')
		${table === 'tasks' ? 'AND deleted_at IS NULL' : ''}) AS r`);
	return JSON.parse(text);
}

/* A device's rows in the same form. */
export function normalized(table, rows, { milliseconds }) {
	const time = (value) => {
		if (value === null || value === undefined)
			return null;
		if (typeof value === 'number')
			return new Date(value).toISOString().replace('Z', '000Z');
		const digits = /\.(\d+)/.exec(value)?.[1] ?? '';
		const fraction = (milliseconds ? digits.slice(0, 3) : digits).padEnd(6, '0');
		return value.slice(0, 19) + '.' + fraction + 'Z';
	};
	return rows.map((row) => Object.fromEntries(COLUMNS[table].map((name) => [name,
		TIMES.has(name) ? time(row[name])
			: name === 'hours' && row[name] != null ? Number(row[name]) : row[name] ?? null])))
		.sort((a, b) => a.id < b.id ? -1 : 1);
}
