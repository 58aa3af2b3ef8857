-- LiftLogger: the 13 tables that its app keeps on the phone, in PostgreSQL.
--
-- Snake case here, camel case on the wire (track.sql). Each table has the
-- columns of the app's SyncableTable (id, createdAt, updatedAt, version,
-- deletedAt) except isDirty and lastSyncedAt, which only the phone needs.
--
-- Whatever belongs to an athlete carries athlete_id, which is the scope it is
-- synced by. The index on (athlete_id, id) serves sync, and as a UNIQUE
-- constraint it also is what the children refer to: nobody can hang a row of
-- theirs under another athlete's plan.

BEGIN;

CREATE TABLE coaches (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name        text NOT NULL CHECK (length(name) BETWEEN 1 AND 255),
    email       text NOT NULL UNIQUE,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    version     integer NOT NULL DEFAULT 1,
    deleted_at  timestamptz
);

CREATE TABLE athletes (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    coach_id    uuid REFERENCES coaches (id) ON DELETE SET NULL,
    name        text NOT NULL CHECK (length(name) BETWEEN 1 AND 255),
    email       text NOT NULL UNIQUE,
    birth_date  date,
    height_cm   numeric(4,1) CHECK (height_cm > 0),
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    version     integer NOT NULL DEFAULT 1,
    deleted_at  timestamptz
);
CREATE INDEX ON athletes (coach_id);

-- The catalogue: everybody's, edited by the back office.

CREATE TABLE exercises (
    id            uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name          text NOT NULL UNIQUE,
    muscle_group  text NOT NULL,
    is_compound   boolean NOT NULL DEFAULT false,
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now(),
    version       integer NOT NULL DEFAULT 1,
    deleted_at    timestamptz
);

CREATE TABLE variants (
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name         text NOT NULL UNIQUE,
    description  text,
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now(),
    version      integer NOT NULL DEFAULT 1,
    deleted_at   timestamptz
);

-- What an athlete means to do.

CREATE TABLE training_plans (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    athlete_id  uuid NOT NULL REFERENCES athletes (id) ON DELETE CASCADE,
    name        text NOT NULL CHECK (length(name) BETWEEN 1 AND 255),
    date        timestamptz NOT NULL,
    is_locked   boolean NOT NULL DEFAULT false,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    version     integer NOT NULL DEFAULT 1,
    deleted_at  timestamptz,
    UNIQUE (athlete_id, id)
);

CREATE TABLE exercise_plans (
    id                uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    athlete_id        uuid NOT NULL REFERENCES athletes (id) ON DELETE CASCADE,
    training_plan_id  uuid NOT NULL,
    exercise_id       uuid NOT NULL REFERENCES exercises (id),
    position          integer NOT NULL CHECK (position > 0),
    notes             text,
    created_at        timestamptz NOT NULL DEFAULT now(),
    updated_at        timestamptz NOT NULL DEFAULT now(),
    version           integer NOT NULL DEFAULT 1,
    deleted_at        timestamptz,
    UNIQUE (athlete_id, id),
    FOREIGN KEY (athlete_id, training_plan_id)
        REFERENCES training_plans (athlete_id, id) ON DELETE CASCADE
);
CREATE INDEX ON exercise_plans (training_plan_id);
CREATE INDEX ON exercise_plans (exercise_id);

CREATE TABLE set_plans (
    id                uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    athlete_id        uuid NOT NULL REFERENCES athletes (id) ON DELETE CASCADE,
    exercise_plan_id  uuid NOT NULL,
    position          integer NOT NULL CHECK (position > 0),
    reps              integer NOT NULL CHECK (reps BETWEEN 1 AND 1000),
    weight_kg         numeric(6,2) NOT NULL CHECK (weight_kg >= 0),
    rpe               numeric(3,1) CHECK (rpe BETWEEN 1 AND 10),
    created_at        timestamptz NOT NULL DEFAULT now(),
    updated_at        timestamptz NOT NULL DEFAULT now(),
    version           integer NOT NULL DEFAULT 1,
    deleted_at        timestamptz,
    UNIQUE (athlete_id, id),
    FOREIGN KEY (athlete_id, exercise_plan_id)
        REFERENCES exercise_plans (athlete_id, id) ON DELETE CASCADE
);
CREATE INDEX ON set_plans (exercise_plan_id);

CREATE TABLE exercise_plan_variants (
    id                uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    athlete_id        uuid NOT NULL REFERENCES athletes (id) ON DELETE CASCADE,
    exercise_plan_id  uuid NOT NULL,
    variant_id        uuid NOT NULL REFERENCES variants (id),
    created_at        timestamptz NOT NULL DEFAULT now(),
    updated_at        timestamptz NOT NULL DEFAULT now(),
    version           integer NOT NULL DEFAULT 1,
    deleted_at        timestamptz,
    UNIQUE (athlete_id, id),
    FOREIGN KEY (athlete_id, exercise_plan_id)
        REFERENCES exercise_plans (athlete_id, id) ON DELETE CASCADE
);
CREATE INDEX ON exercise_plan_variants (exercise_plan_id);
CREATE INDEX ON exercise_plan_variants (variant_id);

-- What came of it. A session may be without a plan, a set without a set plan.

CREATE TABLE training_sessions (
    id                uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    athlete_id        uuid NOT NULL REFERENCES athletes (id) ON DELETE CASCADE,
    training_plan_id  uuid,
    started_at        timestamptz NOT NULL,
    finished_at       timestamptz,
    notes             text,
    created_at        timestamptz NOT NULL DEFAULT now(),
    updated_at        timestamptz NOT NULL DEFAULT now(),
    version           integer NOT NULL DEFAULT 1,
    deleted_at        timestamptz,
    CHECK (finished_at >= started_at),
    UNIQUE (athlete_id, id),
    FOREIGN KEY (athlete_id, training_plan_id)
        REFERENCES training_plans (athlete_id, id) ON DELETE CASCADE
);
CREATE INDEX ON training_sessions (training_plan_id);

CREATE TABLE exercise_sessions (
    id                   uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    athlete_id           uuid NOT NULL REFERENCES athletes (id) ON DELETE CASCADE,
    training_session_id  uuid NOT NULL,
    exercise_plan_id     uuid,
    exercise_id          uuid NOT NULL REFERENCES exercises (id),
    position             integer NOT NULL CHECK (position > 0),
    created_at           timestamptz NOT NULL DEFAULT now(),
    updated_at           timestamptz NOT NULL DEFAULT now(),
    version              integer NOT NULL DEFAULT 1,
    deleted_at           timestamptz,
    UNIQUE (athlete_id, id),
    FOREIGN KEY (athlete_id, training_session_id)
        REFERENCES training_sessions (athlete_id, id) ON DELETE CASCADE,
    FOREIGN KEY (athlete_id, exercise_plan_id)
        REFERENCES exercise_plans (athlete_id, id) ON DELETE CASCADE
);
CREATE INDEX ON exercise_sessions (training_session_id);
CREATE INDEX ON exercise_sessions (exercise_plan_id);
CREATE INDEX ON exercise_sessions (exercise_id);

CREATE TABLE set_sessions (
    id                   uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    athlete_id           uuid NOT NULL REFERENCES athletes (id) ON DELETE CASCADE,
    exercise_session_id  uuid NOT NULL,
    set_plan_id          uuid,
    position             integer NOT NULL CHECK (position > 0),
    reps                 integer NOT NULL CHECK (reps BETWEEN 0 AND 1000),
    weight_kg            numeric(6,2) NOT NULL CHECK (weight_kg >= 0),
    rpe                  numeric(3,1) CHECK (rpe BETWEEN 1 AND 10),
    done_at              timestamptz,
    created_at           timestamptz NOT NULL DEFAULT now(),
    updated_at           timestamptz NOT NULL DEFAULT now(),
    version              integer NOT NULL DEFAULT 1,
    deleted_at           timestamptz,
    UNIQUE (athlete_id, id),
    FOREIGN KEY (athlete_id, exercise_session_id)
        REFERENCES exercise_sessions (athlete_id, id) ON DELETE CASCADE,
    FOREIGN KEY (athlete_id, set_plan_id)
        REFERENCES set_plans (athlete_id, id) ON DELETE CASCADE
);
CREATE INDEX ON set_sessions (exercise_session_id);
CREATE INDEX ON set_sessions (set_plan_id);

CREATE TABLE exercise_session_variants (
    id                   uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    athlete_id           uuid NOT NULL REFERENCES athletes (id) ON DELETE CASCADE,
    exercise_session_id  uuid NOT NULL,
    variant_id           uuid NOT NULL REFERENCES variants (id),
    created_at           timestamptz NOT NULL DEFAULT now(),
    updated_at           timestamptz NOT NULL DEFAULT now(),
    version              integer NOT NULL DEFAULT 1,
    deleted_at           timestamptz,
    UNIQUE (athlete_id, id),
    FOREIGN KEY (athlete_id, exercise_session_id)
        REFERENCES exercise_sessions (athlete_id, id) ON DELETE CASCADE
);
CREATE INDEX ON exercise_session_variants (exercise_session_id);
CREATE INDEX ON exercise_session_variants (variant_id);

CREATE TABLE body_weight_entries (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    athlete_id  uuid NOT NULL REFERENCES athletes (id) ON DELETE CASCADE,
    date        timestamptz NOT NULL,
    weight_kg   numeric(5,2) NOT NULL CHECK (weight_kg BETWEEN 20 AND 400),
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    version     integer NOT NULL DEFAULT 1,
    deleted_at  timestamptz,
    UNIQUE (athlete_id, id)
);

COMMIT;
