import { h } from '../dom.js';

/* Who is it? A password, or one of the people that the demo offers. */
export function loginView({ config, session, done }) {
	const problem = h('p', { role: 'alert' });
	const form = h('form', { class: 'stack', onsubmit: async (event) => {
		event.preventDefault();
		const { username, password } = event.target.elements;
		problem.textContent = '';
		try {
			await session.login(username.value, password.value);
			done();
		} catch (error) {
			problem.textContent = error.kind === 'offline'
				? 'The server does not answer. The first sign-in needs a network.' : error.message;
		}
	} },
	h('label', {}, 'Name', h('input', { name: 'username', autocomplete: 'username', required: true })),
	h('label', {}, 'Password',
		h('input', { name: 'password', type: 'password', autocomplete: 'current-password', required: true })),
	problem,
	h('button', { class: 'main' }, 'Sign in'));

	const people = config.people ?? [];
	return h('section', { class: 'card' },
		h('h2', {}, 'Your training, also without reception'),
		h('p', { class: 'soft' }, 'Log in the gym’s basement. It is sent when there is a network again.'),
		people.length > 0
			? h('div', { class: 'stack' }, h('p', { class: 'small soft' }, 'The demo’s people:'),
				people.map(({ name, token }) => h('button', { class: 'main', onclick: () => {
					session.storage.setItem(session.name, JSON.stringify({ token, userId: subject(token) }));
					done();
				} }, name)))
			: form);
}

function subject(token) {
	const payload = token.split('.')[1].replace(/-/g, '+').replace(/_/g, '/');
	return JSON.parse(atob(payload)).sub;
}
