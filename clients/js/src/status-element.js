/*
 * <tide-status>: what sync is doing, as one small button. Tapping it syncs.
 *
 *   import 'pg-tide/status-element';
 *   document.querySelector('tide-status').source = store;
 *
 * `source` is anything with a `status` (a SyncStatus) and sync(): a TideStore, a
 * TideReplication, a TideWatermelon. The attribute `compact` leaves the words
 * out. Parts `button`, `icon`, `label` and `badge` can be styled, and so can
 * --tide-good, --tide-busy, --tide-away and --tide-bad.
 */
const CLOUD = 'M7 18.5a4.5 4.5 0 0 1-.6-8.96 5.5 5.5 0 0 1 10.6-1.5A5 5 0 0 1 17.5 18.5Z';
const STATES = {
	synced: { label: 'Synced', mark: 'm9 13 2.2 2.2L15.4 11' },
	pending: { label: 'Not sent yet', mark: 'M12 16v-5m-2.2 2L12 10.8l2.2 2.2' },
	syncing: { label: 'Syncing', mark: 'M9.2 13.6a2.9 2.9 0 0 1 5-2m.1-1.4v1.6h-1.6m2 1.2a2.9 2.9 0 0 1-5 2m-.1 1.4v-1.6h1.6' },
	offline: { label: 'Offline', mark: 'M5 5l14 15' },
	error: { label: 'Needs attention', mark: 'M12 10.5v3m0 2v.1' },
	signed_out: { label: 'Signed out', mark: 'M12 10.5v3m0 2v.1' },
};

const STYLE = `
	:host { display: inline-block; --tide-good: #137a4c; --tide-busy: #1b62b8; --tide-away: #6b6257; --tide-bad: #b3261e; }
	@media (prefers-color-scheme: dark) {
		:host { --tide-good: #5fd39b; --tide-busy: #8fc0ff; --tide-away: #b9b0a4; --tide-bad: #ff9d94; }
	}
	:host([hidden]) { display: none; }
	button {
		position: relative; display: inline-flex; align-items: center; gap: .4em; min-height: 44px; min-width: 44px;
		padding: 0 .7em; border: 0; border-radius: 999px; background: none; font: inherit; font-size: .875rem;
		font-weight: 600; color: var(--tide-away); cursor: pointer; -webkit-tap-highlight-color: transparent;
	}
	button:hover { background: color-mix(in srgb, currentColor 10%, transparent); }
	button:focus-visible { outline: 2px solid currentColor; outline-offset: -2px; }
	.synced { color: var(--tide-good); }
	.syncing, .pending { color: var(--tide-busy); }
	.error, .signed_out { color: var(--tide-bad); }
	svg { width: 26px; height: 26px; fill: none; stroke: currentColor; stroke-width: 1.7; stroke-linecap: round; stroke-linejoin: round; }
	.badge {
		min-width: 1.3em; padding: 0 .35em; border-radius: 999px; background: currentColor; font-size: .75rem;
		line-height: 1.5; text-align: center; font-variant-numeric: tabular-nums;
	}
	.badge span { color: var(--tide-on-badge, Canvas); }
	.badge:empty, .badge[hidden], :host([compact]) .label { display: none; }
	@media (prefers-reduced-motion: no-preference) {
		.syncing .mark { animation: turn 1.2s linear infinite; transform-origin: 12px 13px; }
		@keyframes turn { to { transform: rotate(360deg); } }
	}
	.said { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
`;

export class TideStatusElement extends HTMLElement {
	#source = null;
	#unsubscribe = null;
	#parts = null;

	/* what is shown and synced */
	get source() {
		return this.#source;
	}

	set source(source) {
		this.#source = source;
		this.#follow();
	}

	connectedCallback() {
		this.#parts ??= this.#build();
		this.#follow();
	}

	disconnectedCallback() {
		this.#unsubscribe?.();
		this.#unsubscribe = null;
	}

	#follow() {
		this.#unsubscribe?.();
		this.#unsubscribe = null;
		if (this.#source && this.isConnected)
			this.#unsubscribe = this.#source.status.subscribe((status) => this.#show(status));
	}

	#build() {
		const root = this.attachShadow({ mode: 'open' });
		root.innerHTML = `<style>${STYLE}</style>
			<button part="button" type="button">
				<svg part="icon" viewBox="0 0 24 24" aria-hidden="true"><path d="${CLOUD}"/><path class="mark"/></svg>
				<span part="label" class="label" aria-hidden="true"></span>
				<span part="badge" class="badge" aria-hidden="true" hidden><span></span></span>
			</button>
			<span class="said" role="status"></span>`;
		const find = (selector) => root.querySelector(selector);
		find('button').addEventListener('click', () => {
			const event = new CustomEvent('tide-sync', { bubbles: true, composed: true, cancelable: true });
			if (this.dispatchEvent(event))
				this.#source?.sync();
		});
		return { button: find('button'), mark: find('.mark'), label: find('.label'),
			badge: find('.badge'), count: find('.badge span'), said: find('.said') };
	}

	#show({ state, pending, error }) {
		const { button, mark, label, badge, count, said } = this.#parts;
		const shown = STATES[state] ?? STATES.error;
		button.className = state;
		mark.setAttribute('d', shown.mark);
		label.textContent = shown.label;
		badge.hidden = pending === 0;
		count.textContent = pending > 99 ? '99+' : String(pending);
		const unsent = pending === 0 ? '' : `, ${pending} ${pending === 1 ? 'change' : 'changes'} not sent`;
		const why = error && state !== 'offline' ? `: ${error.message}` : '';
		button.setAttribute('aria-label', `${shown.label}${why}${unsent}. Sync now`);
		button.title = `${shown.label}${why}${unsent}`;
		this.setAttribute('state', state);
		// a reader hears of what lasts, not of every pull
		if (state !== 'syncing')
			said.textContent = `${shown.label}${why}${unsent}`;
	}
}

if (!customElements.get('tide-status'))
	customElements.define('tide-status', TideStatusElement);
