-- What makes the workout tracker's tables sync. As their owner, after
-- CREATE EXTENSION pg_tide. The entity types are the names of the app's
-- SyncEntityType; lastModifiedAt and clientId are found by their names.

BEGIN;

SELECT tide.track('"WorkoutSession"', entity_type => 'workout', scope => 'userId');
SELECT tide.track('"WorkoutTemplate"', entity_type => 'template', scope => 'userId');
SELECT tide.track('"BodyMeasurement"', entity_type => 'measurement', scope => 'userId');
SELECT tide.track('"ProgressionState"', entity_type => 'progression', scope => 'userId');
SELECT tide.track('"UserSettings"', entity_type => 'settings', scope => 'userId');
SELECT tide.track('"Mesocycle"', entity_type => 'mesocycle', scope => 'userId');
SELECT tide.track('"MesocycleWeek"', entity_type => 'mesocycleWeek', scope => 'userId');
SELECT tide.track('"Achievement"', entity_type => 'achievement', scope => 'userId');

COMMIT;
