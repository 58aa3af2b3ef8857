-- The workout tracker's tables as Prisma's migrations make them: quoted camel
-- case, text ids (cuid), timestamp(3) without zone that hold UTC, an enum, and
-- the two columns that its sync plan added (lastModifiedAt with @updatedAt,
-- which Prisma fills in, so there is no default; clientId).

BEGIN;

CREATE TYPE "MesocycleStatus" AS ENUM ('PLANNED', 'ACTIVE', 'COMPLETED', 'ABANDONED');

CREATE TABLE "User" (
    "id" TEXT NOT NULL,
    "email" TEXT NOT NULL,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT "User_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "User_email_key" ON "User" ("email");

CREATE TABLE "WorkoutTemplate" (
    "id" TEXT NOT NULL,
    "userId" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "exercises" JSONB NOT NULL DEFAULT '[]',
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "lastModifiedAt" TIMESTAMP(3) NOT NULL,
    "clientId" TEXT,
    CONSTRAINT "WorkoutTemplate_pkey" PRIMARY KEY ("id")
);

CREATE TABLE "WorkoutSession" (
    "id" TEXT NOT NULL,
    "userId" TEXT NOT NULL,
    "templateId" TEXT,
    "startedAt" TIMESTAMP(3) NOT NULL,
    "completedAt" TIMESTAMP(3),
    "durationMinutes" INTEGER,
    "notes" TEXT,
    "sets" JSONB NOT NULL DEFAULT '[]',
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "lastModifiedAt" TIMESTAMP(3) NOT NULL,
    "clientId" TEXT,
    CONSTRAINT "WorkoutSession_pkey" PRIMARY KEY ("id")
);

CREATE TABLE "BodyMeasurement" (
    "id" TEXT NOT NULL,
    "userId" TEXT NOT NULL,
    "measuredAt" TIMESTAMP(3) NOT NULL,
    "weightKg" DOUBLE PRECISION,
    "bodyFatPercent" DOUBLE PRECISION,
    "waistCm" DOUBLE PRECISION,
    "lastModifiedAt" TIMESTAMP(3) NOT NULL,
    "clientId" TEXT,
    CONSTRAINT "BodyMeasurement_pkey" PRIMARY KEY ("id")
);

CREATE TABLE "Mesocycle" (
    "id" TEXT NOT NULL,
    "userId" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "startDate" TIMESTAMP(3) NOT NULL,
    "currentWeek" INTEGER NOT NULL DEFAULT 1,
    "status" "MesocycleStatus" NOT NULL DEFAULT 'PLANNED',
    "lastModifiedAt" TIMESTAMP(3) NOT NULL,
    "clientId" TEXT,
    CONSTRAINT "Mesocycle_pkey" PRIMARY KEY ("id")
);

CREATE TABLE "MesocycleWeek" (
    "id" TEXT NOT NULL,
    "userId" TEXT NOT NULL,
    "mesocycleId" TEXT NOT NULL,
    "weekNumber" INTEGER NOT NULL,
    "volumeMultiplier" DECIMAL(4,2) NOT NULL DEFAULT 1,
    "isDeload" BOOLEAN NOT NULL DEFAULT false,
    "lastModifiedAt" TIMESTAMP(3) NOT NULL,
    "clientId" TEXT,
    CONSTRAINT "MesocycleWeek_pkey" PRIMARY KEY ("id")
);

-- the three entity types that the plan names beside those five tables

CREATE TABLE "ProgressionState" (
    "id" TEXT NOT NULL,
    "userId" TEXT NOT NULL,
    "exerciseId" TEXT NOT NULL,
    "workingWeightKg" DOUBLE PRECISION NOT NULL,
    "failures" INTEGER NOT NULL DEFAULT 0,
    "lastModifiedAt" TIMESTAMP(3) NOT NULL,
    "clientId" TEXT,
    CONSTRAINT "ProgressionState_pkey" PRIMARY KEY ("id")
);

CREATE TABLE "UserSettings" (
    "id" TEXT NOT NULL,
    "userId" TEXT NOT NULL,
    "settings" JSONB NOT NULL DEFAULT '{}',
    "lastModifiedAt" TIMESTAMP(3) NOT NULL,
    "clientId" TEXT,
    CONSTRAINT "UserSettings_pkey" PRIMARY KEY ("id")
);

CREATE TABLE "Achievement" (
    "id" TEXT NOT NULL,
    "userId" TEXT NOT NULL,
    "code" TEXT NOT NULL,
    "unlockedAt" TIMESTAMP(3) NOT NULL,
    "lastModifiedAt" TIMESTAMP(3) NOT NULL,
    "clientId" TEXT,
    CONSTRAINT "Achievement_pkey" PRIMARY KEY ("id")
);

ALTER TABLE "WorkoutTemplate" ADD CONSTRAINT "WorkoutTemplate_userId_fkey"
    FOREIGN KEY ("userId") REFERENCES "User" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "WorkoutSession" ADD CONSTRAINT "WorkoutSession_userId_fkey"
    FOREIGN KEY ("userId") REFERENCES "User" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "WorkoutSession" ADD CONSTRAINT "WorkoutSession_templateId_fkey"
    FOREIGN KEY ("templateId") REFERENCES "WorkoutTemplate" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "BodyMeasurement" ADD CONSTRAINT "BodyMeasurement_userId_fkey"
    FOREIGN KEY ("userId") REFERENCES "User" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "Mesocycle" ADD CONSTRAINT "Mesocycle_userId_fkey"
    FOREIGN KEY ("userId") REFERENCES "User" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "MesocycleWeek" ADD CONSTRAINT "MesocycleWeek_userId_fkey"
    FOREIGN KEY ("userId") REFERENCES "User" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "MesocycleWeek" ADD CONSTRAINT "MesocycleWeek_mesocycleId_fkey"
    FOREIGN KEY ("mesocycleId") REFERENCES "Mesocycle" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "ProgressionState" ADD CONSTRAINT "ProgressionState_userId_fkey"
    FOREIGN KEY ("userId") REFERENCES "User" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "UserSettings" ADD CONSTRAINT "UserSettings_userId_fkey"
    FOREIGN KEY ("userId") REFERENCES "User" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "Achievement" ADD CONSTRAINT "Achievement_userId_fkey"
    FOREIGN KEY ("userId") REFERENCES "User" ("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- @@index([userId, id]): what sync reads by
CREATE INDEX "WorkoutTemplate_userId_id_idx" ON "WorkoutTemplate" ("userId", "id");
CREATE INDEX "WorkoutSession_userId_id_idx" ON "WorkoutSession" ("userId", "id");
CREATE INDEX "BodyMeasurement_userId_id_idx" ON "BodyMeasurement" ("userId", "id");
CREATE INDEX "Mesocycle_userId_id_idx" ON "Mesocycle" ("userId", "id");
CREATE INDEX "MesocycleWeek_userId_id_idx" ON "MesocycleWeek" ("userId", "id");
CREATE INDEX "MesocycleWeek_mesocycleId_idx" ON "MesocycleWeek" ("mesocycleId");
CREATE INDEX "ProgressionState_userId_id_idx" ON "ProgressionState" ("userId", "id");
CREATE INDEX "UserSettings_userId_id_idx" ON "UserSettings" ("userId", "id");
CREATE INDEX "Achievement_userId_id_idx" ON "Achievement" ("userId", "id");

-- two users to try it with
INSERT INTO "User" ("id", "email") VALUES
    ('u1', 'kim@example.org'),
    ('u2', 'robin@example.org');

COMMIT;
