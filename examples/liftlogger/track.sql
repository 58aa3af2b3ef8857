-- What makes LiftLogger's tables sync. As their owner, after
-- CREATE EXTENSION pg_tide.
--
-- updated_at is the stamp that orders two versions of a row; the client_id
-- column beside it is added where a table lacks it (no rewrite).

BEGIN;

-- An athlete's own row: its id is the scope, and the token's `sub`. Who coaches
-- whom is the gym's business: it neither goes to the phone nor comes from it.
SELECT tide.track('athletes', entity_type => 'Athlete', scope => 'id',
    exclude => '{coach_id}',
    naming => 'camel', modified_at => 'updated_at', version => 'version', deleted_at => 'deleted_at');
SELECT tide.track('coaches', entity_type => 'Coach', scope => 'id',
    naming => 'camel', modified_at => 'updated_at', version => 'version', deleted_at => 'deleted_at');

-- the catalogue goes to everybody
SELECT tide.track(t.relation, entity_type => t.entity_type, shared => true,
    naming => 'camel', modified_at => 'updated_at', version => 'version', deleted_at => 'deleted_at')
FROM (VALUES
    ('exercises'::regclass, 'Exercise'),
    ('variants', 'Variant')) AS t (relation, entity_type);

-- the rest belongs to an athlete
SELECT tide.track(t.relation, entity_type => t.entity_type, scope => 'athlete_id',
    naming => 'camel', modified_at => 'updated_at', version => 'version', deleted_at => 'deleted_at')
FROM (VALUES
    ('training_plans'::regclass, 'TrainingPlan'),
    ('exercise_plans', 'ExercisePlan'),
    ('set_plans', 'SetPlan'),
    ('exercise_plan_variants', 'ExercisePlanVariant'),
    ('training_sessions', 'TrainingSession'),
    ('exercise_sessions', 'ExerciseSession'),
    ('set_sessions', 'SetSession'),
    ('exercise_session_variants', 'ExerciseSessionVariant'),
    ('body_weight_entries', 'BodyWeightEntry')) AS t (relation, entity_type);

COMMIT;

-- Two edits of one row: the later one stands. LiftLogger's plan has it that
-- the one that arrives last does; this changes just that, now or any time:
--
-- SELECT tide.track(t.relation, entity_type => t.entity_type, scope => t.scope, shared => t.shared,
--     conflict => 'client_wins',
--     modified_at => t.modified_at, client_id => t.client_id, version => t.version,
--     deleted_at => t.deleted_at, naming => t.naming, utc => t.utc, exclude => t.exclude)
-- FROM tide.tracked AS t;
