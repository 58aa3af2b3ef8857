/* Elements without a framework: h('button', {class: 'main', onclick}, 'Save'). */
export function h(name, attributes = {}, ...children) {
	const element = document.createElement(name);
	for (const [key, value] of Object.entries(attributes)) {
		if (value === undefined || value === null || value === false)
			continue;
		if (key.startsWith('on'))
			element.addEventListener(key.slice(2), value);
		else if (key === 'value')
			element.value = value;
		else
			element.setAttribute(key, value === true ? '' : value);
	}
	element.append(...shown(children));
	return element;
}

/* so that `condition && element` can stand among the children */
function shown(children) {
	return children.flat().filter((child) => child !== null && child !== undefined && child !== false);
}

export function checkMark() {
	const span = document.createElement('span');
	span.innerHTML = '<svg viewBox="0 0 24 24" aria-hidden="true"><path d="m5 13 4.5 4.5L19 7.5"/></svg>';
	return span.firstChild;
}

let toastTimer;

export function toast(text) {
	const element = document.querySelector('.toast');
	element.textContent = text;
	clearTimeout(toastTimer);
	toastTimer = setTimeout(() => { element.textContent = ''; }, 4000);
}

/* A question with consequences; resolves with true or false. */
export function confirmed({ title, text, action }) {
	return new Promise((resolve) => {
		const dialog = h('dialog', { 'aria-labelledby': 'question' },
			h('form', { method: 'dialog' },
				h('h3', { id: 'question' }, title),
				h('p', { class: 'soft' }, text),
				h('div', { class: 'spread' },
					h('button', { value: 'no', type: 'submit' }, 'Keep them'),
					h('button', { value: 'yes', type: 'submit', class: 'danger' }, action))));
		dialog.addEventListener('close', () => {
			resolve(dialog.returnValue === 'yes');
			dialog.remove();
		});
		document.body.append(dialog);
		dialog.showModal();
	});
}

/*
 * Replaces what a view shows, and leaves the focus where it was: elements that
 * keep it have a data-focus that names them.
 */
export function replace(container, ...children) {
	const { dataset } = document.activeElement ?? {};
	const focused = container.contains(document.activeElement) ? dataset?.focus : null;
	container.replaceChildren(...shown(children));
	if (focused)
		container.querySelector(`[data-focus="${CSS.escape(focused)}"]`)?.focus();
}

const DAY = new Intl.DateTimeFormat(undefined, { weekday: 'long', day: 'numeric', month: 'long' });
const SHORT = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short', year: 'numeric' });
const MOMENT = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' });
const TIME = new Intl.DateTimeFormat(undefined, { timeStyle: 'medium' });

export const dayName = (date) => DAY.format(date);
export const shortDay = (date) => SHORT.format(date);
export const moment = (date) => date.toDateString() === new Date().toDateString()
	? TIME.format(date) : MOMENT.format(date);
