/* What the page knows of LiftLogger's rows: questions and edits, all offline. */

export function sameDay(a, b) {
	return a.getFullYear() === b.getFullYear() && a.getMonth() === b.getMonth() && a.getDate() === b.getDate();
}

const byPosition = (a, b) => a.position - b.position;
const newestFirst = (a, b) => b.date < a.date ? -1 : 1;

export async function workouts(store) {
	return (await store.all('TrainingPlan')).sort(newestFirst);
}

/* A day's workouts, each with its exercises and sets, planned and done. */
export async function workoutsOf(store, day) {
	const [plans, exercisePlans, setPlans, exercises, setSessions, exerciseSessions, sessions] =
		await Promise.all(['TrainingPlan', 'ExercisePlan', 'SetPlan', 'Exercise', 'SetSession',
			'ExerciseSession', 'TrainingSession'].map((type) => store.all(type)));
	const names = new Map(exercises.map(({ id, name }) => [id, name]));
	const done = new Map(setSessions.map((set) => [set.setPlanId, set]));
	return plans.filter((plan) => sameDay(new Date(plan.date), day)).map((plan) => ({
		plan,
		session: sessions.find((one) => one.trainingPlanId === plan.id),
		exercises: exercisePlans.filter((one) => one.trainingPlanId === plan.id).sort(byPosition)
			.map((exercise) => ({
				exercise,
				name: names.get(exercise.exerciseId) ?? 'Exercise',
				session: exerciseSessions.find((one) => one.exercisePlanId === exercise.id),
				sets: setPlans.filter((set) => set.exercisePlanId === exercise.id).sort(byPosition)
					.map((set) => ({ set, done: done.get(set.id) })),
			})),
	}));
}

/* The same workout once more, on that day: a plan, its exercises, their sets. */
export async function repeatWorkout(store, planId, day) {
	const plan = await store.get('TrainingPlan', planId);
	const exercises = (await store.all('ExercisePlan')).filter((one) => one.trainingPlanId === planId);
	const sets = await store.all('SetPlan');
	const { athleteId, name } = plan;
	const newPlan = { id: crypto.randomUUID(), athleteId, name, date: day.toISOString(), isLocked: false };
	const edits = [{ type: 'TrainingPlan', columns: newPlan }];
	for (const { id, exerciseId, position, notes } of exercises) {
		const exercise = { id: crypto.randomUUID(), athleteId, trainingPlanId: newPlan.id, exerciseId, position, notes };
		edits.push({ type: 'ExercisePlan', columns: exercise });
		for (const set of sets.filter((one) => one.exercisePlanId === id)) {
			const { position: place, reps, weightKg, rpe } = set;
			edits.push({ type: 'SetPlan', columns: { id: crypto.randomUUID(), athleteId,
				exercisePlanId: exercise.id, position: place, reps, weightKg, rpe } });
		}
	}
	await store.putAll(edits);
	return newPlan;
}

export function renameWorkout(store, plan, name) {
	return store.put('TrainingPlan', { id: plan.id, name });
}

export function deleteWorkout(store, plan) {
	return store.delete('TrainingPlan', plan.id);
}

export function editSet(store, set, columns) {
	return store.put('SetPlan', { id: set.id, ...columns });
}

/* Ticks a set: what came of it, under a session of the workout. */
export async function tickSet(store, workout, exercise, { set, done }) {
	if (done)
		return store.delete('SetSession', done.id);
	const { plan } = workout;
	const now = new Date().toISOString();
	const edits = [];
	let { session } = workout;
	if (!session) {
		session = { id: crypto.randomUUID(), athleteId: plan.athleteId, trainingPlanId: plan.id, startedAt: now };
		edits.push({ type: 'TrainingSession', columns: session });
	}
	let exerciseSession = exercise.session;
	if (!exerciseSession) {
		const { id, exerciseId, position } = exercise.exercise;
		exerciseSession = { id: crypto.randomUUID(), athleteId: plan.athleteId,
			trainingSessionId: session.id, exercisePlanId: id, exerciseId, position };
		edits.push({ type: 'ExerciseSession', columns: exerciseSession });
	}
	edits.push({ type: 'SetSession', columns: {
		id: crypto.randomUUID(), athleteId: plan.athleteId, exerciseSessionId: exerciseSession.id,
		setPlanId: set.id, position: set.position, reps: set.reps, weightKg: set.weightKg, doneAt: now } });
	return store.putAll(edits);
}

export async function weights(store) {
	return (await store.all('BodyWeightEntry')).sort(newestFirst);
}

export function addWeight(store, weightKg) {
	return store.put('BodyWeightEntry', { date: new Date().toISOString(), weightKg });
}

/* The keys of unsent edits, to mark them: a Set of "type key". */
export async function unsent(store) {
	return new Set((await store.pending()).map(({ type, key }) => `${type} ${key}`));
}

/* How a person calls an edit. */
export function describe({ type, operation, mine, theirs }) {
	const row = mine ?? theirs ?? {};
	const verb = { create: 'New', update: 'Changed', delete: 'Deleted' }[operation];
	const what = {
		TrainingPlan: () => `workout “${row.name}”`,
		ExercisePlan: () => 'exercise of a workout',
		SetPlan: () => `set: ${row.reps} × ${row.weightKg} kg`,
		TrainingSession: () => 'training session',
		ExerciseSession: () => 'exercise done',
		SetSession: () => `set done: ${row.reps} × ${row.weightKg} kg`,
		BodyWeightEntry: () => `weight: ${row.weightKg} kg`,
	}[type];
	return `${verb} ${what ? what() : type}`;
}
