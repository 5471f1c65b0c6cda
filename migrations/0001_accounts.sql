-- Accounts, sessions, refresh-token trees, mail tokens, security events, deletions and exports.

create table users (
  id integer generated always as identity primary key,
  email text
    check (email is null or (char_length(email) between 3 and 254 and email = btrim(email) and email = lower(email))),
  email_confirmed boolean not null default false,
  pending_email text
    check (pending_email is null or (char_length(pending_email) between 3 and 254 and pending_email = btrim(pending_email)
      and pending_email = lower(pending_email))),
  pending_email_at timestamptz,
  password_hash text,
  password_changed_at timestamptz,
  credential_version integer not null default 1 check (credential_version >= 1),
  status text not null default 'active' check (status in ('pending', 'active', 'deactivated', 'deleting', 'deleted')),
  is_admin boolean not null default false,
  terms_version text not null default 'unknown' check (char_length(terms_version) between 1 and 64),
  terms_accepted_at timestamptz,
  last_login timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  deleted_at timestamptz,
  -- billing columns: written by the ledger and the subscription fold only
  credits_balance integer not null default 0 check (credits_balance >= 0),
  credits_balance_at timestamptz,
  trial_expires_at timestamptz,
  revenuecat_app_user_id varchar(100) unique,
  subscription_active boolean not null default false,
  subscription_plan text,
  subscription_pending_plan text,
  subscription_expires_at timestamptz,
  subscription_will_renew boolean not null default false,
  subscription_source text check (subscription_source in ('app_store', 'play_store')),
  billing_issue_at timestamptz,
  -- a tombstone holds nothing personal, a live account can always be addressed
  check ((status = 'deleted') = (email is null)),
  check (status <> 'deleted' or (password_hash is null and pending_email is null and revenuecat_app_user_id is null))
);
create unique index uq_users_email on users (email);
create index ix_users_status on users (status);

create table sessions (
  id integer generated always as identity primary key,
  user_id integer not null references users (id) on delete restrict,
  transport text not null check (transport in ('body', 'cookie')),
  client_name varchar(64) not null,
  user_agent varchar(256) not null default '',
  ip_prefix text not null default '',
  created_at timestamptz not null,
  last_used_at timestamptz not null,
  idle_expires_at timestamptz not null,
  expires_at timestamptz not null,
  access_valid_from timestamptz not null,
  head_token_id bigint,
  ended_at timestamptz,
  end_reason text check (end_reason in ('logout', 'user', 'everywhere', 'password_change', 'email_change',
    'password_reset', 'deactivated', 'deleted', 'reuse', 'admin', 'expired')),
  check ((ended_at is null) = (end_reason is null)),
  check (idle_expires_at <= expires_at)
);
create index ix_sessions_user on sessions (user_id, last_used_at desc);
create index ix_sessions_ended on sessions (ended_at) where ended_at is not null;

create table refresh_tokens (
  id bigint generated always as identity primary key,
  session_id integer not null references sessions (id) on delete cascade,
  parent_id bigint references refresh_tokens (id) on delete cascade,
  token_hash bytea not null unique check (octet_length(token_hash) = 32),
  issued_at timestamptz not null,
  first_presented_at timestamptz,
  last_presented_at timestamptz,
  -- set when a successor of this token, or a sibling, was presented
  superseded_at timestamptz
);
create index ix_refresh_tokens_session on refresh_tokens (session_id, parent_id, id desc);
create index ix_refresh_tokens_parent on refresh_tokens (parent_id);
alter table sessions add constraint fk_sessions_head
  foreign key (head_token_id) references refresh_tokens (id) on delete set null deferrable initially deferred;

-- The token itself is HMAC(purpose key, salt): a retried mail carries the same link and no row holds it in clear.
create table mail_tokens (
  id bigint generated always as identity primary key,
  user_id integer not null references users (id) on delete cascade,
  kind text not null check (kind in ('confirm', 'reset')),
  salt bytea not null check (octet_length(salt) = 32),
  token_hash bytea not null unique check (octet_length(token_hash) = 32),
  address text,
  credential_version integer,
  created_at timestamptz not null,
  expires_at timestamptz not null,
  used_at timestamptz,
  voided_at timestamptz,
  check ((kind = 'confirm') = (address is not null)),
  check ((kind = 'reset') = (credential_version is not null))
);
create index ix_mail_tokens_user on mail_tokens (user_id, kind);

create table auth_events (
  id bigint generated always as identity primary key,
  user_id integer not null references users (id) on delete cascade,
  kind text not null check (kind in ('sign_in', 'sign_out', 'session_ended', 'reuse', 'password_changed',
    'password_reset', 'email_change_requested', 'email_change_confirmed', 'email_change_cancelled', 'email_confirmed',
    'export_requested', 'deletion_requested')),
  session_id integer,
  refresh_token_id bigint,
  ip_prefix text not null default '',
  user_agent varchar(256) not null default '',
  created_at timestamptz not null
);
create index ix_auth_events_user on auth_events (user_id, created_at desc);
create index ix_auth_events_created on auth_events (created_at);

create table account_deletions (
  id integer generated always as identity primary key,
  user_id integer not null references users (id) on delete restrict unique,
  requested_by text not null,
  reason varchar(500),
  state text not null default 'stop'
    check (state in ('stop', 'voices', 'exports', 'wait', 'recheck', 'points', 'scrub', 'notice', 'done')),
  attempts integer not null default 0,
  next_attempt_at timestamptz,
  last_failure text,
  notify_email text,
  created_at timestamptz not null,
  completed_at timestamptz
);

create table account_deletion_items (
  id bigint generated always as identity primary key,
  deletion_id integer not null references account_deletions (id) on delete cascade,
  kind text not null check (kind in ('slot', 'object')),
  reference text not null,
  done_at timestamptz,
  verified_at timestamptz,
  attempts integer not null default 0,
  last_failure text,
  unique (deletion_id, kind, reference)
);

create table account_exports (
  id integer generated always as identity primary key,
  user_id integer not null references users (id) on delete restrict,
  status text not null default 'pending' check (status in ('pending', 'processing', 'ready', 'error', 'expired')),
  object_key text,
  size_bytes bigint,
  created_at timestamptz not null,
  ready_at timestamptz,
  expires_at timestamptz,
  check (status <> 'ready' or (object_key is not null and size_bytes is not null and expires_at is not null))
);
create unique index uq_account_exports_open on account_exports (user_id) where status in ('pending', 'processing');
create index ix_account_exports_user on account_exports (user_id, id desc);

-- The application clock of test environments (POST /dev/clock); empty everywhere else.
create table app_clock (
  id boolean primary key default true check (id),
  offset_seconds double precision not null default 0
);
