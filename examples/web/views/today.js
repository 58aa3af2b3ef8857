import {
	deleteWorkout, editSet, renameWorkout, repeatWorkout, sameDay, tickSet, unsent, workouts, workoutsOf,
} from '../data.js';
import { checkMark, dayName, h, replace, shortDay, toast } from '../dom.js';

/* The workouts of a day: what is planned, and a tick for what is done. */
export function todayView(main, { store }) {
	let day = new Date();

	async function draw() {
		const [list, marked, all] = await Promise.all([
			workoutsOf(store, day), unsent(store), workouts(store)]);
		replace(main, heading(), ...list.map((workout) => card(workout, marked)),
			list.length === 0 && empty(all), list.length > 0 && another(all));
	}

	function heading() {
		const isToday = sameDay(day, new Date());
		return h('div', { class: 'day' },
			h('button', { class: 'icon', 'aria-label': 'The day before', 'data-focus': 'before', onclick: () => move(-1) }, '‹'),
			h('div', { style: 'text-align: center' },
				h('h2', {}, isToday ? 'Today' : dayName(day)),
				h('span', { class: 'soft small' }, isToday ? dayName(day) : shortDay(day))),
			h('button', { class: 'icon', 'aria-label': 'The day after', 'data-focus': 'after', onclick: () => move(1) }, '›'));
	}

	function move(days) {
		day = new Date(day.getFullYear(), day.getMonth(), day.getDate() + days, 12);
		draw();
	}

	function empty(all) {
		if (all.length === 0)
			return h('section', { class: 'card' }, h('p', { class: 'soft' }, store.status.value.lastSyncAt
				? 'There are no workouts yet.' : 'Your workouts come with the first sync …'));
		return h('section', { class: 'card' },
			h('h3', {}, 'Nothing planned'),
			h('p', { class: 'soft' }, 'Do one of the last ones again:'),
			h('div', { class: 'stack' }, choices(all)));
	}

	function another(all) {
		return h('details', { class: 'card' }, h('summary', {}, 'Another workout'),
			h('div', { class: 'stack' }, choices(all)));
	}

	function choices(all) {
		const seen = new Set();
		return all.filter(({ name }) => !seen.has(name) && seen.add(name)).slice(0, 4).map((plan) =>
			h('button', { onclick: async () => {
				await repeatWorkout(store, plan.id, day);
				toast(`“${plan.name}” is planned.`);
			} }, plan.name));
	}

	function card(workout, marked) {
		const { plan, exercises } = workout;
		const sets = exercises.flatMap((exercise) => exercise.sets);
		const done = sets.filter((one) => one.done).length;
		return h('section', { class: 'card', 'aria-label': plan.name },
			h('div', { class: 'row' },
				h('label', { class: 'grow' }, h('span', { class: marked.has(`TrainingPlan ${plan.id}`) ? 'unsent' : '' }, 'Workout'),
					h('input', { value: plan.name, 'data-focus': `name ${plan.id}`, maxlength: 255,
						onchange: ({ target }) => renameWorkout(store, plan, target.value) })),
				h('button', { class: 'icon', 'aria-label': `Delete ${plan.name}`, onclick: async () => {
					await deleteWorkout(store, plan);
					toast(`“${plan.name}” is deleted.`);
				} }, '×')),
			h('div', { class: 'stack' },
				h('progress', { max: Math.max(sets.length, 1), value: done, 'aria-label': 'Sets done' }),
				h('p', { class: 'small soft numbers' }, `${done} of ${sets.length} sets done`)),
			exercises.map((exercise) => exerciseOf(workout, exercise, marked)));
	}

	function exerciseOf(workout, exercise, marked) {
		return h('div', { class: 'exercise' },
			h('h3', {}, exercise.name),
			exercise.exercise.notes && h('p', { class: 'small soft' }, exercise.exercise.notes),
			h('ol', { class: 'sets' }, exercise.sets.map((one) => setOf(workout, exercise, one, marked))));
	}

	function setOf(workout, exercise, one, marked) {
		const { set, done } = one;
		const number = (column, label, step) => h('input', {
			type: 'number', inputmode: 'decimal', step, min: 0, value: set[column],
			'aria-label': `${exercise.name}, set ${set.position}: ${label}`, 'data-focus': `${column} ${set.id}`,
			onchange: ({ target }) => target.value !== '' && editSet(store, set, { [column]: Number(target.value) }),
		});
		const isUnsent = marked.has(`SetPlan ${set.id}`) || (done && marked.has(`SetSession ${done.id}`));
		return h('li', { class: done ? 'set done' : 'set' },
			h('span', { class: `soft numbers ${isUnsent ? 'unsent' : ''}` }, String(set.position)),
			number('reps', 'repetitions', 1), h('span', { class: 'soft' }, '×'), number('weightKg', 'kilograms', 0.5),
			h('button', { class: 'check', 'aria-pressed': String(Boolean(done)), 'data-focus': `tick ${set.id}`,
				'aria-label': `${exercise.name}, set ${set.position} done`,
				onclick: () => tickSet(store, workout, exercise, one) }, checkMark()));
	}

	draw();
	return followed(store, draw);
}

/* Draws again when rows or unsent edits change; returns what stops it. */
export function followed(store, draw) {
	let due = false;
	const soon = () => {
		if (due)
			return;
		due = true;
		requestAnimationFrame(() => {
			due = false;
			draw();
		});
	};
	let before = null;
	const stops = [store.subscribe(soon), store.status.subscribe((status) => {
		// a sync that brought nothing changes no view
		const now = JSON.stringify([status.pending, status.failed, status.lastSyncAt && 1]);
		if (before !== null && now !== before)
			soon();
		before = now;
	})];
	return () => stops.forEach((stop) => stop());
}
