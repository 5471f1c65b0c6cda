-- The points ledger and the store tables. One module writes the first three tables; the database refuses unbalanced books.

create table credit_lots (
  id integer generated always as identity primary key,
  user_id integer not null references users (id) on delete restrict,
  source text not null check (source in ('event', 'monthly', 'referral', 'add_on', 'free')),
  amount_granted integer not null check (amount_granted between 1 and 1000000),
  amount_remaining integer not null
    constraint credit_lots_amount_remaining_check check (amount_remaining between 0 and amount_granted),
  expires_at timestamptz,
  created_at timestamptz not null,
  updated_at timestamptz not null
);
create index ix_credit_lots_user on credit_lots (user_id, expires_at);
create index ix_credit_lots_open on credit_lots (user_id) where amount_remaining > 0;
create index ix_credit_lots_expiry on credit_lots (expires_at) where amount_remaining > 0 and expires_at is not null;

create table store_subscriptions (
  id integer generated always as identity primary key,
  line_hash bytea not null unique check (octet_length(line_hash) = 32),
  original_transaction_id text,
  owner_user_id integer references users (id) on delete restrict,
  store text check (store in ('app_store', 'play_store')),
  product_id text,
  pending_product_id text,
  current_transaction_id text,
  period_started_at timestamptz,
  period_ends_at timestamptz,
  access_ends_at timestamptz,
  is_active boolean not null default false,
  will_renew boolean not null default false,
  billing_issue_at timestamptz,
  created_at timestamptz not null,
  updated_at timestamptz not null
);
create index ix_store_subscriptions_owner on store_subscriptions (owner_user_id);

create table store_purchases (
  id integer generated always as identity primary key,
  kind text not null check (kind in ('period', 'pack')),
  user_id integer not null references users (id) on delete restrict,
  subscription_id integer references store_subscriptions (id) on delete restrict,
  product_id text not null,
  platform text check (platform in ('ios', 'android')),
  purchased_at timestamptz not null,
  ends_at timestamptz,
  is_refunded boolean not null default false,
  refund_changed_at timestamptz,
  points integer check (points > 0),
  not_granted_reason text,
  next_grant_at timestamptz,
  environment text,
  price numeric,
  currency text,
  transaction_id text,
  original_transaction_id text,
  created_at timestamptz not null,
  updated_at timestamptz not null
);
create index ix_store_purchases_user on store_purchases (user_id);
create index ix_store_purchases_subscription on store_purchases (subscription_id);
create index ix_store_purchases_next_grant on store_purchases (next_grant_at) where next_grant_at is not null;

create table store_purchase_aliases (
  alias_hash bytea primary key check (octet_length(alias_hash) = 32),
  purchase_id integer not null references store_purchases (id) on delete restrict
);
create index ix_store_purchase_aliases_purchase on store_purchase_aliases (purchase_id);

create table webhook_events (
  id bigint generated always as identity primary key,
  event_id varchar(255) not null unique,
  event_type varchar(50) not null,
  event_at timestamptz not null,
  processed_at timestamptz not null,
  user_id integer references users (id) on delete restrict,
  subscription_id integer references store_subscriptions (id) on delete restrict,
  purchase_id integer references store_purchases (id) on delete restrict,
  outcome text not null check (outcome in ('processed', 'ignored', 'sandbox_refused')),
  -- the parsed fields that the fold reads; never the raw body
  fields jsonb not null default '{}' check (jsonb_typeof(fields) = 'object')
);
create index ix_webhook_events_processed on webhook_events (processed_at);
create index ix_webhook_events_subscription on webhook_events (subscription_id, event_at, id);
create index ix_webhook_events_user on webhook_events (user_id);

create table credit_transactions (
  id integer generated always as identity primary key,
  user_id integer not null references users (id) on delete restrict,
  type text not null check (type in ('credit', 'debit', 'refund', 'expire')),
  amount integer not null,
  status text not null default 'applied' check (status in ('applied', 'refunded')),
  reason varchar(255) not null,
  narration_id integer references narrations (id) on delete set null,
  story_id integer references stories (id) on delete set null,
  refund_of_transaction_id integer unique references credit_transactions (id) on delete restrict,
  grant_key varchar(200) unique,
  purchase_id integer references store_purchases (id) on delete restrict,
  actor integer references users (id) on delete restrict,
  metadata jsonb not null default '{}' check (jsonb_typeof(metadata) = 'object'),
  created_at timestamptz not null,
  updated_at timestamptz not null,
  constraint credit_transactions_amount_sign
    check ((type in ('credit', 'refund') and amount > 0) or (type in ('debit', 'expire') and amount < 0)),
  constraint credit_transactions_refunded_type check (status = 'applied' or type in ('debit', 'expire')),
  constraint credit_transactions_refund_reference check ((type = 'refund') = (refund_of_transaction_id is not null)),
  constraint credit_transactions_grant_key_type check (grant_key is null or type = 'credit')
);
create index ix_credit_transactions_user on credit_transactions (user_id, created_at desc, id desc);
create index ix_credit_transactions_narration on credit_transactions (narration_id, type, status);
create index ix_credit_transactions_purchase on credit_transactions (purchase_id);
create unique index uq_credit_tx_open_debit on credit_transactions (narration_id, user_id)
  where type = 'debit' and status = 'applied';

create table credit_transaction_allocations (
  transaction_id integer not null references credit_transactions (id) on delete restrict,
  lot_id integer not null references credit_lots (id) on delete restrict,
  amount integer not null check (amount <> 0),
  primary key (transaction_id, lot_id)
);
create index ix_credit_allocations_lot on credit_transaction_allocations (lot_id);

-- At commit: a lot holds the sum of its allocations, a transaction is the sum of its own, signs and owners agree.
create function check_lot_balance(checked_lot integer) returns void language plpgsql as $$
declare
  remaining integer;
  allocated bigint;
begin
  select amount_remaining into remaining from credit_lots where id = checked_lot;
  select coalesce(sum(amount), 0) into allocated from credit_transaction_allocations where lot_id = checked_lot;
  if remaining is distinct from allocated then
    raise exception 'lot % holds % but its allocations sum to %', checked_lot, remaining, allocated
      using errcode = 'integrity_constraint_violation', constraint = 'credit_lot_balanced';
  end if;
end $$;

create function check_transaction_balance(checked_transaction integer) returns void language plpgsql as $$
declare
  row credit_transactions;
  allocated bigint;
  wrong bigint;
begin
  select * into row from credit_transactions where id = checked_transaction;
  select coalesce(sum(a.amount), 0), count(*) filter (where sign(a.amount) <> sign(row.amount) or l.user_id <> row.user_id)
    into allocated, wrong
    from credit_transaction_allocations a join credit_lots l on l.id = a.lot_id
    where a.transaction_id = checked_transaction;
  if row.amount is distinct from allocated or wrong > 0 then
    raise exception 'transaction % is % but its allocations sum to % (% of wrong sign or owner)',
      checked_transaction, row.amount, allocated, wrong
      using errcode = 'integrity_constraint_violation', constraint = 'credit_transaction_balanced';
  end if;
end $$;

create function check_ledger_row() returns trigger language plpgsql as $$
begin
  if tg_table_name = 'credit_lots' then
    perform check_lot_balance(new.id);
  elsif tg_table_name = 'credit_transactions' then
    perform check_transaction_balance(new.id);
  else
    perform check_lot_balance(new.lot_id);
    perform check_transaction_balance(new.transaction_id);
  end if;
  return null;
end $$;
create constraint trigger credit_lots_balanced after insert or update on credit_lots
  deferrable initially deferred for each row execute function check_ledger_row();
create constraint trigger credit_transactions_balanced after insert or update on credit_transactions
  deferrable initially deferred for each row execute function check_ledger_row();
create constraint trigger credit_allocations_balanced after insert on credit_transaction_allocations
  deferrable initially deferred for each row execute function check_ledger_row();

create function refuse_ledger_delete() returns trigger language plpgsql as $$
begin
  raise exception 'rows of % are never deleted', tg_table_name
    using errcode = 'integrity_constraint_violation', constraint = 'ledger_append_only';
end $$;
create trigger credit_lots_keep before delete on credit_lots for each row execute function refuse_ledger_delete();
create trigger credit_transactions_keep before delete on credit_transactions
  for each row execute function refuse_ledger_delete();
create trigger credit_allocations_keep before delete on credit_transaction_allocations
  for each row execute function refuse_ledger_delete();
create trigger credit_lots_no_truncate before truncate on credit_lots execute function refuse_ledger_delete();
create trigger credit_transactions_no_truncate before truncate on credit_transactions
  execute function refuse_ledger_delete();
create trigger credit_allocations_no_truncate before truncate on credit_transaction_allocations
  execute function refuse_ledger_delete();
create trigger credit_allocations_fixed before update on credit_transaction_allocations
  for each row execute function refuse_ledger_delete();

-- A transaction may only be marked refunded, lose its references, or be scrubbed when its account is deleted.
create function guard_transaction_update() returns trigger language plpgsql as $$
begin
  if (to_jsonb(new) - array['status', 'narration_id', 'story_id', 'updated_at', 'reason', 'metadata'])
      is distinct from (to_jsonb(old) - array['status', 'narration_id', 'story_id', 'updated_at', 'reason', 'metadata'])
    or (new.status <> old.status and not (old.status = 'applied' and new.status = 'refunded'))
    or (new.narration_id is distinct from old.narration_id and new.narration_id is not null)
    or (new.story_id is distinct from old.story_id and new.story_id is not null)
    or ((new.reason <> old.reason or new.metadata <> old.metadata)
      and not exists (select 1 from users where id = old.user_id and status = 'deleting'
        and new.metadata = '{}' and (new.reason = old.reason or new.reason = 'admin_grant')))
  then
    raise exception 'transaction % cannot be changed this way', old.id
      using errcode = 'integrity_constraint_violation', constraint = 'ledger_append_only';
  end if;
  return new;
end $$;
create trigger credit_transactions_guard before update on credit_transactions
  for each row execute function guard_transaction_update();

-- What a lot was granted, by whom it is owned and where it came from never changes.
create function guard_lot_update() returns trigger language plpgsql as $$
begin
  if (to_jsonb(new) - array['amount_remaining', 'expires_at', 'updated_at'])
      is distinct from (to_jsonb(old) - array['amount_remaining', 'expires_at', 'updated_at']) then
    raise exception 'lot % cannot be changed this way', old.id
      using errcode = 'integrity_constraint_violation', constraint = 'ledger_append_only';
  end if;
  return new;
end $$;
create trigger credit_lots_guard before update on credit_lots for each row execute function guard_lot_update();
