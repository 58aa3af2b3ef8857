import { addWeight, unsent, weights } from '../data.js';
import { h, replace, shortDay } from '../dom.js';
import { followed } from './today.js';

/* Body weight: a curve, a field, the last entries. */
export function weightView(main, { store }) {
	async function draw() {
		const [entries, marked] = await Promise.all([weights(store), unsent(store)]);
		replace(main, h('div', { class: 'day' }, h('h2', {}, 'Weight')), form(entries[0]),
			entries.length > 1 && curve(entries), entries.length > 0 && list(entries.slice(0, 14), marked));
	}

	function form(latest) {
		return h('form', { class: 'card', onsubmit: async (event) => {
			event.preventDefault();
			const { weight } = event.target.elements;
			await addWeight(store, Number(weight.value));
			weight.value = '';
		} },
		h('div', { class: 'row' },
			h('label', { class: 'grow' }, 'Today’s weight in kg',
				h('input', { name: 'weight', type: 'number', step: 0.1, inputmode: 'decimal', required: true,
					'data-focus': 'weight', placeholder: latest ? String(latest.weightKg) : '70' })),
			h('button', { class: 'main', style: 'align-self: end' }, 'Add')));
	}

	function curve(entries) {
		const values = entries.slice(0, 60).reverse().map(({ weightKg }) => Number(weightKg));
		const low = Math.min(...values), span = Math.max(Math.max(...values) - low, 0.5);
		const path = values.map((value, i) =>
			`${i === 0 ? 'M' : 'L'}${(i / (values.length - 1) * 100).toFixed(2)} ${(96 - (value - low) / span * 92).toFixed(2)}`);
		const card = h('section', { class: 'card', 'aria-label': `The last ${values.length} weights` });
		card.innerHTML = `<svg class="chart" viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true"><path d="${path.join('')}"/></svg>`;
		return card;
	}

	function list(entries, marked) {
		return h('section', { class: 'card' }, h('ul', { class: 'list' }, entries.map((entry) =>
			h('li', { class: 'row' },
				h('span', { class: `grow ${marked.has(`BodyWeightEntry ${entry.id}`) ? 'unsent' : ''}` }, shortDay(new Date(entry.date))),
				h('input', { type: 'number', step: 0.1, inputmode: 'decimal', value: entry.weightKg, style: 'width: 7em; text-align: right',
					'aria-label': `Weight on ${shortDay(new Date(entry.date))}`, 'data-focus': `weight ${entry.id}`,
					onchange: ({ target }) => target.value !== ''
						&& store.put('BodyWeightEntry', { id: entry.id, weightKg: Number(target.value) }) }),
				h('button', { class: 'icon', 'aria-label': `Delete the weight of ${shortDay(new Date(entry.date))}`,
					onclick: () => store.delete('BodyWeightEntry', entry.id) }, '×')))));
	}

	draw();
	return followed(store, draw);
}
