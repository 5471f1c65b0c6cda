-- Attempts to make a narration (an attempt's id is its ticket in the queue) and the cluster-wide call places.

create table narration_attempts (
  id bigint generated always as identity primary key,
  narration_id integer not null references narrations (id) on delete cascade,
  kind text not null check (kind in ('paid', 'free', 'regeneration')),
  stage text not null check (stage in ('waiting', 'speaking', 'assembling', 'done', 'failed', 'cancelled')),
  text text not null,
  text_sha256 bytea not null check (octet_length(text_sha256) = 32),
  provider text not null check (provider in ('elevenlabs', 'cartesia', 'local')),
  model text not null,
  settings jsonb not null default '{}',
  regeneration_number integer not null default 0,
  parts_total integer not null check (parts_total > 0),
  credits_charged integer check (credits_charged > 0),
  debit_id integer references credit_transactions (id) on delete restrict,
  accepted_at timestamptz not null,
  wait_deadline timestamptz not null,
  speech_started_at timestamptz,
  speech_deadline timestamptz,
  owner uuid,
  lease_expires_at timestamptz,
  reallocations integer not null default 0,
  outcome text,
  ended_at timestamptz,
  check ((stage in ('done', 'failed', 'cancelled')) = (ended_at is not null)),
  check (kind <> 'paid' or stage not in ('waiting', 'speaking', 'assembling') or debit_id is not null)
);
create unique index uq_attempts_unfinished on narration_attempts (narration_id)
  where stage in ('waiting', 'speaking', 'assembling');
create index ix_attempts_waiting on narration_attempts (provider, id) where stage = 'waiting';
create index ix_attempts_unfinished on narration_attempts (stage, lease_expires_at)
  where stage in ('waiting', 'speaking', 'assembling');
create index ix_attempts_narration on narration_attempts (narration_id, id desc);
create index ix_attempts_debit on narration_attempts (debit_id);

create table provider_calls (
  id bigint generated always as identity primary key,
  provider text not null references speech_providers (provider),
  attempt_id bigint not null references narration_attempts (id) on delete cascade,
  part_index integer not null,
  state text not null check (state in ('waiting', 'held')),
  owner uuid not null,
  expires_at timestamptz not null,
  created_at timestamptz not null,
  unique (attempt_id, part_index)
);
create index ix_provider_calls_provider on provider_calls (provider, state);
