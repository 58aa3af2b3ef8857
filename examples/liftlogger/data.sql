-- A gym's worth of data, the same in every run: ids are md5 of what the row
-- is, times are fixed, weights and repetitions follow from the row's number.
--
-- 2 coaches, 3 athletes, 24 exercises, 6 variants; an athlete has 120 plans
-- of 4 exercises and 3 sets each, did the first 80 of them, and stood on the
-- scales 90 times.

BEGIN;

-- the id of what a name says: demo_id('plan', 'maja', 7)
CREATE FUNCTION pg_temp.demo_id(VARIADIC parts text[]) RETURNS uuid
    LANGUAGE sql IMMUTABLE
    AS $$ SELECT md5(array_to_string(parts, '/'))::uuid $$;

INSERT INTO coaches (id, name, email, created_at, updated_at)
SELECT pg_temp.demo_id('coach', c.nick), c.name, c.nick || '@liftlogger.example',
       '2025-01-01 08:00Z', '2025-01-01 08:00Z'
FROM (VALUES ('ines', 'Ines Duarte'), ('tomas', 'Tomas Horak')) AS c (nick, name);

INSERT INTO athletes (id, coach_id, name, email, birth_date, height_cm, created_at, updated_at)
SELECT pg_temp.demo_id('athlete', a.nick), pg_temp.demo_id('coach', a.coach), a.name,
       a.nick || '@liftlogger.example', a.birth_date, a.height_cm,
       '2025-01-01 09:00Z', '2025-01-01 09:00Z'
FROM (VALUES ('maja', 'ines', 'Maja Lindqvist', date '1994-03-18', 171.5),
             ('jonas', 'ines', 'Jonas Weber', date '1988-11-02', 184.0),
             ('aylin', 'tomas', 'Aylin Demir', date '2001-07-26', 165.0))
     AS a (nick, coach, name, birth_date, height_cm);

INSERT INTO exercises (id, name, muscle_group, is_compound, created_at, updated_at)
SELECT pg_temp.demo_id('exercise', e.n::text), e.name, e.muscle_group, e.is_compound,
       '2025-01-01 07:00Z', '2025-01-01 07:00Z'
FROM (VALUES
    (1, 'Back Squat', 'legs', true), (2, 'Bench Press', 'chest', true),
    (3, 'Deadlift', 'back', true), (4, 'Overhead Press', 'shoulders', true),
    (5, 'Front Squat', 'legs', true), (6, 'Incline Press', 'chest', true),
    (7, 'Barbell Row', 'back', true), (8, 'Push Press', 'shoulders', true),
    (9, 'Leg Press', 'legs', true), (10, 'Dip', 'chest', true),
    (11, 'Pull-up', 'back', true), (12, 'Lateral Raise', 'shoulders', false),
    (13, 'Romanian Deadlift', 'legs', true), (14, 'Dumbbell Fly', 'chest', false),
    (15, 'Lat Pulldown', 'back', true), (16, 'Face Pull', 'shoulders', false),
    (17, 'Leg Curl', 'legs', false), (18, 'Cable Crossover', 'chest', false),
    (19, 'Seated Row', 'back', true), (20, 'Arnold Press', 'shoulders', true),
    (21, 'Calf Raise', 'legs', false), (22, 'Triceps Pushdown', 'arms', false),
    (23, 'Barbell Curl', 'arms', false), (24, 'Plank', 'core', false))
    AS e (n, name, muscle_group, is_compound);

INSERT INTO variants (id, name, description, created_at, updated_at)
SELECT pg_temp.demo_id('variant', v.n::text), v.name, v.description,
       '2025-01-01 07:00Z', '2025-01-01 07:00Z'
FROM (VALUES (1, 'Pause', 'two seconds at the turning point'),
             (2, 'Tempo', 'three seconds down'),
             (3, 'Close grip', NULL), (4, 'Wide grip', NULL),
             (5, 'Deficit', 'from a plate'), (6, 'Pin', 'from the safeties'))
     AS v (n, name, description);

-- a plan every other day, 3 sets of 4 exercises that rotate

CREATE TEMP TABLE plan ON COMMIT DROP AS
SELECT a.nick, a.strength, a.id AS athlete_id, n,
       pg_temp.demo_id('plan', a.nick, n::text) AS id,
       timestamptz '2025-01-06 17:00Z' + (2 * n) * interval '1 day' AS at
FROM (SELECT pg_temp.demo_id('athlete', nick) AS id, nick, strength
      FROM (VALUES ('maja', 60), ('jonas', 90), ('aylin', 45)) AS s (nick, strength)) AS a,
     generate_series(1, 120) AS n;

INSERT INTO training_plans (id, athlete_id, name, date, is_locked, created_at, updated_at)
SELECT id, athlete_id,
       (ARRAY['Legs', 'Push', 'Pull', 'Full body'])[n % 4 + 1] || ' ' || (n + 3) / 4,
       at, n <= 80, at - interval '7 days', at - interval '6 days'
FROM plan;

CREATE TEMP TABLE planned ON COMMIT DROP AS
SELECT p.*, pos, pg_temp.demo_id('planned', p.nick, p.n::text, pos::text) AS exercise_plan_id,
       pg_temp.demo_id('exercise', ((p.n * 3 + pos * 5) % 24 + 1)::text) AS exercise_id
FROM plan AS p, generate_series(1, 4) AS pos;

INSERT INTO exercise_plans (id, athlete_id, training_plan_id, exercise_id, position, notes, created_at, updated_at)
SELECT exercise_plan_id, athlete_id, id, exercise_id, pos,
       CASE WHEN (n + pos) % 15 = 0 THEN 'leave one in reserve' END,
       at - interval '7 days', at - interval '6 days'
FROM planned;

CREATE TEMP TABLE planned_set ON COMMIT DROP AS
SELECT p.*, s, pg_temp.demo_id('set', p.nick, p.n::text, p.pos::text, s::text) AS set_plan_id,
       5 + (n + pos) % 4 * 2 AS reps,
       p.strength + n / 4 * 2.5 - pos * 7.5 + s * 2.5 AS weight_kg
FROM planned AS p, generate_series(1, 3) AS s;

INSERT INTO set_plans (id, athlete_id, exercise_plan_id, position, reps, weight_kg, rpe, created_at, updated_at)
SELECT set_plan_id, athlete_id, exercise_plan_id, s, reps, weight_kg, 6.5 + s * 0.5,
       at - interval '7 days', at - interval '6 days'
FROM planned_set;

INSERT INTO exercise_plan_variants (id, athlete_id, exercise_plan_id, variant_id, created_at, updated_at)
SELECT pg_temp.demo_id('planned variant', nick, n::text, pos::text), athlete_id, exercise_plan_id,
       pg_temp.demo_id('variant', (n % 6 + 1)::text), at - interval '7 days', at - interval '6 days'
FROM planned WHERE (n + pos) % 5 = 0;

-- the first 80 plans were done, a little more or less than planned

INSERT INTO training_sessions (id, athlete_id, training_plan_id, started_at, finished_at, notes, created_at, updated_at)
SELECT pg_temp.demo_id('session', nick, n::text), athlete_id, id, at, at + interval '70 minutes',
       CASE WHEN n % 9 = 0 THEN 'felt strong' END, at, at + interval '71 minutes'
FROM plan WHERE n <= 80;

INSERT INTO exercise_sessions (id, athlete_id, training_session_id, exercise_plan_id, exercise_id, position, created_at, updated_at)
SELECT pg_temp.demo_id('done', nick, n::text, pos::text), athlete_id,
       pg_temp.demo_id('session', nick, n::text), exercise_plan_id, exercise_id, pos, at, at + interval '71 minutes'
FROM planned WHERE n <= 80;

INSERT INTO set_sessions (id, athlete_id, exercise_session_id, set_plan_id, position, reps, weight_kg, rpe, done_at, created_at, updated_at)
SELECT pg_temp.demo_id('done set', nick, n::text, pos::text, s::text), athlete_id,
       pg_temp.demo_id('done', nick, n::text, pos::text), set_plan_id, s,
       reps + (n + s) % 3 - 1, weight_kg, 7 + (n + s) % 4 * 0.5,
       at + (pos * 15 + s * 4) * interval '1 minute', at, at + interval '71 minutes'
FROM planned_set WHERE n <= 80;

INSERT INTO exercise_session_variants (id, athlete_id, exercise_session_id, variant_id, created_at, updated_at)
SELECT pg_temp.demo_id('done variant', nick, n::text, pos::text), athlete_id,
       pg_temp.demo_id('done', nick, n::text, pos::text),
       pg_temp.demo_id('variant', (n % 6 + 1)::text), at, at + interval '71 minutes'
FROM planned WHERE n <= 80 AND (n + pos) % 5 = 0;

INSERT INTO body_weight_entries (id, athlete_id, date, weight_kg, created_at, updated_at)
SELECT pg_temp.demo_id('weight', p.nick, p.n::text), p.athlete_id, p.at - interval '10 hours',
       p.strength / 2.0 + 38 + (p.n % 7) * 0.2 - p.n * 0.02, p.at, p.at
FROM plan AS p WHERE p.n <= 90;

COMMIT;

ANALYZE;
