/*
 * examples/web in headless Chromium: offline, edit, reload, online, converged;
 * two tabs; a refused edit; a screenshot of each state in shots/.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { chromium } from 'playwright-core';

import { config, Gateway, sql, token, waitFor } from './lib/world.mjs';

const web = join(config.root, 'examples/web');
const shots = join(config.root, 'test/js/shots');
const PHONE = { width: 390, height: 844 };
mkdirSync(shots, { recursive: true });

/* The example's own server. */
async function serve(gateway, people) {
	const child = spawn('python3', [join(web, 'serve.py'), '--listen', '127.0.0.1:0', '--gateway', gateway,
		...people.flatMap(([name], i) => ['--person', name, `TOKEN${i}`])], {
		stdio: ['ignore', 'pipe', 'inherit'],
		env: { ...process.env, ...Object.fromEntries(people.map(([, jwt], i) => [`TOKEN${i}`, jwt])) },
	});
	const url = await new Promise((resolve, reject) => {
		child.stdout.on('data', (data) => resolve(String(data).trim()));
		child.on('exit', () => reject(new Error('serve.py ended')));
	});
	return { url, stop: () => child.kill() };
}

/* WCAG's contrast of two colours that getComputedStyle gave. */
function contrast(a, b) {
	const luminance = (text) => {
		const [red, green, blue] = text.match(/[\d.]+/g).slice(0, 3).map((part) => {
			const value = part / 255;
			return value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
		});
		return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
	};
	const [dark, light] = [luminance(a), luminance(b)].sort((x, y) => x - y);
	return (light + 0.05) / (dark + 0.05);
}

test('the page', { timeout: 300000 }, async (t) => {
	const gateway = await new Gateway().start();
	const maja = await sql("SELECT id FROM athletes WHERE name = 'Maja Lindqvist'");
	const site = await serve(gateway.url, [['Maja Lindqvist', token(maja, { ttl: 86400 })]]);
	const browser = await chromium.launch({ executablePath: config.chromium,
		args: ['--no-sandbox', '--disable-dev-shm-usage'] });
	const problems = [];

	async function device() {
		const context = await browser.newContext({ viewport: PHONE, deviceScaleFactor: 2, hasTouch: true });
		const page = await context.newPage();
		page.on('pageerror', (error) => problems.push(error.message));
		return { context, page };
	}
	let n = 0;
	const shot = (page, name) => page.screenshot({
		path: join(shots, `${String(++n).padStart(2, '0')}-${name}.png`) });
	const state = (page) => page.locator('tide-status').getAttribute('state');
	const reaches = (page, wanted) => waitFor(`the indicator says ${wanted}`,
		async () => await state(page) === wanted, 30);

	const { context, page } = await device();
	try {
		await t.test('its service worker keeps all of its files', () => {
			const text = readFileSync(join(web, 'sw.js'), 'utf8');
			const kept = new Set([...text.matchAll(/'([\w./-]+\.(?:js|css|svg|png|webmanifest|json))'/g)].map(([, file]) => file));
			const own = readdirSync(web, { recursive: true }).map(String)
				.filter((file) => /\.(js|css|svg|png|webmanifest)$/.test(file) && file !== 'sw.js');
			// what the page imports of the package, and what that imports
			const lib = new Set(), look = ['index.js', 'status-element.js'];
			for (const file of look) {
				lib.add(file);
				const source = readFileSync(join(config.root, 'clients/js/src', file), 'utf8');
				for (const [, next] of source.matchAll(/from '\.\/([\w-]+\.js)'/g)) {
					if (!look.includes(next))
						look.push(next);
				}
			}
			for (const file of [...own, ...[...lib].map((one) => `lib/${one}`), 'config.json'])
				assert.ok(kept.has(file), `sw.js keeps ${file}`);
		});

		await t.test('signing in brings the first sync', async () => {
			await page.goto(site.url);
			await page.getByRole('button', { name: 'Maja Lindqvist' }).waitFor();
			await shot(page, 'sign-in');
			await page.getByRole('button', { name: 'Maja Lindqvist' }).click();
			await reaches(page, 'synced');
			await page.getByText('Nothing planned').waitFor();
			await shot(page, 'nothing-planned');
		});

		await t.test('it can be installed', async () => {
			await waitFor('the service worker is there', () =>
				page.evaluate(() => Boolean(navigator.serviceWorker.controller)));
			const client = await context.newCDPSession(page);
			const { errors } = await client.send('Page.getAppManifest');
			assert.deepEqual(errors, []);
			const { installabilityErrors } = await client.send('Page.getInstallabilityErrors');
			// headless contexts are incognito, where nothing is installed
			assert.deepEqual(installabilityErrors.map(({ errorId }) => errorId).filter((id) => id !== 'in-incognito'), []);
		});

		await t.test('offline: a workout is planned and edited, and survives a reload', async () => {
			await context.setOffline(true);
			await page.getByRole('button', { name: /^Legs/ }).first().click();
			await page.getByRole('button', { name: /set 1 done/ }).first().click();
			await page.getByLabel('Workout', { exact: true }).fill('Legs in the basement');
			await page.getByLabel('Workout', { exact: true }).blur();
			await reaches(page, 'offline');
			await waitFor('a set is ticked', async () =>
				await page.locator('.check[aria-pressed=true]').count() === 1);
			await shot(page, 'offline-edited');
			await page.reload();
			await page.getByRole('button', { name: /set 1 done/ }).first().waitFor();
			assert.equal(await page.getByLabel('Workout', { exact: true }).inputValue(), 'Legs in the basement');
			assert.equal(await page.locator('.check[aria-pressed=true]').count(), 1);
			await reaches(page, 'offline');
			// a plan, 4 exercises, 12 sets, a session, an exercise done, a set done
			const pending = await page.evaluate(() => liftlogger.store.status.value.pending);
			assert.equal(pending, 20);
			await page.getByRole('link', { name: 'Sync' }).click();
			await page.getByText('Waiting', { exact: true }).waitFor();
			await shot(page, 'sync-offline');
			await page.getByRole('button', { name: 'Clear the queue' }).click();
			await page.getByText('Throw away 20 changes?').waitFor();
			await shot(page, 'clear-queue');
			await page.getByRole('button', { name: 'Keep them' }).click();
			assert.equal(await page.evaluate(() => liftlogger.store.status.value.pending), 20);
		});

		await t.test('online again: it is sent by itself, and the server has it', async () => {
			await sql(`UPDATE body_weight_entries SET weight_kg = 66.6 WHERE athlete_id = '${maja}'
				AND date = (SELECT max(date) FROM body_weight_entries WHERE athlete_id = '${maja}')`);
			await context.setOffline(false);
			await reaches(page, 'synced');
			await shot(page, 'sync-online');
			assert.equal(await sql("SELECT count(*) FROM training_plans WHERE name = 'Legs in the basement'"), '1');
			assert.equal(await sql(`SELECT count(*) FROM set_plans AS s JOIN exercise_plans AS e ON e.id = s.exercise_plan_id
				JOIN training_plans AS p ON p.id = e.training_plan_id WHERE p.name = 'Legs in the basement'`), '12');
			await page.getByRole('link', { name: 'Weight' }).click();
			await waitFor('the weight from SQL is shown', async () =>
				await page.locator('.list input').first().inputValue() === '66.6');
		});

		await t.test('a refused edit says what is wrong, is tried again, and is discarded', async () => {
			await page.getByLabel(/Today’s weight/).fill('5');
			await page.getByRole('button', { name: 'Add' }).click();
			await reaches(page, 'error');
			await shot(page, 'weight-refused');
			await page.getByRole('link', { name: 'Sync' }).click();
			await page.getByText('The server refused a change').waitFor();
			await shot(page, 'sync-refused');
			assert.match(await page.locator('.problem').textContent(), /weight: 5 kg.*check constraint/s);
			await page.getByRole('button', { name: 'Try again' }).click();
			await page.getByText('Tried 2 times').waitFor();
			await page.getByRole('button', { name: 'Discard' }).click();
			await reaches(page, 'synced');
			assert.equal(await sql('SELECT count(*) FROM body_weight_entries WHERE weight_kg = 5'), '0');
		});

		await t.test('two tabs show one thing, and one of them syncs', async () => {
			const second = await context.newPage();
			second.on('pageerror', (error) => problems.push(error.message));
			await second.goto(site.url + '#weight');
			await second.getByLabel(/Today’s weight/).fill('71.5');
			await second.getByRole('button', { name: 'Add' }).click();
			await waitFor('the server has it', async () =>
				await sql('SELECT count(*) FROM body_weight_entries WHERE weight_kg = 71.5') === '1');
			await page.getByRole('link', { name: 'Weight' }).click();
			await waitFor('the first tab shows it', async () =>
				await page.locator('.list input').first().inputValue() === '71.5');
			await reaches(second, 'synced');
			// the tab that synced is closed: the other one goes on
			await page.close();
			await second.getByLabel(/Today’s weight/).fill('71.2');
			await second.getByRole('button', { name: 'Add' }).click();
			await waitFor('the server has it', async () =>
				await sql('SELECT count(*) FROM body_weight_entries WHERE weight_kg = 71.2') === '1');
			await reaches(second, 'synced');
			await shot(second, 'weight');
		});

		await t.test('two devices converge, live', async () => {
			const [first] = context.pages();
			const other = await device();
			await other.page.goto(site.url);
			await other.page.getByRole('button', { name: 'Maja Lindqvist' }).click();
			await other.page.getByRole('button', { name: /set 1 done/ }).first().waitFor();
			await first.goto(site.url + '#today');
			await first.getByLabel('Workout', { exact: true }).waitFor();
			await other.page.getByRole('button', { name: /set 2 done/ }).first().click();
			await waitFor('the other device shows the tick', async () =>
				await first.locator('.check[aria-pressed=true]').count() === 2);
			await reaches(first, 'synced');
			await shot(first, 'today');
			const [a, b] = await Promise.all([first, other.page].map((one) => one.evaluate(async () => {
				const all = {};
				for (const type of Object.keys(liftlogger.store.schema))
					all[type] = (await liftlogger.store.all(type, { deleted: true })).sort((x, y) => x.id < y.id ? -1 : 1);
				return all;
			})));
			assert.deepEqual(a, b);
			await other.context.close();
		});

		await t.test('the login that is no good any more is asked for, and edits are kept', async () => {
			const [first] = context.pages();
			await first.evaluate((jwt) => {
				const kept = JSON.parse(localStorage.getItem('liftlogger-session'));
				localStorage.setItem('liftlogger-session', JSON.stringify({ ...kept, token: jwt }));
			}, token(maja, { ttl: -3600 }));
			await first.locator('tide-status').getByRole('button').click();
			await reaches(first, 'signed_out');
			await shot(first, 'signed-out');
			await first.getByRole('button', { name: 'Maja Lindqvist' }).click();
			await reaches(first, 'synced');
		});

		await t.test('it can be read: contrast, names, targets', async () => {
			const [first] = context.pages();
			for (const scheme of ['light', 'dark']) {
				await first.emulateMedia({ colorScheme: scheme });
				const pairs = await first.evaluate(() => {
					const at = (selector, property = 'color') =>
						getComputedStyle(document.querySelector(selector))[property];
					const status = document.querySelector('tide-status').shadowRoot.querySelector('button');
					const ground = at('body', 'backgroundColor'), card = at('.card', 'backgroundColor');
					return [[at('body'), ground], [at('.card .soft'), card], [getComputedStyle(status).color, ground],
						[at('.tabs a[aria-current]'), card], [at('.tabs a'), card]];
				});
				for (const pair of pairs)
					assert.ok(contrast(...pair) >= 4.5, `${scheme}: ${pair.join(' on ')} is ${contrast(...pair).toFixed(2)}`);
				await shot(first, `today-${scheme}`);
			}
			const nameless = await first.evaluate(() => [...document.querySelectorAll('button, a, input')]
				.filter((element) => !(element.textContent.trim() || element.getAttribute('aria-label')
					|| element.labels?.length)).map((element) => element.outerHTML));
			assert.deepEqual(nameless, []);
			const small = await first.evaluate(() => [...document.querySelectorAll('button, input')]
				.filter((element) => element.checkVisibility() && element.getBoundingClientRect().height < 44)
				.map((element) => element.outerHTML));
			assert.deepEqual(small, []);
			// nothing is wider than the phone
			assert.equal(await first.evaluate(() => document.documentElement.scrollWidth), PHONE.width);
			// from the keyboard: the indicator, and what it says
			const said = await first.locator('tide-status').getByRole('button').getAttribute('aria-label');
			assert.equal(said, 'Synced. Sync now');
		});

		assert.deepEqual(problems, []);
	} finally {
		await browser.close();
		site.stop();
		await gateway.kill('SIGTERM');
	}
});
