-- Points given by administrators: what waits for a second one, and which requests were answered before.

create table waiting_grants (
  id integer generated always as identity primary key,
  user_id integer not null references users (id) on delete restrict,
  amount integer not null check (amount between 1 and 1000000),
  source text not null check (source in ('event', 'monthly', 'referral', 'add_on', 'free')),
  reason varchar(255) not null,
  -- when the points expire; null = never
  grant_expires_at timestamptz,
  status text not null default 'waiting' check (status in ('waiting', 'approved', 'rejected')),
  requested_by integer not null references users (id) on delete restrict,
  requested_at timestamptz not null,
  -- until when it can be approved
  expires_at timestamptz not null,
  decided_by integer references users (id) on delete restrict,
  decided_at timestamptz,
  transaction_id integer unique references credit_transactions (id) on delete restrict,
  check ((status = 'waiting') = (decided_by is null)),
  check ((decided_by is null) = (decided_at is null)),
  check ((status = 'approved') = (transaction_id is not null)),
  -- two persons: whoever asked does not approve
  constraint waiting_grants_two_persons check (status <> 'approved' or decided_by <> requested_by)
);
create index ix_waiting_grants_open on waiting_grants (expires_at) where status = 'waiting';
create index ix_waiting_grants_user on waiting_grants (user_id);

-- The answer to a request with an Idempotency-Key; kept for ever, like the ledger key that belongs to it.
create table admin_grant_keys (
  actor_id integer not null references users (id) on delete restrict,
  idempotency_key varchar(128) not null,
  request_hash bytea not null check (octet_length(request_hash) = 32),
  user_id integer not null references users (id) on delete restrict,
  transaction_id integer references credit_transactions (id) on delete restrict,
  new_balance integer,
  waiting_grant_id integer references waiting_grants (id) on delete restrict,
  created_at timestamptz not null,
  primary key (actor_id, idempotency_key),
  check ((transaction_id is null) <> (waiting_grant_id is null)),
  check ((transaction_id is null) = (new_balance is null))
);
create index ix_admin_grant_keys_user on admin_grant_keys (user_id);
