-- The books are checked in a time that does not grow with them.
--
-- The allocations of a lot form a chain: `position` runs 1, 2, 3 …, and `balance_after` is what the lot held after that
-- movement. Why checking the newest link is as good as adding up all of them, by induction over the committed rows of a lot:
--  * no rows: the lot holds 0;
--  * a row is accepted only at position 1 with balance_after = amount, or where the row at position − 1 is visible and
--    balance_after = its balance_after + amount. Rows are never changed or deleted, so if the rows up to n have no gap and
--    each balance_after is the sum up to there, the same holds up to n + 1. Of two writers of one position the unique
--    index lets the second wait for the first and then refuses it; a row of somebody else's open transaction is not
--    visible, so nothing can be built on it before it is committed.
-- At commit the lot has to hold the last row's balance_after, which therefore is the sum of its allocations.
alter table credit_transaction_allocations add column position integer, add column balance_after integer;

-- Movements of one lot were written under its owner's lock: their transactions' ids are their order.
alter table credit_transaction_allocations disable trigger credit_allocations_fixed;
update credit_transaction_allocations a
  set position = chain.position, balance_after = chain.balance_after
  from (
    select transaction_id, lot_id,
      row_number() over movements as position,
      sum(amount) over movements as balance_after
    from credit_transaction_allocations
    window movements as (partition by lot_id order by transaction_id)
  ) chain
  where a.transaction_id = chain.transaction_id and a.lot_id = chain.lot_id;
alter table credit_transaction_allocations enable trigger credit_allocations_fixed;

alter table credit_transaction_allocations
  alter column position set not null,
  alter column balance_after set not null,
  add constraint credit_allocations_position_check check (position >= 1),
  add constraint credit_allocations_balance_check check (balance_after >= 0),
  add constraint uq_credit_allocations_position unique (lot_id, position);
-- The index of the constraint above begins with the lot.
drop index ix_credit_allocations_lot;

create function check_allocation_chain() returns trigger language plpgsql as $$
declare
  before integer := 0;
begin
  if new.position > 1 then
    select balance_after into before from credit_transaction_allocations
      where lot_id = new.lot_id and position = new.position - 1;
  end if;
  -- Without a row before it `before` is null, and so is the sum.
  if new.balance_after is distinct from before + new.amount then
    raise exception 'allocation % of lot % holds % after %, which does not continue the one before it',
      new.position, new.lot_id, new.balance_after, new.amount
      using errcode = 'integrity_constraint_violation', constraint = 'credit_allocation_chain';
  end if;
  return null;
end $$;
-- After the statement, not at commit: one statement may write several links in any order.
create trigger credit_allocations_chain after insert on credit_transaction_allocations
  for each row execute function check_allocation_chain();

create or replace function check_lot_balance(checked_lot integer) returns void language plpgsql as $$
declare
  remaining integer;
  booked integer;
begin
  select amount_remaining into remaining from credit_lots where id = checked_lot;
  select balance_after into booked from credit_transaction_allocations
    where lot_id = checked_lot order by position desc limit 1;
  if remaining is distinct from coalesce(booked, 0) then
    raise exception 'lot % holds % but its last allocation left %', checked_lot, remaining, coalesce(booked, 0)
      using errcode = 'integrity_constraint_violation', constraint = 'credit_lot_balanced';
  end if;
end $$;

-- A change of date is no movement: only what a lot holds is checked.
drop trigger credit_lots_balanced on credit_lots;
create constraint trigger credit_lots_balanced after insert on credit_lots
  deferrable initially deferred for each row execute function check_ledger_row();
create constraint trigger credit_lots_moved after update on credit_lots
  deferrable initially deferred for each row
  when (new.amount_remaining is distinct from old.amount_remaining) execute function check_ledger_row();

-- The same refusal as before, without a function call for every lawful change.
create or replace function guard_lot_update() returns trigger language plpgsql as $$
begin
  raise exception 'lot % cannot be changed this way', old.id
    using errcode = 'integrity_constraint_violation', constraint = 'ledger_append_only';
end $$;
drop trigger credit_lots_guard on credit_lots;
create trigger credit_lots_guard before update on credit_lots for each row
  when ((new.id, new.user_id, new.source, new.amount_granted, new.created_at)
    is distinct from (old.id, old.user_id, old.source, old.amount_granted, old.created_at))
  execute function guard_lot_update();

-- How many transactions an account has of each type: a page of the history tells the total without counting a million rows.
create table credit_history_counts (
  user_id integer not null references users (id) on delete restrict,
  type text not null,
  transactions integer not null check (transactions >= 1),
  primary key (user_id, type)
) with (fillfactor = 50);
insert into credit_history_counts (user_id, type, transactions)
  select user_id, type, count(*) from credit_transactions group by user_id, type;

create function count_credit_transaction() returns trigger language plpgsql as $$
begin
  -- A type once counted stays: rows are never deleted and never change their type or owner.
  update credit_history_counts set transactions = transactions + 1 where user_id = new.user_id and type = new.type;
  if not found then
    insert into credit_history_counts (user_id, type, transactions) values (new.user_id, new.type, 1)
      on conflict (user_id, type) do update set transactions = credit_history_counts.transactions + 1;
  end if;
  return null;
end $$;
create trigger credit_transactions_counted after insert on credit_transactions
  for each row execute function count_credit_transaction();

-- Pages of one type, and the newest empty lots of an account.
create index ix_credit_transactions_user_type on credit_transactions (user_id, type, created_at desc, id desc);
create index ix_credit_lots_empty on credit_lots (user_id, id desc) where amount_remaining = 0;

-- The last run of each scheduled job, for the people who run the server.
create table job_runs (
  name text primary key,
  started_at timestamptz not null,
  ended_at timestamptz not null,
  result jsonb not null check (jsonb_typeof(result) = 'object')
);

-- A debit in one call: with its locks, lots, rows and cached balance it would be seven statements, each with a way to the
-- client and back during which the account stays locked. Each statement in here has a snapshot of its own, so what is read
-- after the lock is what the one before left. Spending order: rank of the source (unlisted ones after, by name), earliest
-- expiry (never last), oldest, id. `available` is null for an unknown account; `transaction_id` is null, and nothing is
-- written, when there is too little or the narration has an open debit.
create function take_points(
  debited_user integer, wanted integer, given_reason text, of_narration integer, of_story integer,
  moment timestamptz, source_order text[], out transaction_id integer, out available bigint
) language plpgsql as $$
declare
  lot record;
  share integer;
  rest integer := wanted;
begin
  -- A busy account: every debit leaves a new version of the row, and whoever waits for the row is woken for each of them
  -- (16 clients of one account: three times slower). So all but one wait for a lock that stays where it is. Whoever has
  -- the row already never waits here, so the order "account first" stands.
  perform from users where id = debited_user for no key update skip locked;
  if not found then
    perform pg_advisory_xact_lock(724201, debited_user);
    perform from users where id = debited_user for no key update;
    if not found then
      return;
    end if;
  end if;
  select coalesce(sum(locked.amount_remaining), 0) into available from (
    select amount_remaining, expires_at from credit_lots
      where user_id = debited_user and amount_remaining > 0 order by id for update
  ) locked where locked.expires_at is null or locked.expires_at > moment;
  if available < wanted then
    return;
  end if;
  insert into credit_transactions as made
    (user_id, type, amount, reason, narration_id, story_id, created_at, updated_at)
    values (debited_user, 'debit', -wanted, given_reason, of_narration, of_story, moment, moment)
    on conflict (narration_id, user_id) where type = 'debit' and status = 'applied' do nothing
    returning made.id into transaction_id;
  if transaction_id is null then
    return;
  end if;
  for lot in
    select id, amount_remaining from credit_lots
      where user_id = debited_user and amount_remaining > 0 and (expires_at is null or expires_at > moment)
      order by array_position(source_order, source) nulls last, source collate "C", expires_at nulls last, created_at, id
  loop
    share := least(rest, lot.amount_remaining);
    update credit_lots set amount_remaining = lot.amount_remaining - share, updated_at = moment where id = lot.id;
    insert into credit_transaction_allocations (transaction_id, lot_id, amount, position, balance_after)
      select take_points.transaction_id, lot.id, -share, 1 + coalesce(max(a.position), 0), lot.amount_remaining - share
        from credit_transaction_allocations a where a.lot_id = lot.id;
    rest := rest - share;
    exit when rest = 0;
  end loop;
  update users set credits_balance = available - wanted, credits_balance_at = moment where id = debited_user;
end $$;

-- A session keeps the plans of these functions. One made while the tables were small would read them from end to end, and
-- stay in use until the statistics are renewed, by which time a busy ledger has tens of thousands of rows more.
alter function take_points set enable_seqscan = off;
alter function check_allocation_chain set enable_seqscan = off;
alter function check_lot_balance set enable_seqscan = off;
alter function check_transaction_balance set enable_seqscan = off;
alter function count_credit_transaction set enable_seqscan = off;
