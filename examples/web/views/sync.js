import { describe } from '../data.js';
import { confirmed, h, moment, replace, toast } from '../dom.js';

const WORDS = {
	synced: 'Everything is sent', pending: 'Waiting to be sent', syncing: 'Syncing …', offline: 'Offline',
	error: 'Needs your attention', signed_out: 'Signed out',
};

/* The sync section of the settings. */
export function syncView(main, { store, signOut }) {
	async function draw() {
		const [edits, lost] = await Promise.all([store.pending(), store.lost()]);
		const failed = edits.filter(({ state }) => state !== 'pending');
		const waiting = edits.filter(({ state }) => state === 'pending');
		replace(main, h('div', { class: 'day' }, h('h2', {}, 'Sync')), summary(store.status.value),
			failed.length > 0 && problems(failed), waiting.length > 0 && queue(waiting, edits.length),
			lost.length > 0 && losers(lost), account(edits.length));
	}

	function summary({ state, pending, lastSyncAt, error }) {
		return h('section', { class: 'card' },
			h('dl', {},
				h('dt', {}, 'State'), h('dd', { id: 'state' }, WORDS[state] ?? state),
				h('dt', {}, 'Last sync'), h('dd', { id: 'last' }, lastSyncAt ? moment(new Date(lastSyncAt)) : 'never'),
				h('dt', {}, 'Not sent yet'), h('dd', { id: 'pending' }, String(pending))),
			error && state !== 'offline' && h('p', { class: 'small soft' }, [error.message, error.hint].filter(Boolean).join('. ')),
			h('button', { class: 'main', 'data-focus': 'sync', disabled: state === 'syncing', onclick: async () => {
				const { state: ended } = await store.sync();
				if (ended === 'offline')
					toast('There is no network. Your changes are kept.');
			} }, 'Sync now'));
	}

	function problems(failed) {
		return h('section', { class: 'card' },
			h('h3', {}, failed.length === 1 ? 'The server refused a change' : `The server refused ${failed.length} changes`),
			failed.map((edit) => h('div', { class: 'problem' },
				h('strong', {}, describe(edit)),
				h('p', { class: 'small' }, edit.errors.map(({ message }) => message).join('; ')),
				h('p', { class: 'small soft' }, edit.state === 'parked' ? 'It is not tried again by itself.'
					: `Tried ${edit.tries} ${edit.tries === 1 ? 'time' : 'times'}, next at ${moment(new Date(edit.nextTryAt))}.`),
				h('div', { class: 'row' },
					h('button', { onclick: () => store.retry(edit.type, edit.key) }, 'Try again'),
					h('button', { class: 'danger', onclick: () => store.discard(edit.type, edit.key) }, 'Discard')))));
	}

	function queue(waiting, all) {
		return h('section', { class: 'card' },
			h('h3', {}, 'Waiting'),
			h('ul', { class: 'list' }, waiting.slice(0, 20).map((edit) => h('li', { class: 'spread' },
				h('span', {}, describe(edit)), h('span', { class: 'soft small numbers' }, moment(new Date(edit.editedAt)))))),
			waiting.length > 20 && h('p', { class: 'soft small' }, `and ${waiting.length - 20} more`),
			h('button', { class: 'danger', onclick: () => clear(all) }, 'Clear the queue'));
	}

	async function clear(count) {
		const sure = await confirmed({
			title: `Throw away ${count} ${count === 1 ? 'change' : 'changes'}?`,
			text: 'They were made on this device and are nowhere else. What the server has is shown again.',
			action: 'Throw away',
		});
		if (sure) {
			await store.clearQueue();
			toast('The queue is empty.');
		}
	}

	function losers(lost) {
		return h('section', { class: 'card' },
			h('div', { class: 'spread' }, h('h3', {}, 'Replaced by a later edit'),
				h('button', { class: 'plain', onclick: () => store.clearLost().then(draw) }, 'Hide')),
			h('ul', { class: 'list' }, lost.slice(0, 5).map((one) => h('li', { class: 'small' },
				describe({ ...one, operation: 'update' })))));
	}

	function account(pending) {
		return h('section', { class: 'card' },
			h('button', { class: 'danger', onclick: async () => {
				const sure = pending === 0 || await confirmed({
					title: `Sign out with ${pending} unsent ${pending === 1 ? 'change' : 'changes'}?`,
					text: 'Signing out removes everything from this device, what was not sent, too.',
					action: 'Sign out',
				});
				if (sure)
					await signOut();
			} }, 'Sign out'));
	}

	draw();
	const stop = store.status.subscribe(() => draw());
	const stopRows = store.subscribe(() => draw());
	return () => {
		stop();
		stopRows();
	};
}
