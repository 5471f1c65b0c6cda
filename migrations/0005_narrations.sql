create table narrations (
  id integer generated always as identity primary key,
  story_id integer not null references stories (id) on delete restrict,
  voice_id integer not null references voices (id) on delete restrict,
  user_id integer not null references users (id) on delete restrict,
  status text not null default 'pending' check (status in ('pending', 'processing', 'ready', 'error')),
  error_code text,
  object_key text,
  size_bytes bigint,
  duration_seconds double precision,
  text_sha256 bytea check (octet_length(text_sha256) = 32),
  version integer not null default 0,
  change_counter bigint not null default 0,
  free_retry boolean not null default false,
  ready_at timestamptz,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  unique (story_id, voice_id),
  check (status <> 'ready' or (object_key is not null and size_bytes > 2048 and duration_seconds > 0)),
  check (status <> 'error' or error_code is not null)
);
create index ix_narrations_user on narrations (user_id);
create index ix_narrations_voice on narrations (voice_id);
create index ix_narrations_status on narrations (status, updated_at);

create table narration_parts (
  id bigint generated always as identity primary key,
  narration_id integer not null references narrations (id) on delete cascade,
  render_key text not null check (render_key ~ '^[0-9a-f]{64}$'),
  part_index integer not null check (part_index >= 0),
  text_start integer not null check (text_start >= 0),
  text_end integer not null check (text_end > text_start),
  object_key text not null,
  size_bytes bigint not null check (size_bytes > 0),
  frames integer not null check (frames > 0),
  duration_seconds double precision not null check (duration_seconds > 0),
  timings jsonb,
  request_id text,
  billed_characters integer not null default 0,
  is_suspect boolean not null default false,
  created_at timestamptz not null,
  unique (narration_id, render_key)
);
